"""The elements of one's cells, components near a place, people for a purpose, a street chief's segments."""

from typing import Any
from uuid import UUID

from django.utils.crypto import salted_hmac
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from config.fields import MomentField
from fieldops.elements import keeping, population, streets
from fieldops.errors import NotPermitted
from fieldops.lifecycle import Submission
from fieldops.models import AccessPurpose
from fieldops.places import place_of
from fieldops.queries import departments_of
from fieldops.rights import current_posts, elements_visible_to
from gridmap.elements import components_near
from gridmap.models import AccuracyClass, Component, ComponentState, Element, ElementKind, SpecialGroup

from . import serializers as s
from .views import FieldView, Problem, _read

AT_ONCE = 200
MOST_NEAR = 50
KINDS = [kind for kind in ElementKind.choices if kind[0] != ElementKind.PERSON]


# --- what is sent ---------------------------------------------------------------------------------------------


class PlaceIn(s.PositionMixin):
    """A position."""


class DatedIn(serializers.Serializer):
    """An act; `id` is its own key, made by the device."""

    id = s.UUIDv7Field()
    at = MomentField(required=False, allow_null=True, help_text="The device's clock.")


class ComponentIn(serializers.Serializer):
    """What only a component has; departments by their codes."""

    code = serializers.RegexField(r"^[0-9]{16}$")
    managing = s.TextField(max_length=20)
    owning = s.TextField(max_length=20, required=False, allow_blank=True, default="")
    maintaining = s.TextField(max_length=20, required=False, allow_blank=True, default="")
    state = s.NamedChoiceField(ComponentState.choices, default=ComponentState.INTACT.value)
    accuracy_class = s.NamedChoiceField(AccuracyClass.choices, default=AccuracyClass.C.value)
    established_on = serializers.DateField(required=False, allow_null=True)


class ElementIn(DatedIn, s.PositionMixin):
    """A new element of one's own area; people come by `POST /people`."""

    kind = s.NamedChoiceField(KINDS)
    name = s.TextField(max_length=120)
    category = s.TextField(max_length=40, required=False, allow_blank=True, default="")
    note = s.TextField(max_length=500, required=False, allow_blank=True, default="")
    component = ComponentIn(required=False, allow_null=True)


class ChangeIn(DatedIn):
    """What is different now; what is left out stays."""

    name = s.TextField(max_length=120, required=False)
    category = s.TextField(max_length=40, required=False, allow_blank=True)
    note = s.TextField(max_length=500, required=False, allow_blank=True)
    position = PlaceIn(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Something has to be different."""
        if not attrs.keys() & {"name", "category", "note", "position"}:
            raise serializers.ValidationError(_("Nothing is changed."), code="nothing_changed")
        return attrs


class StateIn(DatedIn):
    """In what state a component was found."""

    state = s.NamedChoiceField(ComponentState.choices)
    note = s.TextField(max_length=500, required=False, allow_blank=True, default="")


class GoneIn(DatedIn):
    """That an element is there no longer, and why."""

    note = s.TextField(max_length=500)


class WhichIn(serializers.Serializer):
    """Which elements."""

    cell = s.TextField(max_length=20, required=False)
    kind = s.NamedChoiceField(KINDS, required=False)
    after = serializers.UUIDField(required=False)


class NearIn(s.PositionMixin):
    """Near what."""

    within = serializers.IntegerField(min_value=1, max_value=200, default=50)


class CellIn(serializers.Serializer):
    """In which cell."""

    cell = s.TextField(max_length=20)
    after = serializers.UUIDField(required=False)


class PersonIn(DatedIn, s.PositionMixin):
    """A person of the population."""

    name = s.TextField(max_length=40)
    phone = serializers.RegexField(r"^[0-9+\- ]{0,30}$", required=False, allow_blank=True, default="")
    birth_year = serializers.IntegerField(required=False, allow_null=True, min_value=1900, max_value=2100)
    address = s.TextField(max_length=120, required=False, allow_blank=True, default="")
    groups = serializers.ListField(child=s.TextField(max_length=20), max_length=20, default=list)


class LookUpIn(serializers.Serializer):
    """Whom, and for what: a purpose of the district's list, and one's own words."""

    purpose = s.TextField(max_length=20, allow_blank=True, default="")
    words = s.TextField(max_length=500, allow_blank=True, default="")
    cell = s.TextField(max_length=20, required=False, default="")
    group = s.TextField(max_length=20, required=False, default="")
    people = serializers.ListField(child=serializers.UUIDField(), max_length=AT_ONCE, default=list)
    after = serializers.UUIDField(required=False)
    post = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class EraseIn(serializers.Serializer):
    """Why everything personal about somebody goes."""

    words = s.TextField(max_length=500, allow_blank=True, default="")


# --- what is answered -----------------------------------------------------------------------------------------


class DepartmentOut(serializers.Serializer):
    """A department, and what it is to the component."""

    label = serializers.CharField()  # type: ignore[assignment]
    name = serializers.CharField()


class ComponentOut(serializers.Serializer):
    """What only a component has."""

    code = serializers.CharField()
    vars()["class"] = s.ClassOut()
    accuracy_class = serializers.CharField()
    departments = DepartmentOut(many=True)


class ElementOut(serializers.Serializer):
    """An element; the point is WGS-84 longitude, latitude."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    category = serializers.CharField()
    name = serializers.CharField()
    cell = serializers.CharField()
    point = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    accuracy_m = serializers.FloatField(allow_null=True)
    state = serializers.CharField()
    note = serializers.CharField()
    changed_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    component = ComponentOut(allow_null=True)


class ElementsOut(serializers.Serializer):
    """At most 200; go on with `after` = the last id."""

    elements = ElementOut(many=True)
    more = serializers.BooleanField()


class NearOut(serializers.Serializer):
    """A component near a place, for a report to name."""

    code = serializers.CharField()
    name = serializers.CharField()
    vars()["class"] = s.ClassOut()
    state = serializers.CharField()
    cell = serializers.CharField()
    point = serializers.ListField(child=serializers.FloatField())
    distance_m = serializers.FloatField()


class MaskedOut(serializers.Serializer):
    """A person, masked."""

    id = serializers.UUIDField()
    cell = serializers.CharField()
    name = serializers.CharField()


class PersonOut(serializers.Serializer):
    """A person, for a stated purpose."""

    id = serializers.UUIDField()
    cell = serializers.CharField()
    name = serializers.CharField()
    phone = serializers.CharField()
    birth_year = serializers.IntegerField(allow_null=True)
    address = serializers.CharField()
    point = serializers.ListField(child=serializers.FloatField())
    groups = serializers.ListField(child=serializers.CharField())


class LookedUpOut(serializers.Serializer):
    """The people, and the number of the entry in the log."""

    access = serializers.UUIDField()
    people = PersonOut(many=True)
    more = serializers.BooleanField()


class NamedOut(serializers.Serializer):
    """A word of a list of the district."""

    code = serializers.CharField()
    name = serializers.CharField()


class ListsOut(serializers.Serializer):
    """What may be stated."""

    purposes = NamedOut(many=True)
    groups = NamedOut(many=True)


class ShopOut(serializers.Serializer):
    """A shop at a segment; sides as seen along the line."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    category = serializers.CharField()
    side = serializers.CharField()
    side_label = serializers.CharField()
    house_number = serializers.CharField()
    point = serializers.ListField(child=serializers.FloatField(), allow_null=True)


class SegmentOut(serializers.Serializer):
    """A road segment one is chief of, its shops, and the open cases on it."""

    id = serializers.UUIDField()
    code = serializers.CharField()
    name = serializers.CharField()
    line = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))
    reach_m = serializers.IntegerField()
    shops = ShopOut(many=True)
    cases = s.FieldCaseOut(many=True)


def _component(component: Component) -> dict[str, Any]:
    return {
        "code": component.code,
        "class": {"key": component.event_class.key, "name": component.event_class.name},
        "accuracy_class": component.accuracy_class,
        "departments": departments_of(component),
    }


def _element(element: Element) -> dict[str, Any]:
    return {
        "id": element.pk,
        "kind": element.kind,
        "category": element.category,
        "name": element.name,
        "cell": element.cell.code,
        "point": [element.point.x, element.point.y] if element.point else None,
        "accuracy_m": element.accuracy_m,
        "state": element.state,
        "note": element.note,
        "changed_at": element.changed_at,
        "ended_at": element.ended_at,
        "component": _component(element.component) if hasattr(element, "component") else None,
    }


def _in_full(element: Element) -> dict[str, Any]:
    found = Element.objects.select_related("cell", *_OF_COMPONENTS).defer("cell__boundary").get(pk=element.pk)
    return _element(found)


_OF_COMPONENTS = [f"component{path}" for path in ("__event_class", "__managing", "__owning", "__maintaining")]


def _submission(given: dict[str, Any], act: str, about: UUID | None = None) -> Submission:
    digest = s.digest_of({**given, "act": act, "about": about})
    return Submission(id=given["id"], digest=digest, device_time=given.get("at"))


def _position(given: dict[str, Any]) -> keeping.Position:
    return keeping.Position(given["x"], given["y"], given["system"], given.get("accuracy_m"))


# --- elements -------------------------------------------------------------------------------------------------


class Elements(FieldView):
    """The elements of one's area; never people."""

    @extend_schema(
        parameters=[
            OpenApiParameter("cell", str, description="Code of a cell."),
            OpenApiParameter("kind", str, enum=[kind for kind, _label in KINDS]),
            OpenApiParameter("after", UUID, description="Go on after this id."),
        ],
        responses={200: ElementsOut, **Problem},
    )
    def get(self, request: Request) -> Response:
        """By id, at most 200 at once."""
        which = WhichIn(data=request.query_params)
        which.is_valid(raise_exception=True)
        given = which.validated_data
        found = (
            elements_visible_to(self.person).select_related("cell", *_OF_COMPONENTS).defer("cell__boundary")
        )
        if "cell" in given:
            found = found.filter(cell__code=given["cell"])
        if "kind" in given:
            found = found.filter(kind=given["kind"])
        if "after" in given:
            found = found.filter(pk__gt=given["after"])
        rows = list(found.order_by("id")[: AT_ONCE + 1])
        more = len(rows) > AT_ONCE
        return Response(
            ElementsOut({"elements": [_element(row) for row in rows[:AT_ONCE]], "more": more}).data
        )

    @extend_schema(request=ElementIn, responses={201: ElementOut, **Problem})
    def post(self, request: Request) -> Response:
        """Enter an element into one's own area; the same again is answered again."""
        given = _read(ElementIn, request)
        element = keeping.add_element(
            keeping.NewElement(
                kind=given["kind"],
                name=given["name"],
                category=given["category"],
                note=given["note"],
                position=_position(given),
                component=given.get("component"),
            ),
            by=self.person,
            submission=_submission(given, "add"),
        )
        return Response(ElementOut(_in_full(element)).data, status=status.HTTP_201_CREATED)


class Change(FieldView):
    """What an element is called, where it stands."""

    @extend_schema(request=ChangeIn, responses={200: ElementOut, **Problem})
    def post(self, request: Request, element_id: UUID) -> Response:
        """Change it."""
        given = _read(ChangeIn, request)
        element = keeping.change_element(
            element_id,
            by=self.person,
            submission=_submission(given, "change", element_id),
            texts={name: given[name] for name in ("name", "category", "note") if name in given},
            position=_position(given["position"]) if "position" in given else None,
        )
        return Response(ElementOut(_in_full(element)).data)


class State(FieldView):
    """完好、破损、丢失、废弃."""

    @extend_schema(request=StateIn, responses={200: ElementOut, **Problem})
    def post(self, request: Request, element_id: UUID) -> Response:
        """Mark the state of a component."""
        given = _read(StateIn, request)
        element = keeping.mark_state(
            element_id,
            by=self.person,
            submission=_submission(given, "state", element_id),
            state=given["state"],
            note=given["note"],
        )
        return Response(ElementOut(_in_full(element)).data)


class Gone(FieldView):
    """An element that is there no longer."""

    @extend_schema(request=GoneIn, responses={200: ElementOut, **Problem})
    def post(self, request: Request, element_id: UUID) -> Response:
        """Say so; its history stays."""
        given = _read(GoneIn, request)
        element = keeping.end_element(
            element_id,
            by=self.person,
            submission=_submission(given, "gone", element_id),
            reason=given["note"],
        )
        return Response(ElementOut(_in_full(element)).data)


class ComponentsNear(FieldView):
    """What a report may be about."""

    @extend_schema(
        parameters=[
            OpenApiParameter("x", float, required=True),
            OpenApiParameter("y", float, required=True),
            OpenApiParameter("system", str, required=True),
            OpenApiParameter("within", int, description="Metres, 1 to 200; 50 when left out."),
        ],
        responses={200: NearOut(many=True), **Problem},
    )
    def get(self, request: Request) -> Response:
        """The nearest components, at most 50; they stand in the street, so everybody may see them."""
        near = NearIn(data=request.query_params)
        near.is_valid(raise_exception=True)
        given = near.validated_data
        point = place_of(given["x"], given["y"], given["system"])
        district = current_posts(self.person)[0].district_id
        found = components_near(point, within_m=given["within"], district=district)
        rows = [
            {
                **_component(component),
                "name": component.element.name,
                "state": component.element.state,
                "cell": component.element.cell.code,
                "point": list(component.element.point.coords),
                "distance_m": round(component.distance_m.m, 1),
            }
            for component in found[:MOST_NEAR]
        ]
        return Response(NearOut(rows, many=True).data)


# --- people ---------------------------------------------------------------------------------------------------


class People(FieldView):
    """People of one's area."""

    @extend_schema(
        parameters=[OpenApiParameter("cell", str, required=True), OpenApiParameter("after", UUID)],
        responses={200: MaskedOut(many=True), **Problem},
    )
    def get(self, request: Request) -> Response:
        """Masked, of one cell, at most 200."""
        which = CellIn(data=request.query_params)
        which.is_valid(raise_exception=True)
        given = which.validated_data
        people = population.masked_people(self.person, cell=given["cell"], after=given.get("after"))
        return Response(MaskedOut(people, many=True).data)

    @extend_schema(request=PersonIn, responses={201: MaskedOut, **Problem})
    def post(self, request: Request) -> Response:
        """Enter a person; the same again is answered again."""
        given = _read(PersonIn, request)
        plain = _submission(given, "person")
        # The digest outlives an erasure; with the key it tells nobody what was hashed.
        sealed = salted_hmac("person", plain.digest, algorithm="sha256").hexdigest()
        element = population.register_person(
            population.NewPerson(
                name=given["name"],
                x=given["x"],
                y=given["y"],
                system=given["system"],
                accuracy_m=given.get("accuracy_m"),
                phone=given["phone"],
                birth_year=given.get("birth_year"),
                address=given["address"],
                groups=tuple(given["groups"]),
            ),
            by=self.person,
            submission=Submission(id=plain.id, digest=sealed, device_time=plain.device_time),
        )
        masked = {"id": element.pk, "cell": element.cell.code, "name": population.masked_name(given["name"])}
        return Response(MaskedOut(masked).data, status=status.HTTP_201_CREATED)


class PeopleLists(FieldView):
    """Words of the district for looking people up."""

    @extend_schema(responses={200: ListsOut, **Problem})
    def get(self, request: Request) -> Response:
        """Purposes that may be stated, and special groups."""
        posts = population.people_posts(self.person)
        if not posts:
            raise NotPermitted
        district = posts[0].district_id
        english = (get_language() or "").startswith("en")

        def named(row: AccessPurpose | SpecialGroup) -> dict[str, str]:
            return {"code": row.code, "name": (english and row.name_en) or row.name}

        lists = {
            "purposes": [named(row) for row in AccessPurpose.objects.filter(district=district, active=True)],
            "groups": [named(row) for row in SpecialGroup.objects.filter(district=district)],
        }
        return Response(ListsOut(lists).data)


class LookUp(FieldView):
    """People for a stated purpose; every look is logged."""

    @extend_schema(request=LookUpIn, responses={200: LookedUpOut, **Problem})
    def post(self, request: Request) -> Response:
        """By cell, special group or keys, in one's own area; at most 200."""
        given = _read(LookUpIn, request)
        access, people = population.look_up(
            population.Wanted(
                purpose=given["purpose"],
                words=given["words"],
                cell=given["cell"],
                group=given["group"],
                people=tuple(given["people"]),
                after=given.get("after"),
                post=given.get("post"),
            ),
            by=self.person,
        )
        rows = [
            {
                "id": person.pk,
                "cell": person.element.cell.code,
                "name": person.name,
                "phone": person.phone,
                "birth_year": person.birth_year,
                "address": person.address,
                "point": list(person.point.coords),
                "groups": [group.code for group in person.groups.all()],
            }
            for person in people
        ]
        more = len(rows) == population.AT_ONCE
        response = Response(LookedUpOut({"access": access.pk, "people": rows, "more": more}).data)
        response["Cache-Control"] = "no-store"
        return response


class Erase(FieldView):
    """Somebody moved away, died, or asks for it."""

    @extend_schema(request=EraseIn, responses={204: None, **Problem})
    def post(self, request: Request, element_id: UUID) -> Response:
        """Delete everything personal; logged."""
        given = _read(EraseIn, request)
        population.erase_person(element_id, by=self.person, words=given["words"])
        return Response(status=status.HTTP_204_NO_CONTENT)


# --- streets --------------------------------------------------------------------------------------------------


class Segments(FieldView):
    """A street chief's own."""

    @extend_schema(responses={200: SegmentOut(many=True), **Problem})
    def get(self, request: Request) -> Response:
        """My road segments with their shops and the open cases on them."""
        return Response(SegmentOut(streets.my_segments(self.person), many=True).data)
