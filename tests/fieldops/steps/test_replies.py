"""回复: owed to whoever reported through a desk, by the kind of matter; given once, by a desk, whatever became of the case."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import uuid_utils.compat as uuid
from django.db import IntegrityError, transaction

from fieldops.errors import AlreadyReplied, NotFound, NotPermitted, ReasonMissing
from fieldops.intake import Receipt
from fieldops.models import REPLY_HOURS, Channel, Matter, ReplyLimit, User
from fieldops.rights import current_posts
from fieldops.steps import desk, replies

File = Callable[..., Receipt]


@pytest.mark.parametrize("matter", Matter)
def test_the_kind_of_matter_says_by_when(file_report: File, intake_operator: User, matter: str) -> None:
    report = file_report(intake_operator, matter=matter, external_number="12345-7").report
    assert (report.channel, report.matter) == (Channel.HOTLINE_12345, matter)
    assert report.reply_due_at == report.received_at + timedelta(hours=REPLY_HOURS[Matter(matter)])


def test_a_district_has_limits_of_its_own_and_a_matter_is_general_unless_said(
    file_report: File, intake_operator: User
) -> None:
    before = file_report(intake_operator)
    assert before.report.matter == Matter.GENERAL
    ReplyLimit.objects.create(district=before.event.district, matter=Matter.GENERAL, hours=48)
    report = file_report(intake_operator).report
    assert report.reply_due_at == report.received_at + timedelta(hours=48)


@pytest.mark.parametrize("who", ["resident", "grid_worker"])
def test_who_reports_by_an_app_sees_how_things_stand_and_is_owed_none(
    request: pytest.FixtureRequest, file_report: File, who: str, intake_operator: User
) -> None:
    report = file_report(request.getfixturevalue(who), matter=Matter.EMERGENCY).report
    assert (report.matter, report.reply_due_at) == ("", None)
    with pytest.raises(NotFound):
        replies.reply(report.pk, by=intake_operator, words="已处理")


def test_what_was_told_stands_in_the_history_once(file_report: File, intake_operator: User) -> None:
    """Also of a case that was declined: its reporter above all wants to know."""
    receipt = file_report(intake_operator, external_number="12345-7")
    [owed] = replies.owed_by(intake_operator, current_posts(intake_operator))
    assert (owed["id"], owed["external_number"]) == (str(receipt.report.pk), "12345-7")
    desk.decline(receipt.event.pk, by=intake_operator, reason="不属实")
    with pytest.raises(ReasonMissing):
        replies.reply(receipt.report.pk, by=intake_operator, words=" ")
    event = replies.reply(receipt.report.pk, by=intake_operator, words="经核实不属本区职责，已转告")
    step = event.transitions.latest("version")
    assert (step.kind, step.to_status, step.reason) == ("reply", "declined", "经核实不属本区职责，已转告")
    assert step.data == {"report": str(receipt.report.pk), "external_number": "12345-7"}
    receipt.report.refresh_from_db()
    assert receipt.report.replied_at == step.recorded_at
    assert replies.owed_by(intake_operator, current_posts(intake_operator)) == []
    with pytest.raises(AlreadyReplied):
        replies.reply(receipt.report.pk, by=intake_operator, words="再次回复")
    assert event.transitions.filter(kind="reply").count() == 1


@pytest.mark.parametrize(
    ("who", "refusal"),
    [("outsider", NotFound), ("resident", NotFound), ("dispatcher", NotPermitted)],
)
def test_others_reply_to_nobody(
    request: pytest.FixtureRequest,
    file_report: File,
    intake_operator: User,
    who: str,
    refusal: type[Exception],
) -> None:
    receipt = file_report(intake_operator)
    person = request.getfixturevalue(who)
    with pytest.raises(refusal):
        replies.reply(receipt.report.pk, by=person, words="已处理")
    assert replies.owed_by(person, current_posts(person)) == []


def test_a_reply_to_nobody_is_not_found(intake_operator: User) -> None:
    with pytest.raises(NotFound):
        replies.reply(uuid.uuid7(), by=intake_operator, words="已处理")


def test_the_database_keeps_a_reply_to_a_kind_of_matter(file_report: File, intake_operator: User) -> None:
    report = file_report(intake_operator).report
    for changes in ({"matter": ""}, {"reply_due_at": None}, {"matter": "other"}):
        with pytest.raises(IntegrityError, match="a_reply_is_due"), transaction.atomic():
            type(report).objects.filter(pk=report.pk).update(**changes)
