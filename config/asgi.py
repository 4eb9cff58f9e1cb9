"""Sockets only: their own ASGI process; everything else is WSGI."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from realtime.routing import application  # noqa: E402

__all__ = ["application"]
