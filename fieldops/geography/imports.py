"""A layer comes in from a file: read, checked, shown, and put into the grid as one transaction.

`bring_in` does it for a command; a run of the administrator's page is begun, checked by a worker, and applied by
whoever may. What a check showed is what is applied: when it would do anything else by then, it is refused.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import shapely
from django.conf import settings
from django.core.files import File
from django.db import models, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from fieldops.models import User
from fieldops.rights import current_posts
from gridmap.elements import ComponentRow, Placing, place_components
from gridmap.exchange.faults import Fault, FileRefused, place_of
from gridmap.exchange.layers import LAYERS, Layer, LayerName
from gridmap.exchange.reading import GRID, Feature, Reading, read_file
from gridmap.models import Component, District, ImportRun, ImportState, Layout, RoadSegment
from gridmap.segments import SegmentRow, lay_out_segments

from .boundaries import MAY_APPLY, effects_in_words
from .grid_imports import take_layer

log = logging.getLogger(__name__)
Told = Callable[[int], None]
# A position that went out in another system and came back is the same.
SAME_DEGREES = 3 * GRID
# A worker that has said nothing for so long is gone.
GIVEN_UP_AFTER = timedelta(minutes=10)
FILES_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Options:
    """How a file is to be understood and what it is to do; the fields of `ImportRun` say what each means."""

    crs: str = ""
    encoding: str = ""
    file_layer: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tolerance_m: float = 0.05
    replace: bool = True
    units_follow: bool = False
    valid_from: date | None = None


@dataclass(frozen=True)
class Outcome:
    """What an import does: counts by what happens, for people; the reading it came from.

    Of a level of the organisation or of cells also the layout, and what it does to open cases and elements.
    """

    summary: dict[str, int]
    reading: Reading
    effects: dict[str, Any] = field(default_factory=dict)
    layout: Layout | None = None


def bring_in(
    path: Path,
    layer: Layer,
    district: District,
    options: Options,
    *,
    by: User | None,
    draft: bool = False,
    dry_run: bool = False,
    suffix: str = "",
    title: str = "",
    told: Told = lambda percent: None,
    expected: Mapping[str, int] | None = None,
) -> Outcome:
    """Read a layer from a file and put it into the grid, all of it or nothing; with `dry_run` nothing either way.

    With `draft` a layout is drawn up and left to be looked at. `told` hears the progress in percent; `title` is what a
    layout is called. With `expected`, a summary that differs is refused. Raises FileRefused.
    """
    told(5)
    reading = read_file(
        path,
        layer,
        suffix=suffix,
        crs=options.crs,
        encoding=options.encoding,
        file_layer=options.file_layer,
        columns=options.columns,
    )
    told(50)
    with transaction.atomic():
        effects, layout = {}, None
        if layer.name in _WAYS:
            if draft:
                raise FileRefused(Fault("no_layout", _("Only organisations and cells come in as a layout")))
            summary = _WAYS[layer.name](reading, district, by)
        else:
            change = take_layer(
                *(reading, layer, district),
                by=by,
                title=title or path.name,
                tolerance_m=options.tolerance_m,
                replace=options.replace,
                units_follow=options.units_follow,
                valid_from=options.valid_from,
                draft=draft,
                dry_run=dry_run,
                told=told,
            )
            summary, effects, layout = change.summary, change.effects, change.layout
        if expected is not None and summary != expected:
            raise FileRefused(Fault("changed_since", _("The grid has changed since the file was checked")))
        if dry_run:
            transaction.set_rollback(True)
    told(100)
    return Outcome(summary, reading, effects, layout)


# --- layer by layer -------------------------------------------------------------------------------------------


def _components(reading: Reading, district: District, by: User | None) -> dict[str, int]:
    codes = [feature.code for feature in reading.features]
    there = {
        component.code: component.element
        for component in Component.objects.filter(code__in=codes).select_related("element")
    }
    faults: list[Fault] = []
    rows = [_component_row(feature, there.get(feature.code), faults) for feature in reading.features]
    if faults:
        raise FileRefused(*faults)
    return _placed(place_components(rows, district=district, by=by), reading.features)


def _component_row(feature: Feature, stored: Any, faults: list[Fault]) -> ComponentRow:
    values = dict(feature.values)
    values.pop("system", None)
    facts: dict[str, Any] = {}
    for name in ("established_on", "changed_on"):
        text = values.pop(name, "")
        try:
            facts[name] = date.fromisoformat(text[:10].replace("/", "-")) if text else None
        except ValueError:
            told = _("%(column)s is no date: %(value)s") % {"column": name, "value": text}
            faults.append(
                Fault("value_not_understood", told, feature.number, feature.code, place_of(feature.shape))
            )
    x, y, system = _position(feature)
    if stored is not None and feature.shape.distance(shapely.Point(stored.point.coords)) < SAME_DEGREES:
        x, y, system = stored.x, stored.y, stored.system
    facts |= {name: value for name, value in values.items() if value}
    return ComponentRow(**facts, x=x, y=y, system=system)


def _position(feature: Feature) -> tuple[float, float, str]:
    """As the file has it where positions are kept in that system, else in WGS-84."""
    if feature.x is not None and feature.y is not None:
        return feature.x, feature.y, feature.system
    lon, lat = shapely.get_coordinates(feature.shape)[0]
    return float(lon), float(lat), "WGS84"


def _segments(reading: Reading, district: District, by: User | None) -> dict[str, int]:
    codes = [feature.code for feature in reading.features]
    there = {s.code: s.line for s in RoadSegment.objects.filter(district=district, code__in=codes)}
    rows, faults = [], []
    for feature in reading.features:
        reach = feature.values.get("reach_m", "")
        if reach and not (reach.isascii() and reach.isdecimal()):
            told = _("%(column)s is no whole number: %(value)s") % {"column": "reach_m", "value": reach}
            faults.append(
                Fault("value_not_understood", told, feature.number, feature.code, place_of(feature.shape))
            )
            continue
        line = feature.shape
        stored = there.get(feature.code)
        if stored is not None:
            before = shapely.from_wkb(bytes(stored.wkb))
            line = before if line.equals_exact(before, SAME_DEGREES) else line
        rows.append(
            SegmentRow(
                code=feature.code,
                name=feature.values["name"],
                name_en=feature.values.get("name_en", ""),
                line=[(float(x), float(y)) for x, y in shapely.get_coordinates(line)],
                system="WGS84",
                **({"reach_m": int(reach)} if reach else {}),
            )
        )
    if faults:
        raise FileRefused(*faults)
    return _placed(lay_out_segments(rows, district=district, by=by), reading.features)


def _placed(placing: Placing, features: Sequence[Feature]) -> dict[str, int]:
    if placing.faults:
        raise FileRefused(
            *(
                Fault(
                    f.code,
                    f.message,
                    features[f.row].number,
                    features[f.row].code,
                    place_of(features[f.row].shape),
                )
                for f in placing.faults
            )
        )
    return {"added": placing.added, "changed": placing.changed, "unchanged": placing.unchanged}


# What is neither organisation nor cell; those change by a layout.
_WAYS: dict[str, Callable[[Reading, District, User | None], dict[str, int]]] = {
    LayerName.ROAD_SEGMENTS: _segments,
    LayerName.COMPONENTS: _components,
}


def in_words(summary: Mapping[str, int], effects: Mapping[str, Any] | None = None) -> list[str]:
    """What an import does, for people; what is none is left out."""
    words = {
        "added": _("%(count)s are added"),
        "changed": _("%(count)s are changed"),
        "moved": _("%(count)s get another owner or code"),
        "ended": _("%(count)s end"),
        "unchanged": _("%(count)s stay as they are"),
        "others": _("%(count)s of other levels change with them"),
    }
    lines = [words[what] % {"count": count} for what, count in summary.items() if count]
    return (lines or [_("Nothing changes")]) + effects_in_words(effects or {})


# --- runs of the administrator's page ---------------------------------------------------------------------------


def districts_of(user: User) -> models.QuerySet[District]:
    """The districts whose geography a person may bring in: those of their posts; an administrator of all, all."""
    if user.is_superuser:
        return District.objects.all()
    return District.objects.filter(pk__in={post.district_id for post in current_posts(user)})


def runs_of(user: User) -> models.QuerySet[ImportRun]:
    """The imports that a person may see."""
    return ImportRun.objects.filter(district__in=districts_of(user))


def may_apply(run: ImportRun, user: User) -> bool:
    """Whether a person may apply an import; one that changes boundaries is a layout as well."""
    return user.has_perm("gridmap.apply_importrun") and (run.layer in _WAYS or user.has_perm(MAY_APPLY))


@transaction.atomic
def begin_import(run: ImportRun, upload: Any, *, by: User) -> ImportRun:
    """Keep an uploaded file, to be checked by a worker. Raises FileRefused when it is too large."""
    if upload.size > settings.EXCHANGE_UPLOAD_BYTES:
        told = _("The file is larger than %(size)s MB") % {
            "size": settings.EXCHANGE_UPLOAD_BYTES // 1_000_000
        }
        raise FileRefused(Fault("file_too_large", told))
    digest = hashlib.sha256()
    for chunk in upload.chunks():
        digest.update(chunk)
    run.file_name = Path(upload.name).name[-200:]
    run.sha256 = digest.hexdigest()
    run.language = translation.get_language() or settings.LANGUAGE_CODE
    run.started_by = by
    run.file.save(str(run.pk), File(upload), save=False)
    run.save()
    return run


@transaction.atomic
def order_import(run_id: Any, *, by: User) -> ImportRun:
    """Have a checked import applied by a worker. Raises FileRefused when it is not there to be applied."""
    run = runs_of(by).select_for_update(of=["self"]).filter(pk=run_id, state=ImportState.READY).first()
    if run is None or not may_apply(run, by):
        raise FileRefused(Fault("not_ready", _("The import is not ready to be applied")))
    run.applied_by = by
    _become(run, ImportState.ORDERED, progress=0)
    return run


def work_on_imports() -> int:
    """Check what waits and apply what was ordered, one after the other; return how many were worked on."""
    _give_up()
    done = 0
    while run := _claim():
        with translation.override(run.language):
            _work_on(run)
        done += 1
    return done


def _claim() -> ImportRun | None:
    with transaction.atomic():
        waiting = ImportRun.objects.filter(state__in=[ImportState.WAITING, ImportState.ORDERED])
        run = waiting.select_for_update(skip_locked=True).order_by("changed_at").first()
        if run is not None:
            applying = run.state == ImportState.ORDERED
            _become(run, ImportState.APPLYING if applying else ImportState.CHECKING, progress=0)
        return run


def _work_on(run: ImportRun) -> None:
    applying = run.state == ImportState.APPLYING

    def told(percent: int) -> None:
        ImportRun.objects.filter(pk=run.pk).update(progress=min(percent, 99), changed_at=timezone.now())

    names = Options.__dataclass_fields__
    options = Options(**{name: getattr(run, name) for name in names})
    path = Path(run.file.path)
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != run.sha256:
            raise FileRefused(Fault("file_changed", _("The kept file is not the one that was brought")))
        outcome = bring_in(
            path,
            LAYERS[run.layer],
            run.district,
            options,
            by=run.applied_by or run.started_by,
            dry_run=not applying,
            suffix=Path(run.file_name).suffix,
            title=run.file_name,
            told=told,
            expected=run.summary if applying else None,
        )
    except FileRefused as refused:
        run.faults = [fault.as_json() for fault in refused.faults]
        _become(run, ImportState.REFUSED)
        _forget_file(run)
    except Exception:
        log.exception("import %s failed", run.pk)
        _become(run, ImportState.FAILED)
        _forget_file(run)
    else:
        run.summary, run.effects = outcome.summary, outcome.effects
        run.layout = outcome.layout if applying else None
        run.understood = {
            "features": len(outcome.reading.features),
            "system": outcome.reading.system,
            "encoding": outcome.reading.encoding,
            "layer": outcome.reading.layer,
        }
        run.preview = _preview(outcome.reading)
        _become(run, ImportState.APPLIED if applying else ImportState.READY, progress=100)
        if applying:
            _forget_file(run)


def _preview(reading: Reading) -> dict[str, Any]:
    shown = reading.features[: settings.EXCHANGE_PREVIEW_FEATURES]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": place_of(feature.shape),
                "properties": {"code": feature.code, "name": feature.values.get("name", "")},
            }
            for feature in shown
        ],
    }


def _become(run: ImportRun, state: ImportState, *, progress: int | None = None) -> None:
    run.state, run.changed_at = state, timezone.now()
    if progress is not None:
        run.progress = progress
    run.save()


def _give_up() -> None:
    """Runs whose worker was killed; nothing of theirs was written."""
    silent = ImportRun.objects.filter(
        state__in=[ImportState.CHECKING, ImportState.APPLYING], changed_at__lt=timezone.now() - GIVEN_UP_AFTER
    )
    for run in silent:
        _become(run, ImportState.FAILED)
        _forget_file(run)


def forget_files() -> int:
    """Delete the files of imports that nobody applied within a week; return how many."""
    old = ImportRun.objects.exclude(file="").filter(
        state=ImportState.READY, changed_at__lt=timezone.now() - FILES_KEPT
    )
    count = 0
    for run in old:
        _become(run, ImportState.FAILED)
        _forget_file(run)
        count += 1
    return count


def _forget_file(run: ImportRun) -> None:
    if run.file:
        run.file.delete(save=False)
        ImportRun.objects.filter(pk=run.pk).update(file="")
