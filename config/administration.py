"""The administrator's pages: what stands where in their navigation, and the words of their theme in our languages."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# Group by group: its title, and its rows with a symbol each. What is registered and not named here comes last.
GROUPS: list[tuple[Any, dict[str, str]]] = [
    (
        gettext_lazy("Grid geography"),
        {
            "gridmap.district": "location_city",
            "gridmap.gridunit": "account_tree",
            "gridmap.importrun": "upload_file",
            "gridmap.layout": "polyline",
            "gridmap.roadsegment": "route",
            "gridmap.element": "interests",
            "gridmap.specialgroup": "diversity_1",
        },
    ),
    (
        gettext_lazy("People and posts"),
        {
            "fieldops.user": "person",
            "fieldops.post": "badge",
            "fieldops.holding": "assignment_ind",
            "fieldops.segmentchief": "signpost",
            "fieldops.accesspurpose": "shield_person",
            "auth.group": "lock_person",
        },
    ),
    (
        gettext_lazy("Responsibility and limits"),
        {
            "gridmap.department": "domain",
            "fieldops.eventclass": "category",
            "fieldops.filingcondition": "fact_check",
            "fieldops.responsibilityrule": "rule",
            "fieldops.intakepolicy": "input",
            "fieldops.stagelimit": "timer",
            "fieldops.supervisionrule": "notification_important",
            "fieldops.checkpolicy": "fact_check",
            "fieldops.callbackpolicy": "reviews",
            "fieldops.replylimit": "reply",
            "gridmap.calendarday": "calendar_month",
        },
    ),
    (
        gettext_lazy("Figures"),
        {
            "insight.denominatorchoice": "percent",
            "insight.scorepart": "leaderboard",
            "insight.volumeband": "bar_chart",
            "insight.grade": "grade",
        },
    ),
    (
        gettext_lazy("Delivery and tracks"),
        {
            "realtime.deliverypolicy": "outgoing_mail",
            "realtime.contactdetail": "contact_phone",
            "realtime.letterretention": "auto_delete",
            "realtime.trackpolicy": "share_location",
            "realtime.shift": "schedule",
            "realtime.trackaccess": "policy",
        },
    ),
]
# The theme comes without Chinese; naming its words here makes them ours to translate.
THEME_WORDS = (
    gettext_lazy("Search apps and models..."),
    gettext_lazy("No results matching your query"),
    gettext_lazy("No results found"),
    gettext_lazy("Loading more results..."),
    gettext_lazy("Type to search"),
    gettext_lazy("Apply Filters"),
    gettext_lazy("Reset filters"),
    gettext_lazy("Filters"),
    gettext_lazy("Select action"),
    gettext_lazy("Select action to run"),
    gettext_lazy("Select all rows"),
    gettext_lazy("Select record"),
    gettext_lazy("Select value"),
    gettext_lazy("Run"),
    gettext_lazy("Return to site"),
    gettext_lazy("Light"),
    gettext_lazy("Dark"),
    gettext_lazy("System"),
    gettext_lazy("Previous"),
    gettext_lazy("Next"),
    gettext_lazy("Cancel"),
    gettext_lazy("Choose file to upload"),
    gettext_lazy("More actions"),
    gettext_lazy("Go back"),
    gettext_lazy("Expand row"),
    gettext_lazy("Record picture"),
    gettext_lazy("All applications"),
    gettext_lazy("General"),
    gettext_lazy("True"),
    gettext_lazy("False"),
    gettext_lazy("Submit"),
    gettext_lazy("Toggle password visibility"),
    gettext_lazy("This item will be deleted."),
    gettext_lazy("Click to cancel"),
    gettext_lazy("This page yielded into no results. Create a new item or reset your filters."),
)


def site_icon(request: HttpRequest) -> str:
    """The picture in the browser's tab."""
    return static("command_center/icon.svg")


def site_title(request: HttpRequest) -> str:
    """What the pages are called."""
    return _("Administration")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar, in the reader's language, with what the reader may see."""
    registered = {model._meta.label_lower: (model, rows) for model, rows in admin.site._registry.items()}
    named = {label for _title, labels in GROUPS for label in labels}
    rest = {label: "table_rows" for label in sorted(registered) if label not in named}
    groups = []
    for title, labels in [*GROUPS, (gettext_lazy("Other"), rest)]:
        items = [
            {
                "title": capfirst(model._meta.verbose_name_plural),
                "icon": symbol,
                "link": reverse(f"admin:{label.replace('.', '_')}_changelist"),
            }
            for label, symbol in labels.items()
            if label in registered
            for model, rows in [registered[label]]
            if rows.has_view_permission(request)
        ]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups
