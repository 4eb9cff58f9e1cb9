"""并案: near cases are proposed, a desk merges them, and everybody who reported gets an answer."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import uuid_utils.compat as uuid
from django.db import IntegrityError, transaction
from django.test import Client

from fieldops.duplicates import could_join, reports_of
from fieldops.errors import IllegalTransition, IntoItself, NotFound, NotPermitted, ReasonMissing, StaleVersion
from fieldops.intake import Receipt
from fieldops.models import CallBack, Event, EventClass, Photo, User
from fieldops.queries import photo_visible_to, whole_case
from fieldops.rights import events_visible_to
from fieldops.steps import desk, followup, merging, replies, satisfaction
from gridmap.models import Cell
from realtime.models import Letter
from tests.doing import Phone, chief_of, handled_by, handler_of, inside, key, photo_for

File = Callable[..., Receipt]


@pytest.fixture
def again(file_report: File, other_resident: User, dispatched: Event) -> Event:
    """What a resident reports of a problem that somebody is on the way to."""
    event = file_report(other_resident, description="又是这个坑").event
    assert event.status == "located"
    return event


def test_a_near_case_is_proposed_nearest_first(
    again: Event, dispatched: Event, cell: Cell, file_report: File, resident: User, intake_operator: User
) -> None:
    _x, y = inside(cell)
    nearby = file_report(resident, y=y + 20 / 111_000).event
    file_report(resident, y=y + 90 / 111_000)
    file_report(resident, class_key=EventClass.objects.get(kind="event", major="01", minor="04").key)
    seen = events_visible_to(intake_operator)
    found = could_join(again, seen)
    assert found == [dispatched, nearby]
    assert [round(one.distance.m) for one in found] == [0, 20]  # type: ignore[attr-defined]
    Event.objects.filter(pk=nearby.pk).update(received_at=again.received_at - timedelta(hours=25))
    assert could_join(again, seen) == [dispatched]
    assert could_join(again, Event.objects.none()) == []


def test_the_case_ends_and_the_other_goes_on_for_both(
    again: Event, dispatched: Event, intake_operator: User, other_resident: User, grid_worker: User
) -> None:
    event = merging.merge(again.pk, by=intake_operator, into=dispatched.pk, note="同一处")
    event.refresh_from_db()
    assert (event.status, event.merged_into, event.is_open) == ("merged", dispatched, None)
    other = Event.objects.get(pk=dispatched.pk)
    assert (other.status, other.version) == ("dispatched", dispatched.version + 1)
    assert [report.reporter for report in reports_of(other)] == [grid_worker, other_resident]
    merged, joined = event.transitions.latest("version"), other.transitions.latest("version")
    assert (merged.kind, merged.data) == ("merge", {"into": str(other.pk), "number": other.number})
    assert (joined.kind, joined.data) == ("join", {"joined": str(event.pk), "number": event.number})
    assert joined.by == intake_operator
    # Its reporter hears that it goes on under another number, and who is on the way hears of another report.
    answer = Letter.objects.get(kind="answer", event=event)
    assert (answer.payload["into"], answer.mailbox_id) == (other.number, event.reports.get().post_id)
    assert Letter.objects.get(kind="joined").mailbox_id == other.work_orders.get().post_id
    whole = whole_case(other)
    assert [report["number"] for report in whole["reports"]] == [None, event.number]
    assert whole_case(event)["merged_into"] == {"id": str(other.pk), "number": other.number}


def test_what_had_joined_follows(
    again: Event, dispatched: Event, file_report: File, resident: User, intake_operator: User
) -> None:
    first = file_report(resident).event
    merging.merge(first.pk, by=intake_operator, into=again.pk)
    merging.merge(again.pk, by=intake_operator, into=dispatched.pk)
    first.refresh_from_db()
    assert first.merged_into == dispatched
    assert reports_of(dispatched).count() == 3


@pytest.mark.parametrize(
    ("who", "refusal"),
    [("outsider", NotFound), ("resident", NotFound), ("dispatcher", NotPermitted), ("grid_worker", NotFound)],
)
def test_others_merge_nothing(
    request: pytest.FixtureRequest, again: Event, dispatched: Event, who: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        merging.merge(again.pk, by=request.getfixturevalue(who), into=dispatched.pk)
    again.refresh_from_db()
    assert (again.status, again.merged_into) == ("located", None)


def test_what_is_over_or_too_far_on_is_not_merged(
    again: Event, dispatched: Event, intake_operator: User, file_report: File, resident: User
) -> None:
    with pytest.raises(IntoItself):
        merging.merge(again.pk, by=intake_operator, into=again.pk)
    with pytest.raises(NotFound):
        merging.merge(again.pk, by=intake_operator, into=uuid.uuid7())
    with pytest.raises(IllegalTransition):
        merging.merge(dispatched.pk, by=intake_operator, into=again.pk)
    with pytest.raises(StaleVersion):
        merging.merge(again.pk, by=intake_operator, into=dispatched.pk, version=again.version + 1)
    over = file_report(resident).event
    desk.decline(over.pk, by=intake_operator, reason="不属实")
    with pytest.raises(IllegalTransition):
        merging.merge(again.pk, by=intake_operator, into=over.pk)
    again.refresh_from_db()
    assert again.status == "located"
    assert not dispatched.transitions.filter(kind="join").exists()


def test_the_task_to_look_ends_with_it(again: Event, dispatched: Event, intake_operator: User) -> None:
    desk.accept(again.pk, by=intake_operator)
    followup.ask_verification(again.pk, by=intake_operator)
    merging.merge(again.pk, by=intake_operator, into=dispatched.pk)
    assert again.checks.get().ended_at is not None


def test_it_was_another_problem_after_all(again: Event, dispatched: Event, intake_operator: User) -> None:
    merging.merge(again.pk, by=intake_operator, into=dispatched.pk)
    with pytest.raises(ReasonMissing):
        merging.separate(again.pk, by=intake_operator, reason=" ")
    event = merging.separate(again.pk, by=intake_operator, reason="在路对面")
    event.refresh_from_db()
    assert (event.status, event.merged_into, event.is_open) == ("located", None, True)
    assert event.stage_due_at is not None
    assert reports_of(dispatched).count() == 1
    with pytest.raises(IllegalTransition):
        merging.separate(again.pk, by=intake_operator, reason="在路对面")


def test_every_reporter_is_asked_back_and_one_of_them_has_it_reopened(
    dispatched: Event,
    again: Event,
    file_report: File,
    intake_operator: User,
    resident: User,
    other_resident: User,
    grid_worker: User,
) -> None:
    """A worker, two residents, a caller who left a number and one who did not: one pothole, five answers."""
    others = [
        again,
        file_report(resident).event,
        file_report(intake_operator, contact_name="王某", contact_phone="13900001111").event,
        file_report(intake_operator, external_number="12345-9").event,
    ]
    for event in others:
        merging.merge(event.pk, by=intake_operator, into=dispatched.pk)
    handled_by(handler_of(dispatched), dispatched.work_orders.get())
    followup.confirm(dispatched.pk, by=chief_of(dispatched), resolved=True, submission=key())
    assert satisfaction.ask_back(dispatched.pk) == 5
    asked = CallBack.objects.filter(event=dispatched)
    assert sorted(one.way for one in asked) == ["app", "app", "app", "code", "desk"]
    [own] = satisfaction.own_call_backs(other_resident)
    anonymous = others[-1]
    code = satisfaction.code_of(anonymous.reports.get().pk)
    satisfaction.rate_by_code(anonymous.number, code, rating="satisfied", resolved=True)
    step = satisfaction.rate(
        own.pk, by=other_resident, rating="dissatisfied", resolved=False, reason="坑还在", submission=key()
    )
    assert satisfaction.has_reopened(step)
    dispatched.refresh_from_db()
    assert dispatched.status == "assigned"
    # What a desk owes in words is owed for each of its reports, under the case that goes on.
    owed = replies.owed_for(dispatched)
    assert {one.event_id for one in owed} == {others[2].pk, others[3].pk}
    event = replies.reply(owed[0].pk, by=intake_operator, words="正在重新处理", version=None)
    assert event == dispatched
    assert len(replies.owed_for(dispatched)) == 1
    assert replies.owed_for(Event.objects.get(pk=others[3].pk)) == []


def test_who_is_sent_sees_the_photos_of_all(
    dispatched: Event, again: Event, intake_operator: User, other_resident: User
) -> None:
    photo: Photo = photo_for(key(), other_resident)
    Photo.objects.filter(pk=photo.pk).update(submission=again.reports.get().pk)
    photo.refresh_from_db()
    handler = handler_of(dispatched)
    assert not photo_visible_to(photo, handler, events_visible_to(handler))
    merging.merge(again.pk, by=intake_operator, into=dispatched.pk)
    assert photo_visible_to(photo, handler, events_visible_to(handler))
    assert [one["id"] for one in whole_case(dispatched)["photos"]] == [str(photo.pk)]


@pytest.mark.parametrize("what", ["status", "into", "itself"])
def test_the_database_keeps_a_merged_case_to_another(again: Event, dispatched: Event, what: str) -> None:
    changes = {
        "status": {"status": "merged"},
        "into": {"merged_into": dispatched},
        "itself": {"status": "merged", "merged_into": again},
    }[what]
    with pytest.raises(IntegrityError, match="merged"), transaction.atomic():
        Event.objects.filter(pk=again.pk).update(**changes)


def test_the_panel_proposes_it_and_the_phone_tells_it(
    client: Client, again: Event, dispatched: Event, intake_operator: User, other_resident: User
) -> None:
    client.force_login(intake_operator)
    address = f"/api/command/events/{again.pk}"
    actions = {one["name"]: one for one in client.get(address).json()["actions"]}
    [into, _reason] = actions["merge"]["fields"]
    assert [choice["value"] for choice in into["choices"]] == [str(dispatched.pk)]
    assert dispatched.number in into["choices"][0]["label"]
    refused = client.post(f"{address}/merge", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    told = client.post(f"{address}/merge", {"into": str(dispatched.pk)}, content_type="application/json")
    assert (told.status_code, told.json()["status"]) == (200, "merged")
    assert told.json()["merged_into"]["number"] == dispatched.number
    assert {one["name"] for one in told.json()["actions"]} == {"separate"}
    mine = Phone(other_resident).get(f"reports/{again.reports.get().pk}").json()
    assert (mine["event"]["status"], mine["merged_into"]["number"]) == ("merged", dispatched.number)
    assert mine["merged_into"]["status"] == "dispatched"
