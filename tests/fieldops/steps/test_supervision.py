"""督办: who is pressed when, once, and what they answer; unanswered cards climb the cell's own organisations."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.db import IntegrityError, transaction
from django.utils import timezone

from fieldops.errors import (
    AlreadyAnswered,
    AlreadySupervised,
    IncompleteAnswer,
    NotFound,
    NotPermitted,
    ReasonMissing,
    UnknownAddressee,
)
from fieldops.models import (
    Event,
    FilingCondition,
    Holding,
    Post,
    Supervision,
    SupervisionRule,
    User,
    WorkOrder,
)
from fieldops.rights import current_posts, may
from fieldops.status import Step
from fieldops.steps import approvals, desk, fieldwork, supervision
from fieldops.steps.supervision import (
    addressees,
    answer,
    due_by_rule,
    speaks_for,
    supervise,
    supervise_by_rules,
    supervisions_of,
    unanswered,
    whoever_acts,
)
from realtime.escalation import escalate
from realtime.models import ContactDetail, DeliveryPolicy, Letter, Notification
from tests.doing import assisted, handled_by, handler_of, holder_of, key

A_YEAR = timedelta(days=365)


def say(card: Supervision, by: User, **changes: Any) -> Any:
    now = timezone.now()
    words: dict[str, Any] = {
        "received_when": now,
        "contacted": "环卫所王所长",
        "measures": "已派两人前往",
        "new_deadline": now + timedelta(hours=2),
        "submission": key(),
    }
    return answer(card.pk, by=by, **{**words, **changes})


def only(occasion: str, **facts: Any) -> SupervisionRule:
    """The district's one rule of supervision, in force since long ago."""
    SupervisionRule.objects.all().delete()
    district = Post.objects.first().district
    long_ago = timezone.now() - A_YEAR
    return SupervisionRule.objects.create(district=district, occasion=occasion, since=long_ago, **facts)


def cards(event: Event) -> list[tuple[str, int | None, str]]:
    return list(
        Supervision.objects.filter(event=event)
        .order_by("asked_at", "pk")
        .values_list("card", "level", "post__name")
    )


# --- by hand ---------------------------------------------------------------------------------------------------


def test_a_card_by_hand_reaches_whoever_has_to_act(dispatched: Event, supervisor: User) -> None:
    card = supervise(dispatched.pk, by=supervisor, card="reminder", reason="居民多次来电")
    order = dispatched.work_orders.get()
    assert (card.post, card.level, card.work_order, card.by) == (order.post, None, order, supervisor)
    step = dispatched.transitions.latest("version")
    assert (step.kind, step.reason, step.data["card"]) == ("supervise", "居民多次来电", "reminder")
    letter = Letter.objects.get(kind="supervision")
    assert (letter.mailbox_id, letter.payload["supervision"]) == (order.post_id, str(card.pk))


def test_a_card_by_hand_reaches_each_of_the_five_levels(dispatched: Event, leader: User) -> None:
    able = addressees(dispatched, of=current_posts(leader)[0])
    assert [one.level for one in able] == [None, 5, 4, 3, 2, 1]
    units = dispatched.cell.unit_ids
    assert [one.post.unit_id for one in able[1:]] == units[::-1]
    for one in able:
        card = supervise(dispatched.pk, by=leader, card="red", reason="逾期未办", post_id=one.post.pk)
        assert (card.post, card.level) == (one.post, one.level)


def test_who_may_press_whom(
    dispatched: Event,
    dispatcher: User,
    shift_leader: User,
    department_handler: User,
    resident: User,
    outsider: User,
    supervisor: User,
) -> None:
    def press(by: User, **changes: Any) -> Supervision:
        return supervise(dispatched.pk, by=by, **{"card": "yellow", "reason": "催办", **changes})

    for person, refusal in (
        (dispatcher, NotPermitted),
        (handler_of(dispatched), NotPermitted),
        (resident, NotFound),
        (outsider, NotFound),
    ):
        with pytest.raises(refusal):
            press(person)
    with pytest.raises(ReasonMissing):
        press(shift_leader, reason="\u200b")
    with pytest.raises(UnknownAddressee):
        press(shift_leader, post_id=current_posts(resident)[0].pk)
    assert not Supervision.objects.exists()
    assert press(shift_leader).by == shift_leader


def test_each_state_has_somebody_who_acts(
    located: Event, condition: FilingCondition, intake_operator: User, dispatcher: User
) -> None:
    assert whoever_acts(located).post.role == "intake_operator"
    desk.accept(located.pk, by=intake_operator)
    event = desk.file(located.pk, by=intake_operator, condition_id=condition.pk)
    assert whoever_acts(event).post.role == "dispatcher"
    event = desk.dispatch(located.pk, by=dispatcher)
    assert whoever_acts(event).post == event.work_orders.get().post


def test_who_assists_is_pressed_as_well(dispatched: Event, dispatcher: User, supervisor: User) -> None:
    order, other = assisted(dispatched, dispatcher)
    able = addressees(dispatched, of=current_posts(supervisor)[0])
    assert [(one.post, one.order) for one in able[:2]] == [
        (dispatched.work_orders.get(part="lead").post, dispatched.work_orders.get(part="lead")),
        (other, order),
    ]
    card = supervise(dispatched.pk, by=supervisor, card="red", reason="迟迟不到", post_id=other.pk)
    assert (card.post, card.work_order) == (other, order)


def test_nobody_presses_an_organisation_above_the_own(dispatched: Event, supervisor: User) -> None:
    community, street = (addressees(dispatched, of=current_posts(supervisor)[0])[place] for place in (2, 3))
    assert (community.level, street.level) == (4, 3)
    secretary = holder_of(community.post)
    assert [one.level for one in addressees(dispatched, of=community.post)] == [None, 5, 4]
    with pytest.raises(UnknownAddressee):
        supervise(dispatched.pk, by=secretary, card="red", reason="催", post_id=street.post.pk)
    assert supervise(dispatched.pk, by=secretary, card="red", reason="催").level is None


def test_the_same_card_is_not_given_again_before_it_is_answered(
    dispatched: Event, supervisor: User, leader: User
) -> None:
    first = supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    for person in (supervisor, leader):
        with pytest.raises(AlreadySupervised):
            supervise(dispatched.pk, by=person, card="reminder", reason="再催")
    supervise(dispatched.pk, by=supervisor, card="yellow", reason="仍未处理")
    say(first, handler_of(dispatched))
    supervise(dispatched.pk, by=supervisor, card="reminder", reason="未按承诺完成")
    assert [card for card, _level, _post in cards(dispatched)] == ["reminder", "yellow", "reminder"]
    twin = Supervision.objects.get(card="yellow")
    twin.pk = uuid.uuid7()
    with pytest.raises(IntegrityError, match="a_card_by_hand_waits_for_its_answer"), transaction.atomic():
        twin.save(force_insert=True)


# --- the answer ------------------------------------------------------------------------------------------------


def test_the_addressed_post_answers_and_whoever_asked_hears_it(dispatched: Event, supervisor: User) -> None:
    card = supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    handler = handler_of(dispatched)
    assert [row["mine"] for row in unanswered(handler, current_posts(handler))] == [True]
    step = say(card, handler)
    card.refresh_from_db()
    assert (card.answered_by, card.contacted, card.measures) == (handler, "环卫所王所长", "已派两人前往")
    assert (step.kind, step.reason) == ("answer", "已派两人前往")
    assert "王所长" not in str(step.data) + step.reason  # names stay out of the history
    reply = Letter.objects.get(kind="reply")
    assert reply.mailbox_id == current_posts(supervisor)[0].pk
    [told] = supervisions_of(dispatched, current_posts(supervisor))
    assert (told["mine"], told["answer"]["contacted"]) == (False, "环卫所王所长")
    assert (
        unanswered(handler, current_posts(handler)) == unanswered(supervisor, current_posts(supervisor)) == []
    )


def test_an_answer_is_the_addressees_complete_and_given_once(
    dispatched: Event, supervisor: User, dispatcher: User, outsider: User
) -> None:
    card = supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    handler, now = handler_of(dispatched), timezone.now()
    for other in (dispatcher, supervisor, outsider):
        with pytest.raises(NotFound):
            say(card, other)
    for wrong in (
        {"contacted": " "},
        {"measures": "\u200b"},
        {"received_when": now + timedelta(hours=1)},
        {"received_when": now - timedelta(hours=1)},  # before it was given
        {"new_deadline": now - timedelta(minutes=1)},
    ):
        with pytest.raises(IncompleteAnswer):
            say(card, handler, **wrong)
    once = key()
    first = say(card, handler, submission=once)
    assert say(card, handler, submission=once) == first
    with pytest.raises(AlreadyAnswered):
        say(card, handler)
    assert dispatched.transitions.filter(kind="answer").count() == 1


def test_who_works_beside_the_lead_answers_its_card(
    dispatched: Event, dispatcher: User, supervisor: User
) -> None:
    _order, other = assisted(dispatched, dispatcher)
    card = supervise(dispatched.pk, by=supervisor, card="red", reason="迟迟不到", post_id=other.pk)
    assert may([other], Step.ANSWER, dispatched)
    assert say(card, holder_of(other)).post == other


def test_a_role_that_answers_nothing_does_not(dispatched: Event, supervisor: User, resident: User) -> None:
    card = supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    Supervision.objects.filter(pk=card.pk).update(post=current_posts(resident)[0])
    with pytest.raises(NotPermitted):
        say(card, resident)
    assert not dispatched.transitions.filter(kind="answer").exists()


# --- by rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "level"), [(80, None), (100, 4), (200, 3), (250, None)])
def test_a_rule_acts_at_its_moment_and_not_before(dispatched: Event, percent: int, level: int | None) -> None:
    only("case", percent=percent, card="yellow", level=level)
    condition = dispatched.condition
    condition.limit_amount, condition.limit_unit, condition.urgent = 10, "hour", True
    condition.save()
    start = dispatched.received_at
    Event.objects.filter(pk=dispatched.pk).update(
        due_at=start + timedelta(hours=10), warn_at=start + timedelta(hours=8)
    )
    moment = start + timedelta(hours=10 * percent / 100)
    assert supervise_by_rules(at=moment - timedelta(seconds=1)) == 0
    assert supervise_by_rules(at=moment) == 1
    assert supervise_by_rules(at=moment + timedelta(seconds=1)) == 0
    [(card, at_level, _post)] = cards(dispatched)
    assert (card, at_level) == ("yellow", level)


def test_a_limit_beyond_the_limit_runs_in_working_time(dispatched: Event) -> None:
    only("case", percent=200, card="red")
    condition = dispatched.condition
    condition.limit_amount, condition.limit_unit, condition.urgent = 4, "hour", False
    condition.save()
    friday_noon = datetime.fromisoformat("2026-11-20T12:00+08:00")
    SupervisionRule.objects.update(since=friday_noon - A_YEAR)
    Event.objects.filter(pk=dispatched.pk).update(
        due_at=friday_noon, warn_at=friday_noon - timedelta(hours=1)
    )
    # Friday 14:00 to 18:00 is one limit more.
    assert supervise_by_rules(at=datetime.fromisoformat("2026-11-20T17:59:59+08:00")) == 0
    assert supervise_by_rules(at=datetime.fromisoformat("2026-11-20T18:00+08:00")) == 1


def test_an_extended_limit_is_a_new_subject(dispatched: Event, supervisor: User) -> None:
    only("case", percent=100, card="yellow")
    order, handler = dispatched.work_orders.get(), handler_of(dispatched)
    fieldwork.take_on(order.pk, by=handler, submission=key())
    approvals.ask_extension(order.pk, by=handler, submission=key(), reason="等零件")
    approvals.extend(dispatched.pk, by=supervisor)
    later = timezone.now() + A_YEAR
    assert supervise_by_rules(at=later) == 1
    assert supervise_by_rules(at=later) == 0
    assert Supervision.objects.get().subject == f"{order.pk}:1"


def test_the_order_that_is_late_gets_the_card_be_it_the_leads_or_an_assistants(
    dispatched: Event, dispatcher: User
) -> None:
    only("case", percent=100, card="yellow")
    order, other = assisted(dispatched, dispatcher)
    lead = dispatched.work_orders.get(part="lead")
    soon, later = timezone.now() + timedelta(days=1), timezone.now() + timedelta(days=2)
    WorkOrder.objects.filter(pk=order.pk).update(due_at=soon)
    Event.objects.filter(pk=dispatched.pk).update(due_at=later)
    for at, late, post in ((soon, order, other), (later, lead, lead.post)):
        assert supervise_by_rules(at=at) == 1
        card = Supervision.objects.get(work_order=late)
        assert (card.post, card.level) == (post, None)


def test_an_assistant_is_pressed_while_the_lead_is_done(dispatched: Event, dispatcher: User) -> None:
    only("case", percent=100, card="yellow")
    order, other = assisted(dispatched, dispatcher)
    lead = dispatched.work_orders.get(part="lead")
    handled_by(holder_of(lead.post), lead)
    dispatched.refresh_from_db()
    assert whoever_acts(dispatched).post == other
    assert supervise_by_rules(at=timezone.now() + A_YEAR) == 1
    assert Supervision.objects.get().work_order == order


def test_cards_that_nobody_is_there_for_do_not_bar_the_way(
    dispatched: Event,
    file_report: Any,
    grid_worker: User,
    condition: FilingCondition,
    supervisor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only("unanswered", unanswered="reminder", card="yellow")
    group = speaks_for(dispatched, 2).post
    supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办", post_id=group.pk)
    other = file_report(grid_worker, condition_id=condition.pk).event
    supervise(other.pk, by=supervisor, card="reminder", reason="催办")
    at_the_top = Holding.objects.filter(post__unit__level=1, post__role__in=("leader", "supervisor"))
    at_the_top.update(until=timezone.now())
    monkeypatch.setattr(supervision, "AT_ONCE", 1)
    assert supervise_by_rules(at=timezone.now() + timedelta(days=30)) == 1
    assert (len(cards(dispatched)), len(cards(other))) == (1, 2)


def test_a_stage_that_takes_too_long_is_the_desks(located: Event, intake_operator: User) -> None:
    only("stage", stage="accept", card="reminder")
    assert supervise_by_rules(at=located.stage_due_at - timedelta(seconds=1)) == 0
    assert supervise_by_rules(at=located.stage_due_at) == 1
    [(card, level, post)] = cards(located)
    assert (card, level, post) == ("reminder", None, current_posts(intake_operator)[0].name)
    [told] = unanswered(intake_operator, current_posts(intake_operator))
    assert (told["by"], told["reason"]) == (None, "阶段时限 · 受理 · 100 %")
    desk.accept(located.pk, by=intake_operator)
    assert supervise_by_rules(at=timezone.now() + A_YEAR) == 0


def test_unanswered_cards_climb_level_by_level_to_the_top(dispatched: Event, supervisor: User) -> None:
    only("unanswered", unanswered="reminder", card="yellow")
    district = dispatched.district
    for before, card in (("yellow", "red"), ("red", "red")):
        SupervisionRule.objects.create(
            district=district, occasion="unanswered", unanswered=before, card=card,
            since=timezone.now() - A_YEAR,
        )  # fmt: skip
    supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    at = timezone.now()
    for _round in range(8):
        at += timedelta(days=30)
        supervise_by_rules(at=at)
    assert [(card, level) for card, level, _post in cards(dispatched)] == [
        ("reminder", None), ("yellow", 5), ("red", 4), ("red", 3), ("red", 2), ("red", 1),
    ]  # fmt: skip
    follows = Supervision.objects.filter(follows__isnull=False).values_list("follows", flat=True)
    assert len(set(follows)) == 5


def test_an_answer_stops_the_climb_and_a_vacant_level_is_passed_over(
    dispatched: Event, supervisor: User
) -> None:
    only("unanswered", unanswered="reminder", card="reminder")
    party_group = speaks_for(dispatched, 5).post
    party_group.holdings.update(until=timezone.now())
    supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    at = timezone.now() + timedelta(days=30)
    assert supervise_by_rules(at=at) == 1
    top = Supervision.objects.latest("asked_at")
    assert top.level == 4
    Supervision.objects.filter(pk=top.pk).update(asked_at=timezone.now())
    say(top, holder_of(top.post))
    assert supervise_by_rules(at=at + timedelta(days=30)) == 0


def test_a_rule_looks_at_limits_that_run_out_since_it_holds(dispatched: Event) -> None:
    rule = only("case", percent=100, card="yellow")
    rule.since = dispatched.due_at + timedelta(seconds=1)
    rule.save()
    assert list(due_by_rule(at=timezone.now() + A_YEAR)) == []


def test_the_constraints_and_not_the_code_keep_a_card_single(dispatched: Event, supervisor: User) -> None:
    rule = only("case", percent=80, card="reminder")
    supervise_by_rules(at=timezone.now() + A_YEAR)
    twin = Supervision.objects.get()
    twin.pk = uuid.uuid7()
    with pytest.raises(IntegrityError, match="a_rule_supervises_a_subject_once"), transaction.atomic():
        twin.save(force_insert=True)
    first = Supervision.objects.get(rule=rule)
    # Another card by hand: it is only the climbing that is done twice.
    for card, climbs in (("red", True), ("yellow", False)):
        twin = Supervision(
            event=dispatched, card=card, post=first.post, by=supervisor, follows=first,
            asked_at=timezone.now(), answer_due_at=timezone.now() + A_YEAR,
        )  # fmt: skip
        if climbs:
            twin.save(force_insert=True)
        else:
            with pytest.raises(IntegrityError, match="a_supervision_climbs_once"), transaction.atomic():
                twin.save(force_insert=True)
    with pytest.raises(IntegrityError, match="an_answer_is_complete"), transaction.atomic():
        Supervision.objects.filter(pk=first.pk).update(answered_at=timezone.now())
    for wrong in ({"percent": 90}, {"stage": "accept"}, {"occasion": "stage"}, {"answer_minutes": 0}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SupervisionRule.objects.create(
                **{"district": rule.district, "occasion": "case", "percent": 300, "card": "red", **wrong}
            )


def test_what_leaves_the_house_about_a_card_is_moot_once_it_is_answered(
    dispatched: Event, supervisor: User
) -> None:
    DeliveryPolicy.objects.create(
        district=dispatched.district, kind="supervision", adapters=["email"],
        since=timezone.now() - A_YEAR,
    )  # fmt: skip
    handler = handler_of(dispatched)
    ContactDetail.objects.create(user=handler, adapter="email", address="handler@example.org")
    card = supervise(dispatched.pk, by=supervisor, card="yellow", reason="催办")
    soon = timezone.now() + timedelta(seconds=61)
    with transaction.atomic():
        escalate(at=soon)
        assert Notification.objects.filter(escalation__kind="supervision").count() == 1
        transaction.set_rollback(True)
    say(card, handler)
    escalate(at=soon)
    assert not Notification.objects.filter(escalation__kind="supervision").exists()
