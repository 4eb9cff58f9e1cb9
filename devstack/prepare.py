"""Bring database and static files to the state of the code: `python -m devstack.prepare LOGINS_FILE`.

One process does all the commands, since most of each command's time is Django getting up.
"""

import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

from .console import step
from .places import ROOT, VAR, locked


def prepare(logins: Path) -> None:
    """Migrate, load the demo district, collect static files, and write the demo logins into a file."""
    django.setup()
    with step("Tables"):
        call_command("migrate", interactive=False, verbosity=0)
    with step("Demo district"):
        call_command("load_demo", stdout=io.StringIO())
        with logins.open("w") as file:
            call_command("demo_logins", stdout=file)
    with step("Static files"):
        collect_static_files()


def collect_static_files() -> None:
    """Copy, hash and compress the static files, unless none of them has changed since; one process at a time."""
    stamp = VAR / "static.sha256"
    now = hashlib.sha256(repr(sorted(_static_files())).encode()).hexdigest()
    with locked(VAR / "static.lock"):
        if not (stamp.exists() and stamp.read_text() == now and Path(settings.STATIC_ROOT).is_dir()):
            call_command("collectstatic", interactive=False, verbosity=0)
            stamp.write_text(now)


def _static_files() -> Iterator[tuple[str, int, int]]:
    from django.contrib.staticfiles.finders import get_finders

    yield str(ROOT), 0, 0
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = Path(storage.path(path)).stat()
            yield storage.path(path), stat.st_size, stat.st_mtime_ns


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
