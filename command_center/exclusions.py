"""Cases that shall not count: asked for, decided by another, listed with who and why; a page, and the same as JSON."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops.errors import DomainError, NotFound, NotPermitted
from fieldops.models import Post, User
from fieldops.rights import current_posts, events_visible_to
from insight import exclusions

from .base import CommandView
from .figures import may_see_figures


class AskIn(serializers.Serializer):
    """Which case, and why it should not count."""

    event = serializers.UUIDField()
    reason = serializers.CharField(max_length=2000)


class DecisionIn(serializers.Serializer):
    """Yes or no; a refusal says why."""

    approved = serializers.BooleanField()
    note = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


def _listed(person: User, posts: list[Post]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.pk,
            "event": {
                "id": str(one.event_id),
                "number": one.event.number,
                "class": one.event.event_class.name,
            },
            "reason": one.reason,
            "asked_by": str(one.asked_by),
            "asked_at": one.asked_at,
            "approved": one.approved,
            "decided_by": str(one.decided_by) if one.decided_by else None,
            "decided_at": one.decided_at,
            "note": one.note,
            "yours_to_decide": exclusions.decidable_by(person, posts, one),
        }
        for one in exclusions.visible_to(person)[: exclusions.MOST_SHOWN]
    ]


def _shown(request: HttpRequest, *, refused: DomainError | None = None) -> HttpResponse:
    posts = current_posts(request.user)
    context = {
        "exclusions": _listed(request.user, posts),  # type: ignore[arg-type]
        "asked": {
            "number": request.POST.get("number") or request.GET.get("number", ""),
            "reason": request.POST.get("reason", ""),
        },
        "refused": refused and (refused.detail or refused.title),
        "zone": posts[0].district.time_zone,
    }
    return render(request, "command_center/exclusions.html", context, status=422 if refused else 200)


def _typed(request: HttpRequest, name: str) -> str:
    """What no keyboard types, the database does not take."""
    return request.POST.get(name, "").replace("\0", "")


@login_required
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """The list; and the form that asks for another one."""
    if not may_see_figures(current_posts(request.user)):
        return render(request, "command_center/no_post.html", status=403)
    if request.method == "GET":
        return _shown(request)
    person: Any = request.user
    found = events_visible_to(person).filter(number=_typed(request, "number").strip()[:40])
    try:
        event = found.values_list("pk", flat=True).first()
        if event is None:
            raise NotFound
        exclusions.ask(event, by=person, reason=_typed(request, "reason")[:2000])
    except DomainError as refused:
        return _shown(request, refused=refused)
    return redirect("exclusions")


@login_required
@require_POST
def decide(request: HttpRequest, exclusion_id: int) -> HttpResponse:
    """The same by the form beside each."""
    if not may_see_figures(current_posts(request.user)):
        return render(request, "command_center/no_post.html", status=403)
    person: Any = request.user
    approved, note = request.POST.get("approved") == "true", _typed(request, "note")[:2000]
    try:
        exclusions.decide(exclusion_id, by=person, approved=approved, note=note)
    except DomainError as refused:
        return _shown(request, refused=refused)
    return redirect("exclusions")


class Exclusions(CommandView):
    """What was asked for, and asking for more."""

    def get(self, request: Request) -> Response:
        """Open ones first, of the cases one sees."""
        if not may_see_figures(self.posts):
            raise NotPermitted
        return Response({"exclusions": _listed(self.person, self.posts)})

    def post(self, request: Request) -> Response:
        """Ask; 201 with its key."""
        asked = AskIn(data=request.data)
        asked.is_valid(raise_exception=True)
        made = exclusions.ask(
            asked.validated_data["event"], by=self.person, reason=asked.validated_data["reason"]
        )
        return Response({"id": made.pk}, status=201)


class ExclusionDecision(CommandView):
    """The second pair of eyes."""

    def post(self, request: Request, exclusion_id: int) -> Response:
        """Approve or refuse."""
        given = DecisionIn(data=request.data)
        given.is_valid(raise_exception=True)
        made = exclusions.decide(exclusion_id, by=self.person, **given.validated_data)
        return Response({"id": made.pk, "approved": made.approved})
