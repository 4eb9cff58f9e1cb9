"""Real PostGIS, real Redis, the whole demo district. Actors are named by role; `outsider` must be refused."""

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import redis
import uuid_utils.compat as uuid
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.cache import cache
from django.db import connection, connections
from django.utils import translation

from devstack.places import Place, free_port
from devstack.prepare import collect_static_files
from devstack.stack import start_servers
from devstack.supervisor import Supervisor
from fieldops.demo import load_demo
from fieldops.intake import Receipt, receive
from fieldops.models import Event, EventClass, FilingCondition, Report, User
from fieldops.rights import current_posts
from fieldops.steps import desk
from gridmap.models import Cell
from tests.doing import CASE_TABLES, Served, close, database, draft_of, served_redis
from tests.migrated import set_up_database


class FewRounds(PBKDF2PasswordHasher):
    """The real algorithm with one round: logging in is not what most tests are about."""

    iterations = 1


def pytest_configure() -> None:
    settings.PASSWORD_HASHERS = ["tests.conftest.FewRounds"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pages last: the browser's driver keeps an event loop running, which asynchronous tests cannot share."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """The demo district is loaded once and stays; tests add cases and take them back.

    `served` is a copy of it for the running house, so that the two never meet.
    """
    with django_db_blocker.unblock():
        set_up_database()
        load_demo(allow=True)
        original = connection.settings_dict["NAME"]
        connections.close_all()
    with psycopg.connect(**database("postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS served WITH (FORCE)")
        admin.execute(f'CREATE DATABASE served TEMPLATE "{original}"')
    with psycopg.connect(**database("served"), autocommit=True) as sql:
        # Its people are slow to acknowledge; that is told where it is tested.
        sql.execute(
            "INSERT INTO realtime_deliverypolicy (district_id, kind, recipient_after, dispatcher_after, supervisor_after,"
            " adapters, since) SELECT code, kind, 86400, 86401, 86402, '{}', now() FROM gridmap_district,"
            " unnest(ARRAY['dispatch', 'rework', 'recall', 'assist', 'whistle']) AS k (kind)"
        )
    yield
    with psycopg.connect(**database("postgres"), autocommit=True) as admin:
        for name in ("served", original):
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session", autouse=True)
def _static_files() -> None:
    """Pages name their files by content, so they have to be collected first."""
    collect_static_files()


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    yield
    cache.clear()
    redis.Redis.from_url(served_redis()).flushdb()  # who logged in too often, among others


@pytest.fixture(autouse=True)
def _language_of_the_district() -> Iterator[None]:
    """A page that was read in English leaves its thread English."""
    yield
    translation.deactivate()


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """For what needs real commits (threads, sockets): cases are wiped afterwards, the district stays."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            connections.close_all()
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {CASE_TABLES} CASCADE")
            connections.close_all()


# --- actors -----------------------------------------------------------------------------------------


def _person(username: str) -> User:
    return User.objects.get(username=username)


@pytest.fixture
def intake_operator(db: None) -> User:
    return _person("intake1")


@pytest.fixture
def dispatcher(db: None) -> User:
    return _person("dispatch1")


@pytest.fixture
def shift_leader(db: None) -> User:
    return _person("shift")


@pytest.fixture
def leader(db: None) -> User:
    return _person("leader")


@pytest.fixture
def supervisor(db: None) -> User:
    return _person("supervisor")


@pytest.fixture
def grid_worker(db: None) -> User:
    return _person("worker001")


@pytest.fixture
def street_chief(db: None) -> User:
    return _person("chief001")


@pytest.fixture
def department_handler(db: None) -> User:
    return _person("dept_municipal")


@pytest.fixture
def resident(db: None) -> User:
    return _person("resident1")


@pytest.fixture
def other_resident(db: None) -> User:
    return _person("resident2")


@pytest.fixture
def outsider(db: None) -> User:
    """Can log in, holds no post."""
    return User.objects.create_user("outsider", password="outside-of-everything-9")


# --- places and reports --------------------------------------------------------------------------------


@pytest.fixture
def cell(db: None) -> Cell:
    """A cell in the middle of the district's codes."""
    return Cell.objects.order_by("code")[700]


@pytest.fixture
def event_class(db: None) -> EventClass:
    return EventClass.objects.get(kind="event", major="01", minor="03")


@pytest.fixture
def condition(event_class: EventClass) -> FilingCondition:
    return event_class.conditions.first()


@pytest.fixture
def file_report(cell: Cell, event_class: EventClass) -> Callable[..., Receipt]:
    """File a report as someone: at the desk for a resident, straight through for a worker with a condition."""

    def file(reporter: User, *, at: Cell = cell, **changes: Any) -> Receipt:
        return receive(draft_of(reporter, at, event_class, **changes))

    return file


@pytest.fixture
def located(file_report: Callable[..., Receipt], resident: User) -> Event:
    """A resident's report, waiting at the intake desk."""
    return file_report(resident).event


@pytest.fixture
def dispatched(file_report: Callable[..., Receipt], grid_worker: User, condition: FilingCondition) -> Event:
    """A grid worker's report that went straight through to the field."""
    event = file_report(grid_worker, condition_id=condition.pk).event
    assert event.status == "dispatched"
    return event


@pytest.fixture
def closed(
    file_report: Callable[..., Receipt],
    resident: User,
    intake_operator: User,
    dispatcher: User,
    condition: FilingCondition,
) -> Event:
    """A resident's case that is closed; a caller with a number and one without reported it, too."""
    event = file_report(resident).event
    first = event.reports.get()
    for changes in ({"contact_name": "赵敏", "contact_phone": "13800001234"}, {}):
        copy = Report.objects.get(pk=first.pk)
        copy.pk, copy.reporter, copy.channel = uuid.uuid7(), intake_operator, "hotline_12345"
        copy.post = current_posts(intake_operator)[0]
        for name, value in changes.items():
            setattr(copy, name, value)
        copy.save(force_insert=True)
    desk.accept(event.pk, by=intake_operator)
    event = desk.file(event.pk, by=intake_operator, condition_id=condition.pk)
    return close(event, dispatcher)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(150204)


# --- the whole house, running ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def served(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Caddy, granian, uvicorn and Celery as the demo starts them."""
    base, port = tmp_path_factory.mktemp("served"), free_port()
    base.chmod(0o711)
    env = {
        **os.environ,
        "DATABASE_URL": os.environ["DATABASE_URL"].rpartition("/")[0] + "/served",
        "REDIS_URL": served_redis(),
        "DJANGO_DEMO": "1",
        "MEDIA_ROOT": str(base / "media"),
    }
    place = Place(base, base / "log")
    up, stop, failed = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with Supervisor(place.log) as supervisor:
            await start_servers(supervisor, place, env, port=port)
            up.set()
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            failed.append(error)
            up.set()

    thread = threading.Thread(target=run, name="served")
    thread.start()
    up.wait(60)
    if failed:
        raise failed[0]
    yield Served(f"http://127.0.0.1:{port}", env, place.log)
    stop.set()
    thread.join(30)
