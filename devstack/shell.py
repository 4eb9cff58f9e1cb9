"""Run one command with private stores around it: `python -m devstack.shell [--log NAME] COMMAND...`."""

import argparse
import sys
from collections.abc import Sequence

from .places import scratch_place
from .stack import django_environment
from .stores import Missing
from .supervisor import ServiceFailed, Supervisor, run_until_told


async def run(command: Sequence[str], *, kind: str) -> int:
    """Start scratch stores, run the command with the environment set, stop; return its exit code."""
    with scratch_place(kind) as place:
        async with Supervisor(place.log) as supervisor:
            env = await django_environment(supervisor, place, durable=False)
            return await supervisor.run_beside(command, env)


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="devstack.shell", description=__doc__)
    parser.add_argument("--log", default="shell", help="directory under var/log for the stores' logs")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND...")
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("which command?")
    try:
        return run_until_told(run(arguments.command, kind=arguments.log))
    except (Missing, ServiceFailed) as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
