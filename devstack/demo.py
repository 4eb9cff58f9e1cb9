"""`scripts/demo`: the whole project on this machine, with people using it, until Ctrl-C."""

import argparse
import contextlib
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from .console import console, step
from .places import InUse, Place, demo_place, free_port, is_free, scratch_place
from .stack import django_environment, start_servers, start_simulator
from .stores import Missing
from .supervisor import ServiceFailed, Supervisor, run_until_told


class NotPrepared(Exception):
    """Migrating or loading the demo district failed; what was wrong has been printed."""


async def run_demo(*, port: int, reset: bool, simulator: bool) -> int:
    """Serve the demo at http://127.0.0.1:port/ until told to stop; ServiceFailed when a part of it ends.

    Raises InUse when a demo runs already or the port is taken.
    """
    address = f"http://127.0.0.1:{port}"
    with demo_place(address) as place:
        if not is_free(port):
            raise InUse(f"Port {port} on 127.0.0.1 is taken; choose another one with --port.")
        place.make(anew=reset)
        async with _running(place, port=port, durable=True) as (supervisor, env):
            if simulator:
                await start_simulator(supervisor, env, port=port)
            with _environment_file(place, env):
                console.print()
                console.out(_logins_file(place).read_text())
                console.print(f"  Live map   [bold]{address}/[/]")
                console.print(f"  Field API  {address}/api/v1/docs")
                console.print(f"  Logs       {place.log}")
                console.print("\n  Ctrl-C stops everything.\n")
                raise await supervisor.failure()


async def run_journey() -> int:
    """Drive one report to its end on services of its own; return the journey's exit code."""
    port = free_port()
    with scratch_place("journey") as place:
        async with _running(place, port=port, durable=False) as (supervisor, env):
            journey = [sys.executable, "-m", "devstack.journey", "--base-url", f"http://127.0.0.1:{port}"]
            return await supervisor.run_beside(journey, env)


@contextlib.asynccontextmanager
async def _running(
    place: Place, *, port: int, durable: bool
) -> AsyncIterator[tuple[Supervisor, Mapping[str, str]]]:
    """Everything but the simulator, started and stopped again."""
    async with Supervisor(place.log) as supervisor:
        try:
            with step("PostgreSQL and Redis"):
                env = await django_environment(supervisor, place, durable=durable) | {
                    "DJANGO_DEMO": "1",
                    "PYTHONUNBUFFERED": "1",
                }
            prepare = [sys.executable, "-m", "devstack.prepare", str(_logins_file(place))]
            if await supervisor.run_beside(prepare, env) != 0:
                raise NotPrepared
            with step("Web servers and worker"):
                await start_servers(supervisor, place, env, port=port)
            yield supervisor, env
        finally:
            console.print("  Stopping …")


def _logins_file(place: Place) -> Path:
    return place.base / "logins.txt"


@contextlib.contextmanager
def _environment_file(place: Place, env: Mapping[str, str]) -> Iterator[None]:
    """For `scripts/manage`: what a shell has to set to reach the running demo."""
    ours = {name: env[name] for name in sorted(env) if re.search("^DJANGO_|_URL$|_ROOT$", name)}
    path = place.base / "environment"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in ours.items())
    try:
        yield
    finally:
        path.unlink()


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    option = parser.add_argument
    option("--port", type=int, default=8000, help="port of the live map on 127.0.0.1 (default 8000)")
    option("--reset", action="store_true", help="begin anew: drop the demo's database and photos")
    option("--no-simulator", dest="simulator", action="store_false", help="nobody there but you")
    option("--journey", action="store_true", help="drive one report to its end, print its way, stop")
    arguments = parser.parse_args()
    if arguments.reset and os.environ.get("DATABASE_URL"):
        parser.error("--reset does not touch a database that DATABASE_URL names")
    try:
        if arguments.journey:
            return run_until_told(run_journey())
        return run_until_told(
            run_demo(port=arguments.port, reset=arguments.reset, simulator=arguments.simulator)
        )
    except (InUse, Missing, ServiceFailed) as problem:
        console.print(str(problem), style="red", markup=False, soft_wrap=True)
    except NotPrepared:
        pass
    return 1


if __name__ == "__main__":
    sys.exit(main())
