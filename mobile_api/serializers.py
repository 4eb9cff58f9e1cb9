"""What devices may send; apart from what they are answered."""

import hashlib
import json
import math
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.fields import MomentField
from fieldops.lifecycle import has_words
from fieldops.models import Channel, CheckKind, Found, Matter, Part
from gridmap.coordinates import CoordinateSystem
from realtime.positions import MOST_IN_A_BATCH


class UUIDv7Field(serializers.UUIDField):
    """A key made by the device: RFC 9562 version 7, so that keys sort by time."""

    default_error_messages = {"version": _("Must be a UUID of version 7.")}

    def to_internal_value(self, data: Any) -> UUID:
        """Read the key."""
        value = super().to_internal_value(data)
        if value.version != 7:
            self.fail("version")
        return value


class FiniteFloatField(serializers.FloatField):
    """JSON parsers let NaN and Infinity through; geometry must not see them."""

    default_error_messages = {"finite": _("Must be a finite number.")}

    def to_internal_value(self, data: Any) -> float:
        """Read the number."""
        value = super().to_internal_value(data)
        if not math.isfinite(value):
            self.fail("finite")
        return value


class TextField(serializers.CharField):
    """Text that PostgreSQL can store and people can read: DRF refuses NUL, the rest is refused here."""

    default_error_messages = {"surrogate": _("Contains characters that are not text.")}

    def to_internal_value(self, data: Any) -> str:
        """Read the text."""
        value = super().to_internal_value(data)
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("surrogate")
        if value and not self.allow_blank and not has_words(value):
            self.fail("blank")
        return value


class NamedChoiceField(serializers.ChoiceField):
    """A choice whose refusal can be written down, whatever was sent."""

    def to_internal_value(self, data: Any) -> Any:
        """Read the choice."""
        return super().to_internal_value(str(data).encode("utf-8", "replace").decode()[:60])


class PositionMixin(serializers.Serializer):
    """A position in a declared system, accuracy in metres. Which numbers are plausible is the system's business."""

    x = FiniteFloatField(
        help_text="Longitude in degrees, or easting in metres where the system is projected."
    )
    y = FiniteFloatField(help_text="Latitude in degrees, or northing in metres.")
    system = serializers.CharField(
        max_length=20,
        help_text="One of "
        + ", ".join(CoordinateSystem)
        + ", or a projected CGCS2000 zone such as EPSG:4546; there is no default.",
    )
    accuracy_m = FiniteFloatField(required=False, allow_null=True, min_value=0, max_value=100_000)


class LoginIn(serializers.Serializer):
    """Credentials."""

    username = TextField(max_length=150)
    password = TextField(max_length=200, trim_whitespace=False)


class ContactIn(serializers.Serializer):
    """Who to answer."""

    name = TextField(max_length=40, required=False, allow_blank=True)
    phone = serializers.RegexField(r"^[0-9+\- ]{0,30}$", required=False, allow_blank=True)


class ReportIn(PositionMixin):
    """A report. The same id with the same content may be sent again and is stored once."""

    id = UUIDv7Field()
    vars()["class"] = TextField(max_length=20, help_text="Kind and code, as in the catalogue: event/0103.")
    condition = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    component = serializers.RegexField(
        r"^[0-9]{16}$",
        required=False,
        allow_blank=True,
        help_text="Code of the component it is about: the case then stands where the component stands.",
    )
    description = TextField(max_length=2000)
    reported_at = MomentField(required=False, allow_null=True, help_text="The device's clock.")
    channel = NamedChoiceField(
        Channel.choices,
        required=False,
        allow_blank=True,
        help_text="Only where a post serves several channels.",
    )
    self_handled = serializers.BooleanField(
        required=False,
        help_text="It is being put right on the spot: dispatched to nobody until `self-handled` says so.",
    )
    external_number = TextField(max_length=60, required=False, allow_blank=True)
    matter = NamedChoiceField(
        Matter.choices,
        required=False,
        allow_blank=True,
        help_text="What a desk takes down: how soon a reply is owed.",
    )
    contact = ContactIn(required=False, allow_null=True)


class StepIn(serializers.Serializer):
    """A step on a work order; `id` is the step's own key, made by the device."""

    id = UUIDv7Field()
    note = TextField(max_length=2000, required=False, allow_blank=True, default="")
    at = MomentField(required=False, allow_null=True, help_text="The device's clock.")


class SendBackIn(StepIn):
    """A step that wants a reason."""

    note = TextField(max_length=2000)


class DeferralIn(SendBackIn):
    """A request to let the work rest."""

    until = MomentField(help_text="When it can go on.")


class OnSiteIn(StepIn):
    """A step from the spot, with the position where there is one."""

    x = FiniteFloatField(required=False)
    y = FiniteFloatField(required=False)
    system = serializers.CharField(max_length=20, required=False)
    accuracy_m = FiniteFloatField(required=False, allow_null=True, min_value=0, max_value=100_000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A position is whole, with its system, or absent."""
        given = [name for name in ("x", "y", "system") if name in attrs]
        if given and len(given) < 3:
            raise serializers.ValidationError(
                _("A position needs x, y and system."), code="position_incomplete"
            )
        return attrs


class ConfirmIn(OnSiteIn):
    """The street chief's word from the spot."""

    resolved = serializers.BooleanField()


class CheckIn(OnSiteIn):
    """What a worker found who was sent to look."""

    found = NamedChoiceField(Found.choices)


class ArriveIn(StepIn, PositionMixin):
    """On the spot, and where that is."""


class SelfHandledIn(StepIn):
    """Put right on the spot by whoever reported it."""

    condition = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)


class WhistleIn(SendBackIn):
    """Departments to come to the spot, and why."""

    departments = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**31 - 1), min_length=1, max_length=10
    )


class DepartmentOut(serializers.Serializer):
    """A department that can be called to the spot."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class PhotoIn(serializers.Serializer):
    """A photo for a record of the same device, sent before or after it."""

    id = serializers.UUIDField()
    submission = serializers.UUIDField(help_text="The id of the report or step it belongs to.")
    sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}$")
    file = serializers.FileField()
    taken_at = MomentField(required=False, allow_null=True)


class SyncIn(serializers.Serializer):
    """Where a device stands in a mailbox."""

    mailbox = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    epoch = serializers.UUIDField(required=False)
    cursor = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)


class AckIn(serializers.Serializer):
    """Stored durably on the device, up to and with `seq`."""

    mailbox = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    device = serializers.UUIDField()
    epoch = serializers.UUIDField()
    seq = serializers.IntegerField(min_value=0, max_value=2**63 - 1)


class ShiftStartIn(serializers.Serializer):
    """Clocking in; `id` is the shift's own key, made by the device."""

    id = UUIDv7Field()
    post = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=2**31 - 1, help_text="One of one's posts."
    )


class ShiftEndIn(serializers.Serializer):
    """Clocking out; with the key of the shift it may be sent again."""

    id = serializers.UUIDField(required=False, allow_null=True)


class FixIn(PositionMixin):
    """One fix, as it is documented; `realtime.positions.read_fix` reads it, the same as from the socket."""

    at = MomentField(help_text="When the fix was made: the device's clock, with its zone.")
    battery = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=100)
    mock = serializers.BooleanField(required=False, help_text="The system says that an app set the place.")


@extend_schema_field(FixIn(many=True))
class FixesField(serializers.ListField):
    """Fixes as they came: a bad one is answered for itself and spoils no other."""


class PositionsIn(serializers.Serializer):
    """Fixes of one device, newest first."""

    device = serializers.UUIDField()
    positions = FixesField(child=serializers.JSONField(), min_length=1, max_length=MOST_IN_A_BATCH)


# --- answers -----------------------------------------------------------------------------------------


class PostOut(serializers.Serializer):
    """A post one holds; its id is also the id of its mailbox."""

    id = serializers.IntegerField()
    role = serializers.CharField()
    label = serializers.CharField(source="get_role_display")  # type: ignore[assignment]
    name = serializers.CharField()
    unit = serializers.CharField(source="unit.area_name")
    department = serializers.CharField(source="department.name", default=None)
    stands_in_for = serializers.CharField(source="stood_in_for", default=None, allow_null=True)
    mailbox = serializers.IntegerField(source="id")


class MeOut(serializers.Serializer):
    """Who one is."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    posts = PostOut(many=True)


class LoginOut(serializers.Serializer):
    """A token, and who it stands for."""

    token = serializers.CharField()
    expires_at = serializers.DateTimeField()
    user = MeOut()


class LevelOut(serializers.Serializer):
    """One level above a place."""

    level = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    name = serializers.CharField()
    code = serializers.CharField()


class CaseOut(serializers.Serializer):
    """A case, as its reporter is told."""

    id = serializers.UUIDField()
    number = serializers.CharField()
    status = serializers.CharField()
    status_label = serializers.CharField()
    version = serializers.IntegerField()
    due_at = serializers.DateTimeField(allow_null=True)


class ReportOut(serializers.Serializer):
    """What became of a report."""

    id = serializers.UUIDField()
    event = CaseOut()
    merged_into = CaseOut(
        allow_null=True, help_text="The case that goes on where this one told of the same problem."
    )
    cell = serializers.CharField()
    levels = LevelOut(many=True, required=False)
    department = serializers.CharField(allow_null=True)
    why = serializers.CharField()
    received_at = serializers.DateTimeField()
    call_back_code = serializers.CharField(
        allow_null=True,
        help_text="For a reporter who leaves no number: with it the result is rated once the case is closed.",
    )


class ClassOut(serializers.Serializer):
    """A class with its two names."""

    key = serializers.CharField()
    name = serializers.CharField()


class FieldCaseOut(serializers.Serializer):
    """A case as a phone shows it; the point is WGS-84 longitude, latitude."""

    id = serializers.UUIDField()
    number = serializers.CharField()
    version = serializers.IntegerField()
    status = serializers.CharField()
    vars()["class"] = ClassOut()
    condition = serializers.CharField(allow_null=True)
    closing = serializers.CharField(allow_null=True)
    description = serializers.CharField()
    point = serializers.ListField(child=serializers.FloatField())
    component = serializers.CharField(allow_null=True)
    cell = serializers.CharField()
    community = serializers.CharField()
    due_at = serializers.DateTimeField(allow_null=True)


class OrderOut(serializers.Serializer):
    """A work order of one's own post."""

    id = serializers.UUIDField()
    post = serializers.IntegerField()
    department = serializers.CharField()
    why = serializers.CharField(
        allow_blank=True, help_text="which rule names the department, over which other"
    )
    part = serializers.ChoiceField(Part.choices)
    dispatched_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    arrived_at = serializers.DateTimeField(allow_null=True)
    handled_at = serializers.DateTimeField(
        allow_null=True, help_text="The lead is done and waits for the assistants."
    )
    seen_at = serializers.DateTimeField(allow_null=True)
    taken_on_at = serializers.DateTimeField(allow_null=True)
    event = FieldCaseOut()


class CheckOut(serializers.Serializer):
    """Somebody is to look at a case on site; `person` is whom it is meant for, where one on duty was chosen."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(CheckKind.choices)
    post = serializers.IntegerField()
    person = serializers.IntegerField(allow_null=True)
    asked_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    event = FieldCaseOut()


class WorkOut(serializers.Serializer):
    """All that waits for one, as of `as_of`."""

    as_of = serializers.DateTimeField()
    orders = OrderOut(many=True)
    confirmations = FieldCaseOut(many=True)
    checks = CheckOut(many=True)


class StepOut(serializers.Serializer):
    """A step that was recorded."""

    id = serializers.UUIDField()
    event = serializers.UUIDField(source="event_id")
    version = serializers.IntegerField()
    kind = serializers.CharField()
    status = serializers.CharField(source="to_status")
    recorded_at = serializers.DateTimeField()


class PhotoOut(serializers.Serializer):
    """A photo that was kept."""

    id = serializers.UUIDField()
    submission = serializers.UUIDField()
    sha256 = serializers.CharField()
    bytes = serializers.IntegerField()
    received_at = serializers.DateTimeField()


class SeenOut(serializers.Serializer):
    """When a work order was first opened."""

    id = serializers.UUIDField()
    seen_at = serializers.DateTimeField()


class ConditionOut(serializers.Serializer):
    """A filing condition."""

    id = serializers.IntegerField()
    number = serializers.IntegerField()
    text = serializers.CharField()
    closing = serializers.CharField()
    limit_text = serializers.CharField()


class CatalogueOut(serializers.Serializer):
    """An event class with its filing conditions."""

    key = serializers.CharField()
    kind = serializers.CharField()
    major_name = serializers.CharField()
    name = serializers.CharField()
    conditions = ConditionOut(many=True)


class TicketOut(serializers.Serializer):
    """A ticket for one socket, good for a few seconds and once."""

    ticket = serializers.CharField()
    expires_in = serializers.IntegerField()


class SnapshotOut(serializers.Serializer):
    """All that waits at a post, as of the letter `last_seq`."""

    as_of = serializers.DateTimeField()
    orders = OrderOut(many=True)
    cases = FieldCaseOut(many=True)
    truncated = serializers.BooleanField(help_text="There were more than 500 cases.")


class LetterOut(serializers.Serializer):
    """One letter."""

    mailbox = serializers.IntegerField()
    seq = serializers.IntegerField()
    kind = serializers.CharField()
    event = serializers.UUIDField()
    event_version = serializers.IntegerField()
    payload = serializers.JSONField()
    created_at = serializers.CharField()


class SyncOut(serializers.Serializer):
    """The letters after a cursor; `reset` means: take the snapshot as the truth and continue from `last_seq`."""

    mailbox = serializers.IntegerField()
    epoch = serializers.UUIDField()
    last_seq = serializers.IntegerField()
    reset = serializers.BooleanField()
    letters = LetterOut(many=True)
    more = serializers.BooleanField()
    snapshot = SnapshotOut(allow_null=True)


class AckOut(serializers.Serializer):
    """How far the device now stands."""

    mailbox = serializers.IntegerField()
    acked_seq = serializers.IntegerField()


class ProblemOut(serializers.Serializer):
    """RFC 9457 problem details."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField(required=False)


class ShiftOut(serializers.Serializer):
    """A shift."""

    id = serializers.UUIDField()
    post = serializers.IntegerField(source="post_id")
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    forgotten = serializers.BooleanField()


class ShiftStateOut(serializers.Serializer):
    """The shift one is on, or the one that was just ended, and how long tracks are kept."""

    shift = ShiftOut(allow_null=True)
    keep_days = serializers.IntegerField()
    server_time = serializers.DateTimeField()


class FixOut(serializers.Serializer):
    """What became of one fix; `again`: keep it and send it later."""

    at = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(["stored", "refused"])
    code = serializers.CharField(required=False)
    title = serializers.CharField(required=False)
    again = serializers.BooleanField(required=False)


class PositionsOut(serializers.Serializer):
    """In the order the fixes were sent."""

    server_time = serializers.DateTimeField()
    results = FixOut(many=True)


def digest_of(data: dict[str, Any]) -> str:
    """SHA-256 over the validated content in a canonical form: spelling and order of the JSON do not matter."""
    canonical = json.dumps(
        data, cls=DjangoJSONEncoder, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
