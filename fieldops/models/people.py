"""Who works here: people, the posts they hold, and since when."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.gis.db import models
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.db.models import Func, Q
from django.utils.translation import gettext_lazy as _

from fieldops.status import Role
from gridmap.models import Department, District, GridUnit
from gridmap.models.grid import check_ends_after


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

    # Whose place the person stands in at the moment: set where posts are read with their holder.
    stood_in_for: "User | None" = None

    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="posts")
    role = models.CharField(_("role"), max_length=20, choices=Role)
    name = models.CharField(_("name"), max_length=80)
    unit = models.ForeignKey(
        GridUnit,
        models.PROTECT,
        verbose_name=_("area"),
        related_name="posts",
        limit_choices_to={"valid_to__isnull": True},
    )
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), null=True, blank=True, related_name="posts"
    )
    holders = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Holding", through_fields=("post", "user"), related_name="posts"
    )

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
    """Who holds a post, from when to when: what a post did survives who held it.

    A stand-in (代岗) holds it beside, or instead of, somebody else for a time, with the same rights and duties.
    """

    post = models.ForeignKey(
        Post,
        models.CASCADE,
        verbose_name=_("post"),
        related_name="holdings",
        limit_choices_to={"unit__valid_to__isnull": True},
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("person"), related_name="holdings"
    )
    since = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, blank=True)
    stands_in_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("stands in for"),
        null=True,
        blank=True,
        related_name="stood_in_by",
        help_text=_("Empty for whoever holds the post; a stand-in has a last day."),
    )

    class Meta:
        verbose_name = _("holding of a post")
        verbose_name_plural = _("holdings of posts")
        constraints = [
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=models.F("since")),
                name="a_holding_ends_after_it_began",
            ),
            models.CheckConstraint(
                condition=Q(stands_in_for__isnull=True) | Q(until__isnull=False),
                name="a_stand_in_has_a_last_day",
                violation_error_message=_("a stand-in has a last day"),
            ),
            models.CheckConstraint(
                condition=Q(stands_in_for__isnull=True) | ~Q(stands_in_for=models.F("user")),
                name="nobody_stands_in_for_themselves",
                violation_error_message=_("nobody stands in for themselves"),
            ),
            ExclusionConstraint(
                name="a_holder_has_one_stand_in_at_a_time",
                expressions=[
                    ("post", RangeOperators.EQUAL),
                    ("stands_in_for", RangeOperators.EQUAL),
                    (
                        Func("since", "until", function="tstzrange", output_field=DateTimeRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                violation_error_message=_("somebody else stands in at that time"),
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

    def clean(self) -> None:
        """It ends after it began, and a stand-in steps in for somebody who holds the post, or held it."""
        check_ends_after(self, since="since", until="until")
        if self.stands_in_for_id is None or self.post_id is None:
            return
        held = Holding.objects.filter(post=self.post_id, user=self.stands_in_for_id, stands_in_for=None)
        if not held.exists():
            raise ValidationError({"stands_in_for": _("does not hold this post")})
