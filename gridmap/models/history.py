"""Who changed what of the rows that administrators edit: every state of them, written by triggers.

Each keeps, with its moment, the person and the page (`command_center.middleware.WhoChanged`), or nothing where a
program wrote. Cases are none of these rows, so intake pays nothing for it.
"""

import pghistory
from django.db import models

from .grid import CalendarDay, Department, District, GridUnit


def kept_history(model: type[models.Model], *, exclude: tuple[str, ...] = ()) -> type[models.Model]:
    """The base of the model that keeps every state of a row: inserted, updated, deleted."""
    kept: type[models.Model] = pghistory.create_event_model(
        model,
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        pghistory.DeleteEvent(),
        exclude=list(exclude),
        level=pghistory.Statement,
        context_field=pghistory.ContextJSONField(),
        context_id_field=None,  # type: ignore[arg-type]
        append_only=True,
        obj_field=pghistory.ObjForeignKey(related_name="+"),
    )
    return kept


class DistrictChange(kept_history(District)):  # type: ignore[misc]
    """A state of a district's row."""


class GridUnitChange(kept_history(GridUnit, exclude=("boundary", "in_force"))):  # type: ignore[misc]
    """A state of an organisation's row; its area is kept by the versions of its cells."""


class DepartmentChange(kept_history(Department)):  # type: ignore[misc]
    """A state of a department's row."""


class CalendarDayChange(kept_history(CalendarDay)):  # type: ignore[misc]
    """A state of a calendar day's row."""
