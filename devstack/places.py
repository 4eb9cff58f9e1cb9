"""Where a run keeps what is its own, and how it is given back."""

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"
BIN = VAR / "venv" / "bin"

# sockaddr_un holds 108 bytes, the last one a NUL; the longest name put into such a directory has 25.
LONGEST_SOCKET_DIRECTORY = 107 - 25


class InUse(Exception):
    """Somebody else runs in this place; the message says who."""


@dataclass(frozen=True)
class Place:
    """The directories of one run: `base` for what it owns, `log` for what it says."""

    base: Path
    log: Path

    def make(self, *, anew: bool = False) -> None:
        """Make the directory, where the database account may pass through; `anew`: without what it held."""
        if anew:
            remove(self.base)
        self.base.mkdir(mode=0o711, exist_ok=True)

    @property
    def media(self) -> Path:
        """Where photos are kept."""
        return self.base / "media"


def database_account() -> pwd.struct_passwd | None:
    """The account PostgreSQL runs under: `postgres` when we are root, else (None) our own."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def private_directory(wanted: Path, *, owner: pwd.struct_passwd | None = None) -> Path:
    """Make a directory only `owner` (default: us) can enter, and return the path to use for it.

    It is `wanted` unless the owner cannot get there (a checkout in a 0700 home) or a socket in it would have
    too long a path; then `wanted` becomes a link to a directory under the system's temporary directories.
    """
    if wanted.is_dir():
        return wanted.resolve()
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_DIRECTORY and _can_enter(wanted.parent, owner):
        wanted.mkdir(mode=0o700)
        made = wanted
    else:
        wanted.unlink(missing_ok=True)  # a link whose target a reboot has swept away
        made = Path(tempfile.mkdtemp(prefix="urban-grid-", dir="/var/tmp"))
        wanted.symlink_to(made)
    if owner is not None:
        os.chown(made, owner.pw_uid, owner.pw_gid)
    return made


def _can_enter(directory: Path, account: pwd.struct_passwd | None) -> bool:
    if account is None:
        return True
    test = ["test", "-x", str(directory)]
    return subprocess.run(test, cwd="/", **as_account(account)).returncode == 0


def as_account(account: pwd.struct_passwd | None) -> dict:
    """The arguments that make `subprocess` run as this account, with none of our groups."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def remove(base: Path) -> None:
    """Delete a run's directory together with the directories its links stand for."""
    if base.is_dir():
        for link in base.iterdir():
            if link.is_symlink():
                shutil.rmtree(link.resolve(), ignore_errors=True)
        shutil.rmtree(base)


@contextlib.contextmanager
def demo_place(address: str) -> Iterator[Place]:
    """The demo's lasting place, for one supervisor at a time.

    Raises InUse when a demo runs, saying where.
    """
    VAR.mkdir(exist_ok=True)
    with open(VAR / "demo.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InUse(f"The demo of this checkout is running already: {lock.read()}") from None
        lock.truncate(0)
        lock.write(f"{address} (process {os.getpid()})")
        lock.flush()
        place = Place(VAR / "demo", VAR / "log" / "demo")
        place.make()
        try:
            yield place
        finally:
            lock.truncate(0)


@contextlib.contextmanager
def scratch_place(kind: str) -> Iterator[Place]:
    """A place that is gone afterwards; those left behind by a killed supervisor are removed first."""
    scratch = VAR / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with locked(scratch / ".lock"):
            for left in scratch.glob("*/"):
                with contextlib.suppress(BlockingIOError), locked(left / ".lock", wait=False):
                    remove(left)
            base = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=scratch))
            base.chmod(0o711)  # the database account has to pass through
            held.enter_context(locked(base / ".lock"))
        try:
            yield Place(base, VAR / "log" / kind)
        finally:
            remove(base)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the file's lock; raises BlockingIOError where another process does and we shall not `wait`."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def secret_key() -> str:
    """This checkout's signing key: random, made once, readable by its owner only."""
    path = VAR / "secret_key"
    with contextlib.suppress(FileExistsError), open(path, "x", opener=_for_owner_only) as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text()


def _for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
