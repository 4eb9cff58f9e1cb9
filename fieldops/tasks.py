"""What of the cases is slow or timed: done by Celery, found by a scan, so that a lost message costs only time."""

import logging

from celery import shared_task

from .geography import imports
from .geography.boundaries import apply_due, layouts_due
from .lifecycle import now
from .models import Photo
from .photos import make_thumbnail
from .steps import reckoning, satisfaction, supervision
from .steps.approvals import deferred_until_now, resume_on_the_day
from .steps.expiry import expire, not_taken_on

log = logging.getLogger(__name__)
AT_ONCE = 50


@shared_task
def make_missing_thumbnails() -> int:
    """Make the thumbnails that are missing; returns how many. In any order, so that bad ones do not bar the way."""
    made = 0
    for photo in Photo.objects.filter(thumbnail="").order_by("?")[:AT_ONCE]:
        try:
            make_thumbnail(photo)
            made += 1
        except Exception:
            log.exception("no thumbnail for photo %s", photo.pk)
    return made


@shared_task
def expire_dispatches() -> int:
    """Tell the dispatchers of work orders that nobody takes on; returns of how many."""
    told = 0
    for order_id in not_taken_on(at=now()):
        try:
            told += expire(order_id)
        except Exception:
            log.exception("work order %s did not expire; the next run meets it again", order_id)
    return told


@shared_task
def supervise_by_rules() -> int:
    """Give the cards that rules of supervision say are due; returns how many."""
    return supervision.supervise_by_rules()


@shared_task
def ask_reporters_back() -> int:
    """Ask the reporters of closed cases, and end what nobody answered; returns how many are asked."""
    moment, asked = now(), 0
    for event_id in satisfaction.not_asked_yet(at=moment):
        try:
            asked += satisfaction.ask_back(event_id)
        except Exception:
            log.exception("the reporters of case %s were not asked; the next run meets them again", event_id)
    satisfaction.time_out(at=moment)
    return asked


@shared_task
def reckon_deadlines() -> int:
    """Compute open deadlines anew where calendar, working hours or limits changed; returns how many moved."""
    return reckoning.reckon_deadlines()


@shared_task
def resume_deferred_cases() -> int:
    """Go on with the deferred cases whose day has come; returns with how many."""
    resumed = 0
    for event_id in deferred_until_now(at=now()):
        try:
            resumed += resume_on_the_day(event_id)
        except Exception:
            log.exception("case %s was not resumed; the next run meets it again", event_id)
    return resumed


@shared_task
def work_on_imports() -> int:
    """Check the files that were brought and apply those that were ordered; returns how many."""
    return imports.work_on_imports()


@shared_task
def forget_import_files() -> int:
    """Delete the files of imports that nobody applied; returns how many."""
    return imports.forget_files()


@shared_task
def apply_due_layouts() -> int:
    """Put the layouts in force whose moment has come; returns how many. One that is refused says why and rests."""
    applied = 0
    for layout in layouts_due(at=now()):
        try:
            applied += apply_due(layout)
        except Exception:
            log.exception("layout %s was not put in force; the next run meets it again", layout.pk)
    return applied
