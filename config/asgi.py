"""Sockets only: their own ASGI process; everything else is WSGI."""

import gc
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from realtime.routing import application  # noqa: E402

# What is loaded now stays: the collector need not walk through it while frames wait.
gc.collect()
gc.freeze()

__all__ = ["application"]
