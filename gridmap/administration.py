"""What every page of rows shares: the theme, and the history of a row as triggers keep it."""

from typing import Any

from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from pghistory.core import event_models
from unfold.admin import ModelAdmin

SHOWN_CHANGES = 200


class RowAdmin(ModelAdmin):
    """An administrator's page of rows. Its history is what the database kept, whoever wrote, by whatever way."""

    compressed_fields = True
    list_filter_submit = False

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Each change of the row: when, by whom, which fields from what to what."""
        if kept_states(self.model) is None:
            return super().history_view(request, object_id, extra_context)
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %(row)s") % {"row": row},
            "changes": changes_of(row),
            "opts": self.opts,
            "object": row,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/kept_history.html", context)


def kept_states(kind: type[Model]) -> QuerySet[Any] | None:
    """The states of a kind of row that triggers keep; None where they keep none."""
    found = event_models(tracks_model=kind)
    return found[0]._default_manager.all() if found else None


def changes_of(row: Any) -> list[dict[str, Any]]:
    """The newest changes of a row, newest first: `at`, `by`, `label` and the `fields` that differ from before."""
    states = kept_states(type(row))
    versions = (
        list(states.filter(pgh_obj=row.pk).order_by("-pgh_id")[: SHOWN_CHANGES + 1])
        if states is not None
        else []
    )
    people = get_user_model()._default_manager.in_bulk(
        {user for version in versions if (user := _user_of(version))}
    )
    names = (
        [f for f in type(row)._meta.concrete_fields if hasattr(versions[0], f.attname)] if versions else []
    )
    told = []
    for version, before in zip(versions, [*versions[1:], None], strict=True):
        context = getattr(version, "pgh_context", None) or {}
        fields = [
            (f.verbose_name, getattr(before, f.attname) if before else None, getattr(version, f.attname))
            for f in names
            if before is None or getattr(before, f.attname) != getattr(version, f.attname)
        ]
        told.append(
            {
                "at": version.pgh_created_at,
                "by": people.get(_user_of(version)) or context.get("command") or _("a program"),
                "label": {"insert": _("added"), "update": _("changed"), "delete": _("deleted")}[
                    version.pgh_label
                ],
                "fields": fields,
            }
        )
    return told[:SHOWN_CHANGES]


def _user_of(version: Any) -> Any:
    """Who made a state: as its context says, or, as with elements, the row itself."""
    context = getattr(version, "pgh_context", None) or {}
    return context.get("user") or getattr(version, "changed_by_id", None)
