"""Random lives of cases: each walks the real table of steps, with real clocks, at random times. In memory until stored.

What a use case does besides its step (orders, clocks, call-backs) is done here once more, as simply as can be, so that
what is counted afterwards rests on the table and not on the code that people call.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import uuid_utils.compat as uuid
from django.db import connection

from fieldops.clocks.deadlines import Calendar, Clock, Limit, calendar_of
from fieldops.clocks.stages import STAGE_OF, turned
from fieldops.intake.draft import DESK_CHANNELS
from fieldops.lifecycle import SYSTEM, Actor, note_limits, take_step
from fieldops.models import (
    REPLY_HOURS,
    CallBack,
    Card,
    Channel,
    Check,
    CheckKind,
    Closing,
    Event,
    EventClass,
    FilingCondition,
    Found,
    Matter,
    Post,
    Rating,
    Report,
    Sent,
    Supervision,
    Transition,
    User,
    Way,
    WorkOrder,
)
from fieldops.status import FINAL, MAX_EXTENSIONS, TABLE, Role, Status, Step
from gridmap.models import CalendarDay, Cell, District

# How readily a step is taken where several may be; what is not named: 1.
# What has orders of its own, or another clock: told in tests/fieldops.
BESIDE = frozenset(
    {
        *(Step.ASSIST, Step.WHISTLE, Step.ASSIST_TAKE_ON, Step.ARRIVE, Step.ASSIST_HANDLE, Step.ASSIST_BACK),
        *(Step.RELEASE, Step.LEAD_HANDLE, Step.RECLASSIFY, Step.JOIN),
    }
)
READILY = {
    Step.LOCATE: 50,
    Step.ACCEPT: 30,
    Step.FILE: 30,
    Step.ASSIGN: 12,
    Step.DISPATCH: 30,
    Step.TAKE_ON: 30,
    Step.HANDLE: 25,
    Step.CONFIRM: 20,
    Step.CLOSE: 40,
    Step.ASK_BACK: 10,
    Step.RATE: 15,
    Step.SEND_BACK: 2,
    Step.REWORK: 3,
    Step.VOID: 0.2,
    Step.RECALL: 0.7,
    Step.MOVE_CELL: 0.3,
    Step.RECKON: 0.1,
    Step.SUPERVISE: 0.7,
    Step.ANSWER: 5,
    Step.EXPIRE: 2,
    Step.RESUME: 10,
    Step.CLOSE_SPECIALLY: 0.2,
    Step.REPLY: 0.5,
    Step.MERGE: 1,
}
PAUSES = [0] * 4 + [2, 5, 9, 20, 45, 120, 400, 1500, 6000]  # minutes
LONGEST = 40  # steps
STAGE = timedelta(minutes=15)  # of natural time, for every stage


@dataclass
class World:
    """Where cases happen: rows that are there already."""

    district: District
    calendar: Calendar
    cells: list[Cell]
    conditions: list[tuple[EventClass, FilingCondition]]
    handlers: list[Post]
    posts: dict[str, list[tuple[Post, User]]]


@dataclass
class Life:
    """One case and all that belongs to it."""

    event: Event
    reports: list[Report] = field(default_factory=list)
    steps: list[Transition] = field(default_factory=list)
    orders: list[WorkOrder] = field(default_factory=list)
    call_backs: list[CallBack] = field(default_factory=list)
    cards: list[Supervision] = field(default_factory=list)
    tasks: list[Check] = field(default_factory=list)
    clock: Clock | None = None
    clock_of: int | None = None
    worst: timedelta = timedelta()  # the least that a clock ever said was used


def world_of(district: District) -> World:
    """The district as it is."""
    days = CalendarDay.objects.filter(district=district).values_list("day", "working")
    holders: dict[str, list[tuple[Post, User]]] = {}
    posts = list(Post.objects.filter(district=district).prefetch_related("holders"))
    for post in posts:
        holders.setdefault(post.role, []).extend((post, person) for person in post.holders.all())
    found = FilingCondition.objects.filter(event_class__edition=district.class_edition).select_related(
        "event_class"
    )
    return World(
        district,
        calendar_of(district, days),
        list(Cell.objects.in_force().filter(district=district).order_by("code")),
        [(one.event_class, one) for one in found.order_by("pk")],
        [post for post in posts if post.role == Role.DEPARTMENT_HANDLER],
        holders,
    )


class Walker:
    """Makes lives. The same seed makes the same ones."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, random.Random(seed)
        self.last: Event | None = None

    def live(self, begin: datetime, until: datetime) -> Life:
        """A case reported at `begin`, and what happens to it before `until`."""
        chance = self.chance
        life = self.born(begin)
        event = life.event
        at = begin
        self.take(life, Step.REPORT, at)
        while len(life.steps) < LONGEST:
            at += timedelta(minutes=chance.choice(PAUSES), seconds=chance.randint(1, 59))
            able = [step for step, rule in TABLE.items() if rule.follows(event.status, event.asked_for)]
            able = [step for step in able if self._may(life, step, at)]
            if not able or at >= until or chance.random() < (0.25 if event.status in FINAL else 0.01):
                break
            [step] = chance.choices(able, [READILY.get(step, 1) for step in able])
            self.take(life, step, at)
        self.last = event
        return life

    def born(self, begin: datetime) -> Life:
        """A case before its first step, with its reports."""
        chance, world = self.chance, self.world
        cell = chance.choice(world.cells)
        event_class, condition = chance.choice(world.conditions)
        event = Event(
            id=uuid.uuid7(),
            district=world.district,
            event_class=event_class,
            condition=condition,
            description="示例",
            point=cell.boundary.point_on_surface,
            cell=cell,
            received_at=begin,
        )
        life = Life(event)
        for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
            self._report(life, begin + timedelta(minutes=5 * len(life.reports)))
        return life

    def _report(self, life: Life, at: datetime) -> None:
        channel = self.chance.choice(Channel.values)
        role = Role.GRID_WORKER if channel == Channel.FIELD_APP else Role.RESIDENT
        post, person = self.chance.choice(self.world.posts[role])
        matter = self.chance.choice(list(Matter)) if channel in DESK_CHANNELS else ""
        life.reports.append(
            Report(
                id=uuid.uuid7(),
                event=life.event,
                channel=channel,
                reporter=person,
                post=post,
                digest="0" * 64,
                description="示例",
                x=110.0,
                y=40.6,
                system="WGS84",
                received_at=at,
                matter=matter,
                reply_due_at=at + timedelta(hours=REPLY_HOURS[matter]) if matter else None,
            )
        )

    def _may(self, life: Life, step: Step, at: datetime) -> bool:
        """What the use cases see to beyond the table."""
        done = [one.kind for one in life.steps]
        if step in BESIDE:
            return False
        if step == Step.ASK_EXTENSION:
            clock = life.clock
            return clock is not None and clock.extensions < MAX_EXTENSIONS and clock.used(at) <= clock.granted
        if step in (Step.ASK_DEFERRAL, Step.DEFER):
            return Step.DEFER not in done
        if step == Step.ASK_BACK:
            return not any(one.closing_version == self._closing(life) for one in life.call_backs)
        if step == Step.RATE:
            return any(one.answered_at is None for one in life.call_backs)
        if step == Step.REOPEN:
            return Step.REOPEN not in done and any(
                one.rating == Rating.DISSATISFIED for one in life.call_backs
            )
        if step == Step.REPLY:
            return any(one.reply_due_at and one.replied_at is None for one in life.reports)
        if step == Step.MERGE:
            return self.last is not None
        if step == Step.SUPERVISE:
            return sum(card.answered_at is None for card in life.cards) < len(Card)
        if step == Step.ANSWER:
            return any(card.answered_at is None for card in life.cards)
        if step == Step.EXPIRE:
            # Later only an assistant's does, and none is told here.
            return life.event.status == Status.DISPATCHED and life.orders[-1].expired_at is None
        return True

    def _closing(self, life: Life) -> int:
        return max(
            (s.version for s in life.steps if s.to_status == Status.CLOSED != s.from_status), default=0
        )

    def take(self, life: Life, kind: Step, at: datetime) -> None:
        event, chance = life.event, self.chance
        rule = TABLE[kind]
        actor = SYSTEM
        if rule.roles:
            post, person = chance.choice(
                self.world.posts[chance.choice(sorted(rule.roles & set(self.world.posts)))]
            )
            actor = Actor(person, post)
        order = life.orders[-1] if life.orders and life.orders[-1].finished_at is None else None
        data: dict[str, Any] = {}
        if kind == Step.MOVE_CELL:
            data = {"from_units": event.cell.unit_ids}
        step = take_step(event, kind, actor=actor, at=at, reason="理由", work_order=order, data=data)
        getattr(self, f"do_{kind.value}", lambda *_: None)(life, step, order, at)
        note_limits(event, [step])
        if turned(step.from_status, step.to_status):
            event.stage_due_at = at + STAGE if event.status in STAGE_OF else None
        life.steps.append(step)
        if life.clock is not None:
            life.worst = min(life.worst, life.clock.used(at))

    # --- what a step does besides ---

    def do_assign(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        life.event.department = self.chance.choice(self.world.handlers).department

    def do_dispatch(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        event = life.event
        fresh = self._fresh(event)
        resumed = life.clock if life.clock is not None and life.clock_of == event.department_id else fresh
        self._start(life, step, resumed, at)

    def do_rework(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        assert order is not None
        order.finished_at = at
        self._start(life, step, self._fresh(life.event), at)

    def _fresh(self, event: Event) -> Clock:
        assert event.condition is not None
        limit = Limit(event.condition.limit_amount, event.condition.limit_unit, event.condition.urgent)
        return Clock(limit, self.world.calendar)

    def _start(self, life: Life, step: Transition, clock: Clock, at: datetime) -> None:
        event = life.event
        life.clock, life.clock_of = clock.start(at), event.department_id
        self._show(life)
        post = next(post for post in self.world.handlers if post.department_id == event.department_id)
        assert event.due_at is not None
        step.work_order = WorkOrder(
            id=uuid.uuid7(),
            event=event,
            department=post.department,
            post=post,
            dispatched_at=at,
            due_at=event.due_at,
        )
        life.orders.append(step.work_order)

    def _show(self, life: Life) -> None:
        assert life.clock is not None
        due = life.clock.due()
        assert due is not None
        life.event.due_at, life.event.warn_at = due.at, due.yellow_from
        if life.orders and life.orders[-1].finished_at is None:
            life.orders[-1].due_at = due.at

    def _stop(self, life: Life, at: datetime) -> None:
        if life.clock is not None and life.clock.is_running:
            life.clock = life.clock.pause(at)
        life.event.due_at = life.event.warn_at = None

    def do_take_on(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        order.taken_on_at = at

    def do_expire(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        order.expired_at = at

    def do_recall(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        order.recalled_at = order.finished_at = at
        self._stop(life, at)

    def do_send_back(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        order.sent_back_at = order.finished_at = at
        self._stop(life, at)

    def do_handle(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        assert life.clock is not None
        order.handled_at, life.clock = at, life.clock.pause(at)
        self._send(life, CheckKind.CHECK, at)

    def do_accept(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        if self.chance.random() < 0.2:
            self._send(life, CheckKind.VERIFY, at)

    def _send(self, life: Life, kind: str, at: datetime) -> None:
        """Somebody who looks: in time, late, called back, or not at all, at most once a case."""
        post, person = self.chance.choice(self.world.posts[Role.GRID_WORKER])
        task = Check(id=uuid.uuid7(), event=life.event, kind=kind, post=post, person=person, sent=Sent.POST)
        task.asked_at, task.due_at = at, at + timedelta(minutes=30)
        minutes = self.chance.choice((10, 20, 30, 45, 3000, 0))
        if minutes:
            task.done_at, task.done_by = at + timedelta(minutes=minutes), person
            task.outcome = Found.CONFIRMED
        elif (
            any(one.done_at is None and one.ended_at is None for one in life.tasks)
            or self.chance.random() < 0.5
        ):
            task.ended_at = at + timedelta(minutes=40)
        life.tasks.append(task)

    def do_confirm(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        order.finished_at = at

    def do_void(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        if order is not None:
            if life.event.deferred_until is not None:
                assert life.clock is not None
                life.clock = life.clock.start(at)
                self._show(life)
            order.finished_at = at
        life.event.deferred_until = None
        self._stop(life, at)

    def do_close(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        late = any(one.handled_at and one.handled_at > one.due_at for one in life.orders)
        life.event.closing = Closing.OVERDUE if late else Closing.NORMAL

    def do_self_handle(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        life.event.closing = Closing.SELF_HANDLED

    def do_close_specially(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        self.do_void(life, step, order, at)
        life.event.closing = Closing.SPECIAL

    def do_extend(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        assert life.clock is not None
        order.extensions += 1
        life.clock = replace(life.clock, extensions=life.clock.extensions + 1)
        self._show(life)

    def do_defer(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        life.event.deferred_until = at + timedelta(days=30)
        self._stop(life, at)

    def do_resume(self, life: Life, step: Transition, order: WorkOrder, at: datetime) -> None:
        assert life.clock is not None
        life.event.deferred_until = None
        life.clock = life.clock.start(at)
        self._show(life)

    def do_move_cell(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        life.event.cell = self.chance.choice(self.world.cells)

    def do_reopen(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        next(one for one in life.call_backs if one.rating == Rating.DISSATISFIED).reopened = True
        life.clock = None
        life.event.due_at = life.event.warn_at = None

    def do_ask_back(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        for report in life.reports:
            life.call_backs.append(
                CallBack(
                    id=uuid.uuid7(),
                    event=life.event,
                    report=report,
                    closing_version=self._closing(life),
                    way=Way.APP,
                    closed_at=at,
                    asked_at=at,
                    answer_until=at + timedelta(days=7),
                )
            )

    def do_rate(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        asked = next(one for one in life.call_backs if one.answered_at is None)
        asked.answered_at, asked.answered_by = at, step.by
        asked.rating = self.chance.choices(Rating.values, (6, 2, 1))[0]
        asked.resolved = asked.rating != Rating.DISSATISFIED
        asked.reason = "" if asked.resolved else "没有解决"

    def do_reply(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        one = next(one for one in life.reports if one.reply_due_at and one.replied_at is None)
        one.replied_at = at

    def do_merge(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        life.event.merged_into = self.last  # any case will do: nothing is counted by it

    def do_separate(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        life.event.merged_into = None

    def do_supervise(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        waiting = {one.card for one in life.cards if one.post == step.post and one.answered_at is None}
        life.cards.append(
            Supervision(
                id=uuid.uuid7(),
                event=life.event,
                card=self.chance.choice([card for card in Card.values if card not in waiting]),
                post=step.post,
                by=step.by,
                by_post=step.post,
                asked_at=at,
                answer_due_at=at + timedelta(hours=1),
            )
        )

    def do_answer(self, life: Life, step: Transition, order: WorkOrder | None, at: datetime) -> None:
        card = next(card for card in life.cards if card.answered_at is None)
        card.answered_at = card.received_when = card.new_deadline = at
        card.answered_by, card.contacted, card.measures = step.by, "现场", "已派人"


def make_lives(world: World, number: int, *, begin: datetime, until: datetime, seed: int) -> list[Life]:
    """So many, reported at even intervals."""
    walker = Walker(world, seed)
    every = (until - begin) / number
    return [walker.live(begin + every * n, until) for n in range(number)]


def store(lives: Sequence[Life]) -> None:
    """All of it, as rows; the planner is told, as it soon is where people work."""
    for model, rows in (
        (Event, [life.event for life in lives]),
        (Report, [one for life in lives for one in life.reports]),
        (WorkOrder, [one for life in lives for one in life.orders]),
        (Transition, [one for life in lives for one in life.steps]),
        (CallBack, [one for life in lives for one in life.call_backs]),
        (Supervision, [one for life in lives for one in life.cards]),
        (Check, [one for life in lives for one in life.tasks]),
    ):
        model._default_manager.bulk_create(rows, batch_size=4000)
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {model._meta.db_table}")
