"""Road segments and their street chiefs: whose street a case is on, and what a chief finds there."""

from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from fieldops.models import Event, Post, SegmentChief, User
from fieldops.queries import case_for_the_field
from fieldops.rights import current_posts, events_visible_to
from fieldops.status import FINAL, Role
from gridmap.models import RoadSegment, Shop
from gridmap.segments import segments_by_nearness


def chiefs_now() -> QuerySet[SegmentChief]:
    """Who answers for which segment at this moment."""
    now = timezone.now()
    return SegmentChief.objects.filter(Q(until__isnull=True) | Q(until__gt=now), since__lte=now)


def street_chief_of(event: Event) -> Post | None:
    """The post that answers for the road segment a case is on; None where no segment, or no chief, is. One statement.

    A chief whose area does not cover the case cannot confirm it, so is not meant.
    """
    nearest = segments_by_nearness(event.point, district=event.district_id)[:1]
    chief = (
        chiefs_now()
        .filter(segment__in=Subquery(nearest.values("pk")), post__unit__in=event.cell.unit_ids)
        .select_related("post__unit", "post__district")
        .defer("post__unit__boundary")
        .first()
    )
    return chief.post if chief else None


def segments_of(user: User) -> QuerySet[RoadSegment]:
    """The segments whose chief one is now."""
    posts = [post.pk for post in current_posts(user) if post.role == Role.STREET_CHIEF]
    return RoadSegment.objects.filter(
        ended_at__isnull=True, pk__in=chiefs_now().filter(post__in=posts).values("segment")
    )


def my_segments(user: User) -> list[dict[str, Any]]:
    """One's segments with their shops and the open cases on them; three statements, whatever their number.

    A case is on the segment that is nearest to it, as `street_chief_of` has it. Lines are WGS-84.
    """
    segments = {segment.pk: _segment(segment) for segment in segments_of(user).order_by("code")}
    shops = Shop.objects.filter(segment__in=segments, element__ended_at__isnull=True).select_related(
        "element"
    )
    for shop in shops:
        segments[shop.segment_id]["shops"].append(_shop(shop))
    nearest = segments_by_nearness(OuterRef("point"), district=OuterRef("district"))
    cases: QuerySet[Any] = (
        events_visible_to(user)
        .exclude(status__in=FINAL)
        .annotate(on_segment=Subquery(nearest.values("pk")[:1]))
        .filter(on_segment__in=list(segments))
        .select_related("event_class", "condition", "component", "cell__community")
        .defer("cell__boundary", "cell__community__boundary")
        .order_by("received_at")
    )
    for event in cases if segments else []:
        segments[event.on_segment]["cases"].append(case_for_the_field(event))
    return list(segments.values())


def _segment(segment: RoadSegment) -> dict[str, Any]:
    return {
        "id": segment.pk,
        "code": segment.code,
        "name": segment.name,
        "line": [[round(x, 7), round(y, 7)] for x, y in segment.line.coords],
        "reach_m": segment.reach_m,
        "shops": [],
        "cases": [],
    }


def _shop(shop: Shop) -> dict[str, Any]:
    point = shop.element.point
    return {
        "id": shop.pk,
        "name": shop.element.name,
        "category": shop.element.category,
        "side": shop.side,
        "side_label": shop.get_side_display(),
        "house_number": shop.house_number,
        "point": [round(point.x, 7), round(point.y, 7)] if point else None,
    }
