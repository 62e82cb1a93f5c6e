"""The header ``Pic-Operations``: what is to be made of a picture, and where it is to be put."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from superres.server.dialects.cloud_infinite.addressing import MAX_KEY_BYTES, is_bucket_name
from superres.server.dialects.cloud_infinite.errors import Refused

NAME = "Pic-Operations"
PROCESS = "AISuperResolution"
"""The one value of ``ci-process`` that there is here."""

MAX_RULES = 5
_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}
_MAGNIFY = {None: 2, "2": 2, "4": 4}
_FLAGS = {"0": False, "1": True, "false": False, "true": True}
_SHOWN, _DIGITS = 60, 20


@dataclass(frozen=True)
class Rule:
    """One picture that is to be made.

    Attributes:
        bucket, key: of the object that it becomes.
        magnify: 2 or 4 times as wide and high.
        format: "png", "jpeg" or "webp".
    """

    bucket: str
    key: str
    magnify: int
    format: str


@dataclass(frozen=True)
class PicOperations:
    """What the header asks for: facts about the source (``is_pic_info``), and pictures."""

    is_pic_info: bool
    rules: tuple[Rule, ...]


def read(header: str, bucket: str, key: str) -> PicOperations:
    """Read the header's value.

    Args:
        header: as it came: its bytes as latin-1.
        bucket, key: of the picture it is about.

    Raises:
        Refused: 400 InvalidPicOperations; of a rule's parameters, 400 InvalidArgument.
    """
    given = _members("", _parsed(header), ("is_pic_info", "rules"))
    entries = given.get("rules")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_RULES:
        raise _wrong("rules", f"must be a list of 1 to {MAX_RULES} rules")
    rules = tuple(_rule(f"rules[{n}]", entry, bucket, key) for n, entry in enumerate(entries))
    places = [(rule.bucket, rule.key) for rule in rules]
    for n, place in enumerate(places):
        if place in places[:n]:
            raise _wrong(
                f"rules[{n}].fileid",
                f"names the same object as that of rules[{places.index(place)}]",
            )
    return PicOperations(_flag(given.get("is_pic_info")), rules)


def check_process(value: str, where: str = "") -> None:
    """Refuse every ``ci-process`` that is not offered.

    Raises:
        Refused: 400 InvalidArgument.
    """
    if value != PROCESS:
        raise _argument(f"{where}ci-process is {_shown(value)}; here it can be {PROCESS} alone.")


def read_magnify(value: str | None, where: str = "") -> int:
    """How many times as wide and high: 2 or 4; None, nothing said, is 2.

    Raises:
        Refused: 400 InvalidArgument.
    """
    if value not in _MAGNIFY:
        raise _argument(f"{where}magnify is {_shown(value)}; it must be 2 or 4.")
    return _MAGNIFY[value]


def _parsed(header: str) -> object:
    try:
        text = header.encode("latin-1").decode()
    except UnicodeDecodeError:
        text = header  # Node sends characters up to U+00FF so
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_number,
            parse_int=_whole_number,
        )
    except ValueError as exc:
        raise _wrong("", f"is not valid JSON: {exc}") from exc
    except RecursionError as exc:
        raise _wrong("", "is not valid JSON: it is nested too deeply") from exc


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return record


def _whole_number(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _rule(where: str, entry: object, bucket: str, key: str) -> Rule:
    given = _members(where, entry, ("bucket", "fileid", "rule"))
    target = given.get("bucket")
    if target is not None and not isinstance(target, str):
        raise _wrong(f"{where}.bucket", "must be a text, the name of a bucket")
    if target and not is_bucket_name(target):
        raise _wrong(f"{where}.bucket", f"is {_shown(target)}, which is no name of a bucket")
    place = _key(f"{where}.fileid", given.get("fileid"), key)
    parameters = _parameters(where, given.get("rule"))
    check_process(parameters.get("ci-process", ""), f"{NAME}: in {where}, ")
    magnify = read_magnify(parameters.get("magnify"), f"{NAME}: in {where}, ")
    _, dot, extension = place.rpartition("/")[2].rpartition(".")
    return Rule(target or bucket, place, magnify, _FORMATS.get(dot + extension.lower(), "png"))


def _key(where: str, fileid: object, source: str) -> str:
    """The key that ``fileid`` stands for, beside the source or from the root of the bucket."""
    if not isinstance(fileid, str) or not fileid:
        raise _wrong(where, "must be a text that is not empty, the name of the result")
    if fileid.endswith("/"):
        raise _wrong(where, "must not end with /, or the file's name would be empty")
    if fileid in (source, f"/{source}"):
        key = source
    elif fileid.startswith("/"):
        key = fileid[1:]
    else:
        key = source[: source.rfind("/") + 1] + fileid
    try:
        length = len(key.encode())
    except UnicodeEncodeError as exc:
        raise _wrong(where, "has half of a surrogate pair, which is no character") from exc
    if length > MAX_KEY_BYTES:
        raise _wrong(where, f"makes a key of {length:,} bytes; {MAX_KEY_BYTES} are the most")
    if "\0" in key:
        raise _wrong(where, "cannot hold the character NUL")
    return key


def _parameters(where: str, rule: object) -> dict[str, str]:
    """The parameters of a rule, names in lower case, blanks around them and values left out."""
    if not isinstance(rule, str) or not rule.strip():
        raise _wrong(f"{where}.rule", f"must be a text such as ci-process={PROCESS}&magnify=2")
    found: dict[str, str] = {}
    for item in rule.split("&"):
        name, _, value = (_decoded(where, part.strip()) for part in item.partition("="))
        if not name and not value:
            continue
        if name.lower() not in ("ci-process", "magnify"):
            raise _argument(
                f"{NAME}: {where}.rule has the parameter {_shown(name)}; it may have ci-process "
                "and magnify."
            )
        if name.lower() in found:
            raise _argument(f"{NAME}: {where}.rule has {name} twice.")
        found[name.lower()] = value
    if "ci-process" not in found:
        raise _argument(f"{NAME}: {where}.rule lacks ci-process={PROCESS}.")
    return found


def _decoded(where: str, text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError as exc:
        raise _argument(f"{NAME}: {where}.rule is not UTF-8.") from exc


def _flag(value: object) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool | int | str) or str(value).lower() not in _FLAGS:
        raise _wrong("is_pic_info", "must be 0 or 1")
    return _FLAGS[str(value).lower()]


def _members(where: str, value: object, names: tuple[str, ...]) -> Mapping[str, Any]:
    expected = ", ".join(names[:-1]) + " and " + names[-1]
    if not isinstance(value, dict):
        raise _wrong(where, f"must be an object, which can have {expected}")
    for name in value:
        if name not in names:
            raise _wrong(where, f"has the unknown member {_shown(name)}; it can have {expected}")
    return value


def _shown(value: str | None) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _wrong(where: str, what: str) -> Refused:
    subject = f"{NAME}: {where}" if where else NAME
    return Refused(400, "InvalidPicOperations", f"{subject} {what}.")


def _argument(message: str) -> Refused:
    return Refused(400, "InvalidArgument", message)
