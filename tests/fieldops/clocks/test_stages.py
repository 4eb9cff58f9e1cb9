"""The clock of a stage begins with the step into it and ends with the step out; at night it stands, unless urgent."""

from datetime import UTC, datetime, timedelta

import pytest
import uuid_utils.compat as uuid
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fieldops import queries
from fieldops.clocks.stages import stage_due
from fieldops.lifecycle import Submission
from fieldops.models import Event, FilingCondition, Stage, StageLimit, User
from fieldops.steps import desk
from fieldops.steps.fieldwork import take_on
from tests.doing import handler_of

MONDAY_NINE = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)  # 09:00 in Qingshan
SATURDAY = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def test_the_clock_follows_the_party_whose_turn_it_is(
    located: Event, condition: FilingCondition, intake_operator: User, dispatcher: User
) -> None:
    assert located.stage_since == located.received_at
    assert located.stage_due_at is not None and located.stage_due_at > located.received_at
    event = desk.accept(located.pk, by=intake_operator)
    assert (event.stage_since, event.stage_due_at) == (None, None)
    event = desk.file(located.pk, by=intake_operator, condition_id=condition.pk)
    began = event.stage_since
    assert began == event.updated_at
    # Assigned anew by the dispatcher: still the same stage.
    event = desk.assign(located.pk, by=dispatcher)
    assert event.stage_since == began
    event = desk.dispatch(located.pk, by=dispatcher)
    assert event.stage_since == event.updated_at != began
    stored = Event.objects.get(pk=event.pk)
    assert (stored.stage_since, stored.stage_due_at) == (event.stage_since, event.stage_due_at)


def test_a_straight_through_report_waits_to_be_taken_on(dispatched: Event) -> None:
    assert dispatched.stage_since == dispatched.received_at
    assert dispatched.stage_due_at == stage_due(dispatched, Stage.SIGN_IN, at=dispatched.received_at).at


@pytest.mark.parametrize(
    ("stage", "urgent", "begins", "minutes_later"),
    [
        (Stage.ACCEPT, False, MONDAY_NINE, 15),
        (Stage.DISPATCH, False, MONDAY_NINE, 15),
        (Stage.SIGN_IN, False, MONDAY_NINE, 60),
        (Stage.VERIFY, False, MONDAY_NINE, 30),
        (Stage.CHECK, False, MONDAY_NINE, 30),
        (Stage.SIGN_IN, True, SATURDAY, 10),
        # Saturday noon to Monday 08:15.
        (Stage.ACCEPT, False, SATURDAY, (24 + 20) * 60 + 15),
    ],
)
def test_limits_of_stages(
    dispatched: Event, stage: Stage, urgent: bool, begins: datetime, minutes_later: int
) -> None:
    dispatched.condition.urgent = urgent
    due = stage_due(dispatched, stage, at=begins)
    assert due.at - begins == timedelta(minutes=minutes_later)


def test_without_a_row_a_stage_has_no_light(located: Event) -> None:
    [frame] = queries.frames(Event.objects.filter(pk=located.pk))
    assert frame["stage"]["name"] == "accept"
    assert stage_due(located, Stage.ACCEPT, at=timezone.now()) is not None
    StageLimit.objects.all().delete()
    assert stage_due(located, Stage.ACCEPT, at=timezone.now()) is None


def test_the_light_of_a_stage(located: Event) -> None:
    found = Event.objects.filter(pk=located.pk)
    seen = [
        queries.frames(found, now=at)[0]["stage"]["light"]
        for at in (
            located.stage_since,
            located.stage_warn_at + timedelta(seconds=1),
            located.stage_due_at,
            located.stage_due_at + timedelta(seconds=1),
        )
    ]
    assert seen == ["green", "yellow", "yellow", "red"]


def test_one_statement_a_stage(located: Event, intake_operator: User, condition: FilingCondition) -> None:
    desk.accept(located.pk, by=intake_operator)
    with CaptureQueriesContext(
        connection,
    ) as statements:
        desk.file(located.pk, by=intake_operator, condition_id=condition.pk)
    assert sum("stagelimit" in one["sql"] for one in statements) == 1


def test_a_step_keeps_what_was_due(dispatched: Event) -> None:
    last = dispatched.transitions.order_by("-version").first()
    assert last is not None
    assert last.due_at == dispatched.due_at
    assert last.stage_due_at is None  # it went straight through: no stage waited
    order = dispatched.work_orders.get()
    waits_until = dispatched.stage_due_at
    step = take_on(order.pk, by=handler_of(dispatched), submission=Submission(uuid.uuid7()))
    assert waits_until is not None
    assert step.stage_due_at == waits_until
    assert step.due_at == dispatched.due_at
