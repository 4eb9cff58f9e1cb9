"""What is timed of the figures."""

import logging

from celery import shared_task
from django.utils import timezone

from .bulletins import make_bulletin, missing_bulletins

log = logging.getLogger(__name__)


@shared_task
def make_bulletins() -> int:
    """Make the bulletins that are missing; returns how many. What fails is logged and met again."""
    made = 0
    for unit, kind, first in list(missing_bulletins(timezone.now())):
        try:
            made += make_bulletin(unit, kind, first)
        except Exception:
            log.exception("no %s bulletin of %s for %s", kind, unit, first)
    return made
