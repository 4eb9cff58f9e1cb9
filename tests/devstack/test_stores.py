"""The private stores: they work, are nobody else's, and are gone afterwards."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import environ
import psycopg
import pytest
import redis

from devstack import places
from devstack.places import ROOT, InUse, Place, demo_place, private_directory, remove, scratch_place
from devstack.stores import start_stores
from devstack.supervisor import Supervisor


@pytest.fixture
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make DATABASE_URL and REDIS_URL name nothing, and PG* variables mislead."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("PGHOST", "/nowhere")
    monkeypatch.setenv("PGUSER", "somebody")


@pytest.fixture
def awkward_place(tmp_path: Path) -> Iterator[Place]:
    """A place whose path needs quoting in a URL, and which other accounts may pass through."""
    with tempfile.TemporaryDirectory(prefix="a b+c%41é@", dir="/tmp") as base:
        Path(base).chmod(0o711)
        yield Place(Path(base), tmp_path)
        remove(Path(base))
        Path(base).mkdir()


@pytest.fixture
def own_var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(places, "VAR", tmp_path)
    return tmp_path


def connect(url: str) -> psycopg.Connection:
    config = environ.Env.db_url_config(url)
    return psycopg.connect(host=config["HOST"], user=config["USER"], dbname=config["NAME"])


@pytest.mark.usefixtures("nothing_given")
async def test_private_stores_work_and_are_gone_afterwards(awkward_place: Place) -> None:
    async with Supervisor(awkward_place.log) as supervisor:
        given = await start_stores(supervisor, awkward_place, durable=False)
        with connect(given["DATABASE_URL"]) as connection:
            connection.execute("CREATE EXTENSION postgis")
            settings = "SELECT current_setting('data_directory'), current_setting('listen_addresses')"
            data, listens_at = connection.execute(settings).fetchone()
        assert listens_at == ""
        assert Path(data).is_relative_to(awkward_place.base)
        assert Path(data).parent.stat().st_mode & 0o777 == 0o700
        with redis.Redis.from_url(given["REDIS_URL"]) as client:
            assert client.ping()
        without_password = given["REDIS_URL"].partition("@")[2]
        stranger = redis.Redis.from_url(f"redis://{without_password}")
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    with pytest.raises(psycopg.OperationalError):
        connect(given["DATABASE_URL"])
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(given["REDIS_URL"]).ping()


@pytest.mark.usefixtures("nothing_given")
async def test_a_durable_cluster_keeps_its_rows_and_its_promises(awkward_place: Place) -> None:
    async with Supervisor(awkward_place.log) as supervisor:
        given = await start_stores(supervisor, awkward_place, durable=True)
        with connect(given["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    async with Supervisor(awkward_place.log) as supervisor:
        given = await start_stores(supervisor, awkward_place, durable=True)
        with connect(given["DATABASE_URL"]) as connection:
            query = "SELECT one, current_setting('fsync'), current_setting('synchronous_commit') FROM kept"
            assert connection.execute(query).fetchone() == (1, "on", "on")


async def test_given_stores_are_used_and_none_started(
    awkward_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"DATABASE_URL": "postgis://db.example/grid", "REDIS_URL": "redis://cache.example/1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    async with Supervisor(awkward_place.log) as supervisor:
        assert await start_stores(supervisor, awkward_place, durable=True) == given
    assert list(awkward_place.base.iterdir()) == []


def test_too_long_a_path_becomes_a_link_and_is_removed_with_it(tmp_path: Path) -> None:
    base = tmp_path / ("long" * 25)
    base.mkdir()
    directory = private_directory(base / "sockets")
    assert len(str(directory)) < 60
    assert directory.stat().st_mode & 0o777 == 0o700
    assert private_directory(base / "sockets") == directory
    remove(base)
    assert not directory.exists()
    assert not base.exists()


def test_one_demo_at_a_time(own_var: Path) -> None:
    with demo_place("the first"), pytest.raises(InUse, match="the first"), demo_place("the second"):
        pass
    with demo_place("the second"):
        pass


def test_reset_begins_anew(own_var: Path) -> None:
    with demo_place("first") as place:
        (place.base / "photo").touch()
    with demo_place("second") as place:
        assert (place.base / "photo").exists()
        place.make(anew=True)
        assert not (place.base / "photo").exists()
        assert place.base.is_dir()


def test_scratch_places_of_killed_runs_are_removed_and_living_ones_kept(own_var: Path) -> None:
    left = own_var / "scratch" / "test-killed"
    left.mkdir(parents=True)
    (left / "something").touch()
    with scratch_place("test") as first, scratch_place("test") as second:
        assert not left.exists()
        assert first.base.is_dir()
        assert second.base.is_dir()
    assert list((own_var / "scratch").glob("*/")) == []


def test_a_shell_command_gets_the_stores_and_passes_its_exit_code_on() -> None:
    script = "import os, sys; print(os.environ['DATABASE_URL'][:10]); sys.exit(5)"
    command = [sys.executable, "-m", "devstack.shell", "--log", "test-shell", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (5, "postgis://")
