"""The processes of a whole run: stores, web servers, worker, and the one address in front."""

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from .places import BIN, ROOT, VAR, Place, private_directory, secret_key
from .stores import clean_environment, start_stores
from .supervisor import Service, Supervisor, accepts_at


async def django_environment(supervisor: Supervisor, place: Place, *, durable: bool) -> dict[str, str]:
    """Start the stores and return the variables `config.settings` reads."""
    place.media.mkdir(mode=0o700, exist_ok=True)
    ours = clean_environment()
    return {
        **ours,
        **await start_stores(supervisor, place, durable=durable),
        "PATH": f"{BIN}:{ours.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DJANGO_SECRET_KEY": secret_key(),
        "DJANGO_DEBUG": "0",
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "MEDIA_ROOT": str(place.media),
        "STATIC_ROOT": str(VAR / "static"),
    }


async def start_servers(
    supervisor: Supervisor, place: Place, env: Mapping[str, str], *, port: int, kept_up: bool = False
) -> None:
    """Start what answers http://127.0.0.1:port/ and wait until all of it does."""
    sockets = private_directory(place.base / "sockets")
    pages, live = sockets / "pages.sock", sockets / "live.sock"

    async def answers() -> bool:
        return await accepts_at(pages) and await asyncio.to_thread(
            _answers, f"http://127.0.0.1:{port}/login/"
        )

    pages_server = [
        *(BIN / "granian", "config.wsgi:application", "--interface", "wsgi", "--no-ws", "--http", "1"),
        *("--uds", pages, "--workers", "2", "--blocking-threads", "4"),
        *("--workers-kill-timeout", "3s", "--log-level", "warning"),
    ]
    live_server = [
        *(BIN / "uvicorn", "config.asgi:application", "--uds", live, "--lifespan", "off"),
        *("--forwarded-allow-ips", "*", "--timeout-graceful-shutdown", "2", "--log-level", "warning"),
        *("--ws", "realtime.connection:Connection", "--ws-per-message-deflate", "false"),
        *("--ws-max-size", "65536", "--ws-ping-interval", "0", "--workers", "2"),
    ]
    worker = [
        *(BIN / "celery", "--app", "config.celery:app", "worker", "--beat", "--concurrency", "1"),
        *("--schedule", place.base / "beat-schedule", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    front = [
        BIN / "caddy",
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        Path(__file__).with_name("Caddyfile"),
    ]
    front_env = {
        **env,
        "CADDY_PORT": str(port),
        "CADDY_STORAGE": str(place.base / "caddy"),
        "PAGES_WSGI": str(pages),
        "SOCKETS_ASGI": str(live),
        "HOME": str(place.base),  # it makes directories there
    }
    await supervisor.start(
        Service(
            "pages",
            pages_server,
            env,
            cwd=ROOT,
            ready=lambda: accepts_at(pages),
            kept_up=kept_up,
            leaves=[pages],
        ),
        Service(
            "live", live_server, env, cwd=ROOT, ready=lambda: accepts_at(live), kept_up=kept_up, leaves=[live]
        ),
        Service("front", front, front_env, cwd=ROOT, ready=answers, kept_up=kept_up),
    )
    tracks = [sys.executable, "manage.py", "write_tracks"]
    await supervisor.start(
        Service("worker", worker, env, cwd=ROOT, kept_up=kept_up),
        Service("tracks", tracks, env, cwd=ROOT, kept_up=kept_up),
    )  # nobody waits for them


async def start_simulator(supervisor: Supervisor, env: Mapping[str, str], *, port: int) -> None:
    """Start the residents and field workers who use the public interfaces at that port."""
    argv = [sys.executable, "-m", "devstack.simulator", "--base-url", f"http://127.0.0.1:{port}"]
    await supervisor.start(Service("simulator", argv, env=env, cwd=ROOT))


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=5) as response:
            return response.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500  # an error page of the project's own is an answer; 502 is Caddy still alone
    except OSError:
        return False
