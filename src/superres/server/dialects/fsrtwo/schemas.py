"""What a request to create a task says: one JSON object, whatever its content type."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from superres.errors import BadParameter

MAX_BODY = 1 << 20
MAX_IMAGES = 20
FORMATS = {"jpg": "jpeg", "png": "png"}
"""The values of ``file_ext`` in small letters, and what they are called here."""

_EXAMPLE = '{"images": ["https://..."], "file_ext": "png", "priority": 1}'


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        images: 1 to 20 links, not looked at yet: one that is none fails when its turn comes,
            and the others go on.
        format: of the results, "jpeg" or "png".
        priority: 0…9; 9 is the most urgent.
    """

    images: tuple[str, ...]
    format: str
    priority: int


def read(body: Path) -> Asked:
    """Read a request's body of at most :data:`MAX_BODY` bytes. Blocks: for a thread.

    Names that mean nothing here are let pass, as the vendor does.

    Raises:
        BadParameter: not a JSON object (RFC 8259, no name twice), or a field that is missing or
            has a wrong value; the message names it.
    """
    fields = _object(body.read_bytes())
    return Asked(
        _images(_given(fields, "images")),
        _format(_given(fields, "file_ext")),
        _priority(_given(fields, "priority")),
    )


def _object(body: bytes) -> dict[str, object]:
    try:
        read = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except BadParameter:
        raise
    # Text that is not UTF-8, numbers of thousands of digits, brackets in brackets in brackets.
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise BadParameter(f"The body must be a JSON object, like {_EXAMPLE}.")
    return read


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadParameter("The body has a name twice in the same object; give it once.")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _given(fields: dict[str, object], name: str) -> object:
    if fields.get(name) is None:
        raise BadParameter(f"{name} is missing; the body must be like {_EXAMPLE}.")
    return fields[name]


def _images(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadParameter(f"images is {_shown(value)}; it must be a list of links.")
    if not 1 <= len(value) <= MAX_IMAGES:
        raise BadParameter(f"images has {len(value)} links; it must have 1 to {MAX_IMAGES}.")
    for number, link in enumerate(value):
        if not isinstance(link, str):
            raise BadParameter(f"images[{number}] is {_shown(link)}; it must be a link, a text.")
        if not link:
            raise BadParameter(f"images[{number}] is empty; it must be a link.")
    return tuple(value)


def _format(value: object) -> str:
    known = FORMATS.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise BadParameter(f"file_ext is {_shown(value)}; it must be JPG or PNG.")
    return known


def _priority(value: object) -> int:
    # True is an int in Python only; 1.0 is a number, but not written as the vendor asks.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9:
        raise BadParameter(f"priority is {_shown(value)}; it must be a whole number, 0 to 9.")
    return value


def _shown(value: object) -> str:
    """A value for a message: short, and nothing that cannot be sent."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of very many digits"
    if isinstance(value, float) and math.isinf(value):
        return "a number too large"
    text = json.dumps(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:39] + "…"
