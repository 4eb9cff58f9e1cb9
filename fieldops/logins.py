"""Guessing passwords is slowed: so many tries a minute for one account, and for one address."""

import hashlib
import unicodedata

from django.conf import settings
from django.core.cache import cache

WINDOW_SECONDS = 60
TRIES_PER_ACCOUNT = 10


def may_try(username: str, address: str) -> bool:
    """Count a try to log in and say whether it is still within bounds."""
    # As Django reads a user name: its other spellings are the same account.
    spelling = unicodedata.normalize("NFKC", username).strip().lower()
    account = hashlib.sha256(spelling.encode("utf-8", "replace")).hexdigest()
    return all(
        [
            _count(f"login:account:{account}:{address}") <= TRIES_PER_ACCOUNT,
            _count(f"login:address:{address}") <= settings.LOGIN_TRIES_PER_ADDRESS,
        ]
    )


def _count(key: str) -> int:
    cache.add(key, 0, timeout=WINDOW_SECONDS)
    try:
        return cache.incr(key) or 1  # without Redis nobody is counted, and nobody locked out
    except ValueError:  # ran out between the two
        return 1
