"""Two schedulers at once, as real processes, and one of them killed in the middle of a card: each card once, none skipped."""

import asyncio
import email
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import psycopg
import pytest
from aiosmtpd.controller import Controller
from django.conf import settings
from django.db import connection
from django.utils import timezone

from devstack.places import free_port
from fieldops.intake import receive
from fieldops.models import (
    Event,
    EventClass,
    FilingCondition,
    Post,
    Supervision,
    SupervisionRule,
    Transition,
    User,
)
from fieldops.steps.supervision import speaks_for, supervise
from gridmap.models import Cell
from realtime import mail
from realtime.escalation import escalate
from realtime.models import ContactDetail, DeliveryPolicy, Escalation, Letter, Mailbox, Notification
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
ESCALATE = """
import datetime, sys, django; django.setup()
from realtime.escalation import escalate
print(escalate(at=datetime.datetime.fromisoformat(sys.argv[1])))
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


def test_a_scan_killed_in_the_middle_of_an_escalation_leaves_it_to_the_next(overdue: list[Event]) -> None:
    """Nobody's device has the dispatch: its stages are recorded, and the warning waits for a mailbox held elsewhere."""
    event = overdue[0]
    desk = Post.objects.get(holders__username="dispatch1")
    mail.open_mailboxes([desk])
    at = timezone.now() + timedelta(seconds=181)
    with (
        psycopg.connect(**database(connection.settings_dict["NAME"])) as holder,
        psycopg.connect(**database(connection.settings_dict["NAME"]), autocommit=True) as watch,
    ):
        holder.execute("SELECT FROM realtime_mailbox WHERE post_id = %s FOR UPDATE", [desk.pk])
        first = scheduler("first_scan", ESCALATE, at.isoformat())
        wait_until(watch, "first_scan", waits=True)
        second = scheduler("second_scan", ESCALATE, at.isoformat())
        assert int(second.communicate(timeout=60)[0]) == 0  # these letters are the first one's
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        holder.rollback()
        wait_until(watch, "first_scan", waits=False)
        assert not Escalation.objects.exists()  # what the killed one had begun is gone with it
    both = [scheduler(f"scan_{number}", ESCALATE, at.isoformat()) for number in range(2)]
    assert sum(int(one.communicate(timeout=60)[0]) for one in both) == 2 * CASES
    stages = Escalation.objects.filter(event=event).order_by("stage").values_list("stage", flat=True)
    assert list(stages) == ["dispatcher", "recipient"]
    assert Letter.objects.filter(event=event, kind="undelivered", mailbox=desk.pk).count() == 1


class Receiver(Protocol):
    """Somewhere outside: what it was sent, by key, and whether it answers."""

    adapter: str
    address: str
    keys: list[str]
    answers: threading.Event
    env: dict[str, str]

    def close(self) -> None:
        """Take no more."""


class MailServer:
    """A real SMTP server that takes a mail and may leave its sender without an answer."""

    adapter, address = "email", "duty@example.org"

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.answers = threading.Event()
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.controller.start()
        self.env = {"EMAIL_URL": f"smtp://127.0.0.1:{self.controller.port}"}

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message_id = email.message_from_bytes(envelope.content)["Message-ID"]
        self.keys.append(message_id.strip("<>").partition("@")[0])
        while not self.answers.is_set():
            await asyncio.sleep(0.05)
        return "250 OK"

    def close(self) -> None:
        self.answers.set()
        self.controller.stop()


class Gateway:
    """A real HTTP server that does the same, as one that sends SMS would."""

    adapter = "webhook"

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.answers = threading.Event()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                gateway.keys.append(self.headers["Idempotency-Key"])
                gateway.answers.wait()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{self.server.server_port}"
        self.address, self.env = f"{origin}/sms", {"NOTIFY_WEBHOOK_ORIGINS": origin}

    def close(self) -> None:
        self.answers.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("kind", [MailServer, Gateway])
def test_what_leaves_the_house_twice_has_the_same_key(
    overdue: list[Event], kind: Callable[[], Receiver]
) -> None:
    """Killed after the message went out and before that was noted: it goes again, and the receiver can tell."""
    event, at = overdue[0], timezone.now() + timedelta(seconds=61)
    receiver = kind()
    rows = [
        DeliveryPolicy.objects.create(
            district_id=event.district_id, kind="supervision", adapters=[receiver.adapter]
        ),
        ContactDetail.objects.create(
            user=handler_of(event), adapter=receiver.adapter, address=receiver.address
        ),
    ]
    try:
        supervise(event.pk, by=User.objects.get(username="supervisor"), card="red", reason="逾期未办")
        escalate(at=at)
        Notification.objects.exclude(escalation__kind="supervision").delete()
        first = scheduler("first_sender", SEND, at.isoformat(), **receiver.env)
        for _try in range(600):
            if receiver.keys:
                break
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        receiver.answers.set()
        # The dead one's claim is a lease: nobody sends before it is over, and then one of two does.
        early = scheduler("early_sender", SEND, at.isoformat(), **receiver.env)
        assert int(early.communicate(timeout=60)[0]) == 0
        later = at + timedelta(minutes=5)
        both = [scheduler(f"sender_{n}", SEND, later.isoformat(), **receiver.env) for n in range(2)]
        assert sum(int(one.communicate(timeout=60)[0]) for one in both) == 1
    finally:
        receiver.close()
        for row in rows:
            row.delete()
    [alert] = Notification.objects.all()
    assert alert.sent_at is not None
    assert receiver.keys == [str(alert.pk)] * 2
