"""The supervisor on real processes: what it starts ends with it, whatever the end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.places import ROOT
from devstack.supervisor import Service, ServiceFailed, Supervisor

# Ends on SIGTERM; its child, in the same process group, does not.
WITH_CHILD = """
trap 'exit 0' TERM
sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' &
while :; do sleep 0.1; done
"""
STUBBORN = "trap '' TERM; echo $$; while :; do sleep 0.1; done"


def shell(name: str, script: str) -> Service:
    return Service(name, ["sh", "-c", script])


async def pid_written_to(log: Path) -> int:
    while not (log.exists() and log.read_text().endswith("\n")):
        await asyncio.sleep(0.02)
    return int(log.read_text())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Return when the process has ended; the kernel delivers a signal when it gets to it."""
    async with asyncio.timeout(20):
        while is_alive(pid):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [WITH_CHILD, STUBBORN], ids=["leaves a child behind", "ignores SIGTERM"])
async def test_nothing_is_left_running(tmp_path: Path, script: str) -> None:
    async with Supervisor(tmp_path, stop_seconds=0.5) as supervisor:
        await supervisor.start(shell("service", script))
        pid = await pid_written_to(tmp_path / "service.log")
        assert is_alive(pid)
    await gone(pid)


async def test_stores_go_last(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = f"trap 'sleep 0.3; echo $0 >> {order}; exit 0' TERM; echo $$; while :; do sleep 0.05; done"
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(
            Service("store", ["sh", "-c", script, "store"], store=True),
            Service("server", ["sh", "-c", script, "server"]),
        )
        await pid_written_to(tmp_path / "store.log")
        await pid_written_to(tmp_path / "server.log")
    assert order.read_text().split() == ["server", "store"]


async def test_a_service_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(shell("steady", "sleep 60"), shell("weak", "echo no more strength; exit 3"))
        problem = str(await supervisor.failure())
    assert "weak ended by itself (exit code 3)" in problem
    assert "no more strength" in problem


async def test_a_service_that_never_becomes_ready(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(ServiceFailed, match="slow is not ready after"):
            await supervisor.start(Service("slow", ["sleep", "60"], ready=never), within=0.1)
        with pytest.raises(ServiceFailed, match="broken ended while starting"):
            await supervisor.start(Service("broken", ["false"], ready=never))


async def test_the_command_beside_is_ended_when_a_service_ends(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(shell("weak", "sleep 0.2"))
        with pytest.raises(ServiceFailed, match="weak"):
            await supervisor.run_beside(["sleep", "60"], os.environ)


async def test_the_command_beside_keeps_its_exit_code(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        assert await supervisor.run_beside(["sh", "-c", "exit 7"], os.environ) == 7
        assert await supervisor.run_beside(["sh", "-c", "kill -TERM $$"], os.environ) == 128 + signal.SIGTERM


def test_a_killed_supervisor_takes_its_services_along(tmp_path: Path) -> None:
    program = f"""
import asyncio, pathlib
from devstack.supervisor import Service, Supervisor
async def main():
    async with Supervisor(pathlib.Path({str(tmp_path)!r})) as supervisor:
        await supervisor.start(Service("service", ["sh", "-c", "echo $$; exec sleep 60"]))
        await asyncio.sleep(60)
asyncio.run(main())
"""
    supervisor = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    pid = asyncio.run(pid_written_to(tmp_path / "service.log"))
    supervisor.kill()
    supervisor.wait()
    asyncio.run(gone(pid))


async def test_one_that_is_kept_up_comes_back_with_nothing_left_of_before(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(
            Service(
                "service",
                ["sh", "-c", WITH_CHILD.replace("echo $$", f"echo $$ >> {tmp_path}/pids")],
                kept_up=True,
            )
        )
        first = await pid_written_to(tmp_path / "pids")
        os.kill(supervisor.process_of("service"), signal.SIGKILL)
        await gone(first)
        async with asyncio.timeout(20):
            while len((tmp_path / "pids").read_text().splitlines()) < 2:
                await asyncio.sleep(0.05)
    assert log.exists()
    await gone(int((tmp_path / "pids").read_text().splitlines()[1]))


async def test_a_service_can_be_interrupted_for_a_while(tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    async def is_ready() -> bool:
        return ready.exists()

    script = f"trap 'rm -f {ready}; exit 0' INT; touch {ready}; while :; do sleep 0.02; done"
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(Service("store", ["sh", "-c", script], ready=is_ready, store=True))
        before = supervisor.process_of("store")
        await supervisor.interrupt("store", how=signal.SIGINT, seconds=0.1)
        assert supervisor.process_of("store") != before
        assert ready.exists()
    with pytest.raises(KeyError):
        supervisor.process_of("store")
