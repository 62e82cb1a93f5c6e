"""The parts that an upload has, and those of them that make the object."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from superres.buckets.pieces import Piece
from superres.buckets.records import Upload
from superres.buckets.rows import is_bucket_name, text_bytes
from superres.buckets.tables import pieces, uploads
from superres.errors import InvalidPart, UploadNotFound

_ID = re.compile(r"[0-9a-f]{32}")
_NAMED = (
    select(uploads)
    .where(uploads.c.id == bindparam("id"))
    .where(uploads.c.bucket == bindparam("bucket"), uploads.c.key == bindparam("key"))
)
_LOCKED = _NAMED.with_for_update()


def is_upload_id(text: str) -> bool:
    """Whether an upload may have that id."""
    return _ID.fullmatch(text) is not None


def upload_row(connection: Connection, upload: Upload, *, lock: bool = False) -> Row[Any]:
    """Its row; with ``lock`` it stays as it is until the transaction ends."""
    return find_upload(connection, upload.id, upload.bucket, upload.key, lock=lock)


def find_upload(
    connection: Connection, upload_id: str, bucket: str, key: str, *, lock: bool = False
) -> Row[Any]:
    """The row of an upload of that bucket and key; UploadNotFound."""
    row = None
    if is_upload_id(upload_id) and is_bucket_name(bucket):
        name = {"id": upload_id, "bucket": bucket, "key": text_bytes(key)}
        row = connection.execute(_LOCKED if lock else _NAMED, name).one_or_none()
    if row is None:
        raise UploadNotFound("There is no such upload; it may have been completed or aborted.")
    return row


def parts_of(connection: Connection, upload: Upload) -> dict[int, Piece]:
    """The parts that there are, by number."""
    columns = (pieces.c.position, pieces.c.id, pieces.c.size, pieces.c.md5)
    query = select(*columns).where(pieces.c.content_id == upload.id)
    return {number: Piece(*rest) for number, *rest in connection.execute(query)}


def chosen(connection: Connection, upload: Upload, parts: Sequence[tuple[int, str]]) -> list[Piece]:
    """The pieces that ``parts`` name; InvalidPart, UploadNotFound."""
    there = parts_of(connection, upload)
    upload_row(connection, upload)  # if it ended meanwhile
    return choose(there, parts)


def choose(there: Mapping[int, Piece], parts: Sequence[tuple[int, str]]) -> list[Piece]:
    """The pieces that ``parts`` name; InvalidPart."""
    if not parts:
        raise InvalidPart("Name at least one part.")
    before, chosen = 0, []
    for number, etag in parts:
        if number <= before:
            raise InvalidPart("Name the parts in the order of their numbers, each once.")
        before = number
        piece = there.get(number)
        if piece is None or etag.strip('"').lower() != piece.md5.lower():
            raise InvalidPart(f"Part {number} is not there, or its ETag is another; send it again.")
        chosen.append(piece)
    return chosen


def etag_of(pieces: Sequence[Piece]) -> str:
    """MD5 of the parts' MD5s, and how many there are."""
    digests = b"".join(bytes.fromhex(piece.md5) for piece in pieces)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(pieces)}"
