"""Celery: what is slow or timed, never the path of a dispatch."""

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("urban-grid")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "forget-expired-tokens": {
        "task": "mobile_api.tasks.forget_expired_tokens",
        "schedule": crontab(hour="3", minute="10"),
    },
    "prune-letters": {"task": "realtime.tasks.prune_letters", "schedule": crontab(hour="3", minute="20")},
    "expire-dispatches": {
        "task": "fieldops.tasks.expire_dispatches",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "supervise-by-rules": {
        "task": "fieldops.tasks.supervise_by_rules",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "reckon-deadlines": {
        "task": "fieldops.tasks.reckon_deadlines",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "ask-reporters-back": {
        "task": "fieldops.tasks.ask_reporters_back",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "apply-due-layouts": {"task": "fieldops.tasks.apply_due_layouts", "schedule": 30.0},
    "resume-deferred-cases": {"task": "fieldops.tasks.resume_deferred_cases", "schedule": 60.0},
    "escalate-undelivered": {
        "task": "realtime.tasks.escalate_undelivered",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "send-notifications": {
        "task": "realtime.tasks.send_notifications",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "keep-tracks": {"task": "realtime.tasks.keep_tracks", "schedule": crontab(hour="3", minute="30")},
    "end-forgotten-shifts": {
        "task": "realtime.tasks.end_forgotten_shifts",
        "schedule": crontab(minute="*/5"),
    },
    "work-on-imports": {"task": "fieldops.tasks.work_on_imports", "schedule": 20.0},
    "forget-import-files": {
        "task": "fieldops.tasks.forget_import_files",
        "schedule": crontab(hour="3", minute="40"),
    },
    "make-missing-thumbnails": {"task": "fieldops.tasks.make_missing_thumbnails", "schedule": 30.0},
    "make-bulletins": {"task": "insight.tasks.make_bulletins", "schedule": crontab(minute="*/10")},
    "redraw-tiles": {"task": "gridmap.tasks.redraw_tiles", "schedule": 10.0, "options": {"expires": 10}},
}
