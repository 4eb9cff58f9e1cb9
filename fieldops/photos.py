"""Photos from devices: checked and stored once, as they came (their sum must hold); thumbnails carry no metadata."""

import contextlib
import hashlib
import io
import threading
from datetime import datetime
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone
from PIL import Image, ImageOps

from .errors import BadPhoto, SubmissionConflict
from .models import Photo, User

MAX_BYTES = 12_000_000
MAX_PIXELS = 60_000_000
THUMBNAIL = (320, 320)
_FORMATS = ("JPEG", "PNG", "WEBP")
# A picture of the largest size takes a quarter of a gigabyte while it is decoded.
_one_at_a_time = threading.BoundedSemaphore(1)


def store_photo(
    photo_id: UUID,
    *,
    by: User,
    submission: UUID,
    upload: UploadedFile,
    sha256: str,
    device_time: datetime | None = None,
) -> Photo:
    """Keep a photo for the record `submission`; the same id with the same content is the same photo.

    `sha256` is the device's own sum, hexadecimal. Raises BadPhoto (too large, broken, not an image, another
    sum) and SubmissionConflict (the id is taken by something else).
    """
    if (upload.size or 0) > MAX_BYTES:
        raise BadPhoto(reason="too_large", limit_bytes=MAX_BYTES)
    content = upload.read()
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise BadPhoto(reason="sha256_differs")
    stored = Photo.objects.filter(pk=photo_id).first()
    if stored is None:
        suffix = _check(content)
        try:
            with transaction.atomic():
                photo = Photo(
                    id=photo_id,
                    submission=submission,
                    uploaded_by=by,
                    sha256=sha256.lower(),
                    bytes=len(content),
                    device_time=device_time,
                    received_at=timezone.now(),
                )
                photo.file.save(f"{photo_id}.{suffix}", ContentFile(content), save=False)
                photo.save(force_insert=True)
                return photo
        except IntegrityError:
            photo.file.delete(save=False)
            stored = Photo.objects.get(pk=photo_id)
    if (stored.sha256, stored.uploaded_by_id, stored.submission) != (sha256.lower(), by.pk, submission):
        raise SubmissionConflict
    return stored


def _check(content: bytes) -> str:
    """The file suffix of a usable image; decoded once in full, so that a bomb or a torso is found now."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadPhoto(reason="too_many_pixels", limit_pixels=MAX_PIXELS)
            with _one_at_a_time:
                image.load()
            return {"PNG": "png", "WEBP": "webp"}.get(image.format or "", "jpeg")
    except BadPhoto:
        raise
    except Exception as error:  # whatever a decoder makes of hostile bytes
        raise BadPhoto(reason="not_an_image") from error


def make_thumbnail(photo: Photo) -> None:
    """A small JPEG without metadata, for lists and panels; upright whatever the device held."""
    with photo.file.open("rb") as source, Image.open(source, formats=_FORMATS) as image:
        image.thumbnail(THUMBNAIL)
        with contextlib.suppress(Exception):  # metadata nobody can read does not turn a picture
            ImageOps.exif_transpose(image, in_place=True)
        small = image.convert("RGB")
        target = io.BytesIO()
        small.save(target, "JPEG", quality=80)
    photo.thumbnail.save(f"{photo.pk}.jpeg", ContentFile(target.getvalue()), save=False)
    photo.save(update_fields=["thumbnail"])
