"""Letters that nobody acknowledges: each stage once, in time, and nothing that leaves the house says too much."""

import email
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import uuid_utils.compat as uuid
from aiosmtpd.controller import Controller
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from devstack.places import free_port
from fieldops.intake import Receipt
from fieldops.lifecycle import Submission
from fieldops.models import Event, FilingCondition, Post, User
from fieldops.steps import desk, fieldwork, followup, joint
from realtime import mail, notify
from realtime.escalation import MOST_TRIES, escalate, send_notifications
from realtime.models import ContactDetail, DeliveryPolicy, Escalation, Letter, Mailbox, Notification
from realtime.notify import webhook
from realtime.proof import delivery_of
from tests.doing import handler_of, holder_of

File = Callable[..., Receipt]
SOON, LATER, LATEST = timedelta(seconds=61), timedelta(seconds=181), timedelta(seconds=601)


def acknowledge_all(post: Post) -> None:
    box = Mailbox.objects.get(pk=post.pk)
    mail.acknowledge(box.pk, device=uuid.uuid4(), epoch=box.epoch, seq=box.last_seq)


def stages() -> list[str]:
    return list(Escalation.objects.order_by("raised_at", "id").values_list("stage", flat=True))


@pytest.fixture
def post(dispatched: Event) -> Post:
    return dispatched.work_orders.get().post


def test_stage_after_stage_each_once(dispatched: Event, post: Post) -> None:
    now = timezone.now()
    assert escalate(at=now) == 0
    for after, recorded, told in [
        (SOON, ["recipient"], []),
        (LATER, ["recipient", "dispatcher"], ["dispatcher"]),
        (LATEST, ["recipient", "dispatcher", "supervisor"], ["dispatcher", "supervisor"]),
    ]:
        assert escalate(at=now + after) == 1
        assert escalate(at=now + after) == 0
        assert stages() == recorded
        warned = Letter.objects.filter(kind="undelivered").order_by("created_at")
        assert [letter.mailbox.post.role for letter in warned] == told
    warning = Letter.objects.filter(kind="undelivered").first()
    assert (warning.payload["post"], warning.payload["letter"]) == (post.name, "dispatch")
    assert escalate(at=now + timedelta(days=2)) == 0  # a warning is not warned of


def test_what_is_acknowledged_goes_no_further(dispatched: Event, post: Post) -> None:
    now = timezone.now()
    escalate(at=now + SOON)
    acknowledge_all(post)
    assert escalate(at=now + LATEST) == 0
    dispatched.work_orders.get()
    assert dispatched.work_orders.get().received_at is not None


def test_what_is_taken_on_or_recalled_without_an_acknowledgement_is_moot(
    dispatched: Event, post: Post, dispatcher: User
) -> None:
    order = dispatched.work_orders.get()
    fieldwork.take_on(order.pk, by=handler_of(dispatched), submission=Submission(id=uuid.uuid7()))
    assert escalate(at=timezone.now() + LATEST) == 0
    desk.recall(dispatched.pk, by=dispatcher, reason="改派")
    escalate(at=timezone.now() + SOON)
    assert list(Escalation.objects.values_list("kind", "stage")) == [("recall", "recipient")]


def test_who_is_called_to_assist_is_followed_up_like_the_lead(dispatched: Event, dispatcher: User) -> None:
    other = Post.objects.exclude(department=dispatched.department_id).get(
        role="department_handler", unit__level=1, department__name__contains="园林"
    )
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[other.department_id], reason="协办")
    order = dispatched.work_orders.get(part="assist")
    escalate(at=timezone.now() + SOON)
    assert Escalation.objects.filter(kind="assist", stage="recipient").count() == 1
    acknowledge_all(other)
    order.refresh_from_db()
    assert order.received_at is not None
    escalate(at=timezone.now() + LATEST)
    assert Escalation.objects.filter(kind="assist").count() == 1


def test_a_task_that_is_over_is_not_followed_up(located: Event, intake_operator: User) -> None:
    desk.accept(located.pk, by=intake_operator)
    event = followup.ask_verification(located.pk, by=intake_operator)
    DeliveryPolicy.objects.create(
        district=event.district, kind="verify", recipient_after=60, dispatcher_after=180, supervisor_after=600,
        since=timezone.now() - timedelta(days=1),
    )  # fmt: skip
    Letter.objects.filter(kind="verify").update(created_at=timezone.now() + timedelta(seconds=1))
    escalate(at=timezone.now() + SOON + timedelta(seconds=2))
    assert Escalation.objects.filter(kind="verify").count() == 1
    followup.verify_for(event.pk, by=intake_operator, found="confirmed")
    escalate(at=timezone.now() + LATEST + timedelta(seconds=2))
    assert Escalation.objects.filter(kind="verify").count() == 1


def test_a_row_says_when_and_of_what(dispatched: Event, post: Post, dispatcher: User) -> None:
    later = timezone.now() + timedelta(hours=3)
    DeliveryPolicy.objects.create(
        district=dispatched.district, kind="dispatch", recipient_after=14_000, dispatcher_after=15_000,
        supervisor_after=16_000, since=timezone.now() - timedelta(days=1),
    )  # fmt: skip
    assert escalate(at=later) == 0
    policy = DeliveryPolicy(district=dispatched.district, kind="confirm", adapters=["pigeon"])
    with pytest.raises(ValidationError, match="pigeon"):
        policy.full_clean()
    for wrong in ({"recipient_after": 999}, {"kind": "undelivered"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            DeliveryPolicy.objects.create(**{"district": dispatched.district, "kind": "recall", **wrong})


def test_the_constraint_and_not_the_code_keeps_a_stage_single(dispatched: Event, post: Post) -> None:
    escalate(at=timezone.now() + SOON)
    twin = Escalation.objects.get()
    twin.pk = uuid.uuid7()
    with pytest.raises(IntegrityError, match="a_letter_reaches_a_stage_once"):
        twin.save(force_insert=True)


def test_the_whole_delivery_is_told_in_order(dispatched: Event, post: Post) -> None:
    escalate(at=timezone.now() + SOON)
    acknowledge_all(post)
    order, handler = dispatched.work_orders.get(), handler_of(dispatched)
    fieldwork.note_seen(order.pk, by=handler)
    fieldwork.take_on(order.pk, by=handler, submission=Submission(id=uuid.uuid7()))
    Escalation.objects.update(raised_at=Letter.objects.get(kind="dispatch").created_at)
    facts = delivery_of(dispatched)
    kinds = [fact["kind"] for fact in facts]
    assert sorted(kinds[:2]) == ["sent", "told_recipient"]
    assert kinds[2:] == ["received", "seen", "accepted"]
    assert {fact["post"] for fact in facts} == {post.name}


def test_the_queue_is_for_those_who_watch_and_empties_itself(
    dispatched: Event, post: Post, dispatcher: User, intake_operator: User, resident: User, outsider: User
) -> None:
    def queue(user: User) -> Any:
        client = Client()
        client.force_login(user)
        return client.get("/api/command/undelivered")

    escalate(at=timezone.now() + SOON)
    assert queue(dispatcher).json()["letters"] == []
    escalate(at=timezone.now() + LATEST)
    [entry] = queue(dispatcher).json()["letters"]
    assert (entry["event"], entry["post"], entry["stage"]) == (str(dispatched.pk), post.name, "supervisor")
    assert queue(intake_operator).json()["letters"] == []
    assert queue(resident).status_code == queue(outsider).status_code == 403
    acknowledge_all(post)
    assert queue(dispatcher).json()["letters"] == []


# --- what leaves the house ------------------------------------------------------------------------------


class Inbox:
    """A real SMTP server that can be told to refuse."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.mails.append(envelope)
        return self.answer


@pytest.fixture
def inbox(settings: Any) -> Iterator[Inbox]:
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.DEFAULT_FROM_EMAIL = "grid@example.org"
    yield inbox
    controller.stop()


@pytest.fixture
def reachable(post: Post) -> User:
    handler = holder_of(post)
    ContactDetail.objects.create(user=handler, adapter="email", address="duty@example.org")
    return handler


def test_a_mail_goes_out_once_and_says_no_more_than_it_must(
    file_report: File, grid_worker: User, condition: FilingCondition, inbox: Inbox
) -> None:
    event = file_report(
        grid_worker, condition_id=condition.pk, description="张建国 13800001234 家门口", contact_name="张建国"
    ).event
    handler = handler_of(event)
    ContactDetail.objects.create(user=handler, adapter="email", address="duty@example.org")
    escalate(at=timezone.now() + SOON)
    later = timezone.now() + LATER
    assert send_notifications(at=later) == 1
    assert send_notifications(at=later + timedelta(days=1)) == 0
    [envelope] = inbox.mails
    assert envelope.rcpt_tos == ["duty@example.org"]
    mail_sent = email.message_from_bytes(envelope.content, policy=email.policy.default)
    row = Notification.objects.get()
    assert mail_sent["Message-ID"] == f"<{row.pk}@example.org>"
    words = str(mail_sent["Subject"]) + mail_sent.get_content()
    assert event.number in words and "请" in words
    for hidden in ("张建国", "13800001234", "家门口", grid_worker.display_name, handler.display_name):
        assert hidden not in words
    assert row.sent_at is not None


def test_a_server_that_is_busy_is_tried_again_with_the_same_key(reachable: User, inbox: Inbox) -> None:
    escalate(at=timezone.now() + SOON)
    inbox.answer = "451 try later"
    at = timezone.now() + SOON
    assert send_notifications(at=at) == 0
    first = Notification.objects.get()
    assert (first.tries, first.sent_at, first.problem) == (1, None, "answered 451")
    assert send_notifications(at=at) == 0
    assert Notification.objects.get().tries == 1  # not before its pause is over
    inbox.answer = "250 OK"
    assert send_notifications(at=first.next_try_at) == 1
    assert f"<{first.pk}@" in inbox.mails[0].content.decode()


def test_a_server_that_says_no_is_believed(reachable: User, inbox: Inbox) -> None:
    escalate(at=timezone.now() + SOON)
    inbox.answer = "554 no such user"
    send_notifications(at=timezone.now() + SOON)
    row = Notification.objects.get()
    assert (row.next_try_at, row.sent_at, row.problem) == (None, None, "answered 554")


def test_one_that_never_answers_is_given_up_after_eight_tries(reachable: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    escalate(at=timezone.now() + SOON)
    at, pauses = timezone.now() + SOON, []
    while (row := Notification.objects.get()).next_try_at:
        at = row.next_try_at
        send_notifications(at=at)
        row.refresh_from_db()
        pauses += [(row.next_try_at - at).total_seconds()] if row.next_try_at else []
    assert row.tries == MOST_TRIES
    assert pauses == [5, 10, 20, 40, 80, 160, 320]


def test_who_left_the_post_is_not_alerted(reachable: User, post: Post) -> None:
    post.holdings.filter(user=reachable).update(until=timezone.now())
    escalate(at=timezone.now() + LATER)
    assert not Notification.objects.exists()


class Gateway:
    """A real HTTP server that keeps what it was sent and answers as told."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answer = 204
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gateway.posts.append((dict(self.headers), body))
                self.send_response(gateway.answer)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def gateway(settings: Any) -> Iterator[Gateway]:
    gateway = Gateway()
    settings.NOTIFY_WEBHOOK_ORIGINS = [gateway.origin]
    settings.NOTIFY_WEBHOOK_SECRET = "a shared secret"
    yield gateway
    gateway.server.shutdown()
    gateway.server.server_close()


def test_a_webhook_is_signed_and_repeats_its_key(dispatched: Event, post: Post, gateway: Gateway) -> None:
    ContactDetail.objects.create(
        user=holder_of(post), adapter="webhook", address=f"{gateway.origin}/alerts?team=3"
    )
    escalate(at=timezone.now() + SOON)
    gateway.answer = 503
    at = timezone.now() + SOON
    send_notifications(at=at)
    gateway.answer = 204
    assert send_notifications(at=at + timedelta(minutes=1)) == 1
    (headers, body), (again, _) = gateway.posts
    key = str(Notification.objects.get().pk)
    assert headers["Idempotency-Key"] == again["Idempotency-Key"] == json.loads(body)["key"] == key
    at_second = int(headers["X-Signature"].split(",")[0].removeprefix("t="))
    assert headers["X-Signature"] == webhook.signature(body, at=at_second)
    assert json.loads(body)["number"] == dispatched.number
    assert dispatched.description not in body.decode()


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.org/",
        "https://other.example.org/",
        "https://hooks.example.org:8443/",
        "https://hooks.example.org@169.254.169.254/",
        "https://user:word@hooks.example.org/",
        "https://HOOKS.example.org.evil.net/",
        "file:///etc/passwd",
        "gopher://hooks.example.org/",
        "http://127.0.0.1:6379/",
        "https://[::1",
        "",
    ],
)
def test_a_webhook_reaches_no_further_than_it_is_allowed(settings: Any, address: str) -> None:
    settings.NOTIFY_WEBHOOK_ORIGINS = ["https://hooks.example.org"]
    with pytest.raises(ValueError, match=r"."):
        webhook.check(address)
    with pytest.raises(notify.NotSent) as refused:
        webhook.send(notify.Message(uuid.uuid7(), "s", "t", {}), address)
    assert refused.value.for_good


def test_an_allowed_address_and_no_redirect(settings: Any, gateway: Gateway) -> None:
    settings.NOTIFY_WEBHOOK_ORIGINS = ["https://hooks.example.org", gateway.origin]
    webhook.check("https://hooks.example.org/x")
    gateway.answer = 307
    with pytest.raises(notify.NotSent, match="answered 307") as refused:
        webhook.send(notify.Message(uuid.uuid7(), "s", "t", {}), gateway.origin + "/")
    assert refused.value.for_good
    assert len(gateway.posts) == 1


def test_a_contact_has_to_be_one_its_adapter_can_reach(resident: User) -> None:
    for adapter, address in (("email", "nobody"), ("webhook", "https://else.example/"), ("pigeon", "x")):
        with pytest.raises(ValidationError):
            ContactDetail(user=resident, adapter=adapter, address=address).full_clean()
    ContactDetail(user=resident, adapter="email", address="a@example.org").full_clean()
