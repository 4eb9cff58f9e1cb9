"""The one door for reports."""

from collections.abc import Callable

import pytest
from django.contrib.gis.geos import Point
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from fieldops.errors import (
    ImplausibleCoordinates,
    NotPermitted,
    PointOutsideDistrict,
    SubmissionConflict,
    UnknownClass,
    UnknownCondition,
    UnknownCoordinates,
)
from fieldops.intake import Receipt, channel_for, receive
from fieldops.models import (
    Channel,
    Event,
    EventClass,
    FilingCondition,
    Report,
    Transition,
    User,
)
from fieldops.rights import current_posts
from gridmap.coordinates import from_wgs84, wgs84_to_gcj02
from gridmap.models import Cell
from realtime.models import Letter
from tests.doing import draft_of, inside, nothing_written, statements

File = Callable[..., Receipt]


def test_a_workers_report_goes_straight_through_to_the_field(
    file_report: File, grid_worker: User, condition: FilingCondition, cell: Cell
) -> None:
    receipt = file_report(grid_worker, condition_id=condition.pk)
    event = Event.objects.get()
    assert receipt.event == event
    assert event.status == "dispatched"
    assert event.cell == cell
    assert event.department is not None
    assert event.due_at > event.warn_at > event.received_at
    steps = list(event.transitions.order_by("version"))
    assert [s.kind for s in steps] == ["report", "locate", "accept", "file", "assign", "dispatch"]
    assert [s.version for s in steps] == [1, 2, 3, 4, 5, 6]
    assert event.version == 6
    assert steps[0].by == grid_worker
    order = event.work_orders.get()
    assert order.post.department == event.department
    letter = Letter.objects.get()
    assert (letter.mailbox_id, letter.kind, letter.event_version) == (order.post_id, "dispatch", 6)
    assert letter.payload["order"] == str(order.pk)


def test_a_residents_report_waits_at_the_intake_desk(located: Event) -> None:
    located.refresh_from_db()
    assert located.status == "located"
    letter = Letter.objects.get()
    assert letter.kind == "intake"
    assert letter.mailbox.post.role == "intake_operator"


def test_a_worker_who_states_no_condition_leaves_it_to_the_desk(file_report: File, grid_worker: User) -> None:
    assert file_report(grid_worker).event.status == "located"


@pytest.mark.parametrize(
    ("username", "stated", "status", "sent"),
    [
        ("resident1", False, "located", 7),
        ("worker001", False, "located", 7),
        ("worker001", True, "dispatched", 8),
    ],
)
def test_one_report_costs_at_most_eight_statements(
    db: None,
    cell: Cell,
    event_class: EventClass,
    condition: FilingCondition,
    username: str,
    stated: bool,
    status: str,
    sent: int,
) -> None:
    """Assignment, transitions and letters included; the nearest open peer sends 49."""
    reporter = User.objects.get(username=username)
    stated_id = condition.pk if stated else None
    contact = {"contact_name": "张建国", "contact_phone": "13800001234"}
    draft = draft_of(reporter, cell, event_class, condition_id=stated_id, **contact)
    with CaptureQueriesContext(connection) as captured:
        receipt = receive(draft)
    assert receipt.event.status == status
    assert len(statements(captured)) == sent <= 8, "\n".join(statements(captured))


def test_the_same_submission_is_one_case(cell: Cell, event_class: EventClass, resident: User) -> None:
    draft = draft_of(resident, cell, event_class)
    first, second = receive(draft), receive(draft)
    assert not first.replayed and second.replayed
    assert first.event == second.event
    assert (Event.objects.count(), Report.objects.count(), Letter.objects.count()) == (1, 1, 1)


def test_a_used_id_with_another_content_is_refused(
    cell: Cell, event_class: EventClass, resident: User
) -> None:
    draft = draft_of(resident, cell, event_class)
    receive(draft)
    with pytest.raises(SubmissionConflict):
        receive(draft_of(resident, cell, event_class, id=draft.id, digest="e" * 64))
    assert Event.objects.count() == 1


def test_a_used_id_of_someone_else_tells_nothing(
    cell: Cell, event_class: EventClass, resident: User, other_resident: User
) -> None:
    draft = draft_of(resident, cell, event_class)
    receive(draft)
    with pytest.raises(SubmissionConflict):
        receive(draft_of(other_resident, cell, event_class, id=draft.id))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"x": 116.39, "y": 39.9}, PointOutsideDistrict),
        ({"x": 0.0, "y": 0.0}, PointOutsideDistrict),
        ({"class_key": "event/9999"}, UnknownClass),
        ({"class_key": "nonsense"}, UnknownClass),
        ({"class_key": "component/"}, UnknownClass),
        ({"condition_id": 2_000_000_000}, UnknownCondition),
        ({"system": "EPSG:9999"}, UnknownCoordinates),
        ({"system": ""}, UnknownCoordinates),
        ({"system": None}, UnknownCoordinates),
        ({"x": float("nan")}, ImplausibleCoordinates),
        ({"x": 109.9, "y": 40.65, "system": "EPSG:4546"}, ImplausibleCoordinates),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    cell: Cell, event_class: EventClass, resident: User, changes: dict, error: type[Exception]
) -> None:
    with pytest.raises(error):
        receive(draft_of(resident, cell, event_class, **changes))
    assert nothing_written()


def test_a_condition_of_another_class_is_unknown(cell: Cell, event_class: EventClass, resident: User) -> None:
    foreign = FilingCondition.objects.exclude(event_class=event_class).first()
    with pytest.raises(UnknownCondition):
        receive(draft_of(resident, cell, event_class, condition_id=foreign.pk))


def test_a_wechat_position_is_converted_before_it_is_placed(
    file_report: File, resident: User, cell: Cell
) -> None:
    x, y = wgs84_to_gcj02(*inside(cell))
    receipt = file_report(resident, x=float(x), y=float(y), system="GCJ02")
    assert receipt.event.cell == cell
    report = receipt.report
    assert (report.x, report.y, report.system) == (float(x), float(y), "GCJ02")
    assert abs(receipt.event.point.x - inside(cell)[0]) < 1e-7


@pytest.mark.parametrize("system", ["EPSG:4546", "EPSG:4525", "EPSG:4508", "EPSG:4490", "BD09"])
def test_a_surveyed_position_reaches_its_cell_and_is_kept_as_it_was_sent(
    file_report: File, resident: User, cell: Cell, system: str
) -> None:
    x, y = from_wgs84(*inside(cell), system)
    receipt = file_report(resident, x=x, y=y, system=system, accuracy_m=0.05)
    assert receipt.event.cell == cell
    report = Report.objects.get(pk=receipt.report.pk)
    assert (report.x, report.y, report.system, report.accuracy_m) == (x, y, system, 0.05)
    assert receipt.event.point.distance(Point(*inside(cell), srid=4326)) < 1e-8


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"system": ""}, "a_position_names_its_coordinate_system"),
        ({"system": "Mars"}, "a_position_names_its_coordinate_system"),
        ({"accuracy_m": -1}, "an_accuracy_is_not_negative"),
    ],
)
def test_the_database_keeps_no_position_without_its_system(
    located: Event, change: dict, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        located.reports.update(**change)


def test_a_second_report_nearby_is_left_to_the_desk(
    file_report: File, grid_worker: User, condition: FilingCondition, cell: Cell
) -> None:
    first = file_report(grid_worker, condition_id=condition.pk).event
    x, y = inside(cell)
    second = file_report(grid_worker, condition_id=condition.pk, x=x + 0.0002, y=y).event  # about 17 m
    assert (first.status, second.status) == ("dispatched", "located")
    assert second.transitions.get(kind="locate").data["near"] == [first.number]


def test_a_report_of_the_same_class_farther_away_is_another_case(
    file_report: File, grid_worker: User, condition: FilingCondition
) -> None:
    here, there = Cell.objects.order_by("code")[10], Cell.objects.order_by("code")[1200]
    assert file_report(grid_worker, at=here, condition_id=condition.pk).event.status == "dispatched"
    assert file_report(grid_worker, at=there, condition_id=condition.pk).event.status == "dispatched"


def test_a_point_on_a_shared_border_lies_in_exactly_one_cell(
    file_report: File, resident: User, cell: Cell
) -> None:
    x, y = cell.boundary.exterior_ring.coords[0]
    covering = Cell.objects.filter(boundary__covers=f"SRID=4326;POINT({x!r} {y!r})").order_by("code")
    assert covering.count() > 1
    assert file_report(resident, x=x, y=y).event.cell == covering.first()


def test_case_numbers_carry_the_local_date(located: Event) -> None:
    from zoneinfo import ZoneInfo

    local = located.received_at.astimezone(ZoneInfo("Asia/Shanghai"))
    assert located.number.startswith(f"{local:%Y%m%d}")
    assert len(located.number) == 14


def test_contact_is_kept_apart_and_masked(file_report: File, resident: User) -> None:
    report = file_report(resident, contact_name="张建国", contact_phone="13800001234").report
    assert report.masked_contact == "张** 138****1234"
    assert "13800001234" not in str(list(Transition.objects.values_list("data", "reason")))
    assert "13800001234" not in str(list(Letter.objects.values_list("payload")))


def test_channels_follow_from_posts(
    resident: User, grid_worker: User, intake_operator: User, leader: User, outsider: User
) -> None:
    assert channel_for(current_posts(resident))[1] == Channel.RESIDENT_APP
    assert channel_for(current_posts(grid_worker))[1] == Channel.FIELD_APP
    assert channel_for(current_posts(intake_operator), "service_hall")[1] == Channel.SERVICE_HALL
    for refused, named in [(resident, "hotline_12345"), (leader, ""), (outsider, "")]:
        with pytest.raises(NotPermitted):
            channel_for(current_posts(refused), named)


def test_history_cannot_be_rewritten(located: Event) -> None:
    step = located.transitions.first()
    for rewrite in (lambda: step.delete(), lambda: Transition.objects.filter(pk=step.pk).update(reason="x")):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            rewrite()
