"""What a change of rules would do to open cases: looked at before it, and again after it, in a transaction taken back.

What is dispatched stays where it is until it is assigned again; so owners are told as the rules would name them.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.postgres.aggregates import StringAgg
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from fieldops.clocks.stages import STAGE_OF
from fieldops.elements.streets import chiefs_now
from fieldops.lifecycle import now
from fieldops.models import (
    CallBack,
    CallBackPolicy,
    CheckPolicy,
    Event,
    EventClass,
    Holding,
    IntakePolicy,
    Party,
    Report,
    WorkOrder,
)
from fieldops.responsibility.assignment import rules_for
from fieldops.responsibility.coverage import pairs
from fieldops.steps.checks import most_specific
from fieldops.steps.reckoning import RUNNING, deadlines_under, rules_of
from fieldops.steps.supervision import due_by_rule
from gridmap.administration import Forecast, Moved
from gridmap.models import CHAIN, Department, District
from gridmap.segments import segments_by_nearness

MOST_CASES = 2000  # whose deadlines are computed for one page
MOVING = {"due_at": _("(case)"), "stage_due_at": _("(stage)")}
RECENT = timedelta(days=30)


def compared(look: Callable[[], Mapping[str, str]]) -> Callable[[], Callable[[], Iterable[Moved]]]:
    """The same look before and after."""

    def begin() -> Callable[[], Iterable[Moved]]:
        before = look()

        def again() -> Iterable[Moved]:
            after = look()
            return [
                Moved(what, before.get(what, ""), after.get(what, ""))
                for what in dict.fromkeys([*before, *after])
                if before.get(what, "") != after.get(what, "")
            ]

        return again

    return begin


def owners_of(events: QuerySet[Event]) -> QuerySet[Any]:
    """With `owner`, the id of the department that the rules name now; one statement for all of them."""
    fitting = rules_for(
        district=OuterRef("district_id"),
        event_class=(
            OuterRef("event_class__kind"),
            OuterRef("event_class__major"),
            OuterRef("event_class__minor"),
        ),
        condition=OuterRef("condition__number"),
        units=[OuterRef(f"cell__{name}_id") for name in CHAIN],
        parties={party: OuterRef(f"component__{party}_id") for party in Party.values},
        at=now(),
    )
    return events.annotate(owner=Subquery(fitting.values("answers")[:1]))


def _owners() -> dict[str, str]:
    names = dict(Department.objects.values_list("pk", "name"))
    events = Event.objects.filter(is_open=True).exclude(responsibility__has_key="by_hand")
    return {
        number: names.get(owner, "") for number, owner in owners_of(events).values_list("number", "owner")
    }


def _pairs() -> dict[str, str]:
    return {f"{pair.event_class.key} {pair.event_class.name} · {pair.street}": pair.told for pair in pairs()}


def _deadlines() -> Callable[[], Iterable[Moved]]:
    """As they are stored, and as the rules would have them then."""
    running = Q(status__in=RUNNING) | Q(status__in=list(STAGE_OF), stage_since__isnull=False)
    pks = list(
        Event.objects.filter(running, is_open=True).order_by("pk").values_list("pk", flat=True)[:MOST_CASES]
    )

    def again() -> Iterable[Moved]:
        for district in District.objects.all():
            rules = rules_of(district)
            events = Event.objects.filter(pk__in=pks, district=district)
            for event in events.select_related("condition", "district"):
                for name, after in deadlines_under(event, rules).items():
                    before = getattr(event, name)
                    if name in MOVING and before != after:
                        which = f"{event.number} {MOVING[name]}"
                        yield Moved(which, _local(before, rules), _local(after, rules))

    return again


def _local(moment: Any, rules: Any) -> str:
    return f"{moment.astimezone(rules.calendar.zone):%Y-%m-%d %H:%M}" if moment else ""


def _holders() -> dict[str, str]:
    """Whoever holds the posts that have open work, case by case."""
    at = now()
    held = Holding.objects.filter(
        Q(until__isnull=True) | Q(until__gt=at), since__lte=at, post=OuterRef("post")
    ).order_by()
    names = held.values("post").values(told=StringAgg("user__display_name", ", ", order_by="user__username"))
    orders = WorkOrder.objects.filter(finished_at__isnull=True).annotate(who=Subquery(names))
    return {
        number: f"{post}: {who or '–'}"
        for number, post, who in orders.values_list("event__number", "post__name", "who")
    }


def _ways_in() -> dict[str, str]:
    """Which channels went on without a desk, with as many reports as came through each of late."""
    recent = dict(
        Report.objects.filter(received_at__gte=now() - RECENT)
        .values_list("channel")
        .annotate(number=Count("pk"))
        .order_by()
    )
    return {
        f"{policy.get_channel_display()} ({recent.get(policy.channel, 0)})": str(
            _("straight through") if policy.straight_through else _("by a desk")
        )
        for policy in IntakePolicy.objects.all()
    }


def _cards() -> dict[str, str]:
    """The cards that the next scan gives."""
    due = list(due_by_rule(at=now()))
    numbers = dict(Event.objects.filter(pk__in={one.event_id for one in due}).values_list("pk", "number"))
    return {f"{numbers[one.event_id]} #{one.rule.pk}": str(one.rule.get_card_display()) for one in due}


def _checkers() -> dict[str, str]:
    """By class of open cases: who has the word on them once they are handled, and how many of them are looked at."""
    policies: dict[str, list[CheckPolicy]] = {}
    for policy in CheckPolicy.objects.all():
        policies.setdefault(policy.district_id, []).append(policy)
    open_cases = Event.objects.filter(is_open=True).values("district", "event_class").order_by()
    classes = EventClass.objects.in_bulk([row["event_class"] for row in open_cases.distinct()])
    told = {}
    for row in open_cases.annotate(number=Count("pk")):
        one = classes[row["event_class"]]
        policy = most_specific(policies.get(row["district"], ()), one)
        told[f"{one.key} {one.name} ({row['number']})"] = f"{policy.get_checker_display()} {policy.percent} %"
    return told


def _reopenable() -> dict[str, str]:
    """Until when those who were asked back and have not answered may have their case reopened."""
    policies = {one.district_id: one for one in CallBackPolicy.objects.all()}
    waiting = CallBack.objects.filter(answered_at__isnull=True, timed_out_at__isnull=True).order_by(
        "closed_at"
    )
    told = {}
    for one in waiting.select_related("event__district")[:MOST_CASES]:
        days = policies.get(one.event.district_id, CallBackPolicy())
        zone = ZoneInfo(one.event.district.time_zone)
        told[one.event.number] = f"{(one.closed_at + days.reopens).astimezone(zone):%Y-%m-%d}"
    return told


def _chiefs() -> dict[str, str]:
    """On which street chief's segment open cases are."""
    nearest = segments_by_nearness(OuterRef("point"), district=OuterRef("district"))
    events = Event.objects.filter(is_open=True).annotate(segment=Subquery(nearest.values("pk")[:1]))
    chiefs = {one.segment_id: one.post for one in chiefs_now().select_related("post")}
    told = {}
    for event in events.select_related("cell").defer("cell__boundary").order_by("pk")[:MOST_CASES]:
        post = chiefs.get(event.segment)
        told[event.number] = post.name if post and post.unit_id in event.cell.unit_ids else ""
    return told


OWNERS = Forecast(_("Open cases for which the rules name another department"), compared(_owners))
PAIRS = Forecast(_("Classes in streets that go to another department"), compared(_pairs))
DEADLINES = Forecast(_("Deadlines of open cases that move"), _deadlines)
HOLDERS = Forecast(_("Open work that somebody else holds then"), compared(_holders))
WAYS_IN = Forecast(_("Channels (reports of the last 30 days) that go another way"), compared(_ways_in))
CARDS = Forecast(_("Cards that the next scan gives"), compared(_cards))
REOPENABLE = Forecast(_("Cases asked about that may be reopened until another day"), compared(_reopenable))
CHIEFS = Forecast(_("Open cases that are on another street chief's segment"), compared(_chiefs))
CHECKERS = Forecast(_("Classes (open cases) that somebody else checks then"), compared(_checkers))
