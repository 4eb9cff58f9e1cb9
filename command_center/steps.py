"""Checks on site, departments beside the lead, and other classes and endings: what the case panel offers of them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework import serializers

from fieldops.duplicates import could_join
from fieldops.models import Closing, Event, EventClass, Found, Post, User
from fieldops.rights import visible_to
from fieldops.status import TABLE, Step
from fieldops.steps import desk, followup, joint, merging


class StepsIn(serializers.Serializer):
    """What these steps may be given; each takes its own part."""

    found = serializers.ChoiceField(Found.choices, required=False)
    order = serializers.UUIDField(required=False)
    into = serializers.UUIDField(required=False)
    closing = serializers.ChoiceField([Closing.ERROR.value, Closing.SPECIAL.value], required=False)
    # A class and one of its conditions, as one choice.
    reclassified = serializers.RegexField(r"^(event|component)/[0-9]{4,5}#[0-9]{1,9}$", required=False)


def need(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The values of these names; raises ValidationError for those that are missing."""
    missing = [name for name in names if given.get(name) is None]
    if missing:
        raise serializers.ValidationError({name: [_("This field is required.")] for name in missing})
    return {name: given[name] for name in names}


def _call(do: Callable[..., Any]) -> Callable[[UUID, User, dict[str, Any]], Any]:
    def run(pk: UUID, by: User, given: dict[str, Any]) -> None:
        [department] = need(given, "department").values()
        do(pk, by=by, department_ids=[department], reason=given["reason"], version=given.get("version"))

    return run


def _reclassify(pk: UUID, by: User, given: dict[str, Any]) -> None:
    key, _hash, condition = need(given, "reclassified")["reclassified"].partition("#")
    desk.reclassify(
        pk,
        by=by,
        class_key=key,
        condition_id=int(condition),
        reason=given["reason"],
        version=given.get("version"),
    )


def _judge(*, resolved: bool) -> Callable[[UUID, User, dict[str, Any]], Any]:
    return lambda pk, by, a: followup.confirm_from_desk(
        pk, by=by, resolved=resolved, note=a["reason"], version=a.get("version")
    )


DO: dict[str, Callable[[UUID, User, dict[str, Any]], Any]] = {
    Step.ASK_VERIFY.value: lambda pk, by, a: followup.ask_verification(
        pk, by=by, note=a["reason"], version=a.get("version")
    ),
    Step.VERIFY.value: lambda pk, by, a: followup.verify_for(
        pk, by=by, note=a["reason"], version=a.get("version"), **need(a, "found")
    ),
    Step.CONFIRM.value: _judge(resolved=True),
    Step.REWORK.value: _judge(resolved=False),
    Step.SEND_ANOTHER.value: lambda pk, by, a: followup.send_another(
        pk, by=by, reason=a["reason"], version=a.get("version")
    ),
    Step.ASSIST.value: _call(joint.assist),
    Step.WHISTLE.value: _call(joint.whistle),
    Step.RELEASE.value: lambda pk, by, a: joint.release(
        pk, by=by, order_id=need(a, "order")["order"], reason=a["reason"], version=a.get("version")
    ),
    Step.RECLASSIFY.value: _reclassify,
    Step.MERGE.value: lambda pk, by, a: merging.merge(
        pk, by=by, note=a["reason"], version=a.get("version"), **need(a, "into")
    ),
    Step.SEPARATE.value: lambda pk, by, a: merging.separate(
        pk, by=by, reason=a["reason"], version=a.get("version")
    ),
    Step.CLOSE_SPECIALLY.value: lambda pk, by, a: desk.close_specially(
        pk, by=by, reason=a["reason"], version=a.get("version"), **need(a, "closing")
    ),
}


def fields(step: Step, event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    """The fields of one of these steps; None where there is nothing to take it about."""
    reason = {"name": "reason", "label": _("Reason"), "required": TABLE[step].needs_reason}
    if step in _FIELDS:
        own = _FIELDS[step](event, posts)
        return None if own is None else [own, reason]
    return [reason]


def _cases(event: Event, posts: list[Post]) -> dict[str, Any] | None:
    near = [
        (
            str(one.pk),
            f"{one.number} · {one.distance.m:.0f} m · {one.get_status_display()} · {one.description[:30]}",  # type: ignore[attr-defined]
        )
        for one in could_join(event, Event.objects.filter(visible_to(posts)))
    ]
    return _field("into", _("The case that goes on"), near) if near else None


def _found(event: Event, posts: list[Post]) -> dict[str, Any]:
    return _field("found", _("What was found"), [(value, str(label)) for value, label in Found.choices])


def _departments(event: Event, posts: list[Post]) -> dict[str, Any] | None:
    able = joint.departments_to_call(event).values_list("pk", "name")
    return _field("department", _("Department"), list(able)) if able else None


def _orders(event: Event, posts: list[Post]) -> dict[str, Any] | None:
    orders = joint.beside(event).select_related("department")
    open_orders = [(str(order.pk), order.department.name) for order in orders]
    return _field("order", _("Department"), open_orders) if open_orders else None


def _closings(event: Event, posts: list[Post]) -> dict[str, Any]:
    return _field(
        "closing", _("How it ends"), [(one.value, str(one.label)) for one in (Closing.ERROR, Closing.SPECIAL)]
    )


def _classes(event: Event, posts: list[Post]) -> dict[str, Any]:
    classes = EventClass.objects.filter(edition=event.event_class.edition, kind=event.event_class.kind)
    rows = [
        (f"{one.key}#{condition.pk}", f"{one.name}：{condition.text}（{condition.limit_text}）")
        for one in classes.prefetch_related("conditions")
        for condition in one.conditions.all()
        if condition.pk != event.condition_id
    ]
    return _field("reclassified", _("Class and filing condition"), rows)


def _field(name: str, label: str, choices: list[tuple[Any, str]]) -> dict[str, Any]:
    rows = [{"value": value, "label": told} for value, told in choices]
    return {"name": name, "label": label, "required": True, "value": None, "choices": rows}


_FIELDS: dict[Step, Callable[[Event, list[Post]], dict[str, Any] | None]] = {
    Step.MERGE: _cases,
    Step.VERIFY: _found,
    Step.ASSIST: _departments,
    Step.WHISTLE: _departments,
    Step.RELEASE: _orders,
    Step.RECLASSIFY: _classes,
    Step.CLOSE_SPECIALLY: _closings,
}
