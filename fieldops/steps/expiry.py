"""Dispatches that nobody takes on: after the district's limit the dispatcher is told, once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from fieldops.clocks.cases import side_clock_of
from fieldops.clocks.deadlines import Clock, Limit, calendar_of
from fieldops.lifecycle import SYSTEM, lock_event, now, record, take_step
from fieldops.models import Event, LimitUnit, Part, Stage, StageLimit, WorkOrder
from fieldops.status import TABLE, Status, Step
from gridmap.models import CalendarDay


def not_taken_on(*, at: datetime) -> Iterator[UUID]:
    """The open work orders whose limit for taking on has passed, and of which nobody has been told.

    An urgent case's limit runs without a break, any other in the district's working time.
    """
    for limit in StageLimit.objects.filter(stage=Stage.SIGN_IN).select_related("district"):
        waiting = WorkOrder.objects.filter(
            # The lead's waits while the case does; one beside it whatever the lead is at.
            Q(event__status=Status.DISPATCHED, part=Part.LEAD)
            | (~Q(part=Part.LEAD) & Q(event__status__in=list(TABLE[Step.EXPIRE].sources))),
            event__district=limit.district,
            event__condition__urgent=limit.urgent,
            taken_on_at__isnull=True,
            finished_at__isnull=True,
            expired_at__isnull=True,
            # Working time never passes faster than natural time.
            dispatched_at__lte=at - timedelta(minutes=limit.minutes),
        )
        orders = list(waiting.select_related("event__condition", "event__district").order_by("dispatched_at"))
        if not orders:
            continue
        days = CalendarDay.objects.filter(district=limit.district).values_list("day", "working")
        calendar = calendar_of(limit.district, days)
        runs_for = Limit(limit.minutes, LimitUnit.MINUTE, limit.urgent)
        for order in orders:
            if order.part == Part.LEAD:
                clock = Clock(runs_for, calendar).start(order.dispatched_at)
            else:
                # It rests while the case is deferred.
                clock = replace(side_clock_of(order.event, order, calendar), limit=runs_for)
            due = clock.due()
            if due is not None and due.at <= at:
                yield order.pk


@transaction.atomic
def expire(order_id: UUID) -> bool:
    """Record that the work order was not taken on in time; the dispatch stands, the dispatcher decides.

    False when somebody was faster: it is taken on, ended, or was told of before.
    """
    event_id = WorkOrder.objects.filter(pk=order_id).values_list("event_id", flat=True).get()
    event = lock_event(Event.objects.all(), event_id)
    at = now()
    still_waiting = WorkOrder.objects.filter(
        pk=order_id, taken_on_at__isnull=True, finished_at__isnull=True, expired_at__isnull=True
    )
    if not still_waiting.update(expired_at=at):
        return False
    order = WorkOrder.objects.get(pk=order_id)
    record(event, [take_step(event, Step.EXPIRE, actor=SYSTEM, at=at, work_order=order)])
    return True
