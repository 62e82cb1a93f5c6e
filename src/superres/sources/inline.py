"""Pictures that travel as base64 within a request (RFC 4648, RFC 2397)."""

from __future__ import annotations

import binascii
import re
from pathlib import Path

from superres.errors import BadParameter
from superres.sources.limit import Limit
from superres.storage import whole_file

_SLICE = 1 << 18
_SPACES = b" \t\r\n"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# RFC 2397; the data begins at most this far in.
_PREFIX = re.compile(rb"[ \t\r\n]*data:", re.IGNORECASE)
_HEAD = re.compile(rb"[ \t\r\n]*data:[^,]*; *base64 *,", re.IGNORECASE)
_MAX_PREFIX = 1024


def save_base64(
    text: str | bytes, target: Path, max_bytes: int, *, setting: str = "[sources] max_bytes"
) -> int:
    """Decode base64 into the file ``target``; return how many bytes that is.

    A ``data:...;base64,`` before it, white space within it, the alphabet for URLs and a
    missing padding are taken; everything else is strict. Takes time in proportion to
    ``text`` and memory that does not depend on it. Nothing is left when it fails.

    Args:
        setting: the name of the setting that ``max_bytes`` comes from, for the message.

    Raises:
        SourceTooLarge: it decodes to more than ``max_bytes``; seen before it is decoded.
        BadParameter: it is empty, or is no base64.
    """
    start = _start(text)
    padding = _count(text, b"=", start)
    symbols = len(text) - start - padding - sum(_count(text, bytes([c]), start) for c in _SPACES)
    if symbols <= 0:
        raise BadParameter("The picture's base64 is empty.")
    if symbols % 4 == 1 or padding not in (0, -symbols % 4):
        raise BadParameter("The picture's base64 is cut off, or padded wrongly.")
    Limit(max_bytes, setting).check(symbols * 3 // 4)
    held, ended = b"", False
    with whole_file(target) as write:
        for begin in range(start, len(text), _SLICE):
            piece = _ascii(text[begin : begin + _SLICE]).translate(_URL_SAFE, _SPACES)
            piece, pad, after = piece.partition(b"=")
            if (ended and piece) or after.strip(b"="):
                raise _no_base64()
            ended = ended or bool(pad)
            held += piece
            whole = len(held) // 4 * 4
            write(_decode(held[:whole]))
            held = held[whole:]
        write(_decode(held + b"=" * (-len(held) % 4)))
    return symbols * 3 // 4


def _start(text: str | bytes) -> int:
    """Return where the base64 begins, behind the head of a data URI if there is one."""
    head = text[:_MAX_PREFIX]
    head = head if isinstance(head, bytes) else head.encode("ascii", "replace")
    if not _PREFIX.match(head):
        return 0
    found = _HEAD.match(head)
    if found is None:
        raise BadParameter("A data: address must be of the form data:image/png;base64,...")
    return found.end()


def _count(text: str | bytes, symbol: bytes, start: int) -> int:
    return (
        text.count(symbol, start) if isinstance(text, bytes) else text.count(symbol.decode(), start)
    )


def _ascii(text: str | bytes) -> bytes:
    try:
        return text if isinstance(text, bytes) else text.encode("ascii")
    except UnicodeEncodeError as exc:
        raise _no_base64() from exc


def _decode(piece: bytes) -> bytes:
    try:
        return binascii.a2b_base64(piece, strict_mode=True)
    except binascii.Error as exc:
        raise _no_base64() from exc


def _no_base64() -> BadParameter:
    return BadParameter("The picture is no base64: it contains something that is none.")
