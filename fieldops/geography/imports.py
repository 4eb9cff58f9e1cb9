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
from django.core.cache import cache
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
from gridmap.models.imports import MOST_TOLERANCE_M
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
NAMED = 10


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

    `changes` says of each code of the layer that does not stay as it is what happens to it, in the words of `summary`.
    Of a level of the organisation or of cells also the layout, and what it does to open cases and elements.
    """

    summary: dict[str, int]
    reading: Reading
    changes: dict[str, str] = field(default_factory=dict)
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
    read: Callable[[Reading], None] = lambda reading: None,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Read a layer from a file and put it into the grid, all of it or nothing; with `dry_run` nothing either way.

    With `draft` a layout is drawn up and left to be looked at. `told` hears the progress in percent; `title` is what a
    layout is called. With `expected`, a summary that differs is refused. `read` hears what the file holds before it is
    judged, `done` what was done as the last thing in the transaction. Raises FileRefused.
    """
    if not 0 <= options.tolerance_m <= MOST_TOLERANCE_M:
        refusal = _("The tolerance is 0 to %(most)s metres") % {"most": MOST_TOLERANCE_M}
        raise FileRefused(Fault("bad_tolerance", refusal))
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
    read(reading)
    told(50)
    with transaction.atomic():
        if layer.name in _WAYS:
            if draft:
                raise FileRefused(Fault("no_layout", _("Only organisations and cells come in as a layout")))
            outcome = _placed(_WAYS[layer.name](reading, district, by), reading)
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
            outcome = Outcome(change.summary, reading, change.changes, change.effects, change.layout)
        if expected is not None and outcome.summary != expected:
            raise FileRefused(Fault("changed_since", _("The grid has changed since the file was checked")))
        if dry_run:
            transaction.set_rollback(True)
        else:
            done(outcome)
    told(100)
    return outcome


# --- layer by layer -------------------------------------------------------------------------------------------


def _components(reading: Reading, district: District, by: User | None) -> Placing:
    codes = [feature.code for feature in reading.features]
    there = {
        component.code: component.element
        for component in Component.objects.filter(code__in=codes).select_related("element")
    }
    faults: list[Fault] = []
    rows = [_component_row(feature, there.get(feature.code), faults) for feature in reading.features]
    if faults:
        raise FileRefused(*faults)
    return place_components(rows, district=district, by=by)


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


def _segments(reading: Reading, district: District, by: User | None) -> Placing:
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
    return lay_out_segments(rows, district=district, by=by)


def _placed(placing: Placing, reading: Reading) -> Outcome:
    if placing.faults:
        at = [reading.features[fault.row] for fault in placing.faults]
        raise FileRefused(
            *(
                Fault(fault.code, fault.message, feature.number, feature.code, place_of(feature.shape))
                for fault, feature in zip(placing.faults, at, strict=True)
            )
        )
    summary = {"added": placing.added, "changed": placing.changed, "unchanged": placing.unchanged}
    return Outcome(summary, reading, dict(placing.changes))


# What is neither organisation nor cell; those change by a layout.
_WAYS: dict[str, Callable[[Reading, District, User | None], Placing]] = {
    LayerName.ROAD_SEGMENTS: _segments,
    LayerName.COMPONENTS: _components,
}


def in_words(
    summary: Mapping[str, int],
    effects: Mapping[str, Any] | None = None,
    changes: Mapping[str, str] | None = None,
) -> list[str]:
    """What an import does, for people; what is none is left out. With `changes`, the first codes of each kind."""
    codes: dict[str, list[str]] = {}
    for code, what in (changes or {}).items():
        codes.setdefault(what, []).append(code)
    words = {
        "added": _("%(count)s are added"),
        "changed": _("%(count)s are changed"),
        "moved": _("%(count)s get another owner or code"),
        "ended": _("%(count)s end"),
        "unchanged": _("%(count)s stay as they are"),
        "others": _("%(count)s of other levels change with them"),
    }
    lines = [
        words[what] % {"count": count} + _first(codes.get(what, ()))
        for what, count in summary.items()
        if count
    ]
    return (lines or [_("Nothing changes")]) + effects_in_words(effects or {})


def _first(codes: Sequence[str]) -> str:
    named = ", ".join(codes[:NAMED]) + (" …" if len(codes) > NAMED else "")
    return _(": %s") % named if codes else ""


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


def progress_of(run: ImportRun) -> int:
    """How far it is, in percent. What a worker says within its transaction nobody else could read in the database."""
    return max(run.progress, cache.get(_progress_key(run)) or 0)


def _progress_key(run: ImportRun) -> str:
    return f"import-{run.pk}-{run.state}"


def work_on_imports() -> int:
    """Check what has waited longest, or apply what was ordered; return how many were worked on: one at most.

    One at a time, so that each has the whole of the time that a worker is given.
    """
    _give_up()
    run = _claim()
    if run is None:
        return 0
    with translation.override(run.language):
        _work_on(run)
    return 1


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
    key = _progress_key(run)

    def read(reading: Reading) -> None:
        run.understood = {
            "features": len(reading.features),
            "system": reading.system,
            "encoding": reading.encoding,
            "layer": reading.layer,
        }
        run.preview = _preview(reading, {})

    def done(outcome: Outcome) -> None:
        if not ImportRun.objects.select_for_update().filter(pk=run.pk, state=run.state).exists():
            raise FileRefused(Fault("given_up", _("The import had been given up by then")))
        _settle(run, outcome, ImportState.APPLIED)

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
            told=lambda percent: cache.set(key, min(percent, 99), GIVEN_UP_AFTER.total_seconds()),
            expected=run.summary if applying else None,
            read=read,
            done=done,
        )
    except FileRefused as refused:
        run.faults = [fault.as_json() for fault in refused.faults]
        _become(run, ImportState.REFUSED)
    except Exception:
        log.exception("import %s failed", run.pk)
        told = _("It failed for a reason of ours, and nothing was changed; the worker's log has it under %s")
        _fail(run, Fault("import_failed", told % run.pk))
    else:
        if not applying:
            _settle(run, outcome, ImportState.READY)
            return
    _forget_file(run)


def _settle(run: ImportRun, outcome: Outcome, state: ImportState) -> None:
    run.summary, run.effects = outcome.summary, outcome.effects
    run.preview = _preview(outcome.reading, outcome.changes)
    run.layout = outcome.layout if state == ImportState.APPLIED else None
    _become(run, state, progress=100)


def _preview(reading: Reading, changes: Mapping[str, str]) -> dict[str, Any]:
    """The features of the file, those that change anything first; of what ends there is the code only."""
    features = sorted(reading.features, key=lambda feature: (feature.code not in changes, feature.code))
    shown = [(feature.code, feature.values.get("name", ""), place_of(feature.shape)) for feature in features]
    shown[:0] = [(code, "", None) for code, what in changes.items() if what == "ended"]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": place,
                "properties": {"code": code, "name": name, "change": changes.get(code, "")},
            }
            for code, name, place in shown[: settings.EXCHANGE_PREVIEW_FEATURES]
        ],
    }


def _become(run: ImportRun, state: ImportState, *, progress: int | None = None) -> None:
    run.state, run.changed_at = state, timezone.now()
    if progress is not None:
        run.progress = progress
    run.save()


def _fail(run: ImportRun, why: Fault) -> None:
    run.faults = [why.as_json()]
    _become(run, ImportState.FAILED)


def _give_up() -> None:
    """Runs whose worker was killed; nothing of theirs was written."""
    with transaction.atomic():
        silent = ImportRun.objects.select_for_update(skip_locked=True).filter(
            state__in=[ImportState.CHECKING, ImportState.APPLYING],
            changed_at__lt=timezone.now() - GIVEN_UP_AFTER,
        )
        for run in silent:
            with translation.override(run.language):
                told = _("It was stopped, or took too long, and nothing was changed; bring the file again")
                _fail(run, Fault("import_stopped", told))
            _forget_file(run)


def forget_files() -> int:
    """Delete the files of imports that nobody applied within a week; return how many."""
    with transaction.atomic():
        old = ImportRun.objects.select_for_update(skip_locked=True).filter(
            state=ImportState.READY, changed_at__lt=timezone.now() - FILES_KEPT
        )
        count = 0
        for run in old.exclude(file=""):
            with translation.override(run.language):
                told = _("Nobody applied it within %(days)s days, so the file was deleted")
                _fail(run, Fault("import_forgotten", told % {"days": FILES_KEPT.days}))
            _forget_file(run)
            count += 1
    return count


def _forget_file(run: ImportRun) -> None:
    if run.file:
        run.file.delete(save=False)
        ImportRun.objects.filter(pk=run.pk).update(file="")
