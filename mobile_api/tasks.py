"""What of the field API is timed."""

from celery import shared_task
from django.utils import timezone
from knox.models import AuthToken


@shared_task
def forget_expired_tokens() -> int:
    """Delete tokens that no longer open anything."""
    return AuthToken.objects.filter(expiry__lt=timezone.now()).delete()[0]
