"""Scores and grades: by hand, by rows of a district, of whom a reader answers for, and each part leads to its cases."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from fieldops.models import CheckPolicy, Event, Post, User
from fieldops.status import Role
from fieldops.steps import fieldwork, followup
from gridmap.models import District
from insight import scores
from insight.facts import COUNTS
from insight.figures import Line, Period, Scope, cases_behind, period_of
from insight.models import DenominatorChoice, Grade, ScorePart, Subject, VolumeBand
from tests.doing import holder_of, key, photo_for

pytestmark = pytest.mark.django_db


def line(**counts: int) -> Line:
    return Line(1, None, {code: counts.get(code, 0) for code in COUNTS})


def judged(subject: Subject, by: dict[str, Line], district: str = "150204") -> scores.Score:
    ways = scores._OF_WORKERS if subject == Subject.GRID_WORKER else {}
    usual = "reporter" if subject == Subject.GRID_WORKER else "department"
    found = {way: (counted, "1") for way, counted in by.items()}
    return scores._score(1, "某某", scores.rules_of(district, subject), found, ways, usual)


def test_a_department_by_hand() -> None:
    """120 cases: 75 points; closed 90 %; in time 80 %; reworked 10 %. 7.5 + 27 + 24 + 27 = 85.5, a B."""
    counted = line(to_handle=120, handled_in_time=96, to_close=100, closed=90, reworked=10)
    score = judged(Subject.DEPARTMENT, {"department": counted})
    assert [part.points for part in score.parts] == pytest.approx([75, 90, 80, 90])
    assert score.points == pytest.approx(85.5)
    assert (score.grade, score.colour) == ("B", "blue")


def test_a_grid_worker_by_hand() -> None:
    """Valid 36 of 40, missed 5 of 50, verified 9 of 10; nothing to check: 90 each, an A."""
    score = judged(
        Subject.GRID_WORKER,
        {
            "reporter": line(valid_reports=36, reports=40),
            "community": line(missed=5, filed=50),
            "sent": line(verified_in_time=9, to_verify=10),
        },
    )
    assert [part.points for part in score.parts] == pytest.approx([90, 90, 90, None])
    assert score.points == pytest.approx(90)
    assert score.grade == "A"


@pytest.mark.parametrize(
    ("volume", "points"),
    [(0, 100), (50, 100), (51, 90), (100, 90), (200, 75), (201, 60), (500, 60), (1000, 40), (1001, 0)],
)
def test_the_bands_of_volume(volume: int, points: float) -> None:
    score = judged(Subject.DEPARTMENT, {"department": line(to_handle=volume)})
    assert score.parts[0].points == points


def test_who_had_no_case_has_no_score() -> None:
    """Not even the points for having had few of them."""
    score = judged(Subject.DEPARTMENT, {"department": line(reported=1)})
    assert (score.parts[0].points, score.points, score.grade) == (100, None, "")


@pytest.mark.parametrize(
    ("closed", "grade"),
    [(100, "A"), (90, "A"), (89, "B"), (75, "B"), (74, "C"), (60, "C"), (59, "D"), (39, "E")],
)
def test_the_limits_of_grades(closed: int, grade: str) -> None:
    district = District.objects.get()
    ScorePart.objects.create(district=district, subject="department", part="closing_rate", weight=7)
    score = judged(Subject.DEPARTMENT, {"department": line(to_close=100, closed=closed)}, district.pk)
    assert (score.points, score.grade) == (closed, grade)


def test_a_district_weighs_otherwise() -> None:
    district = District.objects.get()
    for part, weight in (("volume", 1), ("rework_rate", 3)):
        ScorePart.objects.create(district=district, subject="department", part=part, weight=weight)
    VolumeBand.objects.create(district=district, at_most=10, points=20)
    Grade.objects.create(district=district, name="优", at_least=50, colour="green")
    counted = line(to_handle=10, to_close=4, reworked=1)
    score = judged(Subject.DEPARTMENT, {"department": counted}, district.pk)
    assert score.points == pytest.approx((20 + 3 * 75) / 4)
    assert score.grade == "优"
    DenominatorChoice.objects.create(district=district, indicator="overdue_rate", denominator="to_handle")
    ScorePart.objects.create(district=district, subject="department", part="overdue_rate", weight=1)
    score = judged(Subject.DEPARTMENT, {"department": line(to_handle=10, to_close=4, overdue=5)}, district.pk)
    assert {part.code: part.points for part in score.parts}["overdue_rate"] == 50


def test_rows_that_mean_nothing_are_refused() -> None:
    district = District.objects.get()
    with pytest.raises(ValidationError):
        ScorePart(district=district, subject="department", part="nonsense", weight=1).full_clean()
    with pytest.raises(ValidationError):
        ScorePart(district=district, subject="department", part="volume", weight=0).full_clean()
    with pytest.raises(ValidationError):
        DenominatorChoice(district=district, indicator="overdue_rate", denominator="reports").full_clean()


# --- from cases -----------------------------------------------------------------------------------------------------


@pytest.fixture
def checked(dispatched: Event) -> Event:
    """Handled, and confirmed on site by a grid worker who was sent."""
    CheckPolicy.objects.create(district=dispatched.district, checker="worker")
    order = dispatched.work_orders.get()
    handler = holder_of(order.post)
    fieldwork.take_on(order.pk, by=handler, submission=key())
    submission = key()
    photo_for(submission, handler)
    fieldwork.handle(order.pk, by=handler, submission=submission)
    task = dispatched.checks.get()
    submission = key()
    photo_for(submission, holder_of(task.post))
    followup.report_check(task.pk, by=holder_of(task.post), found="confirmed", submission=submission)
    dispatched.refresh_from_db()
    return dispatched


def today_of(event: Event) -> Period:
    day = timezone.localdate(timezone=ZoneInfo(event.district.time_zone))
    return period_of(day, day, event.district)


def test_what_was_done_is_scored_and_leads_to_its_cases(checked: Event) -> None:
    period, scope = today_of(checked), Scope(checked.district_id)
    [department] = scores.score_departments(period, scope)
    assert department.key == checked.department_id
    assert department.points == pytest.approx(100)
    worker = checked.checks.get().done_by
    assert worker is not None
    found = {score.key: score for score in scores.score_grid_workers(period, scope)}
    parts = {part.code: part for part in found[worker.pk].parts}
    on_time = parts["checked_on_time_rate"]
    assert (on_time.points, on_time.by, on_time.key) == (100, "sent", str(worker.pk))
    sent = Scope(checked.district_id, person=("sent", worker.pk))
    assert list(cases_behind(on_time.counts_below, period, sent).cases) == [checked.pk]
    assert (parts["missed_rate"].by, parts["missed_rate"].key) == (
        "community",
        str(checked.cell.community_id),
    )
    assert parts["missed_rate"].points == 100, "a grid worker reported it"
    reporter = checked.reports.get().reporter_id
    assert {part.code: part.points for part in found[reporter].parts}["valid_report_rate"] == 100


def test_who_answers_for_a_part_judges_its_workers(checked: Event) -> None:
    period = today_of(checked)
    everywhere = {one.key for one in scores.score_grid_workers(period, Scope(checked.district_id))}
    workers = Post.objects.filter(role=Role.GRID_WORKER, holdings__until=None, district=checked.district_id)
    assert everywhere == set(workers.values_list("holdings__user", flat=True))
    street, group = checked.cell.street, checked.cell.regional_group
    own = {one.key for one in scores.score_grid_workers(period, Scope(checked.district_id, within=(street,)))}
    assert own == set(workers.filter(unit__parent=street).values_list("holdings__user", flat=True))
    of_group = {one.key for one in scores.score_grid_workers(period, Scope(checked.district_id, unit=group))}
    assert set() < of_group < everywhere
    assert scores.score_grid_workers(period, Scope(checked.district_id, within=())) == []


def test_the_page_and_the_api(client: Client, checked: Event, leader: User) -> None:
    client.force_login(leader)
    day = timezone.localdate(timezone=ZoneInfo(checked.district.time_zone)).isoformat()
    told = client.get("/api/command/scores", {"first": day, "last": day}).json()
    assert [(one["points"], one["grade"]) for one in told["scores"]] == [(100, "A")]
    for subject in Subject.values:
        page = client.get("/figures/scores", {"first": day, "last": day, "subject": subject})
        assert page.status_code == 200
        assert "cases?first=" in page.content.decode()
    bad: tuple[dict[str, Any], ...] = (
        {"subject": "nobody"},
        {"first": "x"},
        {"first": "2026-01-02", "last": "2026-01-01"},
        {"first": "0001-01-01", "last": "9999-12-31"},
    )
    for asked in bad:
        assert client.get("/figures/scores", asked).status_code == 400
        assert client.get("/api/command/scores", asked).status_code == 400


@pytest.mark.parametrize("who", ["outsider", "resident", "dispatcher", "grid_worker", "department_handler"])
def test_others_are_refused(request: pytest.FixtureRequest, client: Client, who: str, checked: Event) -> None:
    client.force_login(request.getfixturevalue(who))
    assert client.get("/figures/scores").status_code == 403
    assert client.get("/api/command/scores").status_code == 403


def test_an_administrator_fills_in_the_usual_and_sees_what_a_change_does(
    client: Client, checked: Event
) -> None:
    client.force_login(User.objects.create_superuser("score-admin", password="score-admin-2026"))
    for model in (ScorePart, VolumeBand, Grade):
        name = model._meta.model_name
        assert client.get(f"/admin/insight/{name}/usual/", follow=True).status_code == 200
        assert model.objects.count() == 0, "nothing is written before somebody says so"
        for _ in range(2):
            assert client.post(f"/admin/insight/{name}/usual/").status_code == 302
        assert client.get(f"/admin/insight/{name}/", follow=True).status_code == 200
    assert (ScorePart.objects.count(), VolumeBand.objects.count(), Grade.objects.count()) == (8, 5, 5)
    grade = Grade.objects.get(name="A")
    row = {"district": grade.district_id, "name": "A", "at_least": "99", "colour": "green"}
    page = client.post(f"/admin/insight/grade/{grade.pk}/change/", row)
    assert page.status_code == 200, "the check stands between the form and saving"
    grade.refresh_from_db()
    assert grade.at_least == 90
    assert client.get(f"/admin/insight/grade/{grade.pk}/history/").status_code == 200
