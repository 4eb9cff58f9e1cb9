"""What tests of several packages do and ask, as plain functions: no test imports another test."""

import hashlib
import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uuid_utils.compat as uuid
from django.conf import settings
from django.db import IntegrityError, connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devstack.clients import PASSWORD
from fieldops.intake import Draft, channel_for
from fieldops.lifecycle import Submission
from fieldops.models import Check, Event, EventClass, Photo, Post, Report, Transition, User, WorkOrder
from fieldops.rights import current_posts
from fieldops.steps import desk, fieldwork, followup, joint
from gridmap.elements import ComponentRow, place_components
from gridmap.models import Cell, District
from gridmap.segments import SegmentRow, lay_out_segments
from realtime import shifts
from realtime.models import Letter

# --- who --------------------------------------------------------------------------------------------------


def holder_of(post: Post) -> User:
    return post.holders.order_by("username").first()


def chief_of(event: Event) -> User:
    return holder_of(Post.objects.get(role="street_chief", unit=event.cell.street))


def handler_of(event: Event) -> User:
    return holder_of(event.work_orders.get(finished_at__isnull=True).post)


def worker_of(cell: Cell) -> User:
    return holder_of(Post.objects.get(role="grid_worker", unit__in=cell.unit_ids))


def go_on_duty(user: User) -> None:
    shifts.clock_in(uuid.uuid7(), by=user)


# --- cases -----------------------------------------------------------------------------------------------


def inside(cell: Cell) -> tuple[float, float]:
    """A point well inside the cell, longitude and latitude."""
    return cell.boundary.point_on_surface.coords


def draft_of(reporter: User, cell: Cell, event_class: EventClass, **changes: Any) -> Draft:
    x, y = inside(cell)
    post = current_posts(reporter)[0]
    facts: dict[str, Any] = {
        "id": uuid.uuid7(),
        "digest": "d" * 64,
        "reporter": reporter,
        "post": post,
        "channel": channel_for([post])[1],
        "class_key": event_class.key,
        "description": "现场情况说明",
        "x": x,
        "y": y,
        "system": "WGS84",
    }
    return Draft(**{**facts, **changes})


def key() -> Submission:
    return Submission(id=uuid.uuid7())


def photo_for(submission: Submission, by: User) -> Photo:
    return Photo.objects.create(
        id=uuid.uuid7(),
        submission=submission.id,
        uploaded_by=by,
        file="x.jpg",
        sha256="0" * 64,
        bytes=1,
        received_at=timezone.now(),
    )


def handled_by(handler: User, order: WorkOrder) -> None:
    fieldwork.take_on(order.pk, by=handler, submission=key())
    submission = key()
    photo_for(submission, handler)
    fieldwork.handle(order.pk, by=handler, submission=submission)


def handled(event: Event) -> Event:
    handled_by(handler_of(event), event.work_orders.get(finished_at__isnull=True))
    event.refresh_from_db()
    return event


def report_check(check: Check, by: User, found: str = "confirmed", **more: Any) -> None:
    """What whoever was sent found, with a photo."""
    submission = key()
    photo_for(submission, by)
    followup.report_check(check.pk, by=by, found=found, submission=submission, **more)


def assisted(event: Event, dispatcher: User) -> tuple[WorkOrder, Post]:
    """A department beside the lead: its order, and the post that has it."""
    post = (
        Post.objects.filter(role="department_handler", unit__level=1)
        .exclude(department=event.department_id)
        .first()
    )
    joint.assist(event.pk, by=dispatcher, department_ids=[post.department_id], reason="协办")
    return event.work_orders.get(part="assist"), post


def close(event: Event, dispatcher: User) -> Event:
    """Dispatched, handled and confirmed, so that it closes."""
    event = desk.dispatch(event.pk, by=dispatcher)
    handled_by(handler_of(event), event.work_orders.get(finished_at__isnull=True))
    event.refresh_from_db()
    # Who confirmed before is not asked again: where the street has one chief, the desk is.
    checker = dispatcher if event.checked_by == "dispatcher" else chief_of(event)
    followup.confirm(event.pk, by=checker, resolved=True, submission=key())
    event.refresh_from_db()
    assert event.status == "closed"
    return event


# --- the grid, and what stands in it ---------------------------------------------------------------------


def next_version(cell: Cell, **changes: object) -> Cell:
    """End the cell now and begin its next version."""
    now = timezone.now()
    Cell.objects.filter(pk=cell.pk).update(valid_to=now)
    new = Cell.objects.get(pk=cell.pk)
    new.pk, new.valid_from, new.valid_to = uuid.uuid7(), now, None
    for name, value in changes.items():
        setattr(new, name, value)
    new.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return new


def row_in(cell: Cell, serial: int = 900_001, **changes: Any) -> ComponentRow:
    """A manhole cover (class 0101) well inside the cell."""
    x, y = cell.boundary.point_on_surface.coords
    facts = {
        "code": f"1502040101{serial:06}",
        "name": "上水井盖",
        "x": x,
        "y": y,
        "system": "WGS84",
        "managing": "municipal",
    }
    return ComponentRow(**{**facts, **changes})


def place(*rows: ComponentRow, by: Any = None) -> Any:
    return place_components(rows, district=District.objects.get(), by=by)


METRE = 1 / 111_195


def a_transaction_later() -> None:
    """The tests' own transaction has one time: move what was recorded so far into the past."""
    with connection.cursor() as cursor:
        for table in ("elementversion", "componentversion"):
            cursor.execute(f"ALTER TABLE gridmap_{table} DISABLE TRIGGER USER")
            cursor.execute(
                f"UPDATE gridmap_{table} SET pgh_created_at = pgh_created_at - interval '1 day'"  # noqa: S608
            )
            cursor.execute(f"ALTER TABLE gridmap_{table} ENABLE TRIGGER USER")


def lay(*rows: SegmentRow) -> Any:
    return lay_out_segments(rows, district=District.objects.get(), by=None)


def along(cell: Cell, code: str = "T-1", east: float = 20, north: float = 0, **changes: Any) -> SegmentRow:
    """Twenty metres to the east through the middle of the cell."""
    x, y = cell.boundary.point_on_surface.coords
    line = [(x, y), (x + east * METRE, y + north * METRE)]
    return SegmentRow(**{"code": code, "name": "测试街", "line": line, "system": "WGS84", **changes})


def tile_at(lon: float, lat: float, z: int) -> tuple[int, int]:
    across = 2**z
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return int((lon + 180) / 360 * across), int(y * across)


# --- the database ----------------------------------------------------------------------------------------


def refused(change: Callable[[], Any], constraint: str) -> None:
    def change_and_check() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            change()
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    with pytest.raises(IntegrityError, match=constraint):
        change_and_check()


def statements(captured: CaptureQueriesContext) -> list[str]:
    """What was sent, savepoints and transaction control apart."""
    control = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT")
    return [q["sql"] for q in captured.captured_queries if not q["sql"].startswith(control)]


def nothing_written() -> bool:
    return not any(model.objects.exists() for model in (Event, Report, Transition, Letter))


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs in threads that start together; their results, or the exceptions they raised."""
    results: list[Any] = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def run(index: int, job: Callable[[], Any]) -> None:
        try:
            gate.wait()
            results[index] = job()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    return results


CASE_TABLES = "fieldops_event, fieldops_report, fieldops_transition, fieldops_workorder, fieldops_photo, realtime_mailbox, realtime_shift"


def database(name: str) -> dict[str, Any]:
    """How psycopg reaches a database of the test cluster, beside Django."""
    held = connection.settings_dict
    return {"host": held["HOST"], "port": held["PORT"] or None, "user": held["USER"], "dbname": name}


# --- over HTTP -------------------------------------------------------------------------------------------


class Phone:
    """A device with a token."""

    def __init__(self, user: User) -> None:
        self.client = Client(headers={"Accept-Language": "en"})
        answer = self.post("login", {"username": user.username, "password": PASSWORD})
        assert answer.status_code == 200, answer.content
        self.client = Client(
            headers={"Authorization": f"Token {answer.json()['token']}", "Accept-Language": "en"}
        )

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(
            f"/api/v1/{path}", data=json.dumps(body or {}), content_type="application/json"
        )

    def photo(self, submission: Any, content: bytes, **changes: Any) -> Any:
        form = {
            "id": str(uuid.uuid7()),
            "submission": str(submission),
            "sha256": hashlib.sha256(content).hexdigest(),
            "file": io.BytesIO(content),
            **changes,
        }
        return self.client.post("/api/v1/photos", form)


@dataclass(frozen=True)
class Served:
    """The project as it is deployed, on its own copy of the demo district."""

    url: str
    env: dict[str, str]
    log: Path


def served_redis() -> str:
    """The running house keeps its positions and queues apart from those of the tests beside it."""
    return settings.REDIS_URL.rpartition("/")[0] + "/1"
