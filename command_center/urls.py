"""Addresses of the command center."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
