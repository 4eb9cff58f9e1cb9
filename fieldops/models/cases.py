"""Cases, the reports that made them, work orders, and every step of their lives.

Positions are WGS-84 (EPSG:4326); times are UTC.
"""

from django.conf import settings
from django.contrib.gis.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from fieldops.status import FINAL, MAX_EXTENSIONS, PHASE, Role, Status, Step
from gridmap.coordinates import DECLARED_SYSTEM
from gridmap.models import WGS84, Cell, Component, Department, District

from .keys import uuid_key
from .people import Post
from .replies import Matter
from .rules import Channel
from .standard import EventClass, FilingCondition


class Closing(models.TextChoices):
    """How a case ended."""

    NORMAL = "normal", _("Closed in time")
    OVERDUE = "overdue", _("Closed overdue")
    ERROR = "error", _("Closed in error")
    SPECIAL = "special", _("Closed as a special case")
    SELF_HANDLED = "self_handled", _("Handled on the spot")


# A department handled it, within a limit.
BY_WORK = (Closing.NORMAL, Closing.OVERDUE)


class Part(models.TextChoices):
    """What an order asks of its department."""

    LEAD = "lead", _("Lead (主办)")
    ASSIST = "assist", _("Assistance (协办)")
    WHISTLE = "whistle", _("Whistled to the spot (吹哨)")


class Event(models.Model):
    """One problem at one place, from its first report until it is closed.

    Only `lifecycle` writes `status` and `version`; a version is one Transition.
    """

    id = uuid_key()
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
    stage_since = models.DateTimeField(_("stage began"), null=True, blank=True, editable=False)
    stage_warn_at = models.DateTimeField(_("stage yellow from"), null=True, blank=True, editable=False)
    stage_due_at = models.DateTimeField(_("stage due"), null=True, blank=True, editable=False)
    excluded_checker = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("does not check it again"),
        null=True,
        blank=True,
        related_name="+",
        help_text=_("who confirmed before the reporter had the case reopened"),
    )
    checked_by = models.CharField(
        _("a handled case awaits the word of"), max_length=20, choices=Role, blank=True, editable=False
    )
    merged_into = models.ForeignKey(
        "self",
        models.PROTECT,
        verbose_name=_("merged into"),
        null=True,
        blank=True,
        editable=False,
        related_name="merged",
    )
    returns = models.PositiveSmallIntegerField(_("times sent back"), default=0, editable=False)
    closing = models.CharField(
        _("how it was closed"), max_length=12, choices=Closing, blank=True, editable=False
    )
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
                        Status.VERIFYING,
                        Status.FILED,
                        Status.DECLINED,
                        Status.NOT_FILED,
                        Status.VOIDED,
                        Status.MERGED,
                    ]
                )
                | Q(department__isnull=False)
                | (Q(status=Status.CLOSED) & ~Q(closing__in=[*BY_WORK, ""])),
                name="an_assigned_case_has_a_department",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[Status.REPORTED, Status.LOCATED, Status.ACCEPTED, Status.VERIFYING])
                | Q(status__in=[Status.DECLINED, Status.NOT_FILED, Status.MERGED])
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
                | Q(due_at__isnull=False, warn_at__isnull=False)
                | (Q(status=Status.CLOSED) & ~Q(closing__in=[*BY_WORK, ""])),
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
            models.CheckConstraint(
                condition=Q(closing="") | Q(status=Status.CLOSED), name="only_a_closed_case_says_how_it_ended"
            ),
            models.CheckConstraint(
                condition=Q(status=Status.MERGED, merged_into__isnull=False)
                | (~Q(status=Status.MERGED) & Q(merged_into__isnull=True)),
                name="exactly_a_merged_case_has_another_that_goes_on",
            ),
            models.CheckConstraint(
                condition=Q(merged_into__isnull=True) | ~Q(merged_into=models.F("id")),
                name="no_case_is_merged_into_itself",
            ),
            models.CheckConstraint(
                condition=Q(checked_by="") | Q(status=Status.HANDLED),
                name="only_a_handled_case_awaits_a_word",
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
    # Only of what came through a desk: an app shows its reporter how things stand.
    matter = models.CharField(_("kind of matter"), max_length=10, choices=Matter, blank=True)
    reply_due_at = models.DateTimeField(_("reply due"), null=True, blank=True)
    replied_at = models.DateTimeField(_("replied"), null=True, blank=True)

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        ordering = ["received_at"]
        indexes = [
            models.Index(
                fields=["reply_due_at"],
                condition=Q(reply_due_at__isnull=False, replied_at__isnull=True),
                name="replies_owed",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(system__regex=DECLARED_SYSTEM), name="a_position_names_its_coordinate_system"
            ),
            models.CheckConstraint(
                condition=Q(accuracy_m__isnull=True) | Q(accuracy_m__gte=0),
                name="an_accuracy_is_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(matter="", reply_due_at__isnull=True, replied_at__isnull=True)
                | (Q(matter__in=Matter.values) & Q(reply_due_at__isnull=False)),
                name="a_reply_is_due_by_the_kind_of_matter",
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
    """One dispatch of a case to one post of a department: to lead, to assist, or to come to the spot."""

    id = uuid_key()
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="work_orders")
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), related_name="work_orders"
    )
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("post"), related_name="work_orders")
    part = models.CharField(_("part"), max_length=8, choices=Part, default=Part.LEAD)
    dispatched_at = models.DateTimeField(_("dispatched"))
    due_at = models.DateTimeField(_("due"))
    received_at = models.DateTimeField(_("stored on a device"), null=True, blank=True)
    seen_at = models.DateTimeField(_("seen"), null=True, blank=True)
    taken_on_at = models.DateTimeField(_("taken on"), null=True, blank=True)
    arrived_at = models.DateTimeField(_("arrived at the spot"), null=True, blank=True)
    handled_at = models.DateTimeField(_("handled"), null=True, blank=True)
    released_at = models.DateTimeField(_("released"), null=True, blank=True)
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
                fields=["event"],
                condition=Q(finished_at__isnull=True, part=Part.LEAD),
                name="a_case_has_one_open_work_order",
            ),
            models.UniqueConstraint(
                fields=["event", "department"],
                condition=Q(finished_at__isnull=True) & ~Q(part=Part.LEAD),
                name="a_department_assists_a_case_once_at_a_time",
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

    id = uuid_key()
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
    # As they were then: figures of a past period are counted from these, whatever came later.
    due_at = models.DateTimeField(_("due after this step"), null=True)
    stage_due_at = models.DateTimeField(_("due time of the stage it ended"), null=True)
    reason = models.TextField(_("reason or note"), max_length=2000, blank=True)
    data = models.JSONField(_("facts"), default=dict)
    digest = models.CharField(_("SHA-256 of the request"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("transition")
        verbose_name_plural = _("transitions")
        ordering = ["event", "version"]
        indexes = [
            models.Index(
                fields=["occurred_at"],
                condition=Q(kind__in=[Step.MOVE_CELL, Step.RECLASSIFY]),
                name="changes_of_cell_or_class",
            ),
        ]
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
