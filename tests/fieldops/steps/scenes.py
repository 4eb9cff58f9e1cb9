"""One case with everybody around it, and the door that people really use for each step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuid
from django.utils import timezone

from fieldops.errors import NotFound
from fieldops.intake import receive
from fieldops.lifecycle import Actor, Submission, now, record, take_step
from fieldops.models import (
    Event,
    EventClass,
    FilingCondition,
    Holding,
    Post,
    Report,
    User,
)
from fieldops.places import Fix
from fieldops.rights import acting_post
from fieldops.status import TABLE, Role, Step
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
from tests.doing import chief_of, draft_of, key, photo_for, worker_of


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
        orders = self.event.work_orders.order_by("dispatched_at", "pk")
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


def whistle_for(s: Scene, by: User, which: int) -> None:
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
    Step.WHISTLE: lambda s, by: whistle_for(s, by, 1),
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
