"""What the desks decide."""

from collections.abc import Callable

import pytest
import uuid_utils.compat as uuid

from fieldops.errors import (
    IllegalTransition,
    NoHandler,
    NotFound,
    NotPermitted,
    ReasonMissing,
    StaleVersion,
    UnknownCondition,
    Unprocessable,
)
from fieldops.models import Event, FilingCondition, Post, User
from fieldops.steps import desk
from gridmap.models import Department


@pytest.fixture
def assigned(located: Event, intake_operator: User, condition: FilingCondition) -> Event:
    desk.accept(located.pk, by=intake_operator)
    return desk.file(located.pk, by=intake_operator, condition_id=condition.pk)


def test_filing_names_the_responsible_department_and_says_why(assigned: Event) -> None:
    assert assigned.status == "assigned"
    assert assigned.department is not None
    assert assigned.responsibility["rule"]["number"] > 0
    kinds = assigned.transitions.order_by("version").values_list("kind", flat=True)
    assert list(kinds) == ["report", "locate", "accept", "file", "assign"]


def test_a_case_is_not_filed_without_a_condition_of_its_class(
    located: Event, intake_operator: User, condition: FilingCondition
) -> None:
    desk.accept(located.pk, by=intake_operator)
    foreign = FilingCondition.objects.exclude(event_class=located.event_class).first()
    for wrong in (None, foreign.pk):
        with pytest.raises(UnknownCondition):
            desk.file(located.pk, by=intake_operator, condition_id=wrong)
    located.refresh_from_db()
    assert located.status == "accepted"


@pytest.mark.parametrize("turn_away", [desk.decline, desk.do_not_file])
def test_turning_away_needs_a_reason_and_answers_the_reporter(
    turn_away: Callable[..., Event], located: Event, intake_operator: User
) -> None:
    if turn_away is desk.do_not_file:
        desk.accept(located.pk, by=intake_operator)
    with pytest.raises(ReasonMissing):
        turn_away(located.pk, by=intake_operator, reason="")
    event = turn_away(located.pk, by=intake_operator, reason="不属受理范围")
    assert event.status in ("declined", "not_filed")
    assert event.letters.filter(kind="answer", mailbox__post__role="resident").count() == 1
    with pytest.raises(IllegalTransition):
        desk.accept(located.pk, by=intake_operator)


def test_who_saw_an_old_version_is_told(located: Event, intake_operator: User) -> None:
    desk.accept(located.pk, by=intake_operator, version=located.version)
    with pytest.raises(StaleVersion):
        desk.decline(located.pk, by=intake_operator, reason="太慢", version=located.version)


def test_roles_are_kept_apart(
    assigned: Event,
    intake_operator: User,
    dispatcher: User,
    leader: User,
    grid_worker: User,
    resident: User,
    outsider: User,
) -> None:
    for refused in (intake_operator, leader):
        with pytest.raises(NotPermitted):
            desk.dispatch(assigned.pk, by=refused)
    for blind in (outsider, grid_worker):
        with pytest.raises((NotFound, NotPermitted)):
            desk.dispatch(assigned.pk, by=blind)
    with pytest.raises(NotPermitted):
        desk.dispatch(assigned.pk, by=resident)
    assert desk.dispatch(assigned.pk, by=dispatcher).status == "dispatched"


def test_a_dispatcher_may_decide_by_hand_with_a_reason(assigned: Event, dispatcher: User) -> None:
    other = Department.objects.exclude(pk=assigned.department_id).first()
    with pytest.raises(ReasonMissing):
        desk.assign(assigned.pk, by=dispatcher, department_id=other.pk)
    with pytest.raises(Unprocessable):
        desk.assign(assigned.pk, by=dispatcher, department_id=10**6, reason="x")
    event = desk.assign(assigned.pk, by=dispatcher, department_id=other.pk, reason="权属已移交")
    assert event.department == other
    assert event.responsibility == {"by_hand": "权属已移交"}


def test_a_dispatch_goes_only_to_a_post_of_the_department(assigned: Event, dispatcher: User) -> None:
    foreign = Post.objects.filter(role="department_handler").exclude(department=assigned.department).first()
    with pytest.raises(NoHandler):
        desk.dispatch(assigned.pk, by=dispatcher, post_id=foreign.pk)


def test_a_case_nobody_knows_is_not_found(dispatcher: User) -> None:
    with pytest.raises(NotFound):
        desk.dispatch(uuid.uuid7(), by=dispatcher)
