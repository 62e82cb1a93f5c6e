"""What a JSON body of this door says; nothing unknown and nothing twice."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from superres.errors import BadParameter
from superres.server.flatjson import Malformed, Nested, Scalar, Text, Value, members
from superres.server.v1.fields import UpscaleFields, check_names
from superres.sources.inline import save_base64

_URL, _IMG = "url", "img"
_MAX_URL = 8192
_LONE = re.compile("[\ud800-\udfff]")


def read_json(body: Path, source: Path, max_bytes: int) -> tuple[str | None, dict[str, Scalar]]:
    """The picture's address, if there is one, and the other fields of the JSON in ``body``.

    Blocks: for a thread.

    Args:
        body: removed.
        source: what ``img`` holds is decoded to this file.
        max_bytes: that ``img`` may have, decoded.

    Raises:
        BadParameter: it is not such a JSON object, or does not say which picture.
        SourceTooLarge: the picture has more than ``max_bytes``.
    """
    values = read_members(body, [_URL, _IMG, *UpscaleFields.model_fields])
    body.unlink()
    url, image = values.pop(_URL, None), values.pop(_IMG, None)
    for name, value in ((_URL, url), (_IMG, image)):
        if value is not None and not isinstance(value, Text):
            raise BadParameter(f"{name} must be a text.")
    if (url is None) == (image is None):
        raise BadParameter(
            "Give the picture either as url (an address) or as img (the file in base64)."
        )
    fields = {name: scalar(name, value) for name, value in values.items()}
    address = scalar(_URL, url)
    if isinstance(address, str) and len(address) > _MAX_URL:
        raise BadParameter(f"url is longer than {_MAX_URL:,} characters.")
    if isinstance(image, Text):
        try:
            encoded = image.ascii()
        except ValueError:
            raise BadParameter("img is no base64: it contains something that is none.") from None
        save_base64(encoded, source, max_bytes, setting="[server] max_body_bytes")
    return (address if isinstance(address, str) else None), fields


def read_members(body: Path, known: Collection[str]) -> dict[str, Value]:
    """The members of the object in the file ``body``; no value is nested. Blocks.

    Args:
        body: UTF-8.
        known: names that it may have.

    Raises:
        BadParameter: not such an object.
    """
    values: dict[str, Value] = {}
    try:
        for name, value in members(body.read_bytes()):
            check_names([name], known)
            if name in values:
                raise BadParameter(f"{name!r} is given twice; give it once.")
            if isinstance(value, Nested):
                raise BadParameter(f"{name} must be a plain value, not a list or an object.")
            values[name] = value
    except Malformed as exc:
        raise BadParameter(
            f"The body is not the JSON that is expected, an object like "
            f'{{"url": "https://...", "scale": 4}}: {exc}.'
        ) from None
    return values


def scalar(name: str, value: Value) -> Scalar:
    """A member's value, decoded.

    Raises:
        BadParameter: a text that is too long, not UTF-8, or cannot be sent.
    """
    if isinstance(value, Nested):
        raise BadParameter(f"{name} must be a plain value, not a list or an object.")
    if not isinstance(value, Text):
        return value
    try:
        text = value.decode()
    except Malformed as exc:
        raise BadParameter(f"{name} cannot be read: {exc}.") from None
    if _LONE.search(text):
        raise BadParameter(f"{name} has characters that are no characters (lone surrogates).")
    return text
