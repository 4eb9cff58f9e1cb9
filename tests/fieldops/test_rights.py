"""Who sees the same, and may therefore share what shows it."""

from django.utils import timezone

from fieldops.models import Check, Event, Post, User
from fieldops.rights import events_visible_to, view_of


def view(user: User, *posts: Post) -> object:
    return view_of(posts, reporter=user)


def test_two_desks_of_one_area_have_one_view(dispatcher: User, leader: User) -> None:
    desks = Post.objects.filter(role="dispatcher")
    assert view(dispatcher, desks[0]) == view(leader, desks[0])
    assert view(dispatcher, *desks) == view(dispatcher, *reversed(desks))
    assert view(dispatcher, desks[0]) != view(dispatcher, Post.objects.filter(role="leader").first())


def test_a_post_that_is_sent_beyond_its_area_has_a_view_of_its_own(located: Event, grid_worker: User) -> None:
    away = Post.objects.filter(role="grid_worker").exclude(unit=located.cell.community).first()
    twin = Post.objects.create(role="grid_worker", district=away.district, unit=away.unit, name="twin")
    now = timezone.now()
    Check.objects.create(event=located, kind="verify", post=away, sent="neighbour", asked_at=now, due_at=now)
    assert located in events_visible_to(away.holders.first())
    assert view(grid_worker, twin) != view(grid_worker, away)


def test_handlers_who_may_be_called_to_assist_have_views_of_their_own(department_handler: User) -> None:
    post = Post.objects.filter(role="department_handler").first()
    twin = Post.objects.create(
        role=post.role, district=post.district, unit=post.unit, department=post.department, name="twin"
    )
    assert view(department_handler, twin) != view(department_handler, post)


def test_what_residents_see_is_their_own(resident: User, other_resident: User) -> None:
    post = Post.objects.filter(role="resident").first()
    assert view(resident, post) != view(other_resident, post)
