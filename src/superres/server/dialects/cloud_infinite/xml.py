"""The XML of this door: documents are written from plain data and read into it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias
from xml.etree import ElementTree as ET

from superres.server.dialects.cloud_infinite.errors import Refused

Tree: TypeAlias = "tuple[str, Content]"
Content: TypeAlias = "str | int | Sequence[Tree]"
"""An element's name, and its text or its children; an empty text is ``<Name/>``."""

MAX_BYTES = 2 << 20
"""Largest document that is read: a multi-delete of 1,000 keys of 850 bytes, all escaped."""

_MAX_ELEMENTS = 40_010
"""A completed upload of 10,000 parts, with two elements of content each and some to spare."""
_MAX_DEPTH = 3
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", '"': "&quot;"}
_SPECIAL = re.compile(r'[&<>\r"]')
# XML 1.0, 2.2: what a document may not even hold escaped.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DECLARATION = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def write(root: str, content: Content) -> bytes:
    """A document; characters that XML cannot hold become U+FFFD (see :func:`can_hold`)."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write(parts, root, content)
    return "".join(parts).encode()


def can_hold(text: str) -> bool:
    """Whether a document can hold ``text`` as it is."""
    return _IMPOSSIBLE.search(text) is None


def _write(parts: list[str], name: str, content: Content) -> None:
    if content == "":
        parts.append(f"<{name}/>")
        return
    parts.append(f"<{name}>")
    if isinstance(content, str | int):
        parts.append(_escaped(str(content)))
    else:
        for child, inner in content:
            _write(parts, child, inner)
    parts.append(f"</{name}>")


def _escaped(text: str) -> str:
    text = _IMPOSSIBLE.sub("\ufffd", text)
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def read(document: bytes, root: str) -> list[tuple[str, str | list[tuple[str, str]]]]:
    """Read a document of two levels: the root's children, each a text or named texts.

    Names lose their namespace, and stand once in each child; texts keep their blanks.

    Raises:
        Refused: it is no such document, or one that nobody honest sends.
    """
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise malformed("it is not UTF-8") from exc
    if _DECLARATION.search(text):
        raise malformed("it declares a document type")
    # The text's own word on its encoding does not count: it is UTF-8.
    parser: Any = ET.XMLPullParser(events=("start", "end"))
    depth = count = 0
    top: ET.Element | None = None
    try:
        for start in range(0, len(text), 1 << 16):
            parser.feed(text[start : start + (1 << 16)])
            for event, element in parser.read_events():
                depth += 1 if event == "start" else -1
                count += event == "start"
                top = element if top is None else top
                if depth > _MAX_DEPTH or count > _MAX_ELEMENTS:
                    raise malformed("it has too many elements, or too many in each other")
        parser.close()
    except (ET.ParseError, ValueError) as exc:
        raise malformed("it cannot be parsed") from exc
    if top is None or _local(top) != root:
        raise malformed(f"its root is not {root}")
    return [
        (_local(each), _texts(each)) if len(each) else (_local(each), each.text or "")
        for each in top
    ]


def _texts(element: ET.Element) -> list[tuple[str, str]]:
    texts = [(_local(inner), inner.text or "") for inner in element]
    if len(dict(texts)) != len(texts):
        raise malformed(f"{_local(element)[:40]} says something twice")
    return texts


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def malformed(why: str) -> Refused:
    """The refusal of a document."""
    return Refused(
        400, "MalformedXML", f"The XML of the request's body is not what is expected: {why}."
    )
