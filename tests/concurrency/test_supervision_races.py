"""Two schedulers at once, as real processes, and one of them killed in the middle of a card: each card once, none skipped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from fieldops.intake import receive
from fieldops.models import Event, EventClass, FilingCondition, Supervision, SupervisionRule, Transition, User
from fieldops.steps.supervision import speaks_for, supervise
from gridmap.models import Cell
from realtime import mail
from realtime.escalation import escalate
from realtime.models import ContactDetail, DeliveryPolicy, Letter, Mailbox, Notification
from tests.doing import database, draft_of, handler_of

pytestmark = pytest.mark.usefixtures("committed")
CASES = 6
SCAN = """
import django; django.setup()
from fieldops.steps.supervision import supervise_by_rules
print(supervise_by_rules())
"""
SEND = """
import datetime, sys, django; django.setup()
from realtime.escalation import send_notifications
print(send_notifications(at=datetime.datetime.fromisoformat(sys.argv[1])))
"""


@pytest.fixture
def rule(committed: None) -> Iterator[SupervisionRule]:
    """A yellow card to the community when the case is due."""
    made = SupervisionRule.objects.create(
        district_id=Cell.objects.first().district_id,
        occasion="case",
        percent=101,
        card="yellow",
        level=4,
        since=timezone.now() - timedelta(days=3650),
    )
    yield made
    SupervisionRule.objects.filter(pk=made.pk).delete()


@pytest.fixture
def overdue(committed: None) -> list[Event]:
    """Cases of as many communities, due one after the other a year ago."""
    worker = User.objects.get(username="worker001")
    kind = EventClass.objects.get(kind="event", major="01", minor="03")
    condition = FilingCondition.objects.filter(event_class=kind).first()
    cells = {cell.community_id: cell for cell in Cell.objects.order_by("code")}
    made = []
    for number, cell in enumerate(list(cells.values())[:CASES]):
        event = receive(draft_of(worker, cell, kind, condition_id=condition.pk)).event
        due = timezone.now() - timedelta(days=365 - number)
        Event.objects.filter(pk=event.pk).update(due_at=due, warn_at=due - timedelta(hours=1))
        made.append(event)
    return made


def scheduler(name: str, what: str = SCAN, *given: str, **more: str) -> subprocess.Popen[str]:
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}",
        "PGAPPNAME": name,
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-c", what, *given],
        env=env,
        cwd=settings.BASE_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until(watch: psycopg.Connection, name: str, *, waits: bool) -> None:
    """Until the scheduler's session waits for a lock, or has ended."""
    for _try in range(600):
        found = watch.execute(
            "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = %s", [name]
        ).fetchall()
        if (("Lock",) in found) if waits else not found:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} never got there")


def test_two_schedulers_and_a_kill_in_between(rule: SupervisionRule, overdue: list[Event]) -> None:
    # In the middle: the third card is inserted and its letter waits for a mailbox that somebody else holds.
    addressed = speaks_for(overdue[2], 4)
    mail.open_mailboxes([addressed.post])
    with (
        psycopg.connect(**database(connection.settings_dict["NAME"])) as holder,
        psycopg.connect(**database(connection.settings_dict["NAME"]), autocommit=True) as watch,
    ):
        holder.execute("SELECT FROM realtime_mailbox WHERE post_id = %s FOR UPDATE", [addressed.post.pk])
        first = scheduler("first_scheduler")
        wait_until(watch, "first_scheduler", waits=True)
        assert Supervision.objects.count() == 2
        second = scheduler("second_scheduler")
        wait_until(watch, "second_scheduler", waits=True)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        wait_until(watch, "second_scheduler", waits=True)  # now at the same card, for the same mailbox
        assert Supervision.objects.count() == 2  # what the killed one had begun is gone with it
        holder.rollback()
    given = int(second.communicate(timeout=60)[0])
    again = scheduler("first_scheduler")  # started anew
    assert (given, int(again.communicate(timeout=60)[0])) == (CASES - 2, 0)
    for event in overdue:
        assert Supervision.objects.filter(event=event, rule=rule).count() == 1
        assert Transition.objects.filter(event=event, kind="supervise").count() == 1
        assert Letter.objects.filter(event=event, kind="supervision").count() == 1
    for box in Mailbox.objects.all():
        assert list(box.letters.order_by("seq").values_list("seq", flat=True)) == list(
            range(1, box.last_seq + 1)
        )


def test_two_schedulers_side_by_side(rule: SupervisionRule, overdue: list[Event]) -> None:
    both = [scheduler(f"scheduler_{number}") for number in range(2)]
    given = [int(one.communicate(timeout=60)[0]) for one in both]
    assert sum(given) == CASES == Supervision.objects.count()
    assert Letter.objects.filter(kind="supervision").count() == CASES


def test_a_card_that_leaves_the_house_twice_has_the_same_key(overdue: list[Event], tmp_path: Path) -> None:
    """Killed after the message went out and before that was noted: it goes again, and the receiver can tell."""
    event, at = overdue[0], timezone.now() + timedelta(seconds=61)
    handler = handler_of(event)
    rows = [
        DeliveryPolicy.objects.create(district_id=event.district_id, kind="supervision", adapters=["sms"]),
        ContactDetail.objects.create(user=handler, adapter="sms", address="13800001234"),
    ]
    sent = tmp_path / "sent"
    more = {"NOTIFY_ADAPTERS": "sms=tests.realtime.stalling_adapter", "SENT_KEYS": str(sent)}
    try:
        supervise(event.pk, by=User.objects.get(username="supervisor"), card="red", reason="逾期未办")
        escalate(at=at)
        first = scheduler("first_sender", SEND, at.isoformat(), STALLS="1", **more)
        for _try in range(600):
            if sent.exists() and sent.read_text():
                break
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        later = at + timedelta(minutes=5)  # the claim of the dead one is over
        again = scheduler("second_sender", SEND, later.isoformat(), **more)
        assert int(again.communicate(timeout=60)[0]) == 1
    finally:
        for row in rows:
            row.delete()
    [alert] = Notification.objects.filter(escalation__kind="supervision")
    assert alert.sent_at is not None
    assert sent.read_text().split() == [str(alert.pk)] * 2
