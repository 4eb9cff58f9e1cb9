"""回访: every reporter is asked once a closing; who is dissatisfied has the case reopened, once, and checked by another."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.contrib.gis.geos import Point
from django.db import IntegrityError, transaction
from django.utils import timezone

from fieldops.errors import AlreadyAnswered, CallBackOver, NotFound, NotPermitted, ReasonMissing
from fieldops.intake import Receipt
from fieldops.models import (
    CallBack,
    CallBackPolicy,
    Check,
    CheckPolicy,
    ContactAccess,
    Event,
    FilingCondition,
    Report,
    Supervision,
    SupervisionRule,
    User,
)
from fieldops.rights import current_posts
from fieldops.steps import checks, desk, followup, satisfaction
from fieldops.steps.satisfaction import code_of, rate, rate_by_code, rate_for
from fieldops.steps.supervision import answer, supervise_by_rules, supervisions_of, unanswered
from fieldops.tasks import ask_reporters_back
from gridmap.models import Cell
from realtime.models import Letter
from tests.doing import chief_of, close, handled, holder_of, key, report_check, worker_of

File = Callable[..., Receipt]


def asked(event: Event, way: str) -> CallBack:
    return CallBack.objects.filter(event=event, way=way).latest("asked_at")


def test_every_reporter_is_asked_once_in_the_way_that_reaches_them(closed: Event, resident: User) -> None:
    assert ask_reporters_back() == 3
    assert ask_reporters_back() == 0
    assert satisfaction.ask_back(closed.pk) == 0
    assert sorted(CallBack.objects.values_list("way", flat=True)) == ["app", "code", "desk"]
    assert closed.transitions.filter(kind="ask_back").count() == 1
    letter = Letter.objects.get(kind="call_back", mailbox=current_posts(resident)[0].pk)
    assert letter.payload["number"] == closed.number
    [own] = satisfaction.own_call_backs(resident)
    assert own.event_id == closed.pk


def test_who_reported_it_twice_is_asked_once(closed: Event, resident: User, intake_operator: User) -> None:
    for first in list(closed.reports.all()):
        again = Report.objects.get(pk=first.pk)
        again.pk, again.received_at = uuid.uuid7(), timezone.now()
        again.save(force_insert=True)
    assert ask_reporters_back() == 4  # nobody knows whether the two without a name or number are one
    assert sorted(CallBack.objects.values_list("way", flat=True)) == ["app", "code", "code", "desk"]
    assert asked(closed, "app").report == closed.reports.filter(reporter=resident).earliest("received_at")
    rate(asked(closed, "app").pk, by=resident, rating="satisfied", resolved=True, submission=key())
    assert satisfaction.own_call_backs(resident) == []
    assert ask_reporters_back() == 0


def test_a_satisfied_reporter_ends_the_matter(closed: Event, resident: User, other_resident: User) -> None:
    ask_reporters_back()
    own = asked(closed, "app")
    with pytest.raises(NotFound):
        rate(own.pk, by=other_resident, rating="satisfied", resolved=True, submission=key())
    once = key()
    step = rate(own.pk, by=resident, rating="satisfied", resolved=True, submission=once)
    assert rate(own.pk, by=resident, rating="satisfied", resolved=True, submission=once) == step
    with pytest.raises(AlreadyAnswered):
        rate(own.pk, by=resident, rating="dissatisfied", resolved=False, reason="没修", submission=key())
    own.refresh_from_db()
    closed.refresh_from_db()
    assert (own.rating, own.resolved, own.answered_by, closed.status) == (
        "satisfied",
        True,
        resident,
        "closed",
    )


def test_dissatisfied_reopens_once_and_another_checks(
    closed: Event, resident: User, intake_operator: User, dispatcher: User
) -> None:
    ask_reporters_back()
    own, phoned = asked(closed, "app"), asked(closed, "desk")
    with pytest.raises(ReasonMissing):
        rate(own.pk, by=resident, rating="dissatisfied", resolved=False, submission=key())
    confirmed_by = closed.transitions.get(kind="confirm").by
    rate(own.pk, by=resident, rating="dissatisfied", resolved=False, reason="坑还在", submission=key())
    closed.refresh_from_db()
    assert (closed.status, closed.excluded_checker, closed.due_at) == ("assigned", confirmed_by, None)
    assert list(closed.transitions.order_by("version").values_list("kind", flat=True))[-3:] == [
        "rate", "reopen", "assign",
    ]  # fmt: skip
    letter = Letter.objects.filter(kind="assignment").latest("created_at")
    assert letter.payload["reason"] == "坑还在"
    # A second reporter's word is kept, and opens nothing that is open.
    rate_for(phoned.pk, by=intake_operator, rating="dissatisfied", resolved=False, reason="没来人")
    phoned.refresh_from_db()
    assert (phoned.rating, phoned.reopened) == ("dissatisfied", False)
    # Somebody else has the word this time. Closed again, everyone is asked again; it is not reopened a second time.
    close(closed, dispatcher)
    assert ask_reporters_back() == 3
    rate(
        asked(closed, "app").pk,
        by=resident,
        rating="dissatisfied",
        resolved=False,
        reason="还是没修",
        submission=key(),
    )
    closed.refresh_from_db()
    assert closed.status == "closed"
    assert CallBack.objects.filter(event=closed, reopened=True).count() == 1


def test_worker_and_chief_who_both_looked_do_not_look_again(
    file_report: File,
    resident: User,
    intake_operator: User,
    dispatcher: User,
    condition: FilingCondition,
    cell: Cell,
) -> None:
    CheckPolicy.objects.create(district=cell.district, checker="both")
    event = file_report(resident).event
    desk.accept(event.pk, by=intake_operator)
    desk.file(event.pk, by=intake_operator, condition_id=condition.pk)
    event = handled(desk.dispatch(event.pk, by=dispatcher))
    worker, chief = worker_of(cell), chief_of(event)
    report_check(event.checks.get(), worker)
    followup.confirm(event.pk, by=chief, resolved=True, submission=key())
    ask_reporters_back()
    rate(
        asked(event, "app").pk,
        by=resident,
        rating="dissatisfied",
        resolved=False,
        reason="坑还在",
        submission=key(),
    )
    event = handled(desk.dispatch(event.pk, by=dispatcher))
    assert checks.excluded(event) == {worker.pk, chief.pk}
    task = event.checks.get(done_at__isnull=True)
    assert not {worker, chief} & set(task.post.holders.all())
    Check.objects.filter(pk=task.pk).update(post=current_posts(worker)[0])
    with pytest.raises(NotPermitted):
        report_check(task, worker)


def test_cards_end_with_the_case_and_do_not_come_back_with_it(
    closed: Event, resident: User, supervisor: User
) -> None:
    post = closed.work_orders.get().post
    at = timezone.now()
    card = Supervision.objects.create(
        event=closed,
        card="reminder",
        post=post,
        by=supervisor,
        asked_at=at,
        answer_due_at=at + timedelta(hours=1),
    )
    ask_reporters_back()
    rate(
        asked(closed, "app").pk,
        by=resident,
        rating="dissatisfied",
        resolved=False,
        reason="坑还在",
        submission=key(),
    )
    assert unanswered(supervisor, current_posts(supervisor)) == []
    SupervisionRule.objects.exclude(occasion="unanswered").delete()
    assert supervise_by_rules(at=at + timedelta(hours=2)) == 0
    with pytest.raises(AlreadyAnswered):
        answer(
            card.pk,
            by=holder_of(post),
            received_when=at,
            contacted="王所长",
            measures="已派人",
            new_deadline=at + timedelta(days=1),
            submission=key(),
        )
    [told] = supervisions_of(closed, [post])
    assert (told["answer"], told["mine"], told["ended_at"] is None) == (None, False, False)


@pytest.mark.parametrize(
    ("rating", "resolved", "reopen_days", "reopened"),
    [
        ("dissatisfied", False, 15, True),
        ("dissatisfied", False, 0, False),
        ("dissatisfied", True, 15, False),
        ("basically", False, 15, False),
    ],
)
def test_what_reopens_a_case(
    closed: Event, resident: User, rating: str, resolved: bool, reopen_days: int, reopened: bool
) -> None:
    CallBackPolicy.objects.create(district=closed.district, reopen_days=reopen_days)
    ask_reporters_back()
    rate(
        asked(closed, "app").pk,
        by=resident,
        rating=rating,
        resolved=resolved,
        reason="不满意",
        submission=key(),
    )
    closed.refresh_from_db()
    assert closed.status == ("assigned" if reopened else "closed")


def test_a_desk_calls_those_who_left_a_number_and_the_look_at_it_is_kept(
    closed: Event,
    intake_operator: User,
    dispatcher: User,
    resident: User,
    outsider: User,
) -> None:
    ask_reporters_back()
    call = asked(closed, "desk")
    [row] = satisfaction.to_call(intake_operator, current_posts(intake_operator))
    assert (row["id"], row["reporter"]) == (str(call.pk), "赵* 138****1234")
    assert satisfaction.to_call(dispatcher, current_posts(dispatcher)) == []
    with pytest.raises(NotPermitted):
        satisfaction.contact_of(call.pk, by=dispatcher)
    for nobody in (resident, outsider):
        assert satisfaction.to_call(nobody, current_posts(nobody)) == []
    with pytest.raises(NotFound):
        satisfaction.contact_of(call.pk, by=outsider)
    assert not ContactAccess.objects.exists()
    assert satisfaction.contact_of(call.pk, by=intake_operator) == {"name": "赵敏", "phone": "13800001234"}
    assert list(ContactAccess.objects.values_list("by", "report")) == [(intake_operator.pk, call.report_id)]
    with pytest.raises(NotPermitted):
        rate_for(call.pk, by=dispatcher, rating="satisfied", resolved=True)
    with pytest.raises(NotFound):  # who has the app answers there
        rate_for(asked(closed, "app").pk, by=intake_operator, rating="satisfied", resolved=True)
    rate_for(call.pk, by=intake_operator, rating="basically", resolved=True)
    assert satisfaction.to_call(intake_operator, current_posts(intake_operator)) == []
    with pytest.raises(NotFound):
        satisfaction.contact_of(call.pk, by=intake_operator)


def test_an_anonymous_reporter_answers_by_code(closed: Event) -> None:
    ask_reporters_back()
    one = asked(closed, "code")
    code = code_of(one.report_id)
    assert len(code) == 16
    other = code_of(asked(closed, "desk").report_id)
    for number, wrong in (
        (closed.number, "A" * 16),
        (closed.number, ""),
        (closed.number, other),  # of a report whose reporter is called
        ("20260101000001", code),
        (closed.number + " ", code),
    ):
        with pytest.raises(NotFound):
            rate_by_code(number, wrong, rating="satisfied", resolved=True)
    spelled = f" {code[:4].lower()}-{code[4:8]} {code[8:]}"
    rate_by_code(closed.number, spelled, rating="satisfied", resolved=True)
    one.refresh_from_db()
    assert (one.rating, one.answered_by) == ("satisfied", None)
    with pytest.raises(AlreadyAnswered):
        rate_by_code(closed.number, code, rating="satisfied", resolved=True)


def test_nobody_is_waited_for_longer_than_the_policy_says(closed: Event, resident: User) -> None:
    CallBackPolicy.objects.create(district=closed.district, answer_days=3)
    ask_reporters_back()
    own = asked(closed, "app")
    assert own.answer_until - own.asked_at == timedelta(days=3)
    assert satisfaction.time_out(at=own.answer_until - timedelta(seconds=1)) == 0
    assert satisfaction.time_out(at=own.answer_until) == 3
    assert satisfaction.time_out(at=own.answer_until) == 0
    with pytest.raises(CallBackOver):
        rate(own.pk, by=resident, rating="satisfied", resolved=True, submission=key())
    assert satisfaction.own_call_backs(resident) == []


def test_cases_closed_long_ago_are_left_alone(closed: Event) -> None:
    assert satisfaction.not_asked_yet(at=timezone.now() + timedelta(days=8)) == []
    assert satisfaction.not_asked_yet(at=timezone.now()) == [closed.pk]


def test_the_constraints_keep_answers_whole(closed: Event) -> None:
    ask_reporters_back()
    one = asked(closed, "app")
    wrong: list[dict[str, Any]] = [
        {"rating": "satisfied"},
        {"answered_at": timezone.now()},
        {"answered_at": timezone.now(), "rating": "dissatisfied", "resolved": False},
    ]
    for changes in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            CallBack.objects.filter(pk=one.pk).update(**changes)
    one.pk = uuid.uuid7()
    with pytest.raises(IntegrityError, match="a_reporter_is_asked_once_a_closing"), transaction.atomic():
        one.save(force_insert=True)
    answered = {"answered_at": timezone.now(), "rating": "dissatisfied", "resolved": False, "reason": "x"}
    with pytest.raises(IntegrityError, match="a_case_is_reopened_once"), transaction.atomic():
        CallBack.objects.update(reopened=True, **answered)


@pytest.mark.parametrize("outside", [False, True], ids=["covered", "put there from outside"])
def test_a_case_whose_cell_has_ended_is_reopened_in_the_cell_of_today(
    closed: Event, resident: User, outside: bool
) -> None:
    cell = closed.cell
    if outside:
        # A place that no cell covers, and so none does today.
        Event.objects.filter(pk=closed.pk).update(point=Point(0, 0, srid=4326))
    ask_reporters_back()
    Cell.objects.filter(pk=cell.pk).update(valid_to=timezone.now())
    heir = Cell.objects.get(pk=cell.pk)
    heir.pk, heir.valid_from, heir.valid_to = uuid.uuid7(), timezone.now(), None
    heir.save(force_insert=True)
    rate(
        asked(closed, "app").pk,
        by=resident,
        rating="dissatisfied",
        resolved=False,
        reason="坑还在",
        submission=key(),
    )
    closed.refresh_from_db()
    assert (closed.status, closed.cell_id) == ("assigned", heir.pk)
    step = closed.transitions.get(kind="move_cell")
    assert (step.from_status, step.data["from"], step.data["from_units"]) == (
        "filed",
        cell.code,
        cell.unit_ids,
    )
