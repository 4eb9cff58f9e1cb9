"""核实 and 核查: who is sent to look, what they say, and who has the last word."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from fieldops.errors import (
    AlreadyAnswered,
    IllegalTransition,
    NobodyToSend,
    NotFound,
    NotPermitted,
    PhotoMissing,
    ReasonMissing,
)
from fieldops.models import Check, CheckPolicy, Event, FilingCondition, Holding, Post, User
from fieldops.places import Fix
from fieldops.queries import open_checks, waiting_at
from fieldops.rights import current_posts, events_visible_to
from fieldops.steps import checks, desk, fieldwork, followup, satisfaction
from gridmap.models import Cell
from realtime import shifts
from realtime.models import Letter
from tests.doing import (
    chief_of,
    go_on_duty,
    handled,
    handler_of,
    holder_of,
    inside,
    key,
    photo_for,
    report_check,
    worker_of,
)

Clock = Callable[[User], None]


@pytest.fixture
def accepted(located: Event, intake_operator: User) -> Event:
    return desk.accept(located.pk, by=intake_operator)


@pytest.fixture
def policy(cell: Cell) -> CheckPolicy:
    return CheckPolicy.objects.create(district=cell.district, checker="worker")


def test_the_worker_on_duty_in_the_cell_is_sent_and_files_rest_on_what_was_found(
    accepted: Event, intake_operator: User, condition: FilingCondition, cell: Cell
) -> None:
    worker = worker_of(cell)
    go_on_duty(worker)
    event = followup.ask_verification(accepted.pk, by=intake_operator)
    check = event.checks.get()
    assert (event.status, check.kind, check.person, check.sent) == ("verifying", "verify", worker, "on_duty")
    assert check.due_at > check.asked_at
    assert event.stage_due_at == check.due_at
    letter = Letter.objects.get(kind="verify")
    assert (letter.mailbox_id, letter.payload["check"]) == (check.post_id, str(check.pk))
    with pytest.raises(PhotoMissing):
        followup.report_check(check.pk, by=worker, found="refuted", submission=key(), note="没有")
    x, y = inside(cell)
    report_check(check, worker, "refuted", note="没有", fix=Fix(x + 0.01, y, "WGS84", 5))
    check.refresh_from_db()
    assert (check.outcome, check.done_by, check.flags) == ("refuted", worker, ["far_from_the_case"])
    assert check.metres_away is not None
    assert 500 < check.metres_away < 2000
    event.refresh_from_db()
    assert event.status == "accepted"
    with pytest.raises(ReasonMissing):
        desk.file(event.pk, by=intake_operator, condition_id=condition.pk)
    assert (
        desk.file(event.pk, by=intake_operator, condition_id=condition.pk, reason="照片清楚").status
        == "assigned"
    )


def test_nobody_on_duty_means_a_neighbour_then_the_cells_own_post_then_the_desk(
    accepted: Event, intake_operator: User, shift_leader: User, cell: Cell
) -> None:
    own = worker_of(cell)
    others = [
        worker_of(near)
        for near in Cell.objects.in_force().filter(boundary__intersects=cell.boundary)
        if near.community_id != cell.community_id
    ]
    event = followup.ask_verification(accepted.pk, by=intake_operator)
    first = event.checks.get()
    assert (first.sent, first.post, first.person) == ("post", current_posts(own)[0], None)
    for other in others[:1]:  # where the cell lies at a border of its community
        go_on_duty(other)
    event = followup.send_another(event.pk, by=intake_operator, reason="没去")
    second = event.checks.get(ended_at__isnull=True)
    assert second.sent == ("neighbour" if others else "desk")
    Holding.objects.filter(post=first.post).delete()
    for other in others[:1]:
        shifts.clock_out(by=other)
    event = followup.send_another(event.pk, by=shift_leader, reason="没去")
    last = event.checks.get(ended_at__isnull=True)
    assert (last.sent, last.post.role) == ("desk", "intake_operator")
    done = followup.verify_for(event.pk, by=intake_operator, found="confirmed", note="电话核实")
    assert done.status == "accepted"
    assert Check.objects.filter(event=event, done_at__isnull=False).count() == 1


def test_a_neighbour_sees_the_case_as_long_as_the_task_is_open(
    accepted: Event, intake_operator: User, cell: Cell
) -> None:
    event = followup.ask_verification(accepted.pk, by=intake_operator)
    far = holder_of(Post.objects.filter(role="grid_worker").exclude(unit__in=cell.unit_ids).first())
    assert not events_visible_to(far).filter(pk=event.pk).exists()
    check = event.checks.get()
    with pytest.raises(NotFound):
        report_check(check, far)
    Check.objects.filter(pk=check.pk).update(post=current_posts(far)[0])
    assert events_visible_to(far).filter(pk=event.pk).exists()
    assert [one["id"] for one in open_checks(current_posts(far))] == [check.pk]
    report_check(check, far)
    assert not events_visible_to(far).filter(pk=event.pk).exists()
    with pytest.raises(AlreadyAnswered):
        report_check(check, far)


def test_only_the_desk_asks_and_outsiders_do_not(
    accepted: Event, outsider: User, dispatcher: User, grid_worker: User
) -> None:
    with pytest.raises(NotFound):
        followup.ask_verification(accepted.pk, by=outsider)
    with pytest.raises(NotPermitted):
        followup.ask_verification(accepted.pk, by=dispatcher)


def test_a_handled_case_awaits_the_street_chief_by_default(dispatched: Event, dispatcher: User) -> None:
    event = handled(dispatched)
    check = event.checks.get()
    assert (event.checked_by, check.sent, check.post) == (
        "street_chief",
        "chief",
        current_posts(chief_of(event))[0],
    )
    assert Letter.objects.get(kind="confirm").mailbox_id == check.post_id
    with pytest.raises(NotPermitted):
        followup.confirm_from_desk(event.pk, by=dispatcher, resolved=True)
    followup.confirm(event.pk, by=chief_of(event), resolved=True, submission=key())
    check.refresh_from_db()
    assert (check.outcome, check.flags) == ("confirmed", ["no_position"])


def test_another_chief_of_the_street_has_no_word_on_the_segment(
    dispatched: Event, intake_operator: User
) -> None:
    event = handled(dispatched)
    own, chief = event.checks.get().post, chief_of(event)
    other = Post.objects.create(
        district=own.district, unit=own.unit, role="street_chief", name="另一路段街长"
    )
    neighbour = User.objects.create_user("chief_next_door", password="of-the-next-segment-9")
    Holding.objects.create(post=other, user=neighbour, since=timezone.now())
    assert events_visible_to(neighbour).filter(pk=event.pk).exists()
    assert waiting_at(other)["cases"] == []
    assert [case["id"] for case in waiting_at(own)["cases"]] == [event.pk]
    for resolved in (True, False):
        with pytest.raises(NotPermitted):
            followup.confirm(event.pk, by=neighbour, resolved=resolved, note="没修", submission=key())
    # Who holds both acts as the one that was asked.
    Holding.objects.create(post=other, user=chief, since=timezone.now())
    assert (
        followup.confirm(event.pk, by=User.objects.get(pk=chief.pk), resolved=True, submission=key()).post
        == own
    )


def test_a_worker_checks_where_the_policy_says_so_and_a_failed_check_is_rework(
    dispatched: Event, policy: CheckPolicy, cell: Cell
) -> None:
    worker = worker_of(cell)
    event = handled(dispatched)
    check = event.checks.get()
    assert (event.checked_by, check.kind, check.post.role) == ("grid_worker", "check", "grid_worker")
    assert Letter.objects.get(kind="check").mailbox_id == check.post_id
    with pytest.raises(NotPermitted):
        followup.confirm(event.pk, by=chief_of(event), resolved=True, submission=key())
    with pytest.raises(ReasonMissing):
        report_check(check, worker, "refuted")
    Check.objects.filter(pk=check.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    report_check(check, worker, "refuted", note="坑还在")
    event.refresh_from_db()
    check.refresh_from_db()
    assert (event.status, event.checked_by) == ("dispatched", "")
    assert check.flags == ["no_position", "late"]
    report_check(handled(event).checks.get(done_at__isnull=True), worker)
    event.refresh_from_db()
    assert (event.status, event.closing) == ("closed", "normal")


def test_a_worker_looks_and_then_the_chief_confirms(
    dispatched: Event, policy: CheckPolicy, cell: Cell
) -> None:
    CheckPolicy.objects.update(checker="both")
    event = handled(dispatched)
    report_check(event.checks.get(), worker_of(cell))
    event.refresh_from_db()
    assert (event.status, event.checked_by) == ("handled", "street_chief")
    assert event.transitions.latest("version").kind == "check"
    followup.confirm(event.pk, by=chief_of(event), resolved=True, submission=key())
    event.refresh_from_db()
    assert event.status == "closed"
    assert list(event.checks.values_list("sent", "outcome")) == [
        ("post", "confirmed"),
        ("chief", "confirmed"),
    ]


def test_what_is_not_drawn_is_the_desks_but_what_failed_once_is_looked_at(
    dispatched: Event, policy: CheckPolicy, dispatcher: User, cell: Cell
) -> None:
    CheckPolicy.objects.update(percent=0)
    event = handled(dispatched)
    assert (event.checked_by, event.checks.get().sent) == ("dispatcher", "not_drawn")
    assert event.transitions.get(kind="handle").data["sent"] == "not_drawn"
    with pytest.raises(NotPermitted):
        followup.confirm(event.pk, by=chief_of(event), resolved=True, submission=key())
    followup.confirm_from_desk(event.pk, by=dispatcher, resolved=False, note="照片不符")
    event.refresh_from_db()
    assert handled(event).checked_by == "grid_worker"


@pytest.mark.parametrize("percent", [0, 30, 100])
def test_the_lot_falls_as_often_as_the_policy_says(
    dispatched: Event, policy: CheckPolicy, percent: int
) -> None:
    policy.percent = percent
    fell = sum(checks._is_drawn(dispatched, policy) for _draw in range(1000))
    # Six standard deviations: an honest draw misses them once in five hundred million times.
    assert abs(fell - 10 * percent) <= 6 * (1000 * percent / 100 * (1 - percent / 100)) ** 0.5


def test_the_lot_is_drawn_once_for_a_handling_however_often_it_is_sent(
    dispatched: Event, policy: CheckPolicy
) -> None:
    """A department that sends it again, or another order, until the lot spares it, hears what was drawn at first."""
    CheckPolicy.objects.update(percent=0)
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    fieldwork.take_on(order.pk, by=handler, submission=key())
    done = key()
    photo_for(done, handler)
    first = fieldwork.handle(order.pk, by=handler, submission=done)
    CheckPolicy.objects.update(percent=100)
    assert fieldwork.handle(order.pk, by=handler, submission=done) == first
    with pytest.raises(IllegalTransition):
        fieldwork.handle(order.pk, by=handler, submission=key())
    assert [one.sent for one in dispatched.checks.all()] == ["not_drawn"]


def test_a_case_that_was_reopened_is_looked_at_whatever_the_lot(
    dispatched: Event, policy: CheckPolicy, dispatcher: User, grid_worker: User
) -> None:
    CheckPolicy.objects.update(percent=0)
    event = handled(dispatched)
    followup.confirm_from_desk(event.pk, by=dispatcher, resolved=True)
    satisfaction.ask_back(event.pk)
    satisfaction.rate(
        event.call_backs.get().pk,
        by=grid_worker,
        rating="dissatisfied",
        resolved=False,
        reason="坑还在",
        submission=key(),
    )
    assert handled(desk.dispatch(event.pk, by=dispatcher)).checked_by == "grid_worker"


def test_the_most_specific_policy_wins(dispatched: Event, policy: CheckPolicy) -> None:
    kind = dispatched.event_class
    CheckPolicy.objects.create(
        district=dispatched.district, kind=kind.kind, major=kind.major, minor=kind.minor, checker="desk"
    )
    CheckPolicy.objects.create(district=dispatched.district, kind=kind.kind, checker="both")
    assert handled(dispatched).checked_by == "dispatcher"


def test_somebody_else_is_sent_to_a_handled_case(
    dispatched: Event, policy: CheckPolicy, dispatcher: User, cell: Cell
) -> None:
    event = handled(dispatched)
    event = followup.send_another(event.pk, by=dispatcher, reason="手机没电")
    assert event.checked_by in ("grid_worker", "dispatcher")
    assert event.checks.filter(ended_at__isnull=True).count() == 1
    with pytest.raises(IllegalTransition):
        followup.send_another(desk.void(event.pk, by=User.objects.get(username="shift"), reason="重复").pk,
                              by=dispatcher, reason="x")  # fmt: skip
    assert not event.checks.filter(done_at__isnull=True, ended_at__isnull=True).exists()


def test_the_database_keeps_one_open_task_a_case(accepted: Event, intake_operator: User) -> None:
    check = followup.ask_verification(accepted.pk, by=intake_operator).checks.get()
    with pytest.raises(IntegrityError, match="a_case_has_one_open_check"), transaction.atomic():
        Check.objects.create(
            event=accepted,
            kind="check",
            post=check.post,
            sent="desk",
            asked_at=check.asked_at,
            due_at=check.due_at,
        )
    with pytest.raises(IntegrityError, match="a_check_that_is_done"), transaction.atomic():
        Check.objects.filter(pk=check.pk).update(done_at=timezone.now())


def test_where_no_desk_serves_the_place_the_chief_has_the_word(
    dispatched: Event, policy: CheckPolicy, dispatcher: User, shift_leader: User
) -> None:
    CheckPolicy.objects.filter(pk=policy.pk).update(checker="desk")
    elsewhere = Cell.objects.in_force().exclude(street=dispatched.cell.street_id).first()
    assert elsewhere is not None
    desks = Post.objects.filter(role__in=("dispatcher", "shift_leader"))
    desks.update(unit=elsewhere.street_id)
    event = handled(dispatched)
    assert (event.status, event.checked_by, event.checks.count()) == ("handled", "", 0)
    followup.confirm(event.pk, by=chief_of(event), resolved=True, submission=key())
    event.refresh_from_db()
    assert event.status == "closed"


def test_nobody_is_sent_from_nowhere(
    accepted: Event, intake_operator: User, dispatcher: User, cell: Cell
) -> None:
    event = followup.ask_verification(accepted.pk, by=intake_operator)
    elsewhere = Cell.objects.in_force().exclude(street=cell.street_id).first()
    assert elsewhere is not None
    Post.objects.filter(role__in=("grid_worker", "intake_operator", "shift_leader")).update(
        unit=elsewhere.street_id
    )
    before = event.checks.values_list("pk", "ended_at")
    with pytest.raises(NobodyToSend):
        followup.send_another(event.pk, by=dispatcher, reason="没去")
    assert list(before) == list(event.checks.values_list("pk", "ended_at"))


def test_neighbours_are_asked_by_distance_each_party_group_once(located: Event) -> None:
    [own, *others] = checks._around(located)
    assert own == (located.cell, "on_duty")
    groups = [cell.unit_ids[4] for cell, _sent in others]
    assert len(set(groups)) == len(groups) > 1
    assert located.cell.unit_ids[4] not in groups
    away = [cell.boundary.distance(located.point) for cell, _sent in others]
    assert away == sorted(away)
