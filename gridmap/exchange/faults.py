"""What is wrong with a file, feature by feature, so that whoever brought it can mend it."""

from dataclasses import dataclass, replace
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class Fault:
    """One thing wrong: a stable code, words for people, and, where there is one, the feature and its place.

    `feature` is the feature's number in the file, from 1; `key` its code; `place` a GeoJSON geometry in WGS-84.
    """

    code: str
    message: str
    feature: int | None = None
    key: str = ""
    place: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """How it is stored and sent: a GeoJSON feature, so that a map shows it as it is."""
        about = {"code": self.code, "message": self.message, "feature": self.feature, "key": self.key}
        return {"type": "Feature", "geometry": self.place, "properties": about}

    def __str__(self) -> str:
        which = f"{self.feature}" if self.feature is not None else ""
        which += f" ({self.key})" if self.key else ""
        place = place_in_words(self.place)
        where = f" [{place}]" if place and place not in self.message else ""
        return f"{which + ': ' if which else ''}{self.message} {{{self.code}}}{where}"


class FileRefused(Exception):
    """A file, or what it would change, is refused; `faults` says all that was found wrong. Nothing was written."""

    code = "file_refused"

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


def place_of(shape: BaseGeometry | None) -> dict[str, Any] | None:
    """A geometry (WGS-84) as GeoJSON; None where there is none that could be shown."""
    if shape is None or shape.is_empty or not all(abs(bound) <= 180 for bound in shape.bounds):
        return None
    return dict(shapely.geometry.mapping(shapely.set_precision(shape, 1e-7, mode="pointwise")))


def place_in_words(place: dict[str, Any] | None) -> str:
    """The middle of a place: longitude, latitude."""
    if place is None:
        return ""
    middle = shapely.geometry.shape(place).representative_point()
    return f"{middle.x:.6f}, {middle.y:.6f}"


def numbered(fault: Fault, feature: int, key: str) -> Fault:
    """The fault with its feature named."""
    return replace(fault, feature=feature, key=key)
