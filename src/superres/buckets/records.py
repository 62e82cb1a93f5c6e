"""What buckets hold, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Bucket:
    """A bucket.

    Attributes:
        name: such as ``photos-1250000000``.
        owner: id of the credential whose it is.
        processing: whether its pictures may be super-resolved.
        created_at: seconds since 1970.
    """

    name: str
    owner: str
    processing: bool
    created_at: float


@dataclass(frozen=True)
class StoredObject:
    """An object, without its bytes.

    Attributes:
        bucket, key: its name.
        size: in bytes.
        etag: MD5 of the content in hexadecimal, or of its parts' MD5s and ``-N``; no quotes.
        content_type: such as ``image/png``.
        headers: further headers it was stored with, names in lower case
            (``cache-control``, ``x-cos-meta-…``).
        modified_at: seconds since 1970.
        content_id: of its bytes; changes whenever the object is written.
    """

    bucket: str
    key: str
    size: int
    etag: str
    content_type: str
    headers: Mapping[str, str]
    modified_at: float
    content_id: str


@dataclass(frozen=True)
class NewObject:
    """An object that is to be written.

    Attributes:
        bucket, key: its name.
        file: its content; a finished file, which is gone afterwards.
        md5: of the content, in hexadecimal.
        content_type, headers: as in :class:`StoredObject`.
    """

    bucket: str
    key: str
    file: Path
    md5: str
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """A page of a bucket's keys.

    Attributes:
        objects: in the order of their keys' UTF-8 bytes.
        prefixes: that the delimiter made of others, in the same order.
        next_marker: key or prefix to go on behind; None: that was all.
    """

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_marker: str | None


@dataclass(frozen=True)
class Upload:
    """An upload in parts that is not complete.

    Attributes:
        id: 32 hexadecimal digits.
        bucket, key: what it will be.
        content_type, headers: as in :class:`StoredObject`.
        owner: id of the credential that began it.
        created_at: seconds since 1970.
    """

    id: str
    bucket: str
    key: str
    content_type: str
    headers: Mapping[str, str]
    owner: str
    created_at: float


@dataclass(frozen=True)
class Part:
    """A part of an upload; ``etag`` is its MD5 in hexadecimal, ``modified_at`` since 1970."""

    number: int
    size: int
    etag: str
    modified_at: float


@dataclass(frozen=True)
class Kept:
    """A picture made from an object, kept for the next time it is asked for.

    Attributes:
        piece_id: of its bytes.
        size: in bytes.
        etag: MD5 of its bytes, in hexadecimal.
        media_type: such as ``image/png``.
        made_at: seconds since 1970.
    """

    piece_id: str
    size: int
    etag: str
    media_type: str
    made_at: float
