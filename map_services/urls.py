"""Addresses of the map services."""

from django.urls import path

from . import features, tile_views

urlpatterns = [
    path("tiles/<str:district>/<str:layer>/<str:z>/<str:x>/<str:y>", tile_views.tile),
    path("tiles/<str:district>/<str:layer>.json", tile_views.description),
    path("ogc", features.landing),
    path("ogc/", features.landing),
    path("ogc/api", features.api),
    path("ogc/conformance", features.conformance),
    path("ogc/collections", features.collections),
    path("ogc/collections/<str:name>", features.collection),
    path("ogc/collections/<str:name>/queryables", features.queryables),
    path("ogc/collections/<str:name>/items", features.items),
    path("ogc/collections/<str:name>/items/<str:key>", features.item),
]
