"""What a request of this door says: one JSON object, whatever its content type."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.errors import BadParameter, SourceRefused
from superres.sources.inline import save_base64

SCALES = (2, 4)


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        url: where the picture is, ``http(s)://…`` or ``s3://bucket/key``; None if it was
            sent along.
        scale: 2 or 4.
        face: whether faces are to be restored.
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
    fields = _object(body)
    url, scale, face = _url(fields), _scale(fields), _face(fields)
    if url is None:
        image = fields.get("img")
        if image is None or image == "":
            raise BadParameter(
                'Give the picture as "url" (an address) or as "img" (the file in base64).'
            )
        if not isinstance(image, str):
            raise BadParameter(f"img must be a text with the file in base64, not {_kind(image)}.")
        save_base64(image, picture, max_bytes, setting="[limits] max_input_bytes")
    return Asked(url, scale, face)


def _object(body: Path) -> dict[str, Any]:
    try:
        value = json.loads(body.read_bytes())
    except RecursionError:
        raise BadParameter("The body is nested too deeply; it must be a plain object.") from None
    except ValueError:
        # JSON's own complaint may quote the body.
        raise BadParameter(
            'The body must be a JSON object, like {"url": "https://...", "scale": 2}.'
        ) from None
    if not isinstance(value, dict):
        raise BadParameter(f"The body must be a JSON object, not {_kind(value)}.")
    return value


def _url(fields: dict[str, Any]) -> str | None:
    url = fields.get("url")
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise SourceRefused(f"it must be a text, not {_kind(url)}.")
    if not re.match("(https?|s3)://.", url, re.IGNORECASE):
        raise SourceRefused("it must begin with http://, https:// or s3://.")
    return url


def _scale(fields: dict[str, Any]) -> int:
    scale = fields.get("scale")
    if scale is None:
        return SCALES[0]
    if isinstance(scale, str):
        scale = next((known for known in SCALES if scale.strip() == str(known)), scale)
    # 2.0 is the same number in JSON; True is 1 in Python only.
    if isinstance(scale, bool) or scale not in SCALES:
        raise BadParameter(f"scale is {_shown(scale)}; it must be 2 or 4.")
    return int(scale)


def _face(fields: dict[str, Any]) -> bool:
    face = fields.get("face")
    if face is None:
        return False
    if isinstance(face, bool):
        return face
    word = face.strip().lower() if isinstance(face, str) else ""
    if word not in ("true", "false"):
        raise BadParameter(f"face is {_shown(face)}; it must be true or false.")
    return word == "true"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return _kind(value)
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of very many digits"
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        dict: "an object",
        float: "a number",
        int: "a number",
        list: "a list",
        str: "a text",
    }
    return kinds.get(type(value), "null")
