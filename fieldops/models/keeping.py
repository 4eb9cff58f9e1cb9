"""Who keeps the elements of the grid current, who looked at people and why, who answers for a street."""

import pgtrigger
from django.conf import settings
from django.contrib.gis.db import models
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db.models import Func, Q
from django.utils.translation import gettext_lazy as _

from fieldops.status import Role
from gridmap.models import District, Element, RoadSegment
from gridmap.models.grid import check_ends_after

from .keys import uuid_key
from .people import Post


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

    id = uuid_key()
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

    def clean(self) -> None:
        """It ends after it began."""
        check_ends_after(self, since="since", until="until")
