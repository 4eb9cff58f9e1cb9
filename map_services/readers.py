"""Who reads: staff, by the page's session, by a device's token, or by name and password as desktop GIS sends them."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import authenticate
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from fieldops import logins
from fieldops.models import Post, User
from fieldops.rights import current_posts, view_of
from fieldops.status import Role

from .answers import Refused

# Checking a password costs a tenth of a second by design, and a GIS sends it with each of a hundred requests.
REMEMBER_PASSWORD_SECONDS = 300


@dataclass(frozen=True)
class Reader:
    """A person with at least one post other than a resident's."""

    user: User
    posts: tuple[Post, ...]

    @property
    def districts(self) -> list[str]:
        """Whose grid this person reads: that of their posts."""
        return sorted({post.district_id for post in self.posts})

    def audience(self) -> str:
        """A name for what this person may see: two with the same name see the same."""
        view = view_of(current_posts(self.user), reporter=self.user)
        return hashlib.sha256(repr(view).encode()).hexdigest()[:24]


def reader_of(request: HttpRequest) -> Reader:
    """The person who asks. Raises Refused: 401 for a stranger, 429 for one who guesses, 403 without a staff post."""
    user = _person(request)
    posts = tuple(post for post in current_posts(user) if post.role != Role.RESIDENT)
    if not posts:
        raise Refused(403, "not_permitted", _("You may not do this"))
    return Reader(user, posts)


def credentials_of(request: HttpRequest) -> tuple[str, str]:
    """How the request says who asks, and the secret it shows: nothing else of it decides on the reader."""
    scheme, _space, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() in ("basic", "token"):
        return scheme.lower(), secret.strip()
    return "session", request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


def _person(request: HttpRequest) -> User:
    scheme, secret = credentials_of(request)
    if scheme == "basic":
        return _by_password(request, secret)
    if scheme == "token":
        try:
            return _staff(TokenAuthentication().authenticate_credentials(secret.encode())[0])
        except (AuthenticationFailed, ValueError) as error:
            raise _unknown() from error
    return _staff(request.user)


def _staff(user: object) -> User:
    if not isinstance(user, User) or not user.is_active:
        raise _unknown()
    return user


def _unknown() -> Refused:
    return Refused(
        401,
        "not_authenticated",
        _("Log in first"),
        headers={"WWW-Authenticate": 'Basic realm="urban grid", charset="UTF-8"'},
    )


def _by_password(request: HttpRequest, credentials: str) -> User:
    try:
        name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _unknown() from error
    if not colon or "\0" in name or "\0" in password or len(name) > 150 or len(password) > 1000:
        raise _unknown()
    key = "password:" + hmac.new(settings.SECRET_KEY.encode(), credentials.encode(), "sha256").hexdigest()
    known = cache.get(key)
    if known is not None:
        user = User.objects.filter(pk=known[0], is_active=True).first()
        # Changes with the password, so that a new one ends what the old one opened.
        if user is not None and constant_time_compare(user.get_session_auth_hash(), known[1]):
            return user
    if not logins.may_try(name, address_of(request)):
        raise Refused(429, "throttled", _("Too many tries. Wait a minute."), headers={"Retry-After": "60"})
    found = authenticate(request, username=name, password=password)
    if not isinstance(found, User):
        raise _unknown()
    cache.set(key, (found.pk, found.get_session_auth_hash()), timeout=REMEMBER_PASSWORD_SECONDS)
    return found


def address_of(request: HttpRequest) -> str:
    """Where a request came from, as the proxy in front tells."""
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")[-1].strip()
    return forwarded or str(request.META.get("REMOTE_ADDR", ""))
