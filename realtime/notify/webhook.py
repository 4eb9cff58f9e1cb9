"""By HTTPS POST to a gateway of the installation's own, signed.

The body is JSON. `Idempotency-Key` is the same for every repetition. `X-Signature` is
`t=<unix seconds>,v1=<hex>`: HMAC-SHA-256 with NOTIFY_WEBHOOK_SECRET over `<t>.<body>`.

Addresses are rows that people edit, so they reach no further than NOTIFY_WEBHOOK_ORIGINS: scheme, host and port have
to be those of an origin listed there; no redirect is followed, no proxy of the environment used, no answer read.
"""

import hashlib
import hmac
import ipaddress
import json
import time
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

from . import Message, NotSent


def check(address: str) -> None:
    """Raise ValueError unless it is an https address of an allowed origin (http on this machine alone)."""
    try:
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}"
        safe = parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname or ""))
    except ValueError:
        safe, origin = False, ""
    if not safe or origin not in settings.NOTIFY_WEBHOOK_ORIGINS:
        raise ValueError(_("Not an address of an allowed origin."))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def send(message: Message, address: str) -> None:
    """Post the message; 408, 425, 429 and 5xx may be tried again, any other refusal is for good."""
    try:
        check(address)
    except ValueError as error:
        raise NotSent(str(error), for_good=True) from error
    facts = {"subject": message.subject, "text": message.text, **message.facts}
    body = json.dumps({"key": str(message.key), **facts}, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": str(message.key),
        "X-Signature": signature(body, at=int(time.time())),
    }
    try:
        with (
            httpx.Client(
                timeout=settings.NOTIFY_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False
            ) as client,
            client.stream("POST", address, content=body, headers=headers) as answer,
        ):
            code = answer.status_code
    except httpx.HTTPError as error:
        raise NotSent(f"{type(error).__name__}: {error}") from error
    if not 200 <= code < 300:
        raise NotSent(f"answered {code}", for_good=code < 500 and code not in (408, 425, 429))


def signature(body: bytes, *, at: int) -> str:
    """The value of X-Signature for a body sent at this Unix time, in seconds."""
    secret = settings.NOTIFY_WEBHOOK_SECRET.encode()
    return f"t={at},v1={hmac.new(secret, b'%d.' % at + body, hashlib.sha256).hexdigest()}"
