"""Road segments and their chiefs: whose street a case is on; one's own segments with shops and cases."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.gis.geos import Point
from django.utils import timezone

from fieldops.elements.streets import my_segments, street_chief_of
from fieldops.models import Event, Post, SegmentChief, User
from gridmap.models import Cell, Element, RoadSegment
from gridmap.segments import put_shop
from tests.doing import METRE, along, chief_of, holder_of, lay, refused


@pytest.fixture
def segment(cell: Cell) -> RoadSegment:
    """A street through the middle of the cell, and another one farther off."""
    x, y = cell.boundary.point_on_surface.coords
    farther = [(x, y + 25 * METRE), (x + 20 * METRE, y + 25 * METRE)]
    assert not lay(along(cell), along(cell, "T-2", line=farther)).faults
    return RoadSegment.objects.get(code="T-1")


def appoint(segment: RoadSegment, post: Post, **changes: Any) -> SegmentChief:
    facts = {"since": timezone.now() - timedelta(days=1), "district_id": "150204", **changes}
    return SegmentChief.objects.create(segment=segment, post=post, **facts)


def test_the_chief_of_the_segment_a_case_is_on(
    segment: RoadSegment, located: Event, cell: Cell, django_assert_num_queries: Any
) -> None:
    assert street_chief_of(located) is None
    own = Post.objects.create(
        district=cell.district, role="street_chief", name="测试街街长", unit=cell.street
    )
    chief = appoint(segment, own)
    located.cell.unit_ids  # noqa: B018 — the case comes with its cell
    with django_assert_num_queries(1):
        assert street_chief_of(located) == own
    SegmentChief.objects.filter(pk=chief.pk).update(until=timezone.now() - timedelta(minutes=1))
    assert street_chief_of(located) is None
    appoint(segment, own, since=timezone.now())
    Event.objects.filter(pk=located.pk).update(
        point=Point(located.point.x, located.point.y + 20 * METRE, srid=4326)
    )
    located.refresh_from_db()
    assert street_chief_of(located) is None


def test_a_chief_of_another_area_is_not_meant(segment: RoadSegment, located: Event, cell: Cell) -> None:
    appoint(segment, Post.objects.filter(role="street_chief").exclude(unit=cell.street).first())
    assert street_chief_of(located) is None


def test_ones_segments_with_shops_and_cases(
    segment: RoadSegment, located: Event, cell: Cell, django_assert_num_queries: Any
) -> None:
    appoint(segment, Post.objects.get(role="street_chief", unit=cell.street))
    x, y = located.point.coords
    shop = Element.objects.create(
        district_id="150204", kind="organisation", name="示例粮油", cell=cell, system="WGS84",
        point=Point(x + 5 * METRE, y - 6 * METRE, srid=4326), x=x, y=y,
    )  # fmt: skip
    put_shop(shop, segment=segment, house_number="7")
    user = chief_of(located)
    with django_assert_num_queries(4):  # one's posts, segments, shops, cases
        mine = next(one for one in my_segments(user) if one["code"] == "T-1")
    assert (mine["code"], [(s["name"], s["side"], s["house_number"]) for s in mine["shops"]]) == (
        "T-1",
        [("示例粮油", "right", "7")],
    )
    assert [case["number"] for case in mine["cases"]] == [located.number]


def test_nobody_else_has_segments(
    segment: RoadSegment, cell: Cell, outsider: User, resident: User, grid_worker: User
) -> None:
    appoint(segment, Post.objects.get(role="street_chief", unit=cell.street))
    other = holder_of(Post.objects.filter(role="street_chief").exclude(unit=cell.street).first())
    for user in (outsider, resident, grid_worker, other):
        assert [s for s in my_segments(user) if s["code"] == "T-1"] == []


def test_a_segment_has_one_street_chief_at_a_time(segment: RoadSegment, cell: Cell) -> None:
    post = Post.objects.get(role="street_chief", unit=cell.street)
    appoint(segment, post)
    refused(lambda: appoint(segment, post), "a_segment_has_one_chief_at_a_time")
    refused(
        lambda: SegmentChief.objects.update(post=Post.objects.filter(role="grid_worker").first()),
        "a_segments_chief_is_a_street_chief_of_its_district",
    )
    refused(
        lambda: SegmentChief.objects.update(until=timezone.now() - timedelta(days=9)), "a_chief_ends_after"
    )
