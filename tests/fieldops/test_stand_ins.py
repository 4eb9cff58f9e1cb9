"""代岗: somebody holds a post for some days in another's place; what the post did stays with the post."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from fieldops.errors import NotFound
from fieldops.models import CheckPolicy, Event, Holding, Post, User, WorkOrder
from fieldops.queries import whole_case
from fieldops.rights import current_posts, events_visible_to
from fieldops.steps import fieldwork
from insight import scores
from insight.figures import Scope, period_of
from insight.tables import narrow, tabulate
from tests.doing import handled_by, key, photo_for

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def order(dispatched: Event) -> WorkOrder:
    return dispatched.work_orders.get()


@pytest.fixture
def holder(order: WorkOrder) -> User:
    return order.post.holders.order_by("username").first()


@pytest.fixture
def stand_in(outsider: User) -> User:
    outsider.display_name = "代岗员"
    outsider.save(update_fields=["display_name"])
    return outsider


def standing(post: Post, who: User, *, instead_of: User, **changes: Any) -> Holding:
    at = timezone.now()
    facts = {"since": at - DAY, "until": at + 6 * DAY, **changes}
    row = Holding(post=post, user=who, stands_in_for=instead_of, **facts)
    row.full_clean()
    row.save()
    return row


def anew(person: User) -> User:
    """As the next request knows them."""
    return User.objects.get(pk=person.pk)


def say_done(person: User, order: WorkOrder) -> None:
    submission = key()
    photo_for(submission, person)
    fieldwork.handle(order.pk, by=person, submission=submission)


def test_both_do_the_work_for_a_week_and_then_one(
    dispatched: Event, order: WorkOrder, holder: User, stand_in: User
) -> None:
    assert not events_visible_to(anew(stand_in)).exists()
    week = standing(order.post, stand_in, instead_of=holder)
    for person in (holder, stand_in):
        assert dispatched in events_visible_to(person)
    [post] = current_posts(stand_in)
    assert (post, post.stood_in_for) == (order.post, holder)
    assert [post.stood_in_for for post in current_posts(holder)] == [None]
    fieldwork.take_on(order.pk, by=stand_in, submission=key())
    Holding.objects.filter(pk=week.pk).update(until=timezone.now())
    assert not events_visible_to(anew(stand_in)).exists()
    with pytest.raises(NotFound):
        say_done(anew(stand_in), order)
    say_done(holder, order)
    by = {step["kind"]: step for step in whole_case(dispatched)["timeline"]}
    assert (by["take_on"]["by"], by["take_on"]["stood_in_for"]) == ("代岗员", holder.display_name)
    assert by["take_on"]["post"] == by["handle"]["post"]
    assert (by["handle"]["by"], by["handle"]["stood_in_for"]) == (holder.display_name, None)


def test_what_a_post_did_survives_who_held_it(
    dispatched: Event, order: WorkOrder, holder: User, stand_in: User
) -> None:
    standing(order.post, stand_in, instead_of=holder)
    handled_by(stand_in, order)
    today = timezone.localdate()
    period = period_of(today - DAY, today + DAY, dispatched.district)
    scope = Scope(dispatched.district_id)

    def handled(by: str) -> dict[str, float]:
        rows = tabulate(by, period, scope, codes=["handling_rate"]).rows
        return {row.key: row.figures[0].above for row in rows}

    assert handled("post") == {str(order.post_id): 1}
    assert handled("handler") == {str(stand_in.pk): 1}
    [row] = tabulate("post", period, scope).rows
    assert order.post.name in row.name
    whole = tabulate("department", period, narrow(scope, "post", row.key), codes=["handling_rate"]).whole
    assert whole.figures[0].above == 1
    other = Post.objects.exclude(pk=order.post_id).first()
    assert tabulate("department", period, narrow(scope, "post", str(other.pk))).rows == []


def test_a_stand_in_is_not_judged_as_the_holder(grid_worker: User, stand_in: User) -> None:
    [post] = current_posts(grid_worker)
    standing(post, stand_in, instead_of=grid_worker)
    today = timezone.localdate()
    period = period_of(today - DAY, today + DAY, post.district)
    judged = {row.key for row in scores.score_grid_workers(period, Scope(post.district_id))}
    assert grid_worker.pk in judged
    assert stand_in.pk not in judged


def test_what_cannot_be(grid_worker: User, dispatcher: User, stand_in: User, other_resident: User) -> None:
    [post] = current_posts(grid_worker)
    at = timezone.now()
    for who, wrong in (
        (stand_in, {"until": None}),
        (grid_worker, {"since": at + 9 * DAY, "until": at + 10 * DAY}),
        (stand_in, {"instead_of": dispatcher}),
    ):
        with pytest.raises(ValidationError):
            standing(post, who, **{"instead_of": grid_worker, **wrong})
    standing(post, stand_in, instead_of=grid_worker)
    with pytest.raises(ValidationError, match=r"代岗|stands in"):
        standing(post, other_resident, instead_of=grid_worker, since=at + 2 * DAY)
    standing(post, other_resident, instead_of=grid_worker, since=at + 7 * DAY, until=at + 8 * DAY)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"until": None}, "a_stand_in_has_a_last_day"),
        ({"themselves": True}, "nobody_stands_in_for_themselves"),
        ({"twice": True}, "a_holder_has_one_stand_in_at_a_time"),
    ],
)
def test_the_database_knows_it(
    grid_worker: User, stand_in: User, other_resident: User, changes: dict[str, Any], name: str
) -> None:
    [post] = current_posts(grid_worker)
    at = timezone.now()
    row = Holding(post=post, user=stand_in, stands_in_for=grid_worker, since=at, until=at + DAY)
    if "until" in changes:
        row.until = None
    if "themselves" in changes:
        row.stands_in_for = stand_in
    if "twice" in changes:
        standing(post, other_resident, instead_of=grid_worker)
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        row.save()


def test_it_is_said_on_the_pages(client: Client, order: WorkOrder, dispatcher: User, stand_in: User) -> None:
    [post] = current_posts(dispatcher)
    standing(post, stand_in, instead_of=dispatcher)
    client.force_login(stand_in)
    [held] = client.get("/api/command/session").json()["user"]["posts"]
    assert held["stands_in_for"] == str(dispatcher)
    client.force_login(dispatcher)
    [held] = client.get("/api/command/session").json()["user"]["posts"]
    assert held["stands_in_for"] is None


def test_an_administrator_puts_in_a_stand_in_and_sees_whose_work_it_is_then(
    client: Client, dispatched: Event, order: WorkOrder, holder: User, stand_in: User
) -> None:
    client.force_login(User.objects.get(username="admin"))
    client.cookies["django_language"] = "en"
    at = timezone.localtime()
    form = {
        "post": order.post_id,
        "user": stand_in.pk,
        "stands_in_for": holder.pk,
        "since_0": f"{at:%Y-%m-%d}",
        "since_1": "00:00",
        "until_0": f"{at + 6 * DAY:%Y-%m-%d}",
        "until_1": "00:00",
    }
    shown = client.post("/admin/fieldops/holding/add/", form)
    [effect] = shown.context["effects"]
    assert effect.groups[0][1].startswith(f"{order.post.name}: ")
    assert "代岗员" in effect.groups[0][1]
    client.post("/admin/fieldops/holding/add/", {**dict(shown.context["fields"]), "_checked": "1"})
    assert Holding.objects.get(user=stand_in).stands_in_for == holder
    shown = client.post("/admin/fieldops/holding/add/", {**form, "stands_in_for": stand_in.pk})
    assert "does not hold this post" in shown.content.decode()


def test_a_policy_for_checks_tells_which_classes_somebody_else_checks(
    client: Client, dispatched: Event
) -> None:
    client.force_login(User.objects.get(username="admin"))
    client.cookies["django_language"] = "en"
    kind = dispatched.event_class
    CheckPolicy.objects.filter(district=dispatched.district).delete()
    form = {
        "district": dispatched.district_id,
        "kind": kind.kind,
        "major": kind.major,
        "minor": kind.minor,
        "checker": "worker",
        "percent": 30,
    }
    shown = client.post("/admin/fieldops/checkpolicy/add/", form)
    [effect] = shown.context["effects"]
    [(before, after, number, which)] = effect.groups
    assert (number, which) == (1, [f"{kind.key} {kind.name} (1)"])
    assert before.endswith("100 %")
    assert after.endswith("30 %")
