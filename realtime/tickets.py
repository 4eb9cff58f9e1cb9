"""Tickets for sockets: short-lived and good once, so that no token stands in an address or a log."""

import secrets

import redis
from django.core import signing
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django_redis import get_redis_connection
from knox.models import AuthToken

from fieldops.models import User

SECONDS = 30
_SALT = "socket-ticket"


class CannotTell(Exception):
    """Whether a ticket was used before cannot be known now."""


def issue_ticket(user: User, token: AuthToken) -> str:
    """A ticket for one socket of this person; it falls with the token it was asked for with."""
    held = {"user": user.pk, "token": _trace(token.digest), "nonce": secrets.token_urlsafe(12)}
    return signing.dumps(held, salt=_SALT)


def redeem_ticket(ticket: str) -> AuthToken | None:
    """The token it was asked for with, the first time, within its seconds and while the token lives; else None.

    Raises CannotTell without Redis.
    """
    try:
        held = signing.loads(ticket, salt=_SALT, max_age=SECONDS)
    except signing.BadSignature:
        return None
    try:
        first = get_redis_connection("default").set(f"ticket:{held['nonce']}", 1, nx=True, ex=SECONDS * 2)
    except redis.RedisError as error:
        raise CannotTell from error
    if not first:
        return None
    tokens = AuthToken.objects.filter(
        user=held["user"], user__is_active=True, expiry__gt=timezone.now()
    ).select_related("user")
    return next(
        (token for token in tokens if constant_time_compare(_trace(token.digest), held["token"])), None
    )


def _trace(digest: str) -> str:
    """What a ticket shows of a token: enough to know it again, nothing to log in with."""
    return salted_hmac(_SALT, digest).hexdigest()
