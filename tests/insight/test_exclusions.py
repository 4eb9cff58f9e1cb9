"""A case that shall not count: asked for by one, decided by another; figures follow, facts do not."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from fieldops.errors import DomainError, NotFound, NotPermitted
from fieldops.models import Event, Post, User
from fieldops.status import Role
from insight import exclusions
from insight.figures import Scope, count_all, period_of
from insight.models import Exclusion
from tests.doing import holder_of

pytestmark = pytest.mark.django_db


def filed(event: Event, *, as_of: timezone.datetime | None = None) -> int:
    day = timezone.localdate(timezone=ZoneInfo(event.district.time_zone))
    return count_all(period_of(day, day, event.district, as_of=as_of), Scope(event.district_id)).counts[
        "filed"
    ]


def test_it_counts_no_more_from_the_approval_on_and_before_it_did(
    dispatched: Event, supervisor: User, leader: User
) -> None:
    asked = exclusions.ask(dispatched.pk, by=supervisor, reason="暴雪期间，道路封闭")
    assert filed(dispatched) == 1, "asking changes nothing"
    before = timezone.now()
    version = dispatched.version
    exclusions.decide(asked.pk, by=leader, approved=True)
    assert filed(dispatched) == 0
    assert filed(dispatched, as_of=before) == 1
    dispatched.refresh_from_db()
    assert (dispatched.version, dispatched.is_open) == (version, True)


def test_a_refusal_says_why_and_leaves_the_figures(dispatched: Event, supervisor: User, leader: User) -> None:
    asked = exclusions.ask(dispatched.pk, by=supervisor, reason="误报")
    with pytest.raises(exclusions.ReasonNeeded):
        exclusions.decide(asked.pk, by=leader, approved=False)
    exclusions.decide(asked.pk, by=leader, approved=False, note="证据不足")
    assert filed(dispatched) == 1
    with pytest.raises(exclusions.AlreadyDecided):
        exclusions.decide(asked.pk, by=leader, approved=True)
    again = exclusions.ask(dispatched.pk, by=supervisor, reason="补充证据")
    assert again.pk != asked.pk


def test_two_pairs_of_eyes(dispatched: Event, supervisor: User, leader: User) -> None:
    with pytest.raises(exclusions.ReasonNeeded):
        exclusions.ask(dispatched.pk, by=supervisor, reason="  ")
    asked = exclusions.ask(dispatched.pk, by=supervisor, reason="系统测试")
    with pytest.raises(exclusions.AlreadyExcluded):
        exclusions.ask(dispatched.pk, by=leader, reason="系统测试")
    with pytest.raises(exclusions.OwnExclusion):
        exclusions.decide(asked.pk, by=supervisor, approved=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        Exclusion.objects.filter(pk=asked.pk).update(
            approved=True, decided_by=supervisor, decided_at=timezone.now() + timedelta(seconds=1)
        )


@pytest.mark.parametrize("who", ["outsider", "resident", "dispatcher", "grid_worker", "department_handler"])
def test_others_neither_ask_nor_decide_nor_see(
    request: pytest.FixtureRequest, client: Client, who: str, dispatched: Event, supervisor: User
) -> None:
    asked = exclusions.ask(dispatched.pk, by=supervisor, reason="系统测试")
    other: User = request.getfixturevalue(who)
    for attempt in (
        lambda: exclusions.ask(dispatched.pk, by=other, reason="请求"),
        lambda: exclusions.decide(asked.pk, by=other, approved=True),
    ):
        with pytest.raises(DomainError) as refused:
            attempt()
        assert isinstance(refused.value, NotFound | NotPermitted)
    client.force_login(other)
    assert client.get("/api/command/exclusions").status_code == 403
    assert client.get("/figures/exclusions").status_code == 403
    assert client.post(f"/figures/exclusions/{asked.pk}", {"approved": "true"}).status_code == 403
    asked.refresh_from_db()
    assert asked.approved is None


def test_who_answers_for_another_street_sees_nothing_of_it(
    client: Client, dispatched: Event, supervisor: User
) -> None:
    asked = exclusions.ask(dispatched.pk, by=supervisor, reason="系统测试")
    elsewhere = Post.objects.filter(role=Role.LEADER, unit__level=3).exclude(unit=dispatched.cell.street)
    other = holder_of(elsewhere[0])
    client.force_login(other)
    assert client.get("/api/command/exclusions").json() == {"exclusions": []}
    with pytest.raises(NotFound):
        exclusions.decide(asked.pk, by=other, approved=True)
    own = holder_of(Post.objects.get(role=Role.LEADER, unit=dispatched.cell.street))
    exclusions.decide(asked.pk, by=own, approved=True)


def test_over_the_api_and_on_the_page(
    client: Client, dispatched: Event, supervisor: User, leader: User
) -> None:
    client.force_login(supervisor)
    answer = client.post(
        "/api/command/exclusions",
        {"event": str(dispatched.pk), "reason": "重复 <b>上报</b>"},
        content_type="application/json",
    )
    assert answer.status_code == 201, answer.content
    key = answer.json()["id"]
    [shown] = client.get("/api/command/exclusions").json()["exclusions"]
    assert (shown["yours_to_decide"], shown["approved"]) == (False, None)
    page = client.get("/figures/exclusions").content.decode()
    assert "重复 &lt;b&gt;上报" in page
    assert "approved" not in page, "nobody decides what they asked for"
    own = client.post(
        f"/api/command/exclusions/{key}/decision", {"approved": True}, content_type="application/json"
    )
    assert (own.status_code, own.json()["code"]) == (403, "own_exclusion")
    again = client.post("/figures/exclusions", {"number": dispatched.number, "reason": "再次"})
    assert again.status_code == 422
    assert client.post("/figures/exclusions", {"number": "nowhere", "reason": "无"}).status_code == 422
    client.force_login(leader)
    assert client.post(f"/figures/exclusions/{key}", {"approved": "true"}).status_code == 302
    assert client.post(f"/figures/exclusions/{key}", {"approved": "true"}).status_code == 422
    assert filed(dispatched) == 0
    for lookup in (0, 10**9):
        path = f"/api/command/exclusions/{lookup}/decision"
        assert client.post(path, {"approved": True}, content_type="application/json").status_code == 404


def test_the_list_costs_the_same_for_many(
    client: Client, dispatched: Event, located: Event, supervisor: User
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.force_login(supervisor)
    counts = []
    for event in (dispatched, located):
        exclusions.ask(event.pk, by=supervisor, reason="系统测试")
        with CaptureQueriesContext(connection) as queries:
            client.get("/api/command/exclusions")
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("reason", ["\0", "\u200b", " \u3164 "])
def test_words_that_nobody_can_read_are_no_reason(
    client: Client, dispatched: Event, shift_leader: User, leader: User, reason: str
) -> None:
    client.force_login(shift_leader)
    asked = {"number": dispatched.number, "reason": reason}
    assert client.post("/figures/exclusions", asked).status_code == 422
    assert (
        client.post(
            "/figures/exclusions", {"number": f"{dispatched.number}\0\0", "reason": reason}
        ).status_code
        == 422
    )
    made = exclusions.ask(dispatched.pk, by=shift_leader, reason="系统演练")
    client.force_login(leader)
    refusal = {"approved": "false", "note": reason}
    assert client.post(f"/figures/exclusions/{made.pk}", refusal).status_code == 422
    made.refresh_from_db()
    assert made.approved is None
