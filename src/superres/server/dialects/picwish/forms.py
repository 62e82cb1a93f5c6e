"""What a body or a query says: urlencoded pairs or a JSON object, whichever it is.

Works on whole bodies, in pieces of some milliseconds between which other threads run.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote_to_bytes

from superres.errors import BadParameter
from superres.server.flatjson import Malformed, Nested, Scalar, Text, Value, members, utf8

FILE, BASE64 = "image_file", "image_base64"
"""Names of the fields that hold a picture."""

MAX_VALUE = 4096
"""Bytes that any other field may have."""

_JSON = "application/json"
_URLENCODED = ("", "application/x-www-form-urlencoded", "text/plain")
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
_LONE = re.compile("[\ud800-\udfff]")
_MAX_PAIRS = 256
_MAX_NAME = 64
_PIECE = 1 << 17
_EXPECTED = (
    f"Send a form (multipart or urlencoded) or a JSON object with image_url, {FILE} or {BASE64}"
)


@dataclass
class Said:
    """What a request said.

    Attributes:
        values: by name, empty ones left out; no pictures.
        base64: the picture as text, nothing decoded yet; None if there was none.
        file: the picture as a file; None if there was none.
    """

    values: dict[str, Scalar] = field(default_factory=dict)
    base64: bytes | None = field(default=None, repr=False)
    file: Path | None = None

    def take(self, other: Said) -> None:
        """Let ``other`` say more; where both speak, it wins."""
        self.values |= other.values
        self.base64 = other.base64 or self.base64


def understood(body: bytes, kind: str, names: Collection[str]) -> Said:
    """What ``body`` says. Blocks: for a thread.

    The widely used PHP client sends JSON and does not say so, and curl calls everything that
    ``-d`` gives it urlencoded: what begins like a JSON object is taken for one.

    Args:
        body: the whole of it.
        kind: its content type, without parameters, in small letters; may be empty.
        names: of the parameters that are no picture; others are passed over.

    Raises:
        BadParameter: it is not well-formed, or of another kind.
    """
    if not body or body.isspace():
        return Said()
    if kind == _JSON or kind.endswith("+json") or _OBJECT.match(body):
        return json_object(body, names)
    if kind in _URLENCODED:
        return urlencoded(body, names)
    raise BadParameter(f"{_EXPECTED}; its Content-Type is not one of these.")


def urlencoded(text: bytes, names: Collection[str]) -> Said:
    """What ``name=value&…`` says; of two values with the same name the last holds.

    Raises:
        BadParameter: too many pairs, or a value that is too long or not UTF-8.
    """
    said, at, count = Said(), 0, 0
    while at < len(text):
        count += 1
        if count > _MAX_PAIRS:
            raise BadParameter(f"{_EXPECTED}; this has more than {_MAX_PAIRS} fields.")
        end = text.find(b"&", at)
        end = len(text) if end < 0 else end
        cut = text.find(b"=", at, end)
        cut = end if cut < 0 else cut
        name = _name(text[at:cut]) if cut - at <= 3 * _MAX_NAME else ""
        if name == BASE64:
            # A plus that should have been escaped is one of base64's own; a space means nothing.
            said.base64 = _unescaped(text[cut + 1 : end], plus=b"+") or None
        elif name in names:
            if end - cut > 3 * MAX_VALUE:
                raise _too_long(name)
            _put(said, name, _text(name, _unescaped(text[cut + 1 : end], plus=b" ")))
        at = end + 1
    return said


def json_object(body: bytes, names: Collection[str]) -> Said:
    """What a JSON object says; of two values with the same name the last holds.

    Raises:
        BadParameter: it is none, or a value is a list or an object.
    """
    said = Said()
    try:
        for name, value in members(utf8(body)):
            if isinstance(value, Nested):
                raise BadParameter(f"{_shown(name)} is {value.kind}; it must be a plain value.")
            if name == BASE64:
                said.base64 = _encoded(value)
            elif name in names:
                _put(said, name, value.decode() if isinstance(value, Text) else value)
    except Malformed as exc:
        raise BadParameter(f"{_EXPECTED}; the JSON cannot be read: {exc}.") from None
    return said


def _put(said: Said, name: str, value: Scalar) -> None:
    if isinstance(value, str):
        value = value.strip()
        if _LONE.search(value):
            raise BadParameter(f"{name} has characters that are no characters (lone surrogates).")
        if len(value) > MAX_VALUE:
            raise _too_long(name)
    if value is None or value == "":
        said.values.pop(name, None)
    else:
        said.values[name] = value


def _encoded(value: Value) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, Text):
        raise BadParameter(f"{BASE64} must be a text with the file in base64.")
    try:
        return value.ascii() or None
    except ValueError:
        raise BadParameter(f"{BASE64} is no base64: it contains something that is none.") from None


def _name(text: bytes) -> str:
    return _unescaped(text, plus=b" ").decode("utf-8", "replace").strip()


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadParameter(f"{name} is not UTF-8.") from None


def _unescaped(value: bytes, plus: bytes) -> bytes:
    """``value`` without its escapes (%41), ``+`` standing for ``plus``."""
    whole, at = BytesIO(), 0
    while at < len(value):
        piece = value[at : at + _PIECE]
        cut = piece.rfind(b"%", -2)
        if cut > 0 and at + len(piece) < len(value):  # an escape is not cut in two
            piece = piece[:cut]
        at += len(piece)
        whole.write(unquote_to_bytes(piece.replace(b"+", plus)))
    return whole.getvalue()


def _shown(name: str) -> str:
    return ascii(name[:_MAX_NAME])


def _too_long(name: str) -> BadParameter:
    return BadParameter(f"{name} is longer than {MAX_VALUE:,} characters.")
