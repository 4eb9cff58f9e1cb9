"""Addresses of the command center."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from . import api, bulletins, elements, exclusions, figures, pressing, returns, scores, views

urlpatterns = [
    path("", views.live_map, name="live-map"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("figures/", figures.page, name="figures"),
    path("figures/cases", figures.cases, name="figure-cases"),
    path("figures/bulletins", bulletins.page, name="bulletins"),
    path("figures/bulletins/<int:bulletin_id>.<str:format>", bulletins.download, name="bulletin"),
    path("figures/returns", returns.page, name="returns"),
    path("figures/scores", scores.page, name="scores"),
    path("figures/exclusions", exclusions.page, name="exclusions"),
    path("figures/exclusions/<int:exclusion_id>", exclusions.decide, name="exclusion"),
    path("api/command/bulletins", bulletins.Bulletins.as_view()),
    path("api/command/returns", returns.Returns.as_view()),
    path("api/command/scores", scores.Scores.as_view()),
    path("api/command/exclusions", exclusions.Exclusions.as_view()),
    path("api/command/exclusions/<int:exclusion_id>/decision", exclusions.ExclusionDecision.as_view()),
    path("api/command/figures", figures.Figures.as_view()),
    path("api/command/figures/cases", figures.FigureCases.as_view()),
    path("healthz", views.health),
    path("api/command/session", api.Session.as_view()),
    path("api/command/grid/<str:level>", api.Grid.as_view()),
    path("api/command/grid/cells/<slug:code>", api.GridCell.as_view()),
    path("api/command/place", api.Place.as_view()),
    path("api/command/events", api.Events.as_view()),
    path("api/command/events/<uuid:event_id>", api.EventDetail.as_view()),
    path("api/command/events/<uuid:event_id>/<str:action>", api.EventAction.as_view()),
    path("api/command/elements/counts", elements.Counts.as_view()),
    path("api/command/elements/<uuid:element_id>", elements.Detail.as_view()),
    path("api/command/cells/<str:code>/elements", elements.InCell.as_view()),
    path("api/command/people-accesses", elements.Accesses.as_view()),
    path("api/command/undelivered", api.Undelivered.as_view()),
    path("api/command/supervisions", pressing.Supervisions.as_view()),
    path("api/command/replies", pressing.Replies.as_view()),
    path("api/command/call-backs", pressing.CallBacks.as_view()),
    path("api/command/call-backs/<uuid:call_back_id>/contact", pressing.CallBackContact.as_view()),
    path("api/command/shifts", api.Shifts.as_view()),
    path("api/command/shifts/<uuid:shift_id>/replay", api.Replay.as_view()),
    path("api/command/photos/<uuid:photo_id>", api.PhotoFile.as_view()),
]
