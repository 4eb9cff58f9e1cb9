"""Starts processes, notices when one dies, and leaves none behind."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Service:
    """A long-running process. `ready` is asked until it says yes; `stop_with` asks it to go.

    A `store` goes after everything else: a process that loses its database in mid-request only makes noise.
    `leaves` are files of an earlier life that would be in its way, such as the socket of one that was killed.
    One that is `kept_up` is started again a second after it ended by itself, as a service manager would.
    """

    name: str
    argv: Sequence[object]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    ready: Callable[[], Awaitable[bool]] | None = None
    stop_with: signal.Signals = signal.SIGTERM
    stdin: str = ""
    run_as: Mapping = field(default_factory=dict)
    cwd: Path | str | None = None
    store: bool = False
    kept_up: bool = False
    leaves: Sequence[Path] = ()


class ServiceFailed(Exception):
    """A service ended by itself, or did not become ready; the message holds the end of its log."""


class Supervisor:
    """Holds running services; as a context manager it stops them all in the end.

    Each service has a process group of its own, so the terminal's Ctrl-C reaches only the supervisor, and
    its own log file `<name>.log`. Should the supervisor be killed outright, the kernel tells the services.
    """

    def __init__(self, log: Path, *, stop_seconds: float = 5) -> None:
        self._log = log
        self._stop_seconds = stop_seconds
        self._running: list[tuple[Service, asyncio.subprocess.Process]] = []
        self._died: asyncio.Queue[str] = asyncio.Queue()
        self._watchers: set[asyncio.Task] = set()

    async def __aenter__(self) -> "Supervisor":
        self._log.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *services: Service, within: float = 30) -> None:
        """Start services side by side and wait until all are ready.

        Raises ServiceFailed when one ends, or is not ready `within` so many seconds.
        """
        await asyncio.gather(*[await self._spawn(service, within) for service in services])

    async def interrupt(
        self, name: str, *, how: signal.Signals = signal.SIGKILL, seconds: float = 0, within: float = 30
    ) -> None:
        """End a service with this signal, leave it away for so long, and wait until it is ready again.

        SIGKILL goes to its whole process group, any other signal to the process that was started.

        Raises KeyError when no such service runs, ServiceFailed when it does not come back.
        """
        service, process = self._find(name)
        self._running.remove((service, process))  # its end is expected
        with contextlib.suppress(ProcessLookupError):
            if how == signal.SIGKILL:
                os.killpg(process.pid, how)
            else:
                process.send_signal(how)
        await process.wait()
        self._end_group(process)
        try:
            await asyncio.sleep(seconds)
        finally:
            back = await self._spawn(service, within, again=True)
        await back

    def process_of(self, name: str) -> int:
        """The process id of a running service; raises KeyError when there is none."""
        return self._find(name)[1].pid

    def _find(self, name: str) -> tuple[Service, asyncio.subprocess.Process]:
        for service, process in self._running:
            if service.name == name:
                return service, process
        raise KeyError(name)

    async def _spawn(self, service: Service, within: float, *, again: bool = False) -> Awaitable[None]:
        """Start the process; awaiting the result is waiting for it to be ready."""
        path = self._log / f"{service.name}.log"
        if not again:
            path.unlink(missing_ok=True)  # not truncated: an earlier run may still be writing its last words
        for left in service.leaves:
            left.unlink(missing_ok=True)
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, service.argv),
                stdin=asyncio.subprocess.PIPE if service.stdin else asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(service.env),
                cwd=service.cwd,
                start_new_session=True,
                preexec_fn=die_with_parent(service.stop_with),
                **service.run_as,
            )
        self._running.append((service, process))
        self._watchers.add(asyncio.create_task(self._watch(service, process)))
        if process.stdin is not None:
            process.stdin.write(service.stdin.encode())
            process.stdin.close()
        return self._readiness(service, process, within)

    async def _readiness(self, service: Service, process: asyncio.subprocess.Process, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                while service.ready is not None and not await service.ready():
                    if process.returncode is not None:
                        raise ServiceFailed(self._last_words(service.name, "ended while starting"))
                    await asyncio.sleep(0.05)
        except TimeoutError:
            problem = f"is not ready after {within:g} s"
            raise ServiceFailed(self._last_words(service.name, problem)) from None

    async def _watch(self, service: Service, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if (service, process) not in self._running:
            return
        if service.kept_up:
            self._running.remove((service, process))
            self._end_group(process)
            await asyncio.sleep(1)
            with contextlib.suppress(ServiceFailed):  # whose end, then, is watched again
                await (await self._spawn(service, 30, again=True))
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._died.put_nowait(self._last_words(service.name, f"ended by itself ({how})"))

    def _last_words(self, name: str, what: str) -> str:
        with (self._log / f"{name}.log").open(errors="replace") as log:
            lines = "".join(f"    {line}" for line in deque(log, 15))
        return f"{name} {what}; the end of {self._log / name}.log:\n{lines}"

    async def run_beside(self, command: Sequence[str], env: Mapping[str, str]) -> int:
        """Run a command in the terminal's foreground beside the services; return its exit code.

        Raises ServiceFailed when a service ends first; the command is ended then, as on cancellation.
        """
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(env), preexec_fn=die_with_parent(signal.SIGTERM)
        )
        at_terminal = os.isatty(0)
        if at_terminal:  # the command has Ctrl-C from the terminal too, and knows better what it means
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended, failed = asyncio.ensure_future(process.wait()), asyncio.ensure_future(self.failure())
        try:
            await asyncio.wait((ended, failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not ended.done():
                process.send_signal(signal.SIGINT)
                await asyncio.wait((ended,), timeout=2 * self._stop_seconds)
            if not ended.done():
                process.kill()
            code = await ended
            if at_terminal:
                signal.signal(signal.SIGINT, before)
            problem = failed.result() if failed.done() else None
            failed.cancel()
        if problem is not None:
            raise problem
        return code if code >= 0 else 128 - code

    async def failure(self) -> ServiceFailed:
        """Wait until any service ends by itself."""
        return ServiceFailed(await self._died.get())

    async def stop(self) -> None:
        """Ask every service to go, the stores last; what has not gone in time is killed."""
        for watcher in self._watchers:
            watcher.cancel()
        for store in (False, True):
            await asyncio.gather(
                *(
                    self._stop_one(service, process)
                    for service, process in self._running
                    if service.store is store
                )
            )
        self._running.clear()

    async def _stop_one(self, service: Service, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(service.stop_with)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stop_seconds):
                await process.wait()
        self._end_group(process)
        await process.wait()

    @staticmethod
    def _end_group(process: asyncio.subprocess.Process) -> None:
        """End also what a leader that went has left in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def die_with_parent(how: signal.Signals) -> Callable[[], None]:
    """Between fork and exec: have the kernel send `how` to the child when its parent is gone."""
    parent = os.getpid()

    def ask_kernel() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(how))
        if os.getppid() != parent:
            os.kill(os.getpid(), how)

    return ask_kernel


def run_until_told(main: Coroutine[None, None, int]) -> int:
    """Run `main` to its exit code; Ctrl-C, SIGTERM and SIGHUP cancel it once, then it may tidy up."""

    async def cancellable() -> int:
        task = asyncio.ensure_future(main)
        told: list[signal.Signals] = []

        def tell(number: signal.Signals) -> None:
            if not told:
                told.append(number)
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, tell, number)
        try:
            return await task
        except asyncio.CancelledError:
            return 128 + told[0]

    return asyncio.run(cancellable())


async def accepts(host: str, port: int) -> bool:
    """Whether something listens there."""
    return await _connects(asyncio.open_connection(host, port))


async def accepts_at(path: Path) -> bool:
    """Whether something listens on this Unix socket."""
    return await _connects(asyncio.open_unix_connection(path))


async def _connects(attempt: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    try:
        _, writer = await attempt
    except OSError:
        return False
    writer.close()
    return True
