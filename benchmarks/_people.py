"""People with a log-in for measurements: one city-level post, as many holders as the sockets need."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone

from fieldops.demo import load_demo
from fieldops.models import Holding, Post, User
from fieldops.status import Role


def settle() -> None:
    """The demo district in an empty database."""
    call_command("migrate", verbosity=0)
    load_demo(allow=True)


def cookies(sockets: int) -> list[str]:
    """A session cookie for each socket, of people who all look at the whole district."""
    post = Post.objects.filter(role=Role.LEADER).first()
    each = settings.REALTIME_SOCKETS_PER_PERSON
    people = User.objects.bulk_create(
        [User(username=f"bench{number}") for number in range(-(-sockets // each))]
    )
    now = timezone.now()
    Holding.objects.bulk_create([Holding(post=post, user=person, since=now) for person in people])
    store, kept = SessionStore(), []
    for person in people:
        content = {
            SESSION_KEY: str(person.pk),
            BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
            HASH_SESSION_KEY: person.get_session_auth_hash(),
        }
        kept.append(
            Session(
                session_key=store._get_new_session_key(),
                session_data=store.encode(content),
                expire_date=now + timedelta(hours=1),
            )
        )
    Session.objects.bulk_create(kept)
    return [f"sessionid={kept[number // each].session_key}" for number in range(sockets)]
