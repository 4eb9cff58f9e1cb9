"""Keeping elements current from the field: a grid worker adds, changes, marks the state, says that one is gone.

Every act carries the device's own key and is done once. Acts of a district follow one another: each holds the
district's row, so that a retry finds what the first attempt did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from fieldops.errors import (
    CodeTaken,
    ElementRefused,
    NotFound,
    NotPermitted,
    PointOutsideDistrict,
    ReasonMissing,
    SubmissionConflict,
)
from fieldops.lifecycle import Submission, has_words, now
from fieldops.models import ElementAct, ElementSubmission, Post, User
from fieldops.places import place_of
from fieldops.rights import current_posts, elements_visible_to
from fieldops.status import Role
from gridmap.elements import ComponentRow, lock_cells_at, place_components
from gridmap.models import Cell, Component, ComponentState, District, Element, ElementKind


@dataclass(frozen=True)
class Position:
    """Where a device says something stands: degrees or metres in the declared system, accuracy in metres."""

    x: float
    y: float
    system: str
    accuracy_m: float | None = None


@dataclass(frozen=True)
class NewElement:
    """An element as a device states it; `component` has what only a component has, its departments by code."""

    kind: str
    name: str
    position: Position
    category: str = ""
    note: str = ""
    component: Mapping[str, Any] | None = None


@transaction.atomic
def add_element(new: NewElement, *, by: User, submission: Submission) -> Element:
    """Enter an element into one's own area.

    Raises NotPermitted outside of it, CodeTaken, ElementRefused with the faults of a component, PointOutsideDistrict
    and what `place_of` raises.
    """
    district, done = begin_act(submission, by=by)
    if done:
        return done
    if new.kind == ElementKind.PERSON or (new.kind == ElementKind.COMPONENT) != bool(new.component):
        raise ElementRefused(reason="kind")
    where = new.position
    if new.component:
        element = _add_component(new, new.component, district, by)
    else:
        point = place_of(where.x, where.y, where.system)
        [cell] = lock_cells_at([point], district=district)
        if cell is None:
            raise PointOutsideDistrict(x=where.x, y=where.y, system=where.system)
        element = Element.objects.create(
            district=district,
            kind=new.kind,
            category=new.category,
            name=new.name,
            note=new.note,
            cell_id=cell,
            point=point,
            x=where.x,
            y=where.y,
            system=where.system,
            accuracy_m=where.accuracy_m,
            source=str(by),
            changed_by=by,
            changed_at=now(),
        )
    return note_act(submission, ElementAct.ADD, element=element, by=by)


def _add_component(new: NewElement, facts: Mapping[str, Any], district: District, by: User) -> Element:
    if Component.objects.filter(code=facts["code"]).exists():
        raise CodeTaken(component=facts["code"])
    row = ComponentRow(
        name=new.name,
        x=new.position.x,
        y=new.position.y,
        system=new.position.system,
        note=new.note,
        source=str(by),
        **facts,
    )
    placing = place_components([row], district=district, by=by)
    if placing.faults:
        raise ElementRefused(
            faults=[{"code": fault.code, "detail": fault.message} for fault in placing.faults]
        )
    return Element.objects.get(component__code=facts["code"])


@transaction.atomic
def change_element(
    element_id: UUID,
    *,
    by: User,
    submission: Submission,
    texts: Mapping[str, str] | None = None,
    position: Position | None = None,
) -> Element:
    """Change name, category or note of an element of one's own area, or where it stands, within the area."""
    district, done = begin_act(submission, by=by)
    if done:
        return done
    element = _locked(element_id, by)
    before = element.cell_id
    for name in ("name", "category", "note"):
        setattr(element, name, (texts or {}).get(name, getattr(element, name)))
    if not element.name.strip():
        raise ElementRefused(reason="name_missing")
    if position:
        point = place_of(position.x, position.y, position.system)
        [cell] = lock_cells_at([point], district=district)
        if cell is None:
            raise PointOutsideDistrict(x=position.x, y=position.y, system=position.system)
        keeping_post(before, by)
        element.cell_id, element.point = cell, point
        element.x, element.y, element.system = position.x, position.y, position.system
        element.accuracy_m = position.accuracy_m
    return _changed(element, submission, ElementAct.CHANGE, by)


@transaction.atomic
def mark_state(element_id: UUID, *, by: User, submission: Submission, state: str, note: str = "") -> Element:
    """Say in what state a component of one's own area was found."""
    _district, done = begin_act(submission, by=by)
    if done:
        return done
    element = _locked(element_id, by)
    if element.kind != ElementKind.COMPONENT or state not in ComponentState.values:
        raise ElementRefused(reason="state")
    element.state = state
    return _changed(element, submission, ElementAct.MARK, by, note)


@transaction.atomic
def end_element(element_id: UUID, *, by: User, submission: Submission, reason: str) -> Element:
    """Say that an element of one's own area is there no longer; its history stays."""
    _district, done = begin_act(submission, by=by)
    if done:
        return done
    if not has_words(reason):
        raise ReasonMissing
    element = _locked(element_id, by)
    element.ended_at = now()
    return _changed(element, submission, ElementAct.END, by, reason)


def _locked(element_id: UUID, by: User) -> Element:
    element = (
        elements_visible_to(by)
        .select_for_update(of=("self",), no_key=True)
        .select_related("district")
        .filter(pk=element_id)
        .first()
    )
    if element is None:
        raise NotFound
    return element


def _changed(
    element: Element, submission: Submission, act: ElementAct, by: User, reason: str = ""
) -> Element:
    element.changed_by, element.changed_at = by, now()
    element.changed_on = timezone.localdate(element.changed_at, ZoneInfo(element.district.time_zone))
    element.save()
    return note_act(submission, act, element=element, by=by, reason=reason)


# --- shared with `population` ---------------------------------------------------------------------------------


def begin_act(submission: Submission, *, by: User) -> tuple[District, Element | None]:
    """Hold the district for an act of one of its grid workers; and the element, where the act was done before.

    Raises NotPermitted for others, SubmissionConflict when the key was used by someone else or for another content.
    """
    posts = _keeping_posts(by)
    if not posts:
        raise NotPermitted
    district = District.objects.select_for_update(no_key=True).get(pk=posts[0].district_id)
    stored = ElementSubmission.objects.select_related("element").filter(pk=submission.id).first()
    if stored is None:
        return district, None
    if (stored.by_id, stored.digest) != (by.pk, submission.digest):
        raise SubmissionConflict
    return district, stored.element


def note_act(
    submission: Submission, act: ElementAct, *, element: Element, by: User, reason: str = ""
) -> Element:
    """Record the act under the device's key; raises NotPermitted where the element is not in one's own area."""
    ElementSubmission.objects.create(
        id=submission.id,
        element=element,
        act=act,
        by=by,
        post=keeping_post(element.cell_id, by),
        digest=submission.digest,
        reason=reason,
        device_time=submission.device_time,
        received_at=now(),
    )
    return element


def keeping_post(cell_id: UUID, by: User) -> Post:
    """The post through which somebody keeps the elements of a cell current; raises NotPermitted where none does."""
    cell = Cell.objects.defer("boundary").get(pk=cell_id)
    for post in _keeping_posts(by):
        if post.unit_id in cell.unit_ids:
            return post
    raise NotPermitted


def _keeping_posts(user: User) -> Sequence[Post]:
    return [post for post in current_posts(user) if post.role == Role.GRID_WORKER]
