"""Tickets for sockets: short-lived and good once, so that no token stands in an address or a log."""

import secrets

from django.core import signing
from django.core.cache import cache

from fieldops.models import User

SECONDS = 30
_SALT = "socket-ticket"


def issue_ticket(user: User) -> str:
    """A ticket for one socket of this person."""
    return signing.dumps({"user": user.pk, "nonce": secrets.token_urlsafe(12)}, salt=_SALT)


def redeem_ticket(ticket: str) -> User | None:
    """Whose ticket it is, the first time and within its seconds; else None."""
    try:
        held = signing.loads(ticket, salt=_SALT, max_age=SECONDS)
    except signing.BadSignature:
        return None
    if not cache.add(f"ticket:{held['nonce']}", 1, timeout=SECONDS * 2):
        return None
    return User.objects.filter(pk=held["user"], is_active=True).first()
