"""Rows an administrator edits. Cases and their history are not among them: they change by steps alone."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy
from knox.models import AuthToken
from unfold.admin import TabularInline
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from gridmap.admin import CalendarDayAdmin, DistrictAdmin
from gridmap.administration import RowAdmin, RuleAdmin

from .administration import import_page as import_page  # registers the page of imports
from .administration import layout_page as layout_page  # and that of layouts
from .administration.foresight import (
    CARDS,
    CHECKERS,
    CHIEFS,
    DEADLINES,
    HOLDERS,
    OWNERS,
    PAIRS,
    REOPENABLE,
    WAYS_IN,
)
from .administration.rule_questions import coverage_page, who_page
from .models import (
    AccessPurpose,
    CallBackPolicy,
    CheckPolicy,
    EventClass,
    FilingCondition,
    Holding,
    IntakePolicy,
    Post,
    ReplyLimit,
    ResponsibilityRule,
    SegmentChief,
    StageLimit,
    SupervisionRule,
    User,
)


class HoldingInline(TabularInline):
    """Who holds the post."""

    model = Holding
    extra = 0
    fk_name = "post"
    autocomplete_fields = ["user", "stands_in_for"]


@admin.register(User)
class PersonAdmin(RowAdmin, UserAdmin):
    """People; what they may do follows from their posts."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "display_name", "is_active", "is_staff"]
    search_fields = ["username", "display_name"]
    fieldsets = [*(UserAdmin.fieldsets or []), (None, {"fields": ["display_name"]})]


@admin.register(Post)
class PostAdmin(RuleAdmin):
    """Posts, their holders and stand-ins."""

    forecasts = (HOLDERS,)
    list_display = ["name", "role", "unit", "department"]
    list_filter = ["role"]
    search_fields = ["name"]
    list_select_related = ["unit", "department"]
    raw_id_fields = ["unit"]
    inlines = [HoldingInline]


class ConditionInline(TabularInline):
    """The filing conditions of a class."""

    model = FilingCondition
    extra = 0


@admin.register(EventClass)
class EventClassAdmin(RuleAdmin):
    """Classes and their filing conditions."""

    forecasts = (DEADLINES, OWNERS)
    list_display = ["key_of", "name", "major_name", "edition"]
    list_filter = ["edition", "kind", "major_name"]
    search_fields = ["name"]
    inlines = [ConditionInline]

    @admin.display(description=gettext_lazy("code"))
    def key_of(self, one: EventClass) -> str:
        """As interfaces name it: event/0103."""
        return one.key


@admin.register(Holding)
class HoldingAdmin(RuleAdmin):
    """Who holds which post, from when to when."""

    forecasts = (HOLDERS,)
    list_display = ["post", "user", "stands_in_for", "since", "until"]
    list_filter = [("stands_in_for", admin.EmptyFieldListFilter)]
    list_select_related = ["post", "user", "stands_in_for"]
    search_fields = ["post__name", "user__username", "user__display_name"]
    autocomplete_fields = ["post", "user", "stands_in_for"]


@admin.register(FilingCondition)
class FilingConditionAdmin(RuleAdmin):
    """When a problem is filed, and how long it may take."""

    forecasts = (DEADLINES, OWNERS)
    list_display = ["event_class", "number", "limit_amount", "limit_unit", "urgent", "text"]
    list_filter = ["event_class__edition", "event_class__kind", "urgent", "limit_unit"]
    list_select_related = ["event_class"]
    search_fields = ["event_class__name", "text"]
    autocomplete_fields = ["event_class"]


@admin.register(ResponsibilityRule)
class ResponsibilityRuleAdmin(RuleAdmin):
    """Who is responsible for what and where."""

    forecasts = (OWNERS, PAIRS)
    list_display = [
        *("number", "kind", "major", "minor", "condition", "unit", "department", "party"),
        *("valid_from", "valid_to"),
    ]
    list_filter = ["kind", "department", "party"]
    list_select_related = ["unit", "department"]
    raw_id_fields = ["unit"]
    actions_list = ["ask_who", "ask_coverage", *RuleAdmin.actions_list]

    @action(
        description=gettext_lazy("Who is responsible?"),
        url_path="who",
        permissions=["view"],
    )
    def ask_who(self, request: HttpRequest) -> HttpResponse:
        """Which rule holds here."""
        return who_page(request, {**self.admin_site.each_context(request), "opts": self.opts})

    @action(
        description=gettext_lazy("Classes without an owner"),
        url_path="coverage",
        permissions=["view"],
    )
    def ask_coverage(self, request: HttpRequest) -> HttpResponse:
        """Which pairs of class and street have no owner."""
        return coverage_page(request, {**self.admin_site.each_context(request), "opts": self.opts})


@admin.register(IntakePolicy)
class IntakePolicyAdmin(RuleAdmin):
    """Which channels go straight through."""

    forecasts = (WAYS_IN,)
    list_display = ["channel", "straight_through"]


@admin.register(StageLimit)
class StageLimitAdmin(RuleAdmin):
    """How long each stage of a case may last."""

    forecasts = (DEADLINES, CARDS)
    list_display = ["district", "stage", "urgent", "minutes"]
    list_filter = ["stage"]


@admin.register(SupervisionRule)
class SupervisionRuleAdmin(RuleAdmin):
    """When somebody is pressed, how hard, and who."""

    forecasts = (CARDS,)
    list_display = ["occasion", "stage", "unanswered", "percent", "card", "level", "answer_minutes"]
    list_filter = ["occasion", "card"]


@admin.register(CallBackPolicy)
class CallBackPolicyAdmin(RuleAdmin):
    """How long reporters are waited for, and until when they have a case reopened."""

    forecasts = (REOPENABLE,)
    list_display = ["district", "answer_days", "reopen_days"]


@admin.register(ReplyLimit)
class ReplyLimitAdmin(RuleAdmin):
    """How soon those are told what came of it who reported through a desk."""

    list_display = ["district", "matter", "hours"]


@admin.register(CheckPolicy)
class CheckPolicyAdmin(RuleAdmin):
    """Who looks at handled cases of a class, and how many of them."""

    forecasts = (CHECKERS,)
    list_display = ["district", "kind", "major", "minor", "checker", "percent"]
    list_filter = ["checker"]


admin.site.unregister(Group)
admin.site.unregister(AuthToken)  # log-ins of devices: nobody edits them


@admin.register(Group)
class PermissionGroupAdmin(RowAdmin, GroupAdmin):
    """Who may change which rows; what someone may do with cases follows from posts alone."""


@admin.register(AccessPurpose)
class AccessPurposeAdmin(RowAdmin):
    """For what people may be looked at. One that was ever stated is withdrawn, not deleted."""

    list_display = ["code", "name", "name_en", "active"]


@admin.register(SegmentChief)
class SegmentChiefAdmin(RuleAdmin):
    """Which street chief's post answers for which road segment."""

    forecasts = (CHIEFS,)
    list_display = ["segment", "post", "since", "until"]
    list_select_related = ["segment", "post"]
    autocomplete_fields = ["segment", "post"]


# What hours and days do to cases is known here; the rows below know nothing of cases.
DistrictAdmin.forecasts = CalendarDayAdmin.forecasts = (DEADLINES,)
