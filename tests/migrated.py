"""The test database with every migration applied.

Applying them takes longer than all else of the set-up, since Django draws up its models after each. So the outcome is kept
under var/ for as long as no migration, no package and no PostgreSQL changes.
"""

import hashlib
import os
import subprocess
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
            _run(programs / "psql", name, "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", kept)
        setup_databases(verbosity=0, interactive=False, keepdb=kept.exists(), aliases={"default"})
        if not kept.exists():
            for older in VAR.glob("migrated-*.sql"):
                older.unlink()
            making = kept.with_suffix(".making")
            _run(programs / "pg_dump", name, "-f", making)
            making.rename(kept)


def _state_of_migrations(programs: Path) -> str:
    state = hashlib.sha256(os.fsencode(programs))
    for path in (ROOT / "requirements.lock", *sorted(ROOT.glob("*/migrations/*.py"))):
        state.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _run(program: Path, name: str, *arguments: str | Path) -> None:
    held = database(name)
    reach = ["-h", held["host"], "-p", str(held["port"] or 5432), "-U", held["user"], "-d", name, "-w"]
    done = subprocess.run([program, *reach, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
