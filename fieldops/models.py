"""WHAT: people and departments, classes and rules, reports, cases, work orders and their history.

Models hold facts and constraints; what happens to them lives in functions named by domain verbs.
Positions are WGS-84 (EPSG:4326); times are UTC.
"""

import pgtrigger
import uuid_utils.compat as uuid
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.gis.db import models
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.core.validators import MinValueValidator
from django.db.models import Func, Q
from django.utils.translation import gettext_lazy as _

from gridmap.coordinates import DECLARED_SYSTEM
from gridmap.models import WGS84, Cell, Component, Department, District, Element, GridUnit, RoadSegment
from gridmap.models.history import kept_history

from .status import FINAL, MAX_EXTENSIONS, PHASE, Role, Status, Step


def _uuid_key() -> models.UUIDField:
    return models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)


# --- people ---------------------------------------------------------------------------------------


class User(AbstractUser):
    """A person who logs in. What they may do follows from the posts they hold, not from the account."""

    display_name = models.CharField(_("name"), max_length=40, blank=True)
    _current_posts: "list[Post]"

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")

    def __str__(self) -> str:
        return self.display_name or self.username


class Post(models.Model):
    """A position (岗位) or a desk: a role over an area, for a department where the role is a handler's.

    Letters are addressed to posts, so that a dispatch survives a change of person.
    """

    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="posts")
    role = models.CharField(_("role"), max_length=20, choices=Role)
    name = models.CharField(_("name"), max_length=80)
    unit = models.ForeignKey(GridUnit, models.PROTECT, verbose_name=_("area"), related_name="posts")
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), null=True, blank=True, related_name="posts"
    )
    holders = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Holding", related_name="posts")

    class Meta:
        verbose_name = _("post")
        verbose_name_plural = _("posts")
        ordering = ["name"]
        indexes = [models.Index(fields=["unit", "role", "department"], name="post_by_area")]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "name"], name="a_post_name_is_unique_in_its_district"
            ),
            models.CheckConstraint(
                condition=Q(role=Role.DEPARTMENT_HANDLER, department__isnull=False)
                | (~Q(role=Role.DEPARTMENT_HANDLER) & Q(department__isnull=True)),
                name="exactly_a_handler_has_a_department",
            ),
            models.UniqueConstraint(fields=["id", "role", "district"], name="post_role_and_district"),
        ]

    def __str__(self) -> str:
        return self.name


class Holding(models.Model):
    """Who holds a post, from when to when: what a post did survives who held it."""

    post = models.ForeignKey(Post, models.CASCADE, verbose_name=_("post"), related_name="holdings")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("person"), related_name="holdings"
    )
    since = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("holding of a post")
        verbose_name_plural = _("holdings of posts")
        constraints = [
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=models.F("since")),
                name="a_holding_ends_after_it_began",
            ),
            ExclusionConstraint(
                name="a_person_holds_a_post_once_at_a_time",
                expressions=[
                    ("post", RangeOperators.EQUAL),
                    ("user", RangeOperators.EQUAL),
                    (
                        Func("since", "until", function="tstzrange", output_field=DateTimeRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.post}"


# --- classes, conditions, responsibility ------------------------------------------------------------


class Kind(models.TextChoices):
    COMPONENT = "component", _("Component")
    EVENT = "event", _("Event")


class EventClass(models.Model):
    """A minor class (小类) of the handling standard, in one edition of its table."""

    edition = models.CharField(_("edition"), max_length=40)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    major = models.CharField(_("major class"), max_length=2)
    major_name = models.CharField(_("name of the major class"), max_length=60)
    minor = models.CharField(_("minor class"), max_length=3)
    name = models.CharField(_("name"), max_length=100)

    class Meta:
        verbose_name = _("event class")
        verbose_name_plural = _("event classes")
        ordering = ["kind", "major", "minor"]
        constraints = [
            models.UniqueConstraint(
                fields=["edition", "kind", "major", "minor"], name="a_class_code_is_unique_in_its_edition"
            ),
            models.CheckConstraint(
                condition=Q(major__regex=r"^\d{2}$")
                & (Q(minor__regex=r"^\d{2}$") | Q(kind=Kind.COMPONENT, minor__regex=r"^\d{3}$")),
                name="class_codes_have_two_digits_or_a_components_minor_three",
            ),
            # Target of the composite foreign key that ties a component's code to its class.
            models.UniqueConstraint(fields=["id", "kind", "major", "minor"], name="class_and_its_code"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"

    @property
    def code(self) -> str:
        """Major and minor: four digits, or five (the district's six stand before them outside this system)."""
        return f"{self.major}{self.minor}"

    @property
    def key(self) -> str:
        """How interfaces name it: `event/0103`."""
        return f"{self.kind}/{self.code}"


class LimitUnit(models.TextChoices):
    MINUTE = "minute", _("minutes")
    HOUR = "hour", _("hours")
    DAY = "day", _("days")


class FilingCondition(models.Model):
    """When a problem of a class is filed (立案条件), when it counts as solved, and how long that may take."""

    event_class = models.ForeignKey(
        EventClass, models.CASCADE, verbose_name=_("event class"), related_name="conditions"
    )
    number = models.PositiveSmallIntegerField(_("number within the class"))
    text = models.TextField(_("filing condition"))
    closing = models.TextField(_("closing condition"))
    handling_units = models.TextField(_("handling units as published"), blank=True)
    supervising_departments = models.TextField(_("supervising departments as published"), blank=True)
    limit_text = models.CharField(_("limit as published"), max_length=40)
    limit_amount = models.PositiveSmallIntegerField(_("limit"), validators=[MinValueValidator(1)])
    limit_unit = models.CharField(_("unit of the limit"), max_length=6, choices=LimitUnit)
    urgent = models.BooleanField(
        _("urgent"), help_text=_("the clock runs continuously, not in working time only")
    )
    limit_action = models.CharField(
        _("what the limit asks for"),
        max_length=20,
        blank=True,
        help_text=_("empty: solve; 制止: stop the act"),
    )

    class Meta:
        verbose_name = _("filing condition")
        verbose_name_plural = _("filing conditions")
        ordering = ["event_class", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["event_class", "number"], name="a_condition_number_is_unique_in_its_class"
            ),
            models.CheckConstraint(condition=Q(limit_amount__gt=0), name="a_limit_is_positive"),
        ]

    def __str__(self) -> str:
        return self.text


class ResponsibilityRule(models.Model):
    """Class × area → department. The most specific rule wins: first by class, then by area.

    An empty field means *any*. Two rules of the same specificity cannot both match one case: at most one
    minor, one major, one kind and one unit of each level fit it, and a scope is unique.
    """

    district = models.ForeignKey(District, models.CASCADE, verbose_name=_("district"), related_name="rules")
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, blank=True)
    major = models.CharField(_("major class"), max_length=2, blank=True)
    minor = models.CharField(_("minor class"), max_length=3, blank=True)
    unit = models.ForeignKey(
        GridUnit, models.CASCADE, verbose_name=_("area"), null=True, blank=True, related_name="rules"
    )
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), related_name="rules"
    )
    source = models.CharField(_("source"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("responsibility rule")
        verbose_name_plural = _("responsibility rules")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "number"], name="a_rule_number_is_unique_in_its_district"
            ),
            models.UniqueConstraint(
                fields=["district", "kind", "major", "minor", "unit"],
                name="a_scope_has_one_responsible_department",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=(Q(minor="") | ~Q(major="")) & (Q(major="") | ~Q(kind="")),
                name="a_minor_names_its_major_and_a_major_its_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.kind}/{self.major}{self.minor} {self.unit or ''} → {self.department}"


class Channel(models.TextChoices):
    FIELD_APP = "field_app", _("Field app (手机E通)")
    RESIDENT_APP = "resident_app", _("Resident mini-program (法治青山)")
    HOTLINE_12345 = "hotline_12345", _("12345 hotline")
    NETIZEN_MESSAGE = "netizen_message", _("Netizen message")
    SERVICE_HALL = "service_hall", _("Service hall, walk-in")


class IntakePolicy(models.Model):
    """Whether reports of a channel are accepted, filed, assigned and dispatched without a desk in between.

    Straight through needs a stated filing condition and a responsible department; else a desk decides.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="intake_policies"
    )
    channel = models.CharField(_("channel"), max_length=20, choices=Channel)
    straight_through = models.BooleanField(_("straight through"), default=False)

    class Meta:
        verbose_name = _("intake policy")
        verbose_name_plural = _("intake policies")
        constraints = [
            models.UniqueConstraint(
                fields=["district", "channel"], name="a_channel_has_one_policy_in_a_district"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()}: {self.straight_through}"


class TakeOnLimit(models.Model):
    """How long a dispatch may wait to be taken on before the dispatcher is told. Without a row: for ever.

    The minutes of an urgent case run without a break, those of any other in the district's working time.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="take_on_limits"
    )
    urgent = models.BooleanField(_("urgent"))
    minutes = models.PositiveIntegerField(_("minutes"), validators=[MinValueValidator(1)])

    class Meta:
        verbose_name = _("limit for taking on")
        verbose_name_plural = _("limits for taking on")
        constraints = [
            models.UniqueConstraint(
                fields=["district", "urgent"], name="a_district_has_one_take_on_limit_of_each_kind"
            ),
            models.CheckConstraint(condition=Q(minutes__gt=0), name="a_take_on_limit_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.minutes} min"


# --- cases ------------------------------------------------------------------------------------------


class Event(models.Model):
    """One problem at one place, from its first report until it is closed.

    Only `lifecycle` writes `status` and `version`; a version is one Transition.
    """

    id = _uuid_key()
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="events")
    # Written by a trigger: the local date and a sequence.
    number = models.CharField(_("case number"), max_length=20, db_default="", editable=False)
    status = models.CharField(_("status"), max_length=12, choices=Status, editable=False)
    # True until the case ends, then NULL: an open case has to lie in a cell in force, by a composite foreign key.
    is_open = models.GeneratedField(
        expression=models.Case(
            models.When(~Q(status__in=sorted(status.value for status in FINAL)), then=models.Value(True))
        ),
        output_field=models.BooleanField(null=True),
        db_persist=True,
        editable=False,
    )
    version = models.PositiveIntegerField(_("version"), editable=False)
    event_class = models.ForeignKey(
        EventClass, models.PROTECT, verbose_name=_("event class"), related_name="events"
    )
    condition = models.ForeignKey(
        FilingCondition,
        models.PROTECT,
        verbose_name=_("filing condition"),
        null=True,
        blank=True,
        related_name="events",
    )
    description = models.TextField(_("description"), max_length=2000)
    point = models.PointField(_("place"), srid=WGS84)
    cell = models.ForeignKey(Cell, models.PROTECT, verbose_name=_("cell"), related_name="events")
    # Until a dispatcher decides: [{"cell": id, "code": …, "share": of the fix's accuracy circle}], largest first.
    cell_candidates = models.JSONField(_("cells the fix may mean"), default=list, blank=True)
    outside_m = models.FloatField(_("metres outside its cell"), null=True, blank=True)
    department = models.ForeignKey(
        Department,
        models.PROTECT,
        verbose_name=_("responsible department"),
        null=True,
        blank=True,
        related_name="events",
    )
    component = models.ForeignKey(
        Component,
        models.PROTECT,
        verbose_name=_("component"),
        null=True,
        blank=True,
        related_name="events",
        help_text=_("the case stands where it stands"),
    )
    responsibility = models.JSONField(_("why this department"), default=dict, blank=True)
    received_at = models.DateTimeField(_("received"))
    warn_at = models.DateTimeField(_("yellow from"), null=True, blank=True, help_text=_("80 % of the limit"))
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    due_provisional = models.BooleanField(_("due time is provisional"), default=False)
    asked_for = models.CharField(
        _("asked for and not decided"), max_length=20, choices=Step, blank=True, editable=False
    )
    deferred_until = models.DateTimeField(_("deferred until"), null=True, blank=True)
    updated_at = models.DateTimeField(_("last change"))

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["district", "-received_at"], name="event_newest_first"),
            models.Index(fields=["district", "updated_at"], name="event_by_last_change"),
            models.Index(fields=["cell", "status"], name="event_by_cell"),
            models.Index(fields=["department", "status"], name="event_by_department"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "number"], name="a_case_number_is_unique_in_its_district"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="an_event_has_a_known_status"),
            models.CheckConstraint(
                condition=Q(outside_m__isnull=True) | Q(outside_m__gte=0),
                name="a_place_outside_lies_some_metres_away",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        Status.REPORTED,
                        Status.LOCATED,
                        Status.ACCEPTED,
                        Status.FILED,
                        Status.DECLINED,
                        Status.NOT_FILED,
                        Status.VOIDED,
                    ]
                )
                | Q(department__isnull=False),
                name="an_assigned_case_has_a_department",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[Status.REPORTED, Status.LOCATED, Status.ACCEPTED])
                | Q(status__in=[Status.DECLINED, Status.NOT_FILED])
                | Q(condition__isnull=False),
                name="a_filed_case_has_a_condition",
            ),
            models.CheckConstraint(
                condition=~Q(
                    status__in=[
                        Status.DISPATCHED,
                        Status.TAKEN_ON,
                        Status.HANDLED,
                        Status.CONFIRMED,
                        Status.CLOSED,
                    ]
                )
                | Q(due_at__isnull=False, warn_at__isnull=False),
                name="a_dispatched_case_has_a_limit",
            ),
            models.CheckConstraint(
                condition=Q(asked_for="")
                | Q(asked_for__in=[Step.EXTEND, Step.DEFER], status=Status.TAKEN_ON),
                name="only_work_that_was_taken_on_waits_for_a_decision",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.DEFERRED, deferred_until__isnull=False)
                | (~Q(status=Status.DEFERRED) & Q(deferred_until__isnull=True)),
                name="exactly_a_deferred_case_has_a_day_to_go_on",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def phase(self) -> str:
        """The coarse state that the map colours by."""
        return PHASE[Status(self.status)].value


class Report(models.Model):
    """One submission by one reporter, as it came in. Its key is made by the client, so a retry is the same row.

    The contact is personal data: it stands here alone, is shown masked, and can be emptied without touching
    what happened.
    """

    id = models.UUIDField(primary_key=True)
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="reports")
    channel = models.CharField(_("channel"), max_length=20, choices=Channel)
    reporter = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("filed by"), related_name="reports"
    )
    post = models.ForeignKey(
        Post, models.PROTECT, verbose_name=_("post of the reporter"), null=True, related_name="reports"
    )
    external_number = models.CharField(_("number at the sending channel"), max_length=60, blank=True)
    digest = models.CharField(_("SHA-256 of the body"), max_length=64)
    description = models.TextField(_("description"), max_length=2000)
    x = models.FloatField(_("x as sent"))
    y = models.FloatField(_("y as sent"))
    system = models.CharField(_("coordinate system as sent"), max_length=20)
    accuracy_m = models.FloatField(_("accuracy, metres"), null=True, blank=True)
    contact_name = models.CharField(_("name of the contact"), max_length=40, blank=True)
    contact_phone = models.CharField(_("telephone"), max_length=30, blank=True)
    device_time = models.DateTimeField(_("time on the device"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        ordering = ["received_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(system__regex=DECLARED_SYSTEM), name="a_position_names_its_coordinate_system"
            ),
            models.CheckConstraint(
                condition=Q(accuracy_m__isnull=True) | Q(accuracy_m__gte=0),
                name="an_accuracy_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def masked_contact(self) -> str:
        """As operators see it: family name and the ends of the number."""
        name = self.contact_name[:1] + "*" * (len(self.contact_name) - 1)
        phone = self.contact_phone
        hidden = f"{phone[:3]}****{phone[-4:]}" if len(phone) >= 9 else "*" * len(phone)
        return f"{name} {hidden}".strip()


class WorkOrder(models.Model):
    """One dispatch of a case to one post of a department."""

    id = _uuid_key()
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="work_orders")
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), related_name="work_orders"
    )
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("post"), related_name="work_orders")
    dispatched_at = models.DateTimeField(_("dispatched"))
    due_at = models.DateTimeField(_("due"))
    received_at = models.DateTimeField(_("stored on a device"), null=True, blank=True)
    seen_at = models.DateTimeField(_("seen"), null=True, blank=True)
    taken_on_at = models.DateTimeField(_("taken on"), null=True, blank=True)
    handled_at = models.DateTimeField(_("handled"), null=True, blank=True)
    expired_at = models.DateTimeField(_("not taken on in time"), null=True, blank=True)
    recalled_at = models.DateTimeField(_("recalled"), null=True, blank=True)
    sent_back_at = models.DateTimeField(_("sent back"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    extensions = models.PositiveSmallIntegerField(_("extensions"), default=0)

    class Meta:
        verbose_name = _("work order")
        verbose_name_plural = _("work orders")
        ordering = ["dispatched_at"]
        indexes = [
            models.Index(fields=["post"], condition=Q(finished_at__isnull=True), name="open_work_of_a_post"),
            models.Index(
                fields=["dispatched_at"],
                condition=Q(taken_on_at__isnull=True, finished_at__isnull=True, expired_at__isnull=True),
                name="work_waiting_to_be_taken_on",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event"], condition=Q(finished_at__isnull=True), name="a_case_has_one_open_work_order"
            ),
            models.CheckConstraint(
                condition=Q(extensions__lte=MAX_EXTENSIONS), name="a_limit_is_extended_at_most_twice"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} → {self.post}"


class Transition(models.Model):
    """One step in the life of a case: its history, audit trail, and the source of every indicator.

    Append-only (a database trigger refuses changes); holds no personal data. `id` is made by the device
    for steps that devices take, so a retry is the same row.
    """

    id = _uuid_key()
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="transitions")
    work_order = models.ForeignKey(
        WorkOrder, models.PROTECT, verbose_name=_("work order"), null=True, related_name="transitions"
    )
    version = models.PositiveIntegerField(_("version"))
    kind = models.CharField(_("step"), max_length=20, choices=Step)
    from_status = models.CharField(_("from"), max_length=12, choices=Status, blank=True)
    to_status = models.CharField(_("to"), max_length=12, choices=Status)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), null=True, related_name="transitions"
    )
    post = models.ForeignKey(
        Post, models.PROTECT, verbose_name=_("acting as"), null=True, related_name="transitions"
    )
    occurred_at = models.DateTimeField(_("occurred"))
    recorded_at = models.DateTimeField(_("recorded"))
    reason = models.TextField(_("reason or note"), max_length=2000, blank=True)
    data = models.JSONField(_("facts"), default=dict)
    digest = models.CharField(_("SHA-256 of the request"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("transition")
        verbose_name_plural = _("transitions")
        ordering = ["event", "version"]
        constraints = [
            models.UniqueConstraint(fields=["event", "version"], name="a_version_is_one_transition"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} v{self.version} {self.kind}"


class Photo(models.Model):
    """A picture taken on site; it arrives apart from the record it belongs to, before or after it.

    `submission` is the key of that record: a Report's or a Transition's, made by the same device.
    """

    id = models.UUIDField(primary_key=True)
    submission = models.UUIDField(_("belongs to"), db_index=True)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("uploaded by"), related_name="photos"
    )
    file = models.FileField(_("file"), upload_to="photos/%Y/%m/%d/")
    thumbnail = models.FileField(_("thumbnail"), upload_to="thumbnails/%Y/%m/%d/", blank=True)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    bytes = models.PositiveIntegerField(_("size in bytes"))
    device_time = models.DateTimeField(_("time on the device"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("photo")
        verbose_name_plural = _("photos")
        ordering = ["received_at"]
        constraints = [
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="a_photo_has_a_sha256"),
        ]

    def __str__(self) -> str:
        return str(self.id)


# --- elements: who keeps them current, who looked at people, who answers for a street -----------------


def _append_only() -> pgtrigger.Protect:
    return pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)


class ElementAct(models.TextChoices):
    """What somebody in the field did to an element."""

    ADD = "add", _("Add")
    CHANGE = "change", _("Change")
    MARK = "mark", _("Mark the state")
    END = "end", _("Say that it is gone")


class ElementSubmission(models.Model):
    """One act of a device on an element, under the device's own key, so that a retry is the same row.

    What the element was before and after stands in its versions.
    """

    id = models.UUIDField(primary_key=True)
    element = models.ForeignKey(
        Element, models.PROTECT, verbose_name=_("element"), related_name="submissions"
    )
    act = models.CharField(_("act"), max_length=6, choices=ElementAct)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), related_name="+")
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("acting as"), related_name="+")
    digest = models.CharField(_("SHA-256 of the request"), max_length=64)
    reason = models.CharField(_("reason or note"), max_length=500, blank=True)
    device_time = models.DateTimeField(_("time on the device"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("act on an element")
        verbose_name_plural = _("acts on elements")
        ordering = ["received_at"]
        triggers = [_append_only()]

    def __str__(self) -> str:
        return f"{self.act} {self.element_id}"


class AccessPurpose(models.Model):
    """For what people of the population may be looked at in a district."""

    district = models.ForeignKey(
        District, models.PROTECT, verbose_name=_("district"), related_name="access_purposes"
    )
    code = models.SlugField(_("code"), max_length=20)
    name = models.CharField(_("name"), max_length=40)
    name_en = models.CharField(_("English name"), max_length=80, blank=True)
    active = models.BooleanField(_("may be stated"), default=True)

    class Meta:
        verbose_name = _("purpose of access")
        verbose_name_plural = _("purposes of access")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["district", "code"], name="a_purpose_is_unique_in_its_district"),
        ]

    def __str__(self) -> str:
        return self.name


class AccessAct(models.TextChoices):
    """What somebody wanted with people of the population."""

    LOOK_UP = "look_up", _("Look up")
    ERASE = "erase", _("Erase")


class ElementAccess(models.Model):
    """Who looked at which people, for what, or was refused; append-only, and without anything personal in it."""

    id = _uuid_key()
    at = models.DateTimeField(_("at"))
    act = models.CharField(_("act"), max_length=8, choices=AccessAct)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), related_name="+")
    post = models.ForeignKey(
        Post, models.PROTECT, verbose_name=_("acting as"), null=True, related_name="people_accesses"
    )
    purpose = models.ForeignKey(
        AccessPurpose, models.PROTECT, verbose_name=_("purpose"), null=True, related_name="accesses"
    )
    words = models.CharField(_("in words"), max_length=500, blank=True)
    asked = models.JSONField(_("what was asked"), default=dict)
    people = ArrayField(models.UUIDField(), verbose_name=_("who was shown"), default=list)
    refusal = models.CharField(_("refused"), max_length=40, blank=True)

    class Meta:
        verbose_name = _("access to people")
        verbose_name_plural = _("accesses to people")
        ordering = ["-at"]
        indexes = [models.Index(fields=["-at"], name="people_access_newest_first")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(refusal="") | Q(post__isnull=False) & Q(words__regex=r"[^\s]"),
                name="an_access_has_a_post_and_words",
            ),
            models.CheckConstraint(
                condition=~Q(refusal="") | ~Q(act=AccessAct.LOOK_UP) | Q(purpose__isnull=False),
                name="a_look_up_has_a_purpose",
            ),
            models.CheckConstraint(
                condition=Q(refusal="") | Q(people=[]), name="a_refused_access_shows_nobody"
            ),
        ]
        triggers = [_append_only()]

    def __str__(self) -> str:
        return f"{self.act} {self.at:%F %T}"


class SegmentChief(models.Model):
    """Which street chief's post answers for a road segment, from when to when."""

    segment = models.ForeignKey(
        RoadSegment, models.CASCADE, verbose_name=_("road segment"), related_name="chiefs"
    )
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("post"), related_name="segments")
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="+")
    # With a composite foreign key, this alone proves the post's role.
    role = models.GeneratedField(
        expression=models.Value(Role.STREET_CHIEF.value),
        output_field=models.CharField(max_length=20),
        db_persist=True,
        editable=False,
    )
    since = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("chief of a road segment")
        verbose_name_plural = _("chiefs of road segments")
        constraints = [
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=models.F("since")),
                name="a_chief_ends_after_beginning",
            ),
            ExclusionConstraint(
                name="a_segment_has_one_chief_at_a_time",
                expressions=[
                    ("segment", RangeOperators.EQUAL),
                    (
                        Func("since", "until", function="tstzrange", output_field=DateTimeRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.segment} · {self.post}"


# --- who changed what of the rules, kept by triggers -----------------------------------------------------


class PostChange(kept_history(Post)):  # type: ignore[misc]
    """A state of a post's row."""


class HoldingChange(kept_history(Holding)):  # type: ignore[misc]
    """A state of who held a post."""


class EventClassChange(kept_history(EventClass)):  # type: ignore[misc]
    """A state of a class's row."""


class FilingConditionChange(kept_history(FilingCondition)):  # type: ignore[misc]
    """A state of a filing condition's row."""


class ResponsibilityRuleChange(kept_history(ResponsibilityRule)):  # type: ignore[misc]
    """A state of a rule's row."""


class IntakePolicyChange(kept_history(IntakePolicy)):  # type: ignore[misc]
    """A state of an intake policy's row."""


class TakeOnLimitChange(kept_history(TakeOnLimit)):  # type: ignore[misc]
    """A state of a limit's row."""
