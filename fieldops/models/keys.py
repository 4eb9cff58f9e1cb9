"""Keys that sort by the time they were made."""

import uuid_utils.compat as uuid
from django.db import models


def uuid_key() -> models.UUIDField:
    """A UUIDv7: a client may make it, which makes its submission safe to repeat."""
    return models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
