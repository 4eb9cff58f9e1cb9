"""Letters: who gets which, numbered without gaps, read by cursor."""

import io
from collections.abc import Callable
from datetime import timedelta

import pytest
import uuid_utils.compat as uuid
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from fieldops.errors import NotPermitted
from fieldops.intake import Receipt
from fieldops.lifecycle import Submission
from fieldops.models import Event, FilingCondition, Post, ResponsibilityRule, User
from fieldops.steps import desk, fieldwork, followup
from gridmap.models import Cell
from realtime import mail
from realtime.models import Letter, LetterRetention, Mailbox, MailboxAck
from realtime.tasks import prune_letters
from tests.doing import chief_of, handled_by, handler_of

File = Callable[..., Receipt]


def kinds_for(post: Post) -> list[str]:
    return list(Letter.objects.filter(mailbox=post.pk).order_by("seq").values_list("kind", flat=True))


def test_each_one_concerned_hears_of_it_once(
    file_report: File, resident: User, intake_operator: User, dispatcher: User, condition: FilingCondition
) -> None:
    event = file_report(resident).event
    desk.accept(event.pk, by=intake_operator)
    desk.file(event.pk, by=intake_operator, condition_id=condition.pk)
    event = desk.dispatch(event.pk, by=dispatcher)
    order = event.work_orders.get()
    handled_by(handler_of(event), order)
    followup.confirm(event.pk, by=chief_of(event), resolved=True, submission=Submission(id=uuid.uuid7()))
    heard = {
        letter.mailbox.post.role: letter.kind for letter in Letter.objects.select_related("mailbox__post")
    }
    assert heard == {
        "intake_operator": "intake",
        "dispatcher": "assignment",
        "department_handler": "dispatch",
        "street_chief": "confirm",
        "resident": "answer",
    }


def test_rework_goes_to_the_same_post_and_a_return_to_the_dispatcher(dispatched: Event) -> None:
    order = dispatched.work_orders.get()
    handled_by(handler_of(dispatched), order)
    followup.confirm(
        dispatched.pk,
        by=chief_of(dispatched),
        resolved=False,
        note="还有残留",
        submission=Submission(id=uuid.uuid7()),
    )
    assert kinds_for(order.post) == ["dispatch", "rework"]
    again = dispatched.work_orders.get(finished_at__isnull=True)
    fieldwork.send_back(
        again.pk, by=handler_of(dispatched), submission=Submission(id=uuid.uuid7()), reason="不属我部门"
    )
    assert kinds_for(Post.objects.get(role="dispatcher")) == ["sent_back"]


def test_a_case_without_a_responsible_department_reaches_the_dispatcher(
    located: Event, intake_operator: User, condition: FilingCondition
) -> None:
    ResponsibilityRule.objects.all().delete()
    desk.accept(located.pk, by=intake_operator)
    event = desk.file(located.pk, by=intake_operator, condition_id=condition.pk)
    assert (event.status, event.department) == ("filed", None)
    assert kinds_for(Post.objects.get(role="dispatcher")) == ["assignment"]


def test_letters_are_numbered_without_gaps(file_report: File, resident: User) -> None:
    cells = Cell.objects.order_by("code")[:: Cell.objects.count() // 5][:5]
    for cell in cells:
        file_report(resident, at=cell)
    box = Mailbox.objects.get(post__role="intake_operator")
    assert box.last_seq == 5
    assert list(box.letters.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3, 4, 5]


def test_a_letter_carries_no_contact(file_report: File, resident: User) -> None:
    file_report(resident, contact_name="张建国", contact_phone="13800001234")
    assert "13800001234" not in str(Letter.objects.get().payload)
    assert "张建国" not in str(Letter.objects.get().payload)


@pytest.fixture
def box(file_report: File, resident: User) -> Mailbox:
    """The intake desk's mailbox with four letters."""
    for cell in Cell.objects.order_by("code")[:: Cell.objects.count() // 4][:4]:
        file_report(resident, at=cell)
    return Mailbox.objects.get(post__role="intake_operator")


def test_reading_continues_after_the_cursor(box: Mailbox) -> None:
    found = mail.read_letters(box.pk, epoch=box.epoch, cursor=2)
    assert ([letter["seq"] for letter in found.letters], found.reset, found.more) == ([3, 4], False, False)
    assert mail.read_letters(box.pk, epoch=None, cursor=0).letters[0]["seq"] == 1
    assert mail.read_letters(box.pk, epoch=box.epoch, cursor=4).letters == []


def test_a_window_says_that_there_is_more(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "WINDOW", 3)
    found = mail.read_letters(box.pk, epoch=box.epoch, cursor=0)
    assert ([letter["seq"] for letter in found.letters], found.more) == ([1, 2, 3], True)


def test_a_cursor_that_cannot_be_served_is_reset(box: Mailbox) -> None:
    for epoch, cursor in [(uuid.uuid4(), 2), (box.epoch, 99), (None, 2)]:
        found = mail.read_letters(box.pk, epoch=epoch, cursor=cursor)
        assert (found.reset, found.letters, found.last_seq) == (True, [], 4)


def test_acknowledging_is_cumulative_and_never_goes_back(box: Mailbox) -> None:
    device = uuid.uuid4()
    assert mail.acknowledge(box.pk, device=device, epoch=box.epoch, seq=3) == 3
    first = Letter.objects.get(mailbox=box, seq=1).received_at
    assert first is not None
    assert mail.acknowledge(box.pk, device=device, epoch=box.epoch, seq=1) == 3
    assert Letter.objects.get(mailbox=box, seq=1).received_at == first
    assert Letter.objects.get(mailbox=box, seq=4).received_at is None
    assert MailboxAck.objects.get().acked_seq == 3


def test_what_was_never_written_cannot_be_acknowledged(box: Mailbox) -> None:
    for epoch, seq in [(box.epoch, 5), (uuid.uuid4(), 1)]:
        with pytest.raises(NotPermitted):
            mail.acknowledge(box.pk, device=uuid.uuid4(), epoch=epoch, seq=seq)
    assert not MailboxAck.objects.exists()


def test_pruning_drops_a_prefix_and_late_cursors_are_reset(box: Mailbox) -> None:
    old = timezone.now() - timedelta(days=91)
    Letter.objects.filter(mailbox=box, seq__lte=2).update(created_at=old)
    assert prune_letters() == 2
    box.refresh_from_db()
    assert (box.pruned_seq, box.last_seq) == (2, 4)
    assert mail.read_letters(box.pk, epoch=box.epoch, cursor=1).reset
    assert [letter["seq"] for letter in mail.read_letters(box.pk, epoch=box.epoch, cursor=2).letters] == [
        3,
        4,
    ]


def test_a_reset_brings_all_that_waits_as_of_its_number(dispatched: Event, box: Mailbox) -> None:
    handler = dispatched.work_orders.get().post
    found = mail.read_letters(handler.pk, epoch=uuid.uuid4(), cursor=1)
    assert found.reset and found.last_seq == 1
    [order] = found.snapshot["orders"]
    assert (order["event"]["id"], order["post"]) == (str(dispatched.pk), handler.pk)
    desk_waits = mail.read_letters(box.pk, epoch=uuid.uuid4(), cursor=1).snapshot
    assert (len(desk_waits["cases"]), desk_waits["orders"], desk_waits["truncated"]) == (4, [], False)
    assert "reporter" not in str(desk_waits)


def test_a_reporters_snapshot_holds_their_own_cases(file_report: File, resident: User) -> None:
    event = file_report(resident).event
    mail.open_mailboxes(resident.posts.all())
    post = resident.posts.get()
    found = mail.read_letters(post.pk, epoch=uuid.uuid4(), cursor=0)
    assert [case["id"] for case in found.snapshot["cases"]] == [str(event.pk)]
    assert mail.read_letters(post.pk, epoch=found.epoch, cursor=0).snapshot is None


# --- pruning by policy, and a restored backup -----------------------------------------------------------


def aged(box: Mailbox, *, days: int, up_to: int) -> None:
    Letter.objects.filter(mailbox=box, seq__lte=up_to).update(
        created_at=timezone.now() - timedelta(days=days)
    )


def acknowledged(box: Mailbox, seq: int, *, days_ago: int = 0) -> None:
    device = uuid.uuid4()
    mail.acknowledge(box.pk, device=device, epoch=box.epoch, seq=seq)
    MailboxAck.objects.filter(device_id=device).update(last_seen=timezone.now() - timedelta(days=days_ago))


def test_what_every_device_has_stored_goes_earlier(box: Mailbox) -> None:
    aged(box, days=31, up_to=3)
    assert prune_letters() == 0  # nobody has stored anything
    acknowledged(box, 3)
    acknowledged(box, 2)
    acknowledged(box, 0, days_ago=31)  # a phone at the bottom of the river holds nothing up
    assert prune_letters() == 2
    acknowledged(box, 4)
    box.refresh_from_db()
    assert box.pruned_seq == 2


def test_a_district_decides_how_long_letters_are_kept(box: Mailbox) -> None:
    LetterRetention.objects.create(
        district=box.post.district, keep_days=5, keep_acknowledged_days=2, device_forgotten_days=30
    )
    aged(box, days=3, up_to=4)
    aged(box, days=6, up_to=1)
    acknowledged(box, 2)
    assert prune_letters() == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        LetterRetention.objects.update(keep_acknowledged_days=6)


def test_after_a_restore_every_device_takes_a_snapshot(box: Mailbox) -> None:
    acknowledged(box, 4)
    call_command("renew_epochs", stdout=io.StringIO())
    found = mail.read_letters(box.pk, epoch=box.epoch, cursor=4)
    assert found.reset and found.epoch != box.epoch and len(found.snapshot["cases"]) == 4
    with pytest.raises(NotPermitted):
        mail.acknowledge(box.pk, device=uuid.uuid4(), epoch=box.epoch, seq=4)
    again = mail.read_letters(box.pk, epoch=found.epoch, cursor=found.last_seq)
    assert not again.reset and again.letters == []
