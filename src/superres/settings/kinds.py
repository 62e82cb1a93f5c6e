"""What the value of a setting may look like, and how one is declared."""

from __future__ import annotations

import base64
import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_WORDS = dict.fromkeys(("true", "yes", "on", "1"), True)
_WORDS |= dict.fromkeys(("false", "no", "off", "0"), False)
T = TypeVar("T")


class Kind(NamedTuple):
    """What a setting's value may look like.

    Attributes:
        expects: the expected form in words, for error messages.
        parse: from text (environment, command line) or a TOML value; ValueError if wrong.
        show: from a value to text that ``parse`` reads again; passwords are masked.
        guarded: values may hold a password, so they are not repeated in messages and reprs.
    """

    expects: str
    parse: Callable[[Any], Any]
    show: Callable[[Any], str] = str
    guarded: bool = False


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _number(value: object, to: type[T], least: float, most: float = sys.float_info.max) -> T:
    if isinstance(value, bool) or not isinstance(value, int | str | to):
        raise ValueError
    result: Any = to(value)  # type: ignore[call-arg]
    if not least <= result <= most:
        raise ValueError
    return result  # type: ignore[no-any-return]


def _size(value: object) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", str(value).strip().lower())
    if match is not None and match[2] in _UNITS:
        value = round(float(match[1]) * _UNITS[match[2]])
    return _number(value, int, least=1)


def _show_size(value: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        halves, rest = divmod(2 * value, _UNITS[unit.lower()])
        if halves > 1 and not rest:
            return f"{halves // 2}{'.5' if halves % 2 else ''}{unit}"
    return str(value)


def _word(value: object, words: Mapping[str, T]) -> T:
    word = str(value).strip().lower()
    if word not in words:
        raise ValueError
    return words[word]


def _path(value: object) -> Path:
    try:
        return (value if isinstance(value, Path) else Path(_text(value))).expanduser()
    except RuntimeError as exc:  # no home folder
        raise ValueError from exc


def integer(least: int, most: int | None = None) -> Kind:
    """Return the kind of a whole number from ``least`` to ``most``; None: or more."""
    if most is None:
        return Kind(f"a whole number, {least} or more", lambda v: _number(v, int, least))
    return Kind(f"a whole number, {least} to {most}", lambda v: _number(v, int, least, most))


def number(least: float, most: float | None = None) -> Kind:
    """Return the kind of a finite number from ``least`` to ``most``; None: or more."""
    if most is None:
        return Kind(f"a number, {least:g} or more", lambda v: _number(v, float, least))
    return Kind(f"a number, {least:g} to {most:g}", lambda v: _number(v, float, least, most))


def choice(*words: str) -> Kind:
    """Return the kind of one word out of ``words``; capitals do not matter."""
    known = {word: word for word in words}
    return Kind(f"one of {', '.join(words)}", lambda v: _word(v, known))


def optional(kind: Kind) -> Kind:
    """Return ``kind`` with None allowed, written ``auto``."""
    return Kind(
        f"auto or {kind.expects}",
        lambda v: None if v is None or str(v).strip().lower() == "auto" else kind.parse(v),
        lambda v: "auto" if v is None else kind.show(v),
        kind.guarded,
    )


def _list(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError
    return tuple(_text(part) for part in parts if part != "")


def _networks(value: object) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part)) for part in _list(value))


def _table(value: object, words: Mapping[str, str]) -> Mapping[str, str]:
    if isinstance(value, str):
        value = dict(part.split("=", 1) for part in value.split(",") if part.strip())
    if not isinstance(value, Mapping):
        raise ValueError
    pairs = {_text(name): _word(word, words) for name, word in value.items()}
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in pairs):
        raise ValueError
    return pairs


def table(*words: str) -> Kind:
    """Return the kind of names with one of ``words`` each."""
    known = {word.lower(): word for word in words}
    return Kind(
        f"names with one of {', '.join(words)} each, like {{prod = {words[0]!r}}} in the file "
        f"or prod={words[0]} elsewhere",
        lambda v: _table(v, known),
        lambda v: ",".join(f"{name}={word}" for name, word in v.items()),
    )


def _url(value: object) -> str:
    if value == "":
        return ""
    text = _text(value)
    if not re.match(r"[a-z][a-z0-9+.-]*:", text):
        raise ValueError
    return text


def _key(value: object) -> str:
    if value == "":
        return ""
    text = _text(value)
    # Python's decoder skips what does not belong.
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", text) or len(base64.urlsafe_b64decode(text)) != 32:
        raise ValueError
    return text


# Libraries differ in what they take for a password: it may hold "/", "?" or "@". So all is
# masked that may be one: up to the last "@", and in a query up to the next "&".
_PASSWORDS = (
    re.compile(r"(?s)^[^:]*://[^:]*:(.*)@"),
    re.compile(r"(?s)^[^:]*:(?!//)(.*)@"),
    re.compile(r"(?i)[?&;#][^=&;?#]*(?:pass|pwd|secret|token|key|auth|sig|cred)[^=&;?#]*=([^&]*)"),
)


def _show_url(value: str) -> str:
    """Mask the password of a URL, and what looks like a secret in its query."""
    spans = sorted(match.span(1) for kind in _PASSWORDS for match in kind.finditer(value))
    shown, end = "", 0
    for start, stop in spans:
        if start > end:
            shown += value[end:start] + "****"
        end = max(end, stop)
    return shown + value[end:]


def _bucket(value: object) -> str:
    if value == "":
        return ""
    text = _text(value)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", text):
        raise ValueError
    return text


TEXT = Kind("a text that is not empty", _text)
LIST = Kind("a list of texts", _list, ",".join)
NETWORKS = Kind('a list of networks like ["10.0.0.0/8"]', _networks, ",".join)
URL = Kind("a URL, or nothing", _url, _show_url, guarded=True)
BUCKET = Kind("a bucket's name like photos-1250000000, or nothing", _bucket)
KEY = Kind("32 bytes in URL-safe base64, or nothing", _key, guarded=True)
FLAG = Kind("true or false", lambda v: _word(v, _WORDS), lambda v: str(v).lower())
SIZE = Kind("a size like 1.5GiB, 256MB or a number of bytes", _size, _show_size)
PATH = Kind("a path", _path)


def setting(default: object, kind: Kind, doc: str, *, secret: bool = False) -> Any:
    """Declare one setting; ``default`` may be a function, ``doc`` is one sentence."""
    metadata = {"doc": doc, "kind": kind, "secret": secret}
    shown = not (secret or kind.guarded)
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)
