"""What a request for a job says, and the JSON form of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from superres.errors import BadParameter
from superres.server.names import stem_of, stem_of_address
from superres.server.v1.fields import check_names, quoted
from superres.server.v1.jobs.fields import JobFields
from superres.server.v1.multipart import FILE

MAX_JSON = 1 << 20
_IMAGES, _URL, _NAME = "images", "url", "name"
_MAX_URL, _MAX_NAME = 8192, 1024
_ADDRESS = re.compile(r"(https?|s3)://", re.IGNORECASE)
_EXAMPLE = '{"images": ["https://..."], "scale": 4}'
_AS_FORM = f"send pictures themselves as a form, each in a field {FILE!r}"


@dataclass(frozen=True)
class Picture:
    """One of the pictures.

    Attributes:
        source: its address, or the file that came along.
        stem: what to call the result, without extension.
    """

    source: str | Path
    stem: str


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        pictures: in their order.
        fields: what is to be done with all of them.
    """

    pictures: Sequence[Picture]
    fields: JobFields

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of all that matters, the files' content included.

        The same for two requests that ask for the same. Blocks: for a thread.
        """
        pictures = [[each.stem, *_identity(each.source)] for each in self.pictures]
        # Without defaults: a field that a later version adds leaves fingerprints as they are.
        fields = self.fields.model_dump(mode="json", exclude_defaults=True)
        record = {"fields": fields, "pictures": pictures}
        text = json.dumps(record, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _identity(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str):
        return "url", source
    with source.open("rb") as file:
        return "file", hashlib.file_digest(file, "sha256").hexdigest()


def read_json(body: Path, max_items: int) -> tuple[list[Picture], dict[str, object]]:
    """The pictures that a JSON body of at most :data:`MAX_JSON` bytes names, and its fields.

    Blocks: for a thread.

    Args:
        body: RFC 8259, UTF-8; a byte order mark may be before it.
        max_items: how many pictures there may be.

    Raises:
        BadParameter: it is not such an object, or has a name twice or one that is not known;
            or the pictures are not 1 to ``max_items`` addresses.
    """
    values = _object(body.read_bytes())
    _check_names(values, [_IMAGES, *JobFields.model_fields])
    given = values.pop(_IMAGES, None)
    if given is None:
        raise BadParameter(f"{_IMAGES} is missing; give a list of addresses, or {_AS_FORM}.")
    if not isinstance(given, list):
        raise BadParameter(f"{_IMAGES} must be a list of addresses.")
    if not 1 <= len(given) <= max_items:
        raise BadParameter(
            f"A job has 1 to {max_items} pictures ([jobs] max_items), not {len(given)}."
        )
    for name, value in values.items():
        _check_plain(name, value)
    return [_picture(f"{_IMAGES}[{at}]", each) for at, each in enumerate(given)], values


def _object(body: bytes) -> dict[str, object]:
    try:
        read = json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except BadParameter:
        raise
    # Not UTF-8 or not JSON, numbers of thousands of digits, brackets in brackets in brackets.
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise BadParameter(f"The body is not the JSON that is expected, an object like {_EXAMPLE}.")
    return read


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadParameter(f"{quoted(twice)} is given twice; give it once.")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _picture(where: str, given: object) -> Picture:
    values = given if isinstance(given, dict) else {_URL: given}
    _check_names(values, [_URL, _NAME])
    for name, value in values.items():
        _check_plain(f"{where}.{name}", value)
    address, name = values.get(_URL), values.get(_NAME)
    if not isinstance(address, str):
        raise BadParameter(
            f'{where} must be an address, or {{"{_URL}": an address, "{_NAME}": a name}}.'
        )
    if len(address) > _MAX_URL:
        raise BadParameter(f"{where}.{_URL} is longer than {_MAX_URL:,} characters.")
    if not _ADDRESS.match(address):
        raise BadParameter(
            f"{where}.{_URL} must begin with https://, http:// or s3://; {_AS_FORM}."
        )
    if name is None:
        return Picture(address, stem_of_address(address))
    if not isinstance(name, str) or len(name) > _MAX_NAME:
        raise BadParameter(f"{where}.{_NAME} must be a text of at most {_MAX_NAME:,} characters.")
    return Picture(address, stem_of(name))


def _check_names(values: Mapping[str, object], known: Sequence[str]) -> None:
    for name in ("img", "base64", "image", FILE):
        if name in values:
            raise BadParameter(f"{name} is not taken here; {_AS_FORM}.")
    check_names(values, known)


def _check_plain(name: str, value: object) -> None:
    if isinstance(value, list | dict):
        raise BadParameter(f"{name} must be a plain value, not a list or an object.")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadParameter(
                f"{name} has characters that are no characters (lone surrogates)."
            ) from None
