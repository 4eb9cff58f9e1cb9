"""The door for positions and the way into the tracks: what is kept, what is refused, what is flagged."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from fieldops.errors import AlreadyOnShift, NotFound, NotOnShift, NotPermitted, ReasonMissing
from fieldops.models import Post, User
from gridmap.coordinates import from_wgs84, wgs84_to_gcj02
from gridmap.models import CHAIN, Cell
from realtime import positions, presence, shifts, tracks
from realtime.models import AreaCrossing, Shift, TrackAccess, TrackPoint, TrackPolicy
from realtime.stores import store

pytestmark = pytest.mark.usefixtures("db")
DEVICE = uuid.uuid4()


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never commit, so what is remembered after a commit is remembered at once, or not at all."""
    monkeypatch.setattr(tracks, "_make_sure_of_days", tracks.make_partitions)
    monkeypatch.setattr(tracks, "_areas", {})
    monkeypatch.setattr(shifts, "_tell_after_commit", lambda user: shifts.read_duties([user]))


def on_duty(user: User, *, ago: timedelta = timedelta(hours=1)) -> Shift:
    shift = shifts.clock_in(uuid.uuid7(), by=user)
    Shift.objects.filter(pk=shift.pk).update(started_at=timezone.now() - ago)
    shifts.read_duties([user.pk])
    return Shift.objects.get(pk=shift.pk)


@pytest.fixture
def shift(grid_worker: User) -> Shift:
    return on_duty(grid_worker)


@pytest.fixture
def home(shift: Shift) -> Cell:
    """A cell of the worker's own community."""
    return Cell.objects.filter(community=shift.post.unit).order_by("code")[3]


def fix(ago: float = 0, at: Cell | tuple[float, float] = (109.9, 40.65), **changes: Any) -> dict[str, Any]:
    x, y = at.boundary.point_on_surface.coords if isinstance(at, Cell) else at
    when = timezone.now() - timedelta(seconds=ago)
    return {"at": when.isoformat(), "x": x, "y": y, "system": "WGS84", "accuracy_m": 8, **changes}


def send(user: User, *fixes: Any, device: Any = DEVICE) -> list[str]:
    [codes] = positions.take([positions.Sent(user.pk, device, fixes)])
    return codes


def write_all() -> int:
    written = 0
    for _ in range(5):
        written += tracks.write_some("test", block_ms=1).fixes
    return written


# --- shifts ---------------------------------------------------------------------------------------------


def test_clocking_in_twice_with_one_key_is_one_shift(grid_worker: User) -> None:
    key = uuid.uuid7()
    assert shifts.clock_in(key, by=grid_worker) == shifts.clock_in(key, by=grid_worker)
    with pytest.raises(AlreadyOnShift) as refused:
        shifts.clock_in(uuid.uuid7(), by=grid_worker)
    assert refused.value.facts == {"shift": str(key)}
    ended = shifts.clock_out(by=grid_worker)
    assert shifts.clock_out(by=grid_worker, shift_id=key).ended_at == ended.ended_at
    with pytest.raises(NotOnShift):
        shifts.clock_out(by=grid_worker)


def test_only_field_workers_clock_in(
    outsider: User, resident: User, dispatcher: User, department_handler: User
) -> None:
    for user in (outsider, resident, dispatcher, department_handler):
        with pytest.raises(NotPermitted):
            shifts.clock_in(uuid.uuid7(), by=user)


def test_nobody_clocks_in_on_anothers_post(grid_worker: User, street_chief: User) -> None:
    with pytest.raises(NotPermitted):
        shifts.clock_in(uuid.uuid7(), by=grid_worker, post_id=street_chief.posts.get().pk)


def test_the_database_refuses_a_second_open_shift(shift: Shift) -> None:
    with pytest.raises(IntegrityError, match="a_person_is_on_one_shift_at_a_time"):
        Shift.objects.create(pk=uuid.uuid7(), post=shift.post, user=shift.user, started_at=timezone.now())


def test_a_forgotten_shift_ends_at_the_districts_longest(shift: Shift) -> None:
    began = timezone.now() - timedelta(hours=20)
    Shift.objects.filter(pk=shift.pk).update(started_at=began)
    TrackPolicy.objects.create(district=shift.post.district, longest_shift_hours=9)
    assert shifts.end_forgotten_shifts() == 1
    shift.refresh_from_db()
    assert (shift.forgotten, shift.ended_at) == (True, began + timedelta(hours=9))
    assert send(shift.user, fix()) == ["off_duty"]


def test_a_shift_ends_with_the_holding_of_its_post(shift: Shift) -> None:
    assert shifts.end_forgotten_shifts() == 0
    shift.post.holdings.update(until=timezone.now())
    assert shifts.end_forgotten_shifts() == 1


# --- the door -------------------------------------------------------------------------------------------


def test_a_fix_is_kept_as_it_was_sent_and_in_wgs84(shift: Shift, home: Cell) -> None:
    lon, lat = home.boundary.point_on_surface.coords
    x, y = map(float, wgs84_to_gcj02(lon, lat))
    sent = fix(2, (x, y), system="GCJ02", battery=41, mock=True)
    assert send(shift.user, sent) == ["stored"]
    assert write_all() == 1
    point = TrackPoint.objects.get()
    assert (point.x, point.y, point.system, point.accuracy_m) == (x, y, "GCJ02", 8)
    assert (point.battery, point.mock, point.jump, point.shift) == (41, True, False, shift)
    assert point.point.coords == pytest.approx((lon, lat), abs=1e-7)
    assert abs(point.fix_at - datetime.fromisoformat(sent["at"])) <= timedelta(milliseconds=1)
    assert point.received_at > point.fix_at
    last = positions.last_fixes({str(shift.pk)})[str(shift.pk)]
    assert (last.battery, last.mock, last.at) == (41, True, shifts.as_ms(point.fix_at))
    assert 0 < store().ttl(shifts.fix_key(str(shift.pk))) <= positions.LAST_FIX_SECONDS


def test_a_projected_position_keeps_its_metres(shift: Shift, home: Cell) -> None:
    lon, lat = home.boundary.point_on_surface.coords
    x, y = map(float, from_wgs84(lon, lat, "EPSG:4546"))
    assert send(shift.user, fix(1, (x, y), system="EPSG:4546")) == ["stored"]
    write_all()
    point = TrackPoint.objects.get()
    assert (point.x, point.y, point.system) == (x, y, "EPSG:4546")
    assert point.point.coords == pytest.approx((lon, lat), abs=1e-7)


def test_off_duty_nothing_is_kept_and_one_is_told(grid_worker: User, outsider: User) -> None:
    assert send(grid_worker, fix()) == ["off_duty"]
    assert send(outsider, fix()) == ["off_duty"]
    on_duty(grid_worker, ago=timedelta(minutes=10))
    assert send(grid_worker, fix(700), fix(500)) == ["off_duty", "stored"]  # before and within the shift
    shifts.clock_out(by=grid_worker)
    assert send(grid_worker, fix(-5)) == ["off_duty"]
    assert write_all() == 1
    [told] = positions.answer([fix()], ["off_duty"])["results"]
    assert (told["status"], told["code"], told["again"]) == ("refused", "off_duty", False)
    assert told["title"] == "未保存：仅在岗期间保存定位"


def test_the_writer_keeps_nothing_from_outside_the_shift_whatever_redis_believes(shift: Shift) -> None:
    assert send(shift.user, fix(100), fix(1)) == ["stored"] * 2
    Shift.objects.filter(pk=shift.pk).update(ended_at=timezone.now() - timedelta(seconds=50))
    assert write_all() == 1


def test_what_was_kept_by_the_phone_is_taken_after_the_shift_for_a_day(shift: Shift) -> None:
    shifts.clock_out(by=shift.user)
    assert send(shift.user, fix(60), fix(120)) == ["stored"] * 2
    Shift.objects.filter(pk=shift.pk).update(
        started_at=timezone.now() - timedelta(hours=30), ended_at=timezone.now() - timedelta(hours=25)
    )
    shifts.read_duties([shift.user_id])
    assert send(shift.user, fix(26 * 3600)) == ["off_duty"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"system": None}, "unknown_coordinate_system"),
        ({"system": "WGS-84"}, "unknown_coordinate_system"),
        ({"system": ["WGS84"]}, "unknown_coordinate_system"),
        ({"x": "109.9"}, "invalid"),
        ({"x": 181}, "implausible_position"),
        ({"x": 5_000_000, "y": 4_000_000, "system": "EPSG:4546"}, "implausible_position"),
        ({"system": "EPSG:3857"}, "unknown_coordinate_system"),
        ({"x": 10**400}, "invalid"),
        ({"y": float("nan")}, "invalid"),
        ({"y": True}, "invalid"),
        ({"accuracy_m": -1}, "invalid"),
        ({"accuracy_m": float("inf")}, "invalid"),
        ({"battery": 101}, "invalid"),
        ({"battery": 50.5}, "invalid"),
        ({"mock": 1}, "invalid"),
        ({"at": "2026-11-23T10:00:00"}, "invalid"),
        ({"at": "yesterday"}, "invalid"),
        ({"at": 5}, "invalid"),
        ({"at": "9999-12-31T23:59:59-23:59"}, "fix_in_the_future"),
        ({"at": "0001-01-01T00:00:00+23:59"}, "off_duty"),
    ],
)
def test_a_bad_fix_is_answered_for_itself(shift: Shift, change: dict[str, Any], code: str) -> None:
    assert send(shift.user, fix(), {**fix(), **change}, fix(1)) == ["stored", code, "stored"]


@pytest.mark.parametrize("given", [None, [], "x", 1, {}, {"at": {}}])
def test_what_is_no_fix_at_all_is_invalid(shift: Shift, given: Any) -> None:
    assert send(shift.user, given, fix()) == ["invalid", "stored"]
    assert positions.answer([given], ["invalid"])["results"][0]["at"] is None


def test_a_fix_from_the_future_is_refused(shift: Shift) -> None:
    assert send(shift.user, fix(-60), fix(-180)) == ["stored", "fix_in_the_future"]


def test_a_fix_sent_twice_is_one_point(shift: Shift) -> None:
    sent = [fix(n) for n in range(5)]
    send(shift.user, *sent)
    send(shift.user, *sent)
    assert write_all() == 5
    send(shift.user, *sent)
    assert write_all() == 0
    assert TrackPoint.objects.count() == 5


def test_late_fixes_do_not_replace_the_present_one(shift: Shift) -> None:
    send(shift.user, fix(1, (109.95, 40.66)))
    send(shift.user, fix(300, (109.9, 40.65)), fix(200, (109.9, 40.65)))
    last = positions.last_fixes({str(shift.pk)})[str(shift.pk)]
    assert (last.lon, last.lat) == (109.95, 40.66)
    assert write_all() == 3


def test_an_impossible_jump_is_kept_and_flagged(shift: Shift) -> None:
    send(shift.user, fix(60, (109.90, 40.65)), fix(50, (109.9001, 40.65)))
    send(shift.user, fix(40, (110.10, 40.65)))  # 17 km in ten seconds
    send(shift.user, fix(1, (110.1001, 40.65)))
    write_all()
    assert list(TrackPoint.objects.order_by("fix_at").values_list("jump", flat=True)) == [
        False,
        False,
        True,
        False,
    ]


def test_within_their_accuracy_two_fixes_are_no_jump(shift: Shift) -> None:
    send(shift.user, fix(60, (109.90, 40.65), accuracy_m=900))
    send(shift.user, fix(59, (109.91, 40.65), accuracy_m=10))
    write_all()
    assert not TrackPoint.objects.filter(jump=True).exists()


def test_more_than_the_measure_is_put_off_oldest_first(shift: Shift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "MOST_A_MINUTE", 3)
    assert send(shift.user, *[fix(n) for n in range(5)]) == ["stored"] * 3 + ["throttled"] * 2
    assert send(shift.user, fix(9), device=uuid.uuid4()) == ["throttled"]  # another device is no way around
    assert positions.answer([fix()], ["throttled"])["results"][0]["again"] is True


def test_a_stream_that_postgresql_does_not_empty_stays_bounded(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "MOST_WAITING", 4)
    assert send(shift.user, *[fix(n) for n in range(6)]) == ["stored"] * 4 + ["positions_paused"] * 2
    assert send(shift.user, fix(7)) == ["positions_paused"]
    assert store().xlen(positions.STREAM) == 4
    assert write_all() == 4
    assert send(shift.user, fix(8)) == ["stored"]


def test_the_hot_path_asks_postgresql_nothing(shift: Shift) -> None:
    user = shift.user
    with CaptureQueriesContext(connection) as asked:
        for n in range(20):
            send(user, fix(n))
    assert asked.captured_queries == []


def test_writing_costs_the_same_for_one_and_for_many(shift: Shift, street_chief: User, home: Cell) -> None:
    other = on_duty(street_chief)
    send(shift.user, fix(0, home))
    send(other.user, fix(0, home), device=uuid.uuid4())
    write_all()
    with CaptureQueriesContext(connection) as one:
        send(shift.user, fix(1, home))
        write_all()
    send(shift.user, *[fix(n, home) for n in range(10, 150)])
    send(other.user, *[fix(n, home) for n in range(10, 150)], device=uuid.uuid4())
    with CaptureQueriesContext(connection) as many:
        assert write_all() == 280
    assert len(many) == len(one)


# --- the writer -----------------------------------------------------------------------------------------


def test_what_a_dead_writer_held_another_writes(shift: Shift, monkeypatch: pytest.MonkeyPatch) -> None:
    send(shift.user, *[fix(n) for n in range(10)])
    tracks._take_some("other", 1)  # makes the group
    held = tracks._take_some("dead", 1)
    assert len(held) == 10
    assert write_all() == 0  # not abandoned yet
    monkeypatch.setattr(tracks, "ABANDONED_MS", 0)
    assert write_all() == 10
    assert store().xlen(positions.STREAM) == 0
    assert store().xpending(positions.STREAM, tracks.GROUP)["pending"] == 0


def test_a_writer_that_died_after_its_commit_doubles_nothing(
    shift: Shift, home: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(shift.user, *[fix(n, home) for n in range(10)])
    tracks._take_some("dead", 1)
    tracks.write([tracks._read(fields) for _id, fields in tracks._take_some("dead", 1)])
    monkeypatch.setattr(tracks, "ABANDONED_MS", 0)
    assert write_all() == 0
    assert TrackPoint.objects.count() == 10
    assert [crossing.entered for crossing in AreaCrossing.objects.all()] == [True]


def test_rubbish_in_the_stream_holds_up_nobody(shift: Shift) -> None:
    send(shift.user, fix(1))
    store().xadd(positions.STREAM, {"f": "rubbish"})
    store().xadd(positions.STREAM, {"g": "[]"})
    entry = [str(shift.pk), "no uuid", 1, 1, 0, 0, 0, 0, "WGS84", 1, 1, False, False]
    store().xadd(positions.STREAM, {"f": json.dumps(entry)})
    send(shift.user, fix(0))
    assert write_all() == 2
    assert store().xlen(positions.STREAM) == 0


def test_redis_begun_anew_gets_its_group_again(shift: Shift) -> None:
    send(shift.user, fix(2))
    assert write_all() == 1
    store().flushdb()
    shifts.read_duties([shift.user_id])
    send(shift.user, fix(1))
    assert write_all() == 1


# --- the fence ------------------------------------------------------------------------------------------


def test_entering_and_leaving_the_own_cells(shift: Shift, home: Cell) -> None:
    away = Cell.objects.exclude(community=shift.post.unit).order_by("-code").first()
    for ago, where, more in [
        (3000, home, {}),
        (2900, home, {}),
        (2800, away, {"accuracy_m": 400}),  # poor: decides nothing
        (2700, away, {"mock": True}),
        (1700, away, {}),
        (1600, away, {}),
        (600, home, {}),
    ]:
        send(shift.user, fix(ago, where, **more))
    write_all()
    told = list(AreaCrossing.objects.order_by("number").values_list("number", "entered"))
    assert told == [(1, True), (2, False), (3, True)]
    send(shift.user, fix(1650, home))  # late, from before the last crossing
    write_all()
    assert AreaCrossing.objects.count() == 3


def test_the_database_cannot_hold_two_entries_in_a_row(shift: Shift) -> None:
    facts = {"shift": shift, "at": timezone.now(), "point": "SRID=4326;POINT(109.9 40.65)", "accuracy_m": 5}
    for number in (1, 2, 3):
        AreaCrossing.objects.create(number=number, **facts)
    assert list(AreaCrossing.objects.order_by("number").values_list("entered", flat=True)) == [
        True,
        False,
        True,
    ]
    with pytest.raises(IntegrityError):
        AreaCrossing.objects.create(number=3, **facts)


# --- retention ------------------------------------------------------------------------------------------


@pytest.fixture
def old_points(shift: Shift) -> Callable[..., TrackPoint]:
    def store_point(days_ago: int) -> TrackPoint:
        at = timezone.now() - timedelta(days=days_ago)
        tracks.make_partitions([at.date()])
        point = TrackPoint.objects.create(
            shift=shift,
            fix_at=at,
            device_id=DEVICE,
            received_at=at,
            point="SRID=4326;POINT(109.9 40.65)",
            x=109.9,
            y=40.65,
            system="WGS84",
            mock=False,
            jump=False,
        )
        with connection.cursor() as sql:
            sql.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as a commit would
        return point

    return store_point


def test_partitions_are_made_ahead_and_dropped_when_their_time_is_over(shift: Shift, old_points: Any) -> None:
    TrackPolicy.objects.create(district=shift.post.district, keep_days=30)
    for days in (29, 30, 31, 32, 45):
        old_points(days)
    dropped, deleted = tracks.keep_tracks()
    assert (dropped, deleted) == (3, 0)
    kept = sorted((timezone.now() - point.fix_at).days for point in TrackPoint.objects.all())
    assert kept == [29, 30]
    there = set(tracks.partitions())
    today = datetime.now(UTC).date()
    assert {today + timedelta(days=n) for n in range(-1, tracks.DAYS_AHEAD + 1)} <= there
    assert tracks.keep_tracks() == (0, 0)


def test_of_two_districts_the_stricter_deletes_its_own(shift: Shift, old_points: Any) -> None:
    from gridmap.models import District

    lax = District.objects.create(code="150203", name="昆都仑区", name_en="Kundulun")
    TrackPolicy.objects.create(district=lax, keep_days=200)
    for days in (10, 95, 150):
        old_points(days)
    assert tracks.keep_tracks() == (0, 2)
    assert TrackPoint.objects.count() == 1


# --- who may know what ----------------------------------------------------------------------------------


def test_who_sees_workers_and_by_which_name(
    shift: Shift,
    dispatcher: User,
    intake_operator: User,
    department_handler: User,
    resident: User,
    outsider: User,
    grid_worker: User,
) -> None:
    def seen(user: User) -> list[str]:
        return [row["name"] for row in presence.roster(list(user.posts.select_related("unit"))).values()]

    street = Cell.objects.filter(community=shift.post.unit).first().street
    chief = Post.objects.get(role="street_chief", unit=street).holders.get()
    other = Post.objects.filter(role="street_chief").exclude(unit=street).first().holders.get()
    name = str(grid_worker)
    assert seen(dispatcher) == seen(chief) == [name]
    assert seen(intake_operator) == [name[0] + "*" * (len(name) - 1)]
    for user in (department_handler, resident, outsider, other, grid_worker):
        assert seen(user) == []


def test_a_regional_group_sees_who_works_in_its_cells(shift: Shift) -> None:
    cell = Cell.objects.in_force().filter(community=shift.post.unit).first()
    for level in CHAIN[:4]:
        unit = getattr(cell, level)
        assert presence.roster([Post(role="leader", unit=unit, district_id=shift.post.district_id)])
    elsewhere = Cell.objects.in_force().exclude(regional_group=cell.regional_group).first()
    inside = Cell.objects.in_force().filter(
        community=shift.post.unit, regional_group=elsewhere.regional_group
    )
    seen = presence.roster(
        [Post(role="leader", unit=elsewhere.regional_group, district_id=shift.post.district_id)]
    )
    assert bool(seen) is inside.exists()


def test_whom_to_send_weighs_way_and_open_work_and_unknown_places_come_last(
    shift: Shift, home: Cell, dispatched: Any, django_assert_num_queries: Any
) -> None:
    second = User.objects.create_user("worker_b", display_name="乙")
    third = User.objects.create_user("worker_c", display_name="丙")
    for user in (second, third):
        shift.post.holdings.create(user=user, since=timezone.now() - timedelta(days=1))
        on_duty(user)
    send(shift.user, fix(5, (109.6, 40.65)))
    send(second, fix(5, home), device=uuid.uuid4())
    with django_assert_num_queries(1):
        found = presence.workers_on_duty(home)
    assert [one.shift.user.username for one in found] == ["worker_b", "worker001", "worker_c"]
    assert found[0].distance_m == pytest.approx(0, abs=1) and found[2].distance_m is None
    assert [one.online for one in found] == [True, True, False]
    busy = dispatched.checks.create(
        kind="check",
        post=shift.post,
        person=second,
        sent="on_duty",
        asked_at=timezone.now(),
        due_at=timezone.now(),
    )
    away = found[1].distance_m
    assert away is not None and away > presence.TASK_METRES
    assert presence.workers_on_duty(home)[0].shift.user == second, "one task is not worth that way"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presence, "TASK_METRES", away + 1)
        assert presence.workers_on_duty(home)[0].shift.user == shift.user
        busy.delete()
        assert presence.workers_on_duty(home)[0].shift.user == second
    send(second, fix(1, home, mock=True), device=uuid.uuid4())
    assert presence.workers_on_duty(home)[0].shift.user == shift.user
    shifts.clock_out(by=shift.user)
    assert shift.user not in [one.shift.user for one in presence.workers_on_duty(home)]


# --- replay ---------------------------------------------------------------------------------------------


def test_a_replay_wants_a_reason_and_leaves_a_record(shift: Shift, home: Cell, shift_leader: User) -> None:
    send(shift.user, *[fix(n, home) for n in range(1, 6)])
    write_all()
    for blank in ("", "  ", "x"):
        with pytest.raises(ReasonMissing):
            tracks.replay(shift.pk, by=shift_leader, purpose=blank)
    assert not TrackAccess.objects.exists()
    found = tracks.replay(shift.pk, by=shift_leader, purpose="核查投诉")
    assert len(found["points"]) == found["fixes"] == 5
    assert [point["at"] for point in found["points"]] == sorted(point["at"] for point in found["points"])
    assert [crossing["entered"] for crossing in found["crossings"]] == [True]
    access = TrackAccess.objects.get()
    assert (access.by, access.shift, access.purpose, access.post.role) == (
        shift_leader,
        shift,
        "核查投诉",
        "shift_leader",
    )


def test_a_long_track_is_thinned_but_for_what_is_doubtful(
    shift: Shift, shift_leader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "MOST_REPLAYED", 10)
    send(shift.user, *[fix(n, mock=n == 7) for n in range(1, 101)])
    write_all()
    found = tracks.replay(shift.pk, by=shift_leader, purpose="核查投诉")
    assert found["fixes"] == 100
    assert 10 <= len(found["points"]) <= 13
    assert sum(point["mock"] for point in found["points"]) == 1


def test_others_may_not_replay(
    shift: Shift,
    dispatcher: User,
    intake_operator: User,
    department_handler: User,
    outsider: User,
    resident: User,
) -> None:
    for user in (dispatcher, intake_operator, department_handler, outsider, resident, shift.user):
        with pytest.raises(NotFound):
            tracks.replay(shift.pk, by=user, purpose="好奇")
    assert not TrackAccess.objects.exists()


def test_the_record_of_accesses_cannot_be_changed(shift: Shift, shift_leader: User) -> None:
    tracks.replay(shift.pk, by=shift_leader, purpose="核查投诉")
    for change in (
        lambda: TrackAccess.objects.update(purpose="别的"),
        lambda: TrackAccess.objects.all().delete(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    with pytest.raises(IntegrityError, match="a_track_is_read_for_a_stated_purpose"), transaction.atomic():
        TrackAccess.objects.create(
            shift=shift, by=shift_leader, post=shift_leader.posts.get(), at=timezone.now(), purpose=" "
        )


# --- over HTTP ------------------------------------------------------------------------------------------


@pytest.fixture
def phone(grid_worker: User) -> APIClient:
    client = APIClient(headers={"Accept-Language": "en"})
    client.force_authenticate(grid_worker)
    return client


def test_a_shift_over_http(phone: APIClient) -> None:
    assert phone.get("/api/v1/shift").data["shift"] is None
    key = str(uuid.uuid7())
    began = phone.post("/api/v1/shift/start", {"id": key}, format="json").data
    assert (began["shift"]["id"], began["shift"]["ended_at"], began["keep_days"]) == (key, None, 90)
    again = phone.post("/api/v1/shift/start", {"id": str(uuid.uuid7())}, format="json")
    assert (again.status_code, again.data["code"], again.data["shift"]) == (409, "already_on_shift", key)
    body = {"device": str(DEVICE), "positions": [fix(0), {"at": "x"}, fix(-500)]}
    answer = phone.post("/api/v1/positions", body, format="json")
    assert [result.get("code", result["status"]) for result in answer.data["results"]] == [
        "stored",
        "invalid",
        "fix_in_the_future",
    ]
    assert phone.post("/api/v1/shift/end", {"id": key}, format="json").data["shift"]["ended_at"]
    assert phone.post("/api/v1/shift/end", {}, format="json").data["code"] == "not_on_shift"
    refused = phone.post("/api/v1/positions", {**body, "positions": [fix(-1)]}, format="json").data[
        "results"
    ][0]
    assert (refused["code"], refused["title"]) == (
        "off_duty",
        "Not kept: positions are kept only while you are on shift",
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"device": "x", "positions": [{}]},
        {"device": str(DEVICE), "positions": []},
        {"device": str(DEVICE), "positions": [{}] * 201},
        {"device": str(DEVICE), "positions": {}},
    ],
)
def test_a_batch_that_is_none_is_refused(phone: APIClient, body: dict[str, Any]) -> None:
    answer = phone.post("/api/v1/positions", body, format="json")
    assert (answer.status_code, answer.data["code"]) == (400, "invalid")


def test_an_outsider_sends_nothing(outsider: User) -> None:
    client = APIClient()
    client.force_authenticate(outsider)
    for path in ("positions", "shift/start", "shift/end"):
        assert client.post(f"/api/v1/{path}", {}, format="json").status_code == 403


def test_replay_over_http(shift: Shift, shift_leader: User, dispatcher: User, outsider: User) -> None:
    send(shift.user, fix(3))
    write_all()
    leader = APIClient()
    leader.force_login(shift_leader)
    [listed] = leader.get("/api/command/shifts", {"person": shift.user_id}).data["shifts"]
    assert listed["id"] == str(shift.pk)
    assert leader.get("/api/command/shifts", {"person": "x"}).data["shifts"] == []
    address = f"/api/command/shifts/{shift.pk}/replay"
    assert leader.post(address, {"purpose": " "}, format="json").status_code == 400
    answer = leader.post(address, {"purpose": "核查投诉"}, format="json")
    assert (answer.status_code, answer["Cache-Control"], answer.data["fixes"]) == (200, "no-store", 1)
    for user in (dispatcher, outsider):
        other = APIClient()
        other.force_login(user)
        assert other.post(address, {"purpose": "好奇"}, format="json").status_code in (403, 404)
    assert TrackAccess.objects.count() == 1
