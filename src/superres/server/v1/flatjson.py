"""A JSON object without anything inside it, read so that no text can fill the memory.

``json.loads`` makes sixty bytes of every ``[]``, and may recurse. Here a list or an object as a
value is refused at its first character, and so are unknown and repeated names, so that what is
made is never larger than the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from superres.errors import BadParameter
from superres.server.v1.fields import check_names

Scalar = str | int | float | bool | None

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r"[-+.0-9A-Za-z]{1,64}")
_MAX_NAME = 64


def read_object(body: Path, known: Collection[str]) -> dict[str, Scalar]:
    """The object in the file ``body``. Blocks: for a thread.

    Args:
        body: UTF-8.
        known: names that it may have.

    Raises:
        BadParameter: not such an object.
    """
    try:
        text = body.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BadParameter("The JSON body must be UTF-8.") from None
    return _Reader(text).read(known)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)

    def read(self, known: Collection[str]) -> dict[str, Scalar]:
        if not self._next("{"):
            _malformed('it must be an object, like {"url": "https://...", "scale": 4}')
        values: dict[str, Scalar] = {}
        ended = self._next("}")
        while not ended:
            name = self._name()
            check_names([name], known)
            if name in values:
                raise BadParameter(f"{name!r} is given twice; give it once.")
            values[name] = self._value(name)
            ended = self._next("}")
            if not ended and not self._next(","):
                self._cut_or("a comma or } is missing")
        self._space()
        if self._at != len(self._text):
            _malformed("something stands behind the object")
        return values

    def _name(self) -> str:
        self._space()
        if not self._text.startswith('"', self._at):
            self._cut_or('a name in " is missing')
        # Not read whole: it may be megabytes.
        if self._text.find('"', self._at + 1, self._at + 2 + 6 * _MAX_NAME) < 0:
            self._cut_or("a name is too long or does not end")
        name = self._scalar()
        if not isinstance(name, str):  # cannot be; for the type checker
            _malformed("a name is missing")
        if not self._next(":"):
            self._cut_or("a colon is missing")
        return name

    def _value(self, name: str) -> Scalar:
        self._space()
        if self._text[self._at : self._at + 1] in ("{", "["):
            raise BadParameter(f"{name} must be a plain value, not a list or an object.")
        if not self._text.startswith('"', self._at) and not _PLAIN.match(self._text, self._at):
            self._cut_or("a value is missing")
        value = self._scalar()
        if isinstance(value, str) and not _sendable(value):
            raise BadParameter(f"{name} has characters that are no characters (lone surrogates).")
        return value

    def _scalar(self) -> Scalar:
        plain = _PLAIN.match(self._text, self._at)
        try:
            if plain is not None:
                value: Scalar = self._decoder.decode(plain[0])
                self._at = plain.end()
            else:
                value, self._at = self._decoder.raw_decode(self._text, self._at)
        except ValueError:
            self._cut_or("a value is not one of JSON's")
        return value

    def _next(self, mark: str) -> bool:
        self._space()
        found = self._text.startswith(mark, self._at)
        self._at += found
        return found

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _cut_or(self, why: str) -> NoReturn:
        _malformed("it is cut off" if self._at >= len(self._text) else why)


def _sendable(value: str) -> bool:
    if value.isascii():
        return True
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _malformed(why: str) -> NoReturn:
    raise BadParameter(f"The body is not the JSON that is expected: {why}.")
