"""Every state × every step × every role, by the doors people really use, against a table that people can read.

`steps_matrix.csv` says for each state and step what becomes of it in whose hands: the state it leads to, or the code of
the refusal; `as STEP` where the door takes another step, `STEP in the other case` where that goes on. `system` is the bare step without a person. Where more than the
state decides (what was asked for, whose word is awaited, who else works on it), further rows name what differs then.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uuid_utils.compat as uuid
from django.db import transaction
from django.utils import timezone

from fieldops.errors import DomainError, NotFound
from fieldops.intake import receive
from fieldops.lifecycle import SYSTEM, Actor, Submission, now, record, take_step
from fieldops.models import (
    CallBack,
    Card,
    Check,
    CheckPolicy,
    Event,
    EventClass,
    FilingCondition,
    Holding,
    Post,
    Report,
    Supervision,
    User,
    WorkOrder,
)
from fieldops.places import Fix
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import TABLE, Role, Status, Step
from fieldops.steps import (
    approvals,
    desk,
    fieldwork,
    followup,
    joint,
    merging,
    moving,
    replies,
    satisfaction,
    supervision,
)
from gridmap.models import Cell, Department
from tests.doing import chief_of, draft_of, holder_of, key, photo_for, worker_of

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


@dataclass
class Scene:
    """One case with everybody around it."""

    event: Event
    people: dict[str, User]
    condition: FilingCondition
    departments: list[Department]  # not responsible, each with a post for the whole district
    elsewhere: Cell
    other: Event  # at the same place
    orders: dict[str, UUID] = field(default_factory=dict)
    check: UUID = field(default_factory=uuid.uuid7)
    cards: dict[str, UUID] = field(default_factory=dict)
    call_backs: dict[str, UUID] = field(default_factory=dict)
    seen_by: set[int] = field(default_factory=set)

    def at_work(self) -> "Scene":
        """Read anew what the doors need: orders, the open task, cards and call-backs."""
        self.event = Event.objects.get(pk=self.event.pk)
        orders = self.event.work_orders.order_by("dispatched_at")
        self.orders = {"lead" if order.part == "lead" else "called": order.pk for order in orders}
        open_check = self.event.checks.filter(done_at__isnull=True, ended_at__isnull=True).first()
        self.check = open_check.pk if open_check else uuid.uuid7()
        return self

    def order(self, part: str) -> UUID:
        return self.orders.get(part, uuid.uuid7())

    def with_photo(self, by: User) -> Submission:
        submission = key()
        photo_for(submission, by)
        return submission


def scene_of(cell: Cell, event_class: EventClass) -> Scene:
    """A resident's report at the intake desk, which the cell's worker reported as well."""
    people = {
        "resident": "resident1", "intake_operator": "intake1", "dispatcher": "dispatch1", "shift_leader": "shift",
        "supervisor": "supervisor",
    }  # fmt: skip
    by_role = {role: User.objects.get(username=name) for role, name in people.items()}
    by_role["grid_worker"] = worker_of(cell)
    by_role["outsider"] = User.objects.create_user("outsider", password="outside-of-everything-9")
    by_role["leader"] = User.objects.create_user("secretary", password="of-the-community-9")
    post = Post.objects.create(
        district=cell.district, role=Role.LEADER, name="社区书记", unit_id=cell.community_id
    )
    Holding.objects.create(post=post, user=by_role["leader"], since=timezone.now() - timedelta(days=1))
    event = receive(draft_of(by_role["resident"], cell, event_class)).event
    by_role["street_chief"] = chief_of(event)
    worker = by_role["grid_worker"]
    seen = Report.objects.create(
        id=uuid.uuid7(), event=event, channel="field_app", reporter=worker,
        post=Post.objects.get(role="grid_worker", unit__in=cell.unit_ids), digest="d" * 64, description="同上",
        x=event.point.x, y=event.point.y, system="WGS84", received_at=timezone.now(),
    )  # fmt: skip
    photo_for(Submission(seen.pk), worker)
    called = Report.objects.create(
        id=uuid.uuid7(), event=event, channel="hotline_12345", reporter=by_role["intake_operator"], digest="d" * 64,
        description="来电", contact_phone="13800000000", x=event.point.x, y=event.point.y, system="WGS84",
        received_at=timezone.now(), matter="general", reply_due_at=timezone.now() + timedelta(days=7),
    )  # fmt: skip
    departments = [
        post.department
        for post in Post.objects.filter(role="department_handler", unit__level=1).order_by("pk")
        if post.department is not None
    ]
    condition = event_class.conditions.first()
    assert condition is not None
    elsewhere = Cell.objects.in_force().filter(street=cell.street_id).exclude(pk=cell.pk).first()
    assert elsewhere is not None
    other = receive(draft_of(by_role["resident"], cell, event_class)).event
    scene = Scene(event, by_role, condition, departments, elsewhere, other)
    scene.call_backs = {"resident": event.reports.get(channel="resident_app").pk, "desk": called.pk}
    return scene


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
        _whistle(s, s.people["grid_worker"], 0)
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


# --- the doors: one a step ---------------------------------------------------------------------------------------


def _bare(step: Step) -> "Door":
    """What no door offers to people, asked for as a door would."""

    def take(s: Scene, by: User) -> None:
        if by.pk not in s.seen_by:
            raise NotFound
        actor = Actor(by, acting_post(by, step, s.event))
        record(s.event, [take_step(s.event, step, actor=actor, at=now(), reason="x")])

    return take


def _confirm(resolved: bool) -> "Door":
    def take(s: Scene, by: User) -> None:
        if by == s.people["grid_worker"]:
            _report_check(s, by, resolved=resolved)
        else:
            followup.confirm_from_desk(s.event.pk, by=by, resolved=resolved, note="看过")

    return take


def _report_check(s: Scene, by: User, *, resolved: bool = True) -> None:
    found = "confirmed" if resolved else "refuted"
    followup.report_check(s.check, by=by, found=found, note="看过", submission=s.with_photo(by))


def _verify(s: Scene, by: User) -> None:
    if by == s.people["grid_worker"]:
        _report_check(s, by)
    else:
        followup.verify_for(s.event.pk, by=by, found="confirmed")


def _rate(s: Scene, by: User) -> None:
    words: dict[str, Any] = {"rating": "satisfied", "resolved": True}
    if by == s.people["resident"]:
        satisfaction.rate(s.call_backs["resident"], by=by, submission=key(), **words)
    else:
        satisfaction.rate_for(s.call_backs["desk"], by=by, **words)


def _answer(s: Scene, by: User) -> None:
    name = next(name for name, person in s.people.items() if person == by)
    supervision.answer(
        s.cards.get(name, uuid.uuid7()), by=by, received_when=now(), contacted="王所长", measures="已派人",
        new_deadline=now() + timedelta(hours=2), submission=key(),
    )  # fmt: skip


def _reclassify(s: Scene, by: User) -> None:
    other = s.condition.event_class.conditions.exclude(pk=s.condition.pk).first()
    assert other is not None
    desk.reclassify(
        s.event.pk, by=by, class_key=s.event.event_class.key, condition_id=other.pk, reason="立案条件有误"
    )


def _whistle(s: Scene, by: User, which: int) -> None:
    joint.whistle(s.event.pk, by=by, department_ids=[s.departments[which].pk], reason="到场")


Door = Callable[[Scene, User], Any]
DOORS: dict[Step, Door] = {
    **{step: _bare(step) for step in Step if not TABLE[step].roles},
    Step.ACCEPT: lambda s, by: desk.accept(s.event.pk, by=by),
    Step.DECLINE: lambda s, by: desk.decline(s.event.pk, by=by, reason="不属实"),
    Step.FILE: lambda s, by: desk.file(s.event.pk, by=by, condition_id=s.condition.pk),
    Step.DO_NOT_FILE: lambda s, by: desk.do_not_file(s.event.pk, by=by, reason="不够条件"),
    Step.ASSIGN: lambda s, by: desk.assign(s.event.pk, by=by, department_id=s.departments[2].pk, reason="协商"),
    Step.DISPATCH: lambda s, by: desk.dispatch(s.event.pk, by=by),
    Step.TAKE_ON: lambda s, by: fieldwork.take_on(s.order("lead"), by=by, submission=key()),
    Step.SEND_BACK: lambda s, by: fieldwork.send_back(s.order("lead"), by=by, submission=key(), reason="非我"),
    Step.HANDLE: lambda s, by: fieldwork.handle(s.order("lead"), by=by, submission=s.with_photo(by)),
    Step.LEAD_HANDLE: lambda s, by: fieldwork.handle(s.order("lead"), by=by, submission=s.with_photo(by)),
    Step.REWORK: _confirm(False),
    Step.CONFIRM: _confirm(True),
    Step.CLOSE: lambda s, by: desk.close(s.event.pk, by=by),
    Step.MOVE_CELL: lambda s, by: moving.move_to_cell(s.event.pk, by=by, code=s.elsewhere.code, reason="在邻格"),
    Step.RECALL: lambda s, by: desk.recall(s.event.pk, by=by, reason="派错"),
    Step.ASK_EXTENSION: lambda s, by: approvals.ask_extension(
        s.order("lead"), by=by, submission=key(), reason="配件"
    ),
    Step.EXTEND: lambda s, by: approvals.extend(s.event.pk, by=by),
    Step.ASK_DEFERRAL: lambda s, by: approvals.ask_deferral(
        s.order("lead"), by=by, submission=key(), reason="冬季", until=now() + timedelta(days=30)
    ),
    Step.DEFER: lambda s, by: approvals.defer(s.event.pk, by=by),
    Step.REFUSE: lambda s, by: approvals.refuse(s.event.pk, by=by, reason="可以完成"),
    Step.RESUME: lambda s, by: approvals.resume(s.event.pk, by=by),
    Step.VOID: lambda s, by: desk.void(s.event.pk, by=by, reason="重复"),
    Step.SUPERVISE: lambda s, by: supervision.supervise(s.event.pk, by=by, card="reminder", reason="来电催"),
    Step.ANSWER: _answer,
    Step.RATE: _rate,
    Step.ASK_VERIFY: lambda s, by: followup.ask_verification(s.event.pk, by=by),
    Step.VERIFY: _verify,
    Step.CHECK: _report_check,
    Step.SEND_ANOTHER: lambda s, by: followup.send_another(s.event.pk, by=by, reason="没去"),
    Step.SELF_HANDLE: lambda s, by: fieldwork.handle_on_the_spot(
        s.event.pk, by=by, submission=s.with_photo(by), condition_id=s.condition.pk
    ),
    Step.ASSIST: lambda s, by: joint.assist(s.event.pk, by=by, department_ids=[s.departments[1].pk], reason="协办"),
    Step.WHISTLE: lambda s, by: _whistle(s, by, 1),
    Step.ASSIST_TAKE_ON: lambda s, by: fieldwork.take_on(s.order("called"), by=by, submission=key()),
    Step.ARRIVE: lambda s, by: fieldwork.arrive(
        s.order("called"), by=by, submission=key(), fix=Fix(s.event.point.x, s.event.point.y, "WGS84")
    ),
    Step.ASSIST_HANDLE: lambda s, by: fieldwork.handle(s.order("called"), by=by, submission=s.with_photo(by)),
    Step.ASSIST_BACK: lambda s, by: fieldwork.send_back(
        s.order("called"), by=by, submission=key(), reason="非我"
    ),
    Step.RELEASE: lambda s, by: joint.release(s.event.pk, by=by, order_id=s.order("called"), reason="不需要"),
    Step.RECLASSIFY: _reclassify,
    Step.CLOSE_SPECIALLY: lambda s, by: desk.close_specially(s.event.pk, by=by, closing="special", reason="已拆除"),
    Step.MERGE: lambda s, by: merging.merge(s.event.pk, by=by, into=s.other.pk),
    Step.SEPARATE: lambda s, by: merging.separate(s.event.pk, by=by, reason="另一处"),
    Step.REPLY: lambda s, by: replies.reply(
        s.event.reports.get(channel="hotline_12345").pk, by=by, words="已安排处理"
    ),
}  # fmt: skip


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
