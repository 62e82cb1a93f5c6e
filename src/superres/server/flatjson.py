"""A JSON object (RFC 8259) without anything inside it, read so that no text can do harm.

``json.loads`` makes sixty bytes of every ``[]``, may recurse, and lets no other thread run
before it is done: one body of ten megabytes stops a server for seconds. Here a list or an
object as a value is only named, at its first character; texts are not decoded before somebody
asks for them; and everything is gone through in pieces of some milliseconds, between which
other threads run.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

Scalar = str | int | float | bool | None

_PIECE = 1 << 17
_SPACE = re.compile(rb"[ \t\r\n]*+")
_TEXT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_PLAIN = re.compile(rb"[-+.0-9A-Za-z]{1,1024}")
_MAX_NAME = 64
_MAX_MEMBERS = 256
# Names and values that are words, numbers or addresses; a picture is not decoded to a str.
_MAX_TEXT = 1 << 16


class Malformed(ValueError):
    """It is not such an object; the message says why, in words that quote nothing of it."""


class NotAnObject(Malformed):
    """It does not even begin as one."""


@dataclass(frozen=True)
class Nested:
    """A list or an object as a value, which nobody has looked into.

    Attributes:
        kind: "a list" or "an object".
    """

    kind: str


@dataclass(frozen=True, eq=False)
class Text:
    """A text as a value, not decoded yet.

    Attributes:
        body: what it is in.
        cuts: where its pieces begin and end in it; no escape is cut in two.
    """

    body: bytes = field(repr=False)
    cuts: tuple[int, ...]

    def decode(self) -> str:
        """The text. It may have lone surrogates, as JSON's may.

        Raises:
            Malformed: it is not UTF-8, or has more than 65,536 bytes.
        """
        start, end = self.cuts[0], self.cuts[-1]
        if end - start > _MAX_TEXT:
            raise Malformed(f"a text is longer than {_MAX_TEXT:,} bytes")
        return _decoded(self.body[start:end])

    def ascii(self) -> bytes:
        """The text if it is ASCII, however long.

        Raises:
            ValueError: it is not.
        """
        whole = io.BytesIO()
        for start, end in zip(self.cuts, self.cuts[1:], strict=False):
            piece = self.body[start:end]
            if b"\\" in piece:
                piece = _decoded(piece).encode("ascii")
            if not piece.isascii():
                raise ValueError("not ASCII")
            whole.write(piece)
        return whole.getvalue()


Value = Text | Nested | int | float | bool | None


def members(body: bytes) -> Iterator[tuple[str, Value]]:
    """The names and values of the object ``body``, as they stand. Blocks: for a thread.

    Names may come twice. After a :class:`Nested` value there is nothing to go on with: the
    caller must refuse it.

    Args:
        body: UTF-8, a byte order mark may be before it; see :func:`utf8`.

    Yields:
        Name and value.

    Raises:
        NotAnObject: it does not begin as one.
        Malformed: it is not JSON, or has more than 256 members.
    """
    return _Reader(body).members()


def utf8(body: bytes) -> bytes:
    """``body`` in UTF-8 if it is in another of the encodings that JSON once had (RFC 4627).

    Raises:
        Malformed: it is not what it looks like.
    """
    encoding = json.detect_encoding(body[:8])
    if encoding.startswith("utf-8"):
        return body
    decoder, whole = codecs.getincrementaldecoder(encoding)(), io.BytesIO()
    try:
        for at in range(0, len(body), _PIECE):
            piece = decoder.decode(body[at : at + _PIECE], at + _PIECE >= len(body))
            whole.write(piece.encode())
    except UnicodeError:
        raise Malformed(f"it is not {encoding.upper()}, as it seems to be") from None
    return whole.getvalue()


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0

    def members(self) -> Iterator[tuple[str, Value]]:
        if not self._next(b"{"):
            raise NotAnObject("it must be an object")
        ended, count = self._next(b"}"), 0
        while not ended:
            count += 1
            if count > _MAX_MEMBERS:
                _malformed(f"it has more than {_MAX_MEMBERS} names")
            name, value = self._name(), self._value()
            yield name, value
            if isinstance(value, Nested):
                return
            ended = self._next(b"}")
            if not ended and not self._next(b","):
                self._cut_or("a comma or } is missing")
        self._space()
        if self._at != len(self._body):
            _malformed("something stands behind the object")

    def _name(self) -> str:
        self._space()
        if not self._body.startswith(b'"', self._at):
            self._cut_or('a name in " is missing')
        # Not read whole: it may be megabytes.
        if self._body.find(b'"', self._at + 1, self._at + 2 + 6 * _MAX_NAME) < 0:
            self._cut_or("a name is too long or does not end")
        name = self._text().decode()
        if not self._next(b":"):
            self._cut_or("a colon is missing")
        return name

    def _value(self) -> Value:
        self._space()
        first = self._body[self._at : self._at + 1]
        if first in (b"[", b"{"):
            return Nested("a list" if first == b"[" else "an object")
        if first == b'"':
            return self._text()
        plain = _PLAIN.match(self._body, self._at)
        if plain is None:
            self._cut_or("a value is missing")
        try:
            value: int | float | bool | None = _DECODER.decode(plain[0].decode())
        except ValueError:
            _malformed("a value is not one of JSON's")
        self._at = plain.end()
        return value

    def _text(self) -> Text:
        body, at = self._body, self._at + 1
        cuts = [at]
        while True:
            piece = _TEXT.match(body, at, at + _PIECE)
            assert piece is not None
            at = piece.end()
            if at > cuts[-1]:
                cuts.append(at)
            if body.startswith(b'"', at):
                self._at = at + 1
                return Text(body, tuple(cuts))
            # An escape at the piece's end may be whole when seen from its own beginning.
            if at == piece.start():
                _malformed("a value is not one of JSON's")

    def _next(self, mark: bytes) -> bool:
        self._space()
        found = self._body.startswith(mark, self._at)
        self._at += found * len(mark)
        return found

    def _space(self) -> None:
        while True:
            found = _SPACE.match(self._body, self._at, self._at + _PIECE)
            assert found is not None
            self._at = found.end()
            if len(found[0]) < _PIECE:
                return

    def _cut_or(self, why: str) -> NoReturn:
        _malformed("it is cut off" if self._at >= len(self._body) else why)


def _decoded(text: bytes) -> str:
    """What stands between two quotation marks, where only good escapes are."""
    try:
        decoded: str = _DECODER.decode(f'"{text.decode("utf-8")}"')
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    return decoded


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _malformed(why: str) -> NoReturn:
    raise Malformed(why)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
