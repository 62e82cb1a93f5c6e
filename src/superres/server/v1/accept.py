"""What the client wants back, from its header Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from starlette.exceptions import HTTPException

from superres.imageio import MEDIA_TYPES

Kind = Literal["picture", "json", "events"]


_FORMATS = {media_type: name for name, media_type in MEDIA_TYPES.items()} | {"image/jpg": "jpeg"}
_KINDS: dict[str, Kind] = {
    "*/*": "picture",
    "image/*": "picture",
    "application/json": "json",
    "application/*": "json",
    "text/event-stream": "events",
    "text/*": "events",
}
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)
_MOST_RANGES = 64


@dataclass(frozen=True)
class Wanted:
    """How to answer.

    Attributes:
        kind: the picture itself, JSON with a link, or events.
        formats: if only these formats are taken, the most wanted first; None takes any.
    """

    kind: Kind
    formats: tuple[str, ...] | None = None

    def choose(self, asked: str | None) -> str | None:
        """The format to make, ``asked`` for by name or not; None leaves it to the pipeline.

        Raises:
            HTTPException: 406, the format asked for is not one that is taken.
        """
        if self.kind != "picture" or self.formats is None:
            return asked
        if asked is None:
            return self.formats[0]
        if asked not in self.formats:
            raise _not_acceptable(f"The header Accept does not take the format {asked}")
        return asked


def wanted(header: str | None) -> Wanted:
    """What a header Accept (None: there is none) asks for.

    The highest quality wins; then what is named rather than taken among all (``*/*``); then
    what is named first.

    Raises:
        HTTPException: 406, nothing that can be given.
    """
    ranges = _ranges(header) if header and header.strip() else [("*/*", 1.0)]
    found: list[tuple[float, bool, int, Kind]] = []
    formats: list[tuple[float, str]] = []
    any_format = False
    for place, (media_range, quality) in enumerate(ranges):
        file_format = _FORMATS.get(media_range)
        kind = "picture" if file_format else _KINDS.get(media_range)
        if kind is None or quality == 0:
            continue
        found.append((-quality, media_range == "*/*", place, kind))
        if file_format:
            formats.append((-quality, file_format))
        elif kind == "picture":
            any_format = True
    if not found:
        raise _not_acceptable("Nothing that the header Accept takes can be given")
    kind = min(found)[3]
    formats.sort(key=lambda each: each[0])
    exact = tuple(dict.fromkeys(name for _, name in formats))
    return Wanted(kind, None if any_format else exact or None)


def _ranges(header: str) -> list[tuple[str, float]]:
    found = []
    for part in header.split(",")[:_MOST_RANGES]:
        media_range, *parameters = part.split(";")
        quality = 1.0
        for parameter in parameters:
            if given := _QUALITY.fullmatch(parameter):
                quality = min(1.0, float(given[1]))
        found.append((media_range.strip().lower(), quality))
    return found


def _not_acceptable(why: str) -> HTTPException:
    return HTTPException(406, f"{why}; ask for image/*, application/json or text/event-stream.")
