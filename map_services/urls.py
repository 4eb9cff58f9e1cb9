"""Addresses of the map services."""

from django.urls import path

from . import tile_views

urlpatterns = [
    path("tiles/<str:district>/<str:layer>.json", tile_views.description),
    path("tiles/<str:district>/<str:layer>/<str:z>/<str:x>/<str:y>", tile_views.tile),
]
