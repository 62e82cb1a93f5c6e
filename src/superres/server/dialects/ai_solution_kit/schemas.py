"""What a request of this door says: one JSON object, whatever its content type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from superres.errors import BadParameter, SourceRefused
from superres.server.flatjson import (
    Malformed,
    Nested,
    NotAnObject,
    Scalar,
    Text,
    Value,
    members,
    utf8,
)
from superres.sources.inline import save_base64

SCALES = (2, 4)

_SETTING = "[limits] max_input_bytes"
_EXPECTED = 'The body must be a JSON object, like {"url": "https://...", "scale": 2}'


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        url: where the picture is, ``http(s)://…`` or ``s3://bucket/key``; None if it was
            sent along.
        scale: 2 or 4.
        face: whether faces are to be looked after.
    """

    url: str | None
    scale: int
    face: bool


def read(body: Path, picture: Path, max_bytes: int) -> Asked:
    """Read a request's body; the picture sent along, if any, is written to ``picture``.

    Blocks: for a thread.

    Args:
        body: the request's body as it came.
        picture: where ``img`` goes; untouched if there is a ``url``, which wins.
        max_bytes: that ``img`` may have, decoded.

    Raises:
        BadParameter: not JSON, not an object, a field with a wrong value, or no picture.
        SourceRefused: a ``url`` of a form that is not understood.
        SourceTooLarge: the picture has more than ``max_bytes``.
    """
    fields = _fields(body)
    asked = Asked(_url(fields.get("url")), _scale(fields.get("scale")), _face(fields.get("face")))
    if asked.url is None:
        save_base64(_img(fields.get("img")), picture, max_bytes, setting=_SETTING)
    return asked


def _fields(body: Path) -> dict[str, Value]:
    """The fields that mean something; of two with the same name the last holds."""
    fields: dict[str, Value] = {}
    try:
        for name, value in members(utf8(body.read_bytes())):
            if isinstance(value, Nested):
                _refuse(name, value)
            if name in _CHECKS:
                fields[name] = value
    except NotAnObject:
        raise BadParameter(f"{_EXPECTED}.") from None
    except Malformed as exc:
        raise BadParameter(f"{_EXPECTED}; {exc}.") from None
    return fields


def _refuse(name: str, value: Nested) -> NoReturn:
    if name in _CHECKS:
        _CHECKS[name](value)
    raise BadParameter(f"{_shown(name)} is {value.kind}; leave it out.")


def _url(value: Value) -> str | None:
    url = _plain("url", value)
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise SourceRefused(f"it must be a text, not {_kind(url)}.")
    if not re.match("(https?|s3)://.", url, re.IGNORECASE):
        raise SourceRefused("it must begin with http://, https:// or s3://.")
    return url


def _img(value: Value) -> bytes:
    try:
        image = value.ascii() if isinstance(value, Text) else value
    except ValueError:
        raise BadParameter("img is no base64: it contains something that is none.") from None
    if image is None or image == b"":
        raise BadParameter(
            'Give the picture as "url" (an address) or as "img" (the file in base64).'
        )
    if not isinstance(image, bytes):
        raise BadParameter(f"img must be a text with the file in base64, not {_kind(image)}.")
    return image


def _scale(value: Value) -> int:
    scale = _plain("scale", value)
    if scale is None:
        return SCALES[0]
    if isinstance(scale, str):
        scale = next((known for known in SCALES if scale.strip() == str(known)), scale)
    # 2.0 is the same number in JSON; True is 1 in Python only.
    if isinstance(scale, bool) or scale not in SCALES:
        raise BadParameter(f"scale is {_shown(scale)}; it must be 2 or 4.")
    return int(scale)


def _face(value: Value) -> bool:
    face = _plain("face", value)
    if face is None:
        return False
    if isinstance(face, bool):
        return face
    word = face.strip().lower() if isinstance(face, str) else ""
    if word not in ("true", "false"):
        raise BadParameter(f"face is {_shown(face)}; it must be true or false.")
    return word == "true"


_CHECKS: dict[str, Callable[[Value], object]] = {
    "url": _url,
    "img": _img,
    "scale": _scale,
    "face": _face,
}


def _plain(name: str, value: Value) -> Scalar | Nested:
    try:
        return value.decode() if isinstance(value, Text) else value
    except Malformed as exc:
        raise BadParameter(f"{name} cannot be read: {exc}.") from None


def _shown(value: object) -> str:
    if isinstance(value, Nested):
        return value.kind
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of very many digits"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _kind(value: object) -> str:
    if isinstance(value, Nested):
        return value.kind
    kinds: dict[type, str] = {bool: "true or false", float: "a number", int: "a number"}
    return kinds[type(value)]
