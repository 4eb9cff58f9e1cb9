"""A level of the organisation, or the cells, come in from a file: as a layout, put in force at once or on its day.

Everything is judged and foretold as for any other layout; a refusal names the features of the file.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from fieldops.errors import BoundariesRefused, DomainError, UnitInUse
from fieldops.models import User
from gridmap.exchange.faults import Fault, FileRefused, place_of
from gridmap.exchange.layers import Layer, LayerName
from gridmap.exchange.reading import Feature, Reading, truth
from gridmap.layouts import CELLS, LayerRow, LayoutRefused, day_begins, diff, propose_layer
from gridmap.models import District, Layout
from gridmap.topology import Fault as PlaceFault

from .boundaries import apply_layout, what_if


@dataclass(frozen=True)
class GridChange:
    """What a layer changes: its own features by what happens to them, open cases and elements as `what_if` counts.

    `others` are organisations and cells of other levels; `changes` says of each of its own codes that does not stay as
    it is what happens to it; `layout` is None where nothing changes.
    """

    summary: dict[str, int]
    changes: dict[str, str]
    effects: dict[str, Any]
    layout: Layout | None


@transaction.atomic
def take_layer(
    reading: Reading,
    layer: Layer,
    district: District,
    *,
    by: User | None,
    title: str,
    tolerance_m: float,
    replace: bool,
    units_follow: bool,
    valid_from: date | None,
    draft: bool = False,
    dry_run: bool = False,
    told: Callable[[int], None] = lambda percent: None,
) -> GridChange:
    """Make a layout of a file's features and put it in force, on `valid_from` (a local day) if that is to come.

    With `draft` it is only drawn up: to be looked at, gone on with, and put in force by whoever may.
    With `dry_run` nothing is locked, and the caller rolls back. Raises FileRefused with everything that is wrong.
    """
    level = CELLS if layer.name == LayerName.CELLS else int(layer.level or 0)
    try:
        layout = propose_layer(
            *(district, level, [_row(feature) for feature in reading.features]),
            by=by,
            title=f"{layer.label} · {title}"[:120],
            replace_all=replace,
            units_follow=units_follow,
            tolerance_m=tolerance_m,
            takes_effect_at=_moment(valid_from, district),
        )
    except LayoutRefused as refused:
        raise FileRefused(*_of_the_file(refused.faults, reading.features)) from refused
    told(70)
    differences = diff(layout)
    if not differences:
        layout.delete()
        return GridChange(_summary(Counter(), len(reading.features), 0), {}, {}, None)
    changes = {line.code: line.change for line in differences if line.level == level}
    own = Counter(line.change for line in differences if line.level == level)
    same = sum(feature.code not in changes for feature in reading.features)
    summary = _summary(own, same, sum(line.level != level for line in differences))
    effects = what_if(layout)
    told(80)
    if effects["posts"]:
        raise FileRefused(Fault(UnitInUse.code, _in_the_way(effects["posts"])))
    if layout.takes_effect_at is None and not draft and not dry_run:
        try:
            layout = apply_layout(layout.pk, by=by)
        except BoundariesRefused as refused:
            raise FileRefused(Fault(refused.code, str(refused.detail))) from refused
        except DomainError as refused:
            raise FileRefused(Fault(refused.code, str(refused))) from refused
    return GridChange(summary, changes, effects, layout)


def _row(feature: Feature) -> LayerRow:
    values = feature.values
    return LayerRow(
        code=feature.code,
        shape=feature.shape,
        name=values.get("name", ""),
        area_name=values.get("area_name", ""),
        name_en=values.get("name_en", ""),
        parent=values.get("parent", ""),
        regional_group=values.get("regional_group", ""),
        replaces=tuple(
            re.split(r"[\s,，;；、]+", replaces) if (replaces := values.get("replaces", "")) else ()
        ),
        virtual=truth(values["virtual"]) if values.get("virtual") else None,
        synthetic=truth(values["synthetic"]) if values.get("synthetic") else None,
    )


def _moment(day: date | None, district: District) -> Any:
    try:
        return day_begins(day, district) if day else None
    except ValueError as error:
        raise FileRefused(Fault("day_is_past", _("The day %s is past") % day)) from error


def _of_the_file(faults: Sequence[PlaceFault], features: Sequence[Feature]) -> list[Fault]:
    """The faults with the number of the feature in the file; one that only knows features in force names those."""
    numbers = {feature.code: feature.number for feature in features}
    found = []
    for fault in faults:
        key = next((code for code in fault.features if code in numbers), "".join(fault.features[:1]))
        found.append(Fault(fault.code, fault.message, numbers.get(key), key, place_of(fault.place)))
    return found


def _in_the_way(posts: Sequence[str]) -> str:
    return _("These posts belong to what is dissolved: %s") % ", ".join(posts)


def _summary(own: Mapping[str, int], same: int, others: int) -> dict[str, int]:
    changes = {what: own.get(what, 0) for what in ("added", "changed", "moved", "ended")}
    return {**changes, "unchanged": same, "others": others}
