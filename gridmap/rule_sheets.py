"""Rows of rules as a spreadsheet and back: one column a field, other rows named by their codes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, transaction
from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.results import Result
from import_export.widgets import ForeignKeyWidget, Widget
from tablib import Dataset

from .spreadsheets import SheetRefused, as_text

# How a sheet names a row of another table; what is not here is named by its key.
NAMED_BY = {"code": ("gridunit", "department", "roadsegment"), "name": ("post",), "username": ("user",)}
MOST_FAULTS = 200


@dataclass
class Brought:
    """What became of the rows of a sheet; `faults` are rows of the sheet (its headings are row 1) and their words."""

    new: int = 0
    changed: int = 0
    same: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


class _ByCode(ForeignKeyWidget):
    """A row by its code: of the same district, where the sheet names one; else one that no other district has."""

    def get_queryset(self, value: Any, row: Any, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows = self.model._default_manager.all()
        has_district = any(f.name == "district" for f in self.model._meta.concrete_fields)
        return rows.filter(district=row["district"]) if has_district and "district" in row else rows


class _Moment(Widget):
    """A moment with its zone, to the microsecond: 2026-02-01T08:00:00+08:00."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> datetime | None:
        if not value:
            return None
        moment = parse_datetime(str(value))
        if moment is None or moment.tzinfo is None:
            raise ValueError(_("a time is written with its zone: 2026-02-01T08:00:00+08:00"))
        return moment

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return value.isoformat() if value else ""


class _Sheet(ModelResource):
    """Every row is judged as its form would judge it."""

    class Meta:
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True
        use_transactions = True


def identity_of(kind: type[Model]) -> list[str]:
    """The fields by which a sheet's row is known again."""
    for constraint in kind._meta.constraints:
        if not isinstance(constraint, models.UniqueConstraint) or constraint.condition:
            continue
        if constraint.fields and "id" not in constraint.fields:
            return list(constraint.fields)
    return [kind._meta.pk.name]


def columns_of(kind: type[Model]) -> list[str]:
    """The columns of a sheet: what a person may set, and what a row is known by."""
    known = identity_of(kind)
    return [
        f.name
        for f in kind._meta.concrete_fields
        if f.name in known or (f.editable and not f.generated and not (f.primary_key and f.name == "id"))
    ]


def _sheet_of(kind: type[Model]) -> ModelResource:
    columns = columns_of(kind)
    named: dict[str, Field] = {}
    for name in columns:
        f: Any = kind._meta.get_field(name)
        if isinstance(f, models.DateTimeField):
            named[name] = Field(attribute=name, column_name=name, widget=_Moment())
        elif f.remote_field:
            target = f.remote_field.model
            by = next((by for by, names in NAMED_BY.items() if target._meta.model_name in names), "pk")
            named[name] = Field(attribute=name, column_name=name, widget=_ByCode(target, by))
    made = modelresource_factory(
        kind,
        resource_class=_Sheet,
        meta_options={"fields": columns, "import_id_fields": identity_of(kind)},
        custom_fields=named,
    )
    return made()


def rows_out(kind: type[Model], rows: QuerySet[Any]) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows of a sheet."""
    data = _sheet_of(kind).export(rows)
    return list(data.headers), [[as_text(value) for value in row] for row in data]


@transaction.atomic
def bring_in(kind: type[Model], rows: Sequence[dict[str, str]]) -> Brought:
    """Write the rows of a sheet: all of them, or where one has a fault none; new ones and changed ones.

    What the sheet does not name stays. Raises SheetRefused where its columns are not the table's.
    """
    columns = columns_of(kind)
    headings = list(rows[0]) if rows else []
    unknown = [name for name in headings if name not in columns]
    missing = [name for name in identity_of(kind) if name not in headings]
    if unknown or missing or not rows:
        told = _("Unknown columns: %(unknown)s. Missing columns: %(missing)s. Known: %(known)s.")
        raise SheetRefused(
            told
            % {
                "unknown": ", ".join(unknown)[:200] or "–",
                "missing": ", ".join(missing) or "–",
                "known": ", ".join(columns),
            }
        )
    keys = [tuple(row[name].strip() for name in identity_of(kind)) for row in rows]
    twice = [n for n, key in enumerate(keys, start=2) if any(key) and keys.index(key) != n - 2]
    if twice:
        return Brought(faults=[(n, _("a row above says the same")) for n in twice[:MOST_FAULTS]])
    data = Dataset(*[tuple(row.values()) for row in rows], headers=headings)
    result = _sheet_of(kind).import_data(data, rollback_on_validation_errors=True)
    brought = Brought(faults=_faults(result))
    if not brought.faults:
        brought.new, brought.changed = result.totals["new"], result.totals["update"]
        brought.same = result.totals["skip"]
    return brought


def _faults(result: Result) -> list[tuple[int, str]]:
    told = [(0, _in_words(error.error)) for error in result.base_errors]
    told += [(row.number + 1, _in_words(row.error)) for row in result.invalid_rows]
    told += [(row.number + 1, _in_words(row.errors[0].error)) for row in result.error_rows]
    return sorted(told)[:MOST_FAULTS]


def _in_words(error: Any) -> str:
    if isinstance(error, ValidationError):
        if hasattr(error, "error_dict"):
            told = [
                f"{name}: {'; '.join(words)}" if name != "__all__" else "; ".join(words)
                for name, words in error.message_dict.items()
            ]
            return " · ".join(told)
        return "; ".join(error.messages)
    if isinstance(error, models.ObjectDoesNotExist):
        return _("names a row that does not exist")
    if isinstance(error, DatabaseError):
        return _("the database does not take it")
    return str(error)[:200]
