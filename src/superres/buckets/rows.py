"""From rows to what buckets hold, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Row

from superres.buckets.records import Bucket, StoredObject, Upload
from superres.errors import BadParameter, BucketNotFound

_T = TypeVar("_T")
MAX_KEY_BYTES = 850
BEYOND = b"\xff"
"""What makes of a prefix the end of all keys that begin with it: UTF-8 has no such byte."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# Databases take a limited number of parameters at once.
_LOT = 500


def lots(items: Iterable[_T], size: int = _LOT) -> Iterator[list[_T]]:
    """``items``, ``size`` at a time: as many as one query may name."""
    rest = iter(items)
    while lot := list(islice(rest, size)):
        yield lot


def is_bucket_name(text: str) -> bool:
    """Whether a bucket may be called so; PostgreSQL does not hold every text."""
    return _BUCKET.fullmatch(text) is not None


def no_bucket(name: str) -> BucketNotFound:
    """The error of a bucket that is not there."""
    return BucketNotFound(f"There is no bucket {name}.")


def key_bytes(key: str) -> bytes:
    """A key as it is kept.

    Raises:
        BadParameter: it cannot be one.
    """
    found = text_bytes(key)
    if not 1 <= len(found) <= MAX_KEY_BYTES:
        raise BadParameter(f"An object's key must have 1 to {MAX_KEY_BYTES} bytes of UTF-8.")
    return found


def text_bytes(text: str) -> bytes:
    """The UTF-8 of what may be a part of a key; BadParameter if there is none."""
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise BadParameter("An object's key must be text that UTF-8 can hold.") from exc


def headers_text(headers: Mapping[str, str]) -> str:
    """Headers as they are kept: ASCII, so that they may hold any character."""
    return json.dumps(dict(headers), separators=(",", ":"))


def bucket_of(row: Row[Any]) -> Bucket:
    """The bucket of a row."""
    return Bucket(row.name, row.owner, row.processing, row.created_at)


def object_of(row: Row[Any]) -> StoredObject:
    """The object of a row."""
    return StoredObject(
        bucket=row.bucket,
        key=row.key.decode(),
        size=row.size,
        etag=row.etag,
        content_type=row.content_type,
        headers=json.loads(row.headers),
        modified_at=row.modified_at,
        content_id=row.content_id,
    )


def object_values(stored: StoredObject) -> dict[str, object]:
    """An object's row."""
    return {
        "bucket": stored.bucket,
        "key": key_bytes(stored.key),
        "content_id": stored.content_id,
        "size": stored.size,
        "etag": stored.etag,
        "content_type": stored.content_type,
        "headers": headers_text(stored.headers),
        "modified_at": stored.modified_at,
    }


def upload_of(row: Row[Any]) -> Upload:
    """The upload of a row."""
    return Upload(
        id=row.id,
        bucket=row.bucket,
        key=row.key.decode(),
        content_type=row.content_type,
        headers=json.loads(row.headers),
        owner=row.owner,
        created_at=row.created_at,
    )
