"""What every page of rows shares: the theme, and the history of a row as triggers keep it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages
from django.core import signing
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.db.models import Model, OuterRef, ProtectedError, QuerySet, RestrictedError, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pghistory.core import event_models
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget

from .rule_sheets import bring_in, columns_of, rows_out
from .spreadsheets import MOST_BYTES, XLSX, SheetRefused, read_sheet, workbook

SHOWN_CHANGES = 200
T = TypeVar("T")


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


@dataclass(frozen=True)
class Moved:
    """What one change would do to one thing: to which, from what, to what."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Forecast:
    """What is looked at before and after a change that is taken back again.

    `begin` looks, and returns what looks again and tells the difference.
    """

    title: Any
    begin: Callable[[], Callable[[], Iterable[Moved]]]


@dataclass(frozen=True)
class Effect:
    """What a change would do to one kind of thing, grouped by from and to; `more` groups are not shown."""

    title: str
    total: int
    groups: list[tuple[str, str, int, list[str]]]
    more: int


SHOWN_GROUPS = 100
SHOWN_IN_A_GROUP = 12
CHECKED = "_checked"
MOST_CARRIED = 900_000  # characters that a page may send back


def foretell(change: Callable[[], T], forecasts: Sequence[Forecast]) -> tuple[T, list[Effect]]:
    """Make a change, look what it does, and take it back: it is judged by what it does, not by what is guessed."""
    with transaction.atomic():
        begun = [(forecast.title, forecast.begin()) for forecast in forecasts]
        made = change()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        effects = [_effect(str(title), list(look_again())) for title, look_again in begun]
        transaction.set_rollback(True)
    return made, effects


def _effect(title: str, moved: list[Moved]) -> Effect:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in moved:
        groups[one.before, one.after].append(one.what)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = [(*turn, len(what), sorted(what)[:SHOWN_IN_A_GROUP]) for turn, what in ranked[:SHOWN_GROUPS]]
    return Effect(title, len(moved), shown, max(0, len(ranked) - SHOWN_GROUPS))


class RuleAdmin(RowAdmin):
    """A page of rules: between the form and saving stands what the change would do (`forecasts`)."""

    forecasts: Sequence[Forecast] = ()
    delete_confirmation_template = "admin/check_before_deleting.html"
    actions_list = ["sheet_out", "sheet_in", "all_changes"]

    @action(description=gettext_lazy("History"), url_path="changes", permissions=["view"])
    def all_changes(self, request: HttpRequest) -> HttpResponse:
        """Who changed what in all rows, deleted ones too."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %(row)s") % {"row": self.opts.verbose_name_plural},
            "changes": changes_of_all(self.model),
            "all": True,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/kept_history.html", context)

    @action(description=gettext_lazy("Export"), url_path="sheet", permissions=["view"])
    def sheet_out(self, request: HttpRequest) -> HttpResponse:
        """All rows as a spreadsheet."""
        headings, rows = rows_out(self.model, self.get_queryset(request))
        named = f'attachment; filename="{self.opts.model_name}.xlsx"'
        sheet = workbook(headings, rows)
        return HttpResponse(sheet, content_type=XLSX, headers={"Content-Disposition": named})

    @action(description=gettext_lazy("Import"), url_path="bring", permissions=["add", "change"])
    def sheet_in(self, request: HttpRequest) -> HttpResponse:
        """A spreadsheet is read; then stands what it would do; then it is written, all of it or nothing."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Import from a spreadsheet"),
            "opts": self.opts,
            "columns": columns_of(self.model),
            "file": UnfoldAdminFileFieldWidget().render(
                "file", None, attrs={"id": "sheet", "accept": ".xlsx,.csv"}
            ),
        }
        if request.method != "POST":
            return TemplateResponse(request, "admin/bring_sheet.html", context)
        salt = f"{self.opts.label_lower}:{request.user.pk}"
        try:
            if "rows" in request.POST:
                return self._write_sheet(
                    request, signing.loads(request.POST["rows"], salt=salt, max_age=3600)
                )
            file = request.FILES.get("file")
            if file is None or (file.size or 0) > MOST_BYTES:
                raise SheetRefused(_("Choose a file of at most 2 MB."))
            rows = read_sheet(file.name or "", file.read())
            brought, effects = foretell(lambda: bring_in(self.model, rows), self.forecasts)
            context |= {"brought": brought, "effects": effects}
            if not brought.faults:
                context["rows"] = signing.dumps(rows, salt=salt, compress=True)
                if len(context["rows"]) > MOST_CARRIED:
                    raise SheetRefused(_("The sheet holds too much at once; divide it."))
        except SheetRefused as refused:
            context["refused"] = str(refused)
        except signing.BadSignature:
            context["refused"] = _("The check is too old; bring the file once more.")
        except DatabaseError:
            context["refused"] = _("the database does not take it")
        return TemplateResponse(request, "admin/bring_sheet.html", context)

    def _write_sheet(self, request: HttpRequest, rows: list[dict[str, str]]) -> HttpResponse:
        brought = bring_in(self.model, rows)
        if brought.faults:
            raise SheetRefused(_("The rows have changed meanwhile; bring the file once more."))
        told = _("%(new)s new, %(changed)s changed, %(same)s as before") % vars(brought)
        messages.success(request, told)
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form; what it would do; and only then the change."""

        def save() -> HttpResponse:
            return super(RuleAdmin, self).changeform_view(request, object_id, form_url, extra_context)

        if request.method != "POST" or CHECKED in request.POST or IS_POPUP_VAR in request.POST:
            return save()
        with transaction.atomic():
            response, effects = foretell(save, self.forecasts)
        if response.status_code != 302:  # the form has faults, and says which
            return response
        _forget_messages(request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Check before saving"),
            "effects": effects,
            "fields": [(name, value) for name, values in request.POST.lists() for value in values],
            "checked": CHECKED,
            "opts": self.opts,
            "object_id": object_id,
        }
        return TemplateResponse(request, "admin/check_before_saving.html", context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The same before a row is deleted."""
        row = self.get_object(request, unquote(object_id))
        if request.method != "POST" and row is not None and self.has_delete_permission(request, row):
            try:
                _made, effects = foretell(row.delete, self.forecasts)
            except (ProtectedError, RestrictedError):
                effects = []  # the page says what stands in the way
            extra_context = {"effects": effects, **(extra_context or {})}
        return super().delete_view(request, object_id, extra_context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Not many at once: nobody would see what it does."""
        return {name: one for name, one in super().get_actions(request).items() if name != "delete_selected"}


def _forget_messages(request: HttpRequest) -> None:
    """Of a change that was taken back."""
    storage: Any = get_messages(request)
    storage._queued_messages.clear()


def kept_states(kind: type[Model]) -> QuerySet[Any] | None:
    """The states of a kind of row that triggers keep; None where they keep none."""
    found = event_models(tracks_model=kind)
    return found[0]._default_manager.all() if found else None


def changes_of(row: Any) -> list[dict[str, Any]]:
    """The newest changes of a row, newest first: `at`, `by`, `label` and the `fields` that differ from before."""
    states = kept_states(type(row))
    return _told(type(row), states.filter(pgh_obj=row.pk)) if states is not None else []


def changes_of_all(kind: type[Model]) -> list[dict[str, Any]]:
    """The newest changes of all rows of a kind, those of deleted rows among them; `row` says which."""
    states = kept_states(kind)
    return _told(kind, states) if states is not None else []


def _told(kind: type[Model], states: QuerySet[Any]) -> list[dict[str, Any]]:
    earlier = states.filter(pgh_obj=OuterRef("pgh_obj"), pgh_id__lt=OuterRef("pgh_id")).order_by("-pgh_id")
    newest = states.annotate(before_id=Subquery(earlier.values("pgh_id")[:1])).order_by("-pgh_id")
    versions = list(newest[:SHOWN_CHANGES])
    before = states.in_bulk([one.before_id for one in versions if one.before_id])
    people = get_user_model()._default_manager.in_bulk({user for one in versions if (user := _user_of(one))})
    fields = [f for f in kind._meta.concrete_fields if versions and hasattr(versions[0], f.attname)]
    words = _Words(fields, [*versions, *before.values()])
    told = []
    for version in versions:
        was = before.get(version.before_id)
        context = getattr(version, "pgh_context", None) or {}
        told.append(
            {
                "at": version.pgh_created_at,
                "by": people.get(_user_of(version)) or context.get("command") or _("a program"),
                "label": {"insert": _("added"), "update": _("changed"), "delete": _("deleted")}[
                    version.pgh_label
                ],
                "row": _named(kind, fields, version),
                "fields": [
                    (f.verbose_name, words.of(f, was) if was else None, words.of(f, version))
                    for f in fields
                    if was is None or getattr(was, f.attname) != getattr(version, f.attname)
                ],
            }
        )
    return told


class _Words:
    """What the values of states are called: other rows by their names, codes by their labels."""

    def __init__(self, fields: Sequence[Any], states: Sequence[Any]) -> None:
        self.others = {}
        for f in fields:
            if f.is_relation:
                keys = {getattr(one, f.attname) for one in states} - {None}
                rows = f.related_model._base_manager.filter(**{f"{f.target_field.attname}__in": keys})
                plain = [g.name for g in f.related_model._meta.concrete_fields if hasattr(g, "srid")]
                self.others[f] = {
                    getattr(row, f.target_field.attname): str(row) for row in rows.defer(*plain)
                }

    def of(self, f: Any, state: Any) -> str:
        """Of one field; a dash for nothing."""
        value = getattr(state, f.attname)
        if value is None or value == "":
            return "–"
        if f.is_relation:
            return self.others[f].get(value, f"#{value}")
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        return str(dict(f.flatchoices).get(value, value))


def _named(kind: type[Model], fields: Sequence[Any], state: Any) -> str:
    """What the row was called in this state."""
    row = kind(
        pk=state.pgh_obj_id, **{f.attname: getattr(state, f.attname) for f in fields if not f.primary_key}
    )
    try:
        return str(row)
    except ObjectDoesNotExist:  # called after another row, which is deleted
        return f"#{state.pgh_obj_id}"


def _user_of(version: Any) -> Any:
    """Who made a state: as its context says, or, as with elements, the row itself."""
    context = getattr(version, "pgh_context", None) or {}
    return context.get("user") or getattr(version, "changed_by_id", None)
