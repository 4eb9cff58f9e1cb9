"""The test database with every migration applied.

Applying them takes longer than all else of the set-up, since Django draws up its models after each. So the outcome is kept
under var/ for as long as no migration, no package and no PostgreSQL changes.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import psycopg
from django.db import connection
from django.test.utils import setup_databases

from devstack.places import ROOT, VAR, locked
from devstack.stores import postgresql_programs
from tests.doing import database


def set_up_database() -> None:
    """Make the test database as the migrations say; `migrate` has run over what was kept, too."""
    name = connection.creation._get_test_db_name()
    programs = postgresql_programs()
    with locked(VAR / "migrated.lock"):
        kept = VAR / f"migrated-{_state_of_migrations(programs)}.sql"
        if kept.exists():
            with psycopg.connect(**database("postgres"), autocommit=True) as admin:
                admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                admin.execute(f'CREATE DATABASE "{name}"')
            _run(programs / "psql", *_at(name), "-q1", "-v", "ON_ERROR_STOP=1", "-f", kept)
        setup_databases(verbosity=0, interactive=False, keepdb=kept.exists(), aliases={"default"})
        if not kept.exists():
            for older in VAR.glob("migrated-*.sql"):
                older.unlink()
            _keep(name, kept, programs)


def _keep(name: str, kept: Path, programs: Path) -> None:
    with tempfile.TemporaryDirectory(dir=VAR) as held:
        dump, order, making = Path(held, "dump"), Path(held, "order"), Path(held, "sql")
        _run(programs / "pg_dump", *_at(name), "-Fc", "-f", dump)
        order.write_text(_as_made(_run(programs / "pg_restore", "-l", dump)))
        _run(programs / "pg_restore", "-L", order, "-f", making, dump)
        making.rename(kept)


def _as_made(listing: str) -> str:
    """The dump's contents with constraints in the order of their making: where a row breaks two, the older one is named."""
    lines = listing.splitlines(keepends=True)
    for kinds in ("CONSTRAINT|INDEX", "FK CONSTRAINT"):
        found = [re.match(rf"\d+; \d+ (\d+) (?:{kinds}) (?!ATTACH)", line) for line in lines]
        places = [n for n, one in enumerate(found) if one]
        made = sorted(places, key=lambda n: int(found[n][1]))  # type: ignore[index]
        for place, line in zip(places, [lines[n] for n in made], strict=True):
            lines[place] = line
    return "".join(lines)


def _state_of_migrations(programs: Path) -> str:
    state = hashlib.sha256(os.fsencode(programs))
    for path in (Path(__file__), ROOT / "requirements.lock", *sorted(ROOT.glob("*/migrations/*.py"))):
        state.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _at(name: str) -> list[str]:
    held = database(name)
    return ["-h", held["host"], "-p", str(held["port"] or 5432), "-U", held["user"], "-d", name, "-w"]


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
