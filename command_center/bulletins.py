"""Bulletins for leaders: the list, each as Excel or PDF in the reader's language, and the same as JSON."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops.errors import NotPermitted
from fieldops.models import Post
from fieldops.rights import current_posts
from gridmap.spreadsheets import XLSX
from insight.bulletins import SETTLED, settled_at, visible_bulletins
from insight.documents import as_pdf, as_workbook, title_of
from insight.models import Bulletin, BulletinKind
from insight.tables import reading_posts

from .base import CommandView
from .figures import may_see_figures

A_PAGE = 40
FORMATS: dict[str, tuple[str, Callable[[Bulletin], bytes]]] = {
    "xlsx": (XLSX, as_workbook),
    "pdf": ("application/pdf", as_pdf),
}


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Newest first, of one kind or all."""
    posts = current_posts(request.user)
    if not may_see_figures(posts):
        return render(request, "command_center/no_post.html", status=403)
    district = reading_posts(posts)[0].district
    zone = ZoneInfo(district.time_zone)
    kind = request.GET.get("kind", "")
    found = visible_bulletins(posts).defer("figures", "unit__boundary")
    if kind in BulletinKind.values:
        found = found.filter(kind=kind)
    shown = Paginator(found, A_PAGE).get_page(request.GET.get("page"))
    context = {
        "bulletins": [{"row": one, "title": title_of(one)} for one in shown],
        "shown": shown,
        "kind": kind,
        "kinds": BulletinKind.choices,
        "formats": list(FORMATS),
        "next_at": settled_at((timezone.now() - SETTLED).astimezone(zone).date(), district),
        "zone": district.time_zone,
    }
    return render(request, "command_center/bulletins.html", context)


@login_required
@require_GET
def download(request: HttpRequest, bulletin_id: int, format: str) -> HttpResponse:
    """One document; 404 for one of another area."""
    posts = current_posts(request.user)
    if not may_see_figures(posts) or format not in FORMATS:
        raise Http404
    bulletin = get_object_or_404(visible_bulletins(posts), pk=bulletin_id)
    content_type, made_by = FORMATS[format]
    named = f"{bulletin.unit.code}-{bulletin.kind}-{bulletin.first}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{named}"', "Cache-Control": "private, no-store"}
    return HttpResponse(made_by(bulletin), content_type=content_type, headers=headers)


class Bulletins(CommandView):
    """The same as JSON."""

    def get(self, request: Request) -> Response:
        """The newest hundred."""
        if not may_see_figures(self.posts):
            raise NotPermitted
        return Response({"bulletins": [_told(one) for one in _newest(self.posts)]})


def _newest(posts: list[Post]) -> list[Bulletin]:
    return list(visible_bulletins(posts).defer("figures", "unit__boundary")[:100])


def _told(one: Bulletin) -> dict[str, Any]:
    return {
        "id": one.pk,
        "kind": one.kind,
        "unit": one.unit.code,
        "title": title_of(one),
        "first": one.first,
        "last": one.last,
        "as_of": one.as_of,
        "made_at": one.made_at,
        "documents": {name: f"/figures/bulletins/{one.pk}.{name}" for name in FORMATS},
    }
