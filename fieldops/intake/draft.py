"""What a channel makes of its payload before it reaches the door."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fieldops.errors import NotPermitted
from fieldops.models import Channel, Post, User
from fieldops.status import Role

# What a desk takes down for somebody, who is owed a reply.
DESK_CHANNELS = (Channel.HOTLINE_12345, Channel.NETIZEN_MESSAGE, Channel.SERVICE_HALL)
# Through which channels a role files reports; the first is meant when none is named.
_CHANNELS: dict[str, tuple[Channel, ...]] = {
    Role.GRID_WORKER: (Channel.FIELD_APP,),
    Role.STREET_CHIEF: (Channel.FIELD_APP,),
    Role.DEPARTMENT_HANDLER: (Channel.FIELD_APP,),
    Role.INTAKE_OPERATOR: DESK_CHANNELS,
    Role.RESIDENT: (Channel.RESIDENT_APP,),
}


def channel_for(posts: list[Post], named: str = "") -> tuple[Post, Channel]:
    """The post a person reports through, and the channel.

    Raises NotPermitted when none of the posts files reports, or not through the named channel.
    """
    for post in posts:
        allowed = _CHANNELS.get(post.role, ())
        if named and named in allowed:
            return post, Channel(named)
        if not named and allowed:
            return post, allowed[0]
    raise NotPermitted


@dataclass(frozen=True)
class Draft:
    """A report as it came in; nothing in it is trusted yet. `component` is the code of the one it is about.

    `x`, `y` are in the declared coordinate `system`; `accuracy_m` is in metres.
    """

    id: UUID
    digest: str
    reporter: User
    post: Post
    channel: Channel
    class_key: str
    description: str
    x: float
    y: float
    system: str
    condition_id: int | None = None
    component: str = ""
    # The reporter puts it right on the spot and will say so: it is dispatched to nobody meanwhile.
    self_handled: bool = False
    accuracy_m: float | None = None
    device_time: datetime | None = None
    external_number: str = ""
    # What kind of matter it is, where a reply is owed; a general one unless said otherwise.
    matter: str = ""
    contact_name: str = ""
    contact_phone: str = ""
