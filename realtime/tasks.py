"""What of delivery is timed."""

from datetime import timedelta

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from .models import Letter, Mailbox

KEEP = timedelta(days=90)


@shared_task
def prune_letters() -> int:
    """Drop letters older than 90 days; a device that comes back later starts over from a snapshot."""
    dropped = 0
    for box_id in Mailbox.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            box = Mailbox.objects.select_for_update().get(pk=box_id)
            old = Letter.objects.filter(mailbox=box, created_at__lt=timezone.now() - KEEP)
            newest = old.order_by("-seq").values_list("seq", flat=True).first()
            if newest is None:
                continue
            # Everything below goes too: what is pruned is always a prefix.
            dropped += Letter.objects.filter(mailbox=box, seq__lte=newest).delete()[0]
            box.pruned_seq = newest
            box.save(update_fields=["pruned_seq"])
    return dropped
