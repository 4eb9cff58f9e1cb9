"""Every state × every step × every role, by the doors people really use, against a table that people can read.

`steps_matrix.csv` says for each state and step what becomes of it in whose hands: the state it leads to, or the code of
the refusal; `as STEP` where the door takes another step, `STEP in the other case` where that goes on. `system` is the bare step without a person. Where more than the
state decides (what was asked for, whose word is awaited, who else works on it), further rows name what differs then.
"""

import csv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from fieldops.errors import DomainError
from fieldops.lifecycle import SYSTEM, now, take_step
from fieldops.models import (
    CallBack,
    Card,
    Check,
    CheckPolicy,
    Event,
    EventClass,
    Post,
    Supervision,
    User,
    WorkOrder,
)
from fieldops.rights import events_visible_to
from fieldops.status import TABLE, Role, Status, Step
from fieldops.steps import (
    approvals,
    desk,
    fieldwork,
    followup,
    merging,
)
from gridmap.models import Cell
from tests.doing import holder_of, key
from tests.fieldops.steps.scenes import DOORS, Scene, scene_of, whistle_for

TABLE_FOR_PEOPLE = Path(__file__).parents[1] / "steps_matrix.csv"
# Who takes part: each role by somebody at the place of the case. A department may lead or have been called to the spot.
ACTORS = (
    "grid_worker", "street_chief", "intake_operator", "dispatcher", "shift_leader", "department_handler",
    "called_handler", "supervisor", "leader", "resident", "outsider", "system",
)  # fmt: skip
ROLE_OF = {"called_handler": Role.DEPARTMENT_HANDLER}


def read_table() -> dict[tuple[str, str], dict[str, str]]:
    """The expectation: (situation, step) → actor → state or code."""
    with TABLE_FOR_PEOPLE.open(encoding="utf-8") as rows:
        return {
            (row["state"], row["step"]): {actor: row[actor] for actor in ACTORS}
            for row in csv.DictReader(rows)
        }


EXPECTED = read_table()


# --- how a case gets into each state: by the same use cases ------------------------------------------------------


def _reported(s: Scene) -> None:
    Event.objects.filter(pk=s.event.pk).update(status=Status.REPORTED)


def _accepted(s: Scene) -> None:
    desk.accept(s.event.pk, by=s.people["intake_operator"])


def _verifying(s: Scene) -> None:
    _accepted(s)
    followup.ask_verification(s.event.pk, by=s.people["intake_operator"])


def _assigned(s: Scene) -> None:
    _accepted(s)
    event = desk.file(s.event.pk, by=s.people["intake_operator"], condition_id=s.condition.pk)
    s.departments = [one for one in s.departments if one.pk != event.department_id]


def _dispatched(s: Scene) -> None:
    _assigned(s)
    desk.dispatch(s.event.pk, by=s.people["dispatcher"])
    s.at_work()
    s.people["department_handler"] = holder_of(WorkOrder.objects.get(pk=s.order("lead")).post)


def _with_called(reach: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """The same with a department whistled to the spot."""

    def reached(s: Scene) -> None:
        _assigned(s)
        s.at_work()
        whistle_for(s, s.people["grid_worker"], 0)
        s.at_work()
        s.people["called_handler"] = holder_of(WorkOrder.objects.get(pk=s.order("called")).post)
        if reach is not _assigned:
            desk.dispatch(s.event.pk, by=s.people["dispatcher"])
            s.at_work()
            s.people["department_handler"] = holder_of(WorkOrder.objects.get(pk=s.order("lead")).post)
            _further(reach, s)

    return reached


def _further(reach: Callable[[Scene], None], s: Scene) -> None:
    order, handler = s.order("lead"), s.people["department_handler"]
    if reach is _filed:
        fieldwork.send_back(order, by=handler, submission=key(), reason="非我单位")
    elif reach is not _dispatched:
        fieldwork.take_on(order, by=handler, submission=key())
        if reach is _deferred:
            until = now() + timedelta(days=30)
            approvals.ask_deferral(order, by=handler, submission=key(), reason="冬季", until=until)
            approvals.defer(s.event.pk, by=s.people["shift_leader"])


def _filed(s: Scene) -> None:
    _dispatched(s)
    _further(_filed, s)


def _taken_on(s: Scene) -> None:
    _dispatched(s)
    _further(_taken_on, s)


def _deferred(s: Scene) -> None:
    _dispatched(s)
    _further(_deferred, s)


def _extension_asked(s: Scene) -> None:
    _taken_on(s)
    approvals.ask_extension(
        s.order("lead"), by=s.people["department_handler"], submission=key(), reason="配件"
    )


def _deferral_asked(s: Scene) -> None:
    _taken_on(s)
    until = now() + timedelta(days=30)
    approvals.ask_deferral(
        s.order("lead"), by=s.people["department_handler"], submission=key(), reason="冬季", until=until
    )


def _handled(checker: str) -> Callable[[Scene], None]:
    def reached(s: Scene) -> None:
        CheckPolicy.objects.create(district=s.event.district, checker=checker)
        _taken_on(s)
        handler = s.people["department_handler"]
        fieldwork.handle(s.order("lead"), by=handler, submission=s.with_photo(handler))

    return reached


def _confirmed(s: Scene) -> None:
    type(s.event.district).objects.filter(pk=s.event.district_id).update(closes_on_confirmation=False)
    _handled("chief")(s)
    followup.confirm_from_desk(s.event.pk, by=s.people["street_chief"], resolved=True)


def _closed(s: Scene) -> None:
    _confirmed(s)
    desk.close(s.event.pk, by=s.people["dispatcher"])


def _declined(s: Scene) -> None:
    desk.decline(s.event.pk, by=s.people["intake_operator"], reason="不属实")


def _not_filed(s: Scene) -> None:
    _accepted(s)
    desk.do_not_file(s.event.pk, by=s.people["intake_operator"], reason="不够条件")


def _voided(s: Scene) -> None:
    _dispatched(s)
    desk.void(s.event.pk, by=s.people["shift_leader"], reason="重复")


def _merged(s: Scene) -> None:
    merging.merge(s.event.pk, by=s.people["intake_operator"], into=s.other.pk)


SITUATIONS: dict[str, Callable[[Scene], None]] = {
    "reported": _reported,
    "located": lambda s: None,
    "accepted": _accepted,
    "verifying": _verifying,
    "filed": _with_called(_filed),
    "assigned": _with_called(_assigned),
    "dispatched": _with_called(_dispatched),
    "taken_on": _taken_on,
    "taken_on, another department called": _with_called(_taken_on),
    "taken_on, extension asked for": _extension_asked,
    "taken_on, deferral asked for": _deferral_asked,
    "deferred": _with_called(_deferred),
    "handled": _handled("chief"),
    "handled, a worker's word": _handled("worker"),
    "handled, a worker's word first": _handled("both"),
    "handled, the desk's word": _handled("desk"),
    "confirmed": _confirmed,
    "closed": _closed,
    "declined": _declined,
    "not_filed": _not_filed,
    "voided": _voided,
    "merged": _merged,
}


def outcome(s: Scene, step: Step, by: User | None) -> str:
    """What becomes of the step in these hands; what was written is taken back."""
    if by is None:
        event = Event(status=s.event.status, asked_for=s.event.asked_for, version=s.event.version)
        try:
            return str(take_step(event, step, actor=SYSTEM, at=now(), reason="x").to_status)
        except DomainError as refused:
            return refused.code
    before = transaction.savepoint()
    try:
        DOORS[step](s, by)
    except DomainError as refused:
        return refused.code
    else:
        # Clocks of other departments may be set anew just before.
        first = s.event.transitions.filter(version__gt=s.event.version, by=by).order_by("version").first()
        if first is None:
            return f"{s.other.transitions.latest('version').kind} in the other case"
        assert first.from_status == s.event.status
        return first.to_status if first.kind == step else f"as {first.kind}"
    finally:
        transaction.savepoint_rollback(before)


def written(s: Scene) -> list[Any]:
    """Everything a step could change."""
    return [
        list(rows.order_by("pk").values_list())
        for rows in (
            Event.objects.filter(pk=s.event.pk),
            s.event.transitions.all(),
            s.event.work_orders.all(),
            Check.objects.filter(event=s.event),
            CallBack.objects.filter(event=s.event),
            s.event.reports.all(),
            Supervision.objects.filter(event=s.event),
        )
    ]


@pytest.fixture
def scene(cell: Cell, event_class: EventClass, db: None) -> Scene:
    return scene_of(cell, event_class)


def prepare(s: Scene, situation: str) -> None:
    """Bring the case into the situation, with a card to every post and a question to every reporter."""
    SITUATIONS[situation](s)
    s.at_work()
    now_ = timezone.now()
    s.people.setdefault("department_handler", User.objects.get(username="dept_municipal"))
    s.people.setdefault(
        "called_handler", holder_of(Post.objects.get(department=s.departments[0], unit__level=1))
    )
    for name, person in s.people.items():
        post = Post.objects.filter(holders=person).first()
        if post is not None and post.role != Role.RESIDENT:
            card = Supervision.objects.create(
                event=s.event, card=Card.YELLOW, post=post, by=s.people["supervisor"], asked_at=now_,
                answer_due_at=now_ + timedelta(hours=1),
            )  # fmt: skip
            s.cards[name] = card.pk
    for name, report in list(s.call_backs.items()):
        call_back = CallBack.objects.create(
            event=s.event, report_id=report, closing_version=1, way="app" if name == "resident" else "desk",
            closed_at=now_, asked_at=now_, answer_until=now_ + timedelta(days=7),
        )  # fmt: skip
        s.call_backs[name] = call_back.pk
    everybody = s.people.values()
    s.seen_by = {one.pk for one in everybody if events_visible_to(one).filter(pk=s.event.pk).exists()}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_step_is_taken_by_exactly_whom_the_table_says_and_leads_where_it_says(
    scene: Scene, situation: str
) -> None:
    prepare(scene, situation)
    assert scene.event.status == situation.partition(",")[0]
    before = written(scene)
    differing = []
    for step in Step:
        for actor, expected in EXPECTED.get((situation, step), {}).items():
            found = outcome(scene, step, scene.people.get(actor))
            if found != expected:
                differing.append(f"{situation}: {step} by {actor}: {found}, not {expected}")
    assert not differing, "\n".join(differing)
    assert written(scene) == before


def test_every_state_and_step_stands_in_the_table() -> None:
    assert {(status, step) for status in Status for step in Step} <= set(EXPECTED)
    assert {state for state, _step in EXPECTED} == set(SITUATIONS)


def test_the_rules_of_the_house_are_the_table_for_people() -> None:
    """A role may take a step from a state where somebody of that role does, in the one case of it or the other."""
    for status in Status:
        for step, rule in TABLE.items():
            rows = [
                row
                for (state, of), row in EXPECTED.items()
                if (state.partition(",")[0], of) == (status, step)
            ]
            leads_to = str(rule.target or status)
            follows = status in rule.sources
            taken_by = {
                ROLE_OF.get(actor, actor) for row in rows for actor in ACTORS if row[actor] == leads_to
            }
            # Who reported it rates it without a post's right.
            by_reporter = {Role.RESIDENT} if step == Step.RATE else set()
            able = {*rule.roles, "system"} | by_reporter if follows else set()
            assert taken_by == able, f"{status}: {step}"
            refused = {row["system"] for row in rows} - {leads_to}
            assert refused <= {"illegal_transition"}, f"{status}: {step}"
