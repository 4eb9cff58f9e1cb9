"""Addresses of the field API, below /api/v1/."""

from django.urls import path

from . import elements, views

urlpatterns = [
    path("login", views.Login.as_view()),
    path("logout", views.Logout.as_view()),
    path("me", views.Me.as_view()),
    path("event-classes", views.Catalogue.as_view()),
    path("reports", views.Reports.as_view()),
    path("reports/<uuid:report_id>", views.ReportDetail.as_view()),
    path("work", views.Work.as_view()),
    path("work/<uuid:order_id>/seen", views.Seen.as_view()),
    path("work/<uuid:order_id>/take-on", views.TakeOn.as_view()),
    path("work/<uuid:order_id>/handled", views.Handled.as_view()),
    path("work/<uuid:order_id>/send-back", views.SendBack.as_view()),
    path("work/<uuid:order_id>/extension", views.AskExtension.as_view()),
    path("work/<uuid:order_id>/deferral", views.AskDeferral.as_view()),
    path("events/<uuid:event_id>/confirm", views.Confirm.as_view()),
    path("photos", views.Photos.as_view()),
    path("shift", views.CurrentShift.as_view()),
    path("shift/start", views.ShiftStart.as_view()),
    path("shift/end", views.ShiftEnd.as_view()),
    path("positions", views.Positions.as_view()),
    path("ticket", views.Ticket.as_view()),
    path("sync", views.Sync.as_view()),
    path("ack", views.Ack.as_view()),
    path("elements", elements.Elements.as_view()),
    path("elements/<uuid:element_id>/change", elements.Change.as_view()),
    path("elements/<uuid:element_id>/state", elements.State.as_view()),
    path("elements/<uuid:element_id>/gone", elements.Gone.as_view()),
    path("components/near", elements.ComponentsNear.as_view()),
    path("people", elements.People.as_view()),
    path("people/lists", elements.PeopleLists.as_view()),
    path("people/look-up", elements.LookUp.as_view()),
    path("people/<uuid:element_id>/erase", elements.Erase.as_view()),
    path("segments", elements.Segments.as_view()),
]
