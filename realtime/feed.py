"""The live map's feed: the latest state of each case, to those who may see it and look at its place.

A page subscribes, takes a snapshot over HTTP, and applies frames with a newer version. Frames are made once for all,
judged once an audience (people whose posts give the same view), and joined once for all who look at the same.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from fieldops import queries
from fieldops.models import Event, Post, User
from fieldops.rights import view_of, visible_to
from fieldops.status import PHASE, Phase, Status

from .connection import framed
from .threads import in_thread

if TYPE_CHECKING:
    from .consumers import MapSocket

log = logging.getLogger(__name__)
COALESCE_SECONDS = 0.15
# How far back each scan for changed cases reaches beyond the last one: longer than any transaction should be
# open, since a case's time of change is taken before its commit.
OVERLAP = timedelta(seconds=15)
MOST_CHANGES = 500  # at once; above, pages fetch anew
PUSHES_A_TURN = 250  # then others may use the loop
ENDED = frozenset({Phase.CLOSED, Phase.DECLINED})

Key = tuple[Any, ...]
REFETCH = framed('{"type":"refetch"}')


class Case(NamedTuple):
    """What the feed has to know of a case to tell who sees it. Degrees of WGS-84."""

    version: int
    x: float
    y: float
    phase: str
    due_at: datetime | None


class View(NamedTuple):
    """What a page looks at: west, south, east, north in degrees of WGS-84, and phases; None is all."""

    area: tuple[float, float, float, float] | None = None
    phases: frozenset[str] | None = None

    def shows(self, case: Case) -> bool:
        """Whether the case lies in it."""
        if self.phases is not None and case.phase not in self.phases:
            return False
        if self.area is None:
            return True
        west, south, east, north = self.area
        return west <= case.x <= east and south <= case.y <= north


@dataclass(eq=False)
class Audience:
    """People whose posts give the same view, and the newest version of each case they could read."""

    user: User
    posts: list[Post]
    viewers: set["MapSocket"] = field(default_factory=set)
    held: dict[str, Case] = field(default_factory=dict)
    loaded: "asyncio.Task[None] | None" = None
    counts: bytes = b""


class Feed:
    """Which maps are open in this process, and what changed for them."""

    def __init__(self) -> None:
        self._audiences: dict[Key, Audience] = {}
        self._named: set[str] = set()
        self._shown: dict[str, int] = {}
        self._scan = False
        self._scanned_until = timezone.now()
        self._bell = asyncio.Event()

    # --- who looks ---

    async def join(self, viewer: "MapSocket", user: User, posts: list[Post]) -> bytes:
        """From now on the viewer gets frames; what changes after this returns cannot escape it. Answers the counts."""
        key = view_of(posts, reporter=user)
        while True:
            audience = self._audiences.get(key)
            if audience is None:
                audience = self._audiences[key] = Audience(user, posts)
                audience.loaded = asyncio.create_task(self._load(audience))
            try:
                await asyncio.shield(audience.loaded)  # type: ignore[arg-type]
            except Exception:
                self._drop(audience)
                raise
            if self._audiences.get(key) is audience:
                break
        if key != viewer.audience:
            self.leave(viewer)
            viewer.audience = key
            audience.viewers.add(viewer)
        return audience.counts

    def posts_of(self, viewer: "MapSocket") -> list[Post]:
        """The posts by which the viewer sees what it sees; none before it joined and after it left."""
        audience = self._audiences.get(viewer.audience or ())
        return audience.posts if audience else []

    def leave(self, viewer: "MapSocket") -> None:
        """No more frames."""
        audience = self._audiences.get(viewer.audience or ())
        viewer.audience = None
        if audience is not None:
            audience.viewers.discard(viewer)
            if not audience.viewers:
                self._drop(audience)

    def _drop(self, audience: Audience) -> None:
        self._audiences = {key: one for key, one in self._audiences.items() if one is not audience}

    async def _load(self, audience: Audience) -> None:
        for pk, case in (await _visible_now(audience.user, audience.posts)).items():
            known = audience.held.get(pk)
            if known is None or known.version < case.version:
                audience.held[pk] = case
        self._count(audience)

    # --- what changed ---

    def look_at(self, cases: Iterable[str]) -> None:
        """These cases changed."""
        if self._audiences:
            self._named.update(cases)
            self._bell.set()

    def scan(self) -> None:
        """Something may have changed: look for it."""
        self._scan = True
        self._bell.set()

    async def run(self) -> None:
        """Show what changed, coalesced: at once when it is calm, the latest state of each case under load."""
        self.scan()
        while True:
            await self._bell.wait()
            self._bell.clear()
            named, self._named = self._named, set()
            scan, self._scan = self._scan, False
            await self._show_changes(named, scan=scan)
            await asyncio.sleep(COALESCE_SECONDS)

    async def _show_changes(self, named: set[str], *, scan: bool) -> None:
        until = timezone.now()
        if self._audiences:
            since = self._scanned_until - OVERLAP if scan else None
            for audience in self._audiences.values():
                await asyncio.shield(audience.loaded)  # type: ignore[arg-type]
            rights = {key: (audience.user, audience.posts) for key, audience in self._audiences.items()}
            versions, frames, visible = await _look(named, since, dict(self._shown), rights)
            if len(frames) > MOST_CHANGES:
                await self._begin_anew()
            else:
                await self._tell(frames, visible)
            self._shown = versions if scan else {**self._shown, **versions}
        if scan:
            self._scanned_until = until
            for audience in list(self._audiences.values()):
                if self._count(audience):
                    await self._push_all(audience.viewers, audience.counts)

    async def _tell(self, frames: list[dict[str, Any]], visible: dict[Key, set[str]]) -> None:
        texts = {
            frame["id"]: json.dumps(frame, ensure_ascii=False, separators=(",", ":")) for frame in frames
        }
        cases = {frame["id"]: _case(frame) for frame in frames}
        encoded: dict[tuple[str, ...], bytes] = {}
        for key, seen in visible.items():
            audience = self._audiences.get(key)
            if audience is None:
                continue
            changes = []
            for pk, case in cases.items():
                before, now = audience.held.pop(pk, None), case if pk in seen else None
                if now is not None:
                    audience.held[pk] = now
                if before is not None or now is not None:
                    changes.append((pk, before, now))
            if not changes:
                continue
            looks: dict[tuple[View, bool], list[MapSocket]] = {}
            for viewer in audience.viewers:
                looks.setdefault((viewer.view, viewer.view_is_new), []).append(viewer)
            for (view, is_new), viewers in looks.items():
                shown = tuple(pk for pk, _, now in changes if now is not None and view.shows(now))
                # A snapshot taken for a new view may have been ahead of us: then better one `gone` too many.
                gone = tuple(
                    pk
                    for pk, before, now in changes
                    if not (now is not None and view.shows(now))
                    and ((before is not None and view.shows(before)) or is_new)
                )
                if shown:
                    if shown not in encoded:
                        joined = ",".join(texts[pk] for pk in shown)
                        encoded[shown] = framed(f'{{"type":"events","events":[{joined}]}}')
                    await self._push_all(viewers, encoded[shown])
                if gone:
                    await self._push_all(viewers, framed(json.dumps({"type": "gone", "ids": gone})))
            if self._count(audience):
                await self._push_all(audience.viewers, audience.counts)

    async def _begin_anew(self) -> None:
        """Too much at once (cells merged, history imported): everybody takes a new snapshot."""
        for audience in list(self._audiences.values()):
            audience.held.clear()
            await self._load(audience)
            await self._push_all(audience.viewers, REFETCH)

    def _count(self, audience: Audience) -> bool:
        """Count the audience's cases, whatever its pages look at; whether the counts changed."""
        now = timezone.now()
        held = audience.held.values()
        phases = Counter(case.phase for case in held)
        red = sum(1 for case in held if case.due_at and now > case.due_at and case.phase not in ENDED)
        counts = framed(json.dumps({"type": "counts", "phases": phases, "red": red}))
        changed, audience.counts = counts != audience.counts, counts
        return changed

    def show(self, frame: bytes) -> None:
        """Push one encoded frame to every open map, at once."""
        for audience in list(self._audiences.values()):
            for viewer in list(audience.viewers):
                viewer.push(frame)

    async def _push_all(self, viewers: Iterable["MapSocket"], frame: bytes) -> None:
        for number, viewer in enumerate(list(viewers), start=1):
            viewer.push(frame)
            if number % PUSHES_A_TURN == 0:
                await asyncio.sleep(0)


def _case(frame: dict[str, Any]) -> Case:
    due_at = datetime.fromisoformat(frame["due_at"]) if frame["due_at"] else None
    x, y = frame["point"]
    return Case(frame["version"], x, y, frame["phase"], due_at)


@in_thread
def _visible_now(user: User, posts: list[Post]) -> dict[str, Case]:
    """What a snapshot taken now would show."""
    shown = queries.shown_on_map(Event.objects.filter(visible_to(posts, reporter=user)))
    return {
        str(pk): Case(version, point.x, point.y, PHASE[Status(status)].value, due_at)
        for pk, version, point, status, due_at in shown.values_list(
            "pk", "version", "point", "status", "due_at"
        )
    }


@in_thread
def _look(
    named: set[str], since: datetime | None, shown: dict[str, int], rights: dict[Key, tuple[User, list[Post]]]
) -> tuple[dict[str, int], list[dict[str, Any]], dict[Key, set[str]]]:
    """The versions looked at, frames of those not shown yet, and which of them each audience may see."""
    with transaction.atomic():
        with connection.cursor() as sql:
            sql.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        changed = Event.objects.filter(pk__in=named)
        if since is not None:
            changed |= Event.objects.filter(updated_at__gte=since)
        versions = {str(pk): version for pk, version in changed.values_list("pk", "version")}
        fresh = [pk for pk, version in versions.items() if shown.get(pk) != version]
        if not fresh:
            return versions, [], {}
        frames = queries.frames(Event.objects.filter(pk__in=fresh[: MOST_CHANGES + 1]))
        visible = {
            key: {
                str(pk)
                for pk in Event.objects.filter(
                    visible_to(posts, reporter=user), pk__in=fresh[: MOST_CHANGES + 1]
                ).values_list("pk", flat=True)
            }
            for key, (user, posts) in rights.items()
        }
    return versions, frames, visible
