"""Uploads in parts: the object is made of its parts as they lie, without copying them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, select, tuple_

from superres.buckets.objects import check, files, objects_of
from superres.buckets.parts import (
    choose,
    chosen,
    etag_of,
    find_upload,
    is_upload_id,
    parts_of,
    upload_row,
)
from superres.buckets.pieces import Piece, Pieces, drop
from superres.buckets.placing import check_buckets, place
from superres.buckets.reading import Reader
from superres.buckets.records import NewObject, Part, StoredObject, Upload
from superres.buckets.rows import BEYOND, headers_text, key_bytes, text_bytes, upload_of
from superres.buckets.tables import pieces as parts_table
from superres.buckets.tables import uploads as table
from superres.database import reading, writing
from superres.database.clock import Clock
from superres.errors import (
    BadParameter,
    ObjectNotFound,
    SourceTooLarge,
)

MAX_PARTS = 10_000


class Uploads:
    """Uploads in parts of all buckets. Thread-safe; blocks."""

    def __init__(self, database: Engine, pieces: Pieces, reader: Reader, clock: Clock) -> None:
        self._database, self._pieces, self._reader = database, pieces, reader
        self._clock = clock

    def create(
        self,
        bucket: str,
        key: str,
        owner: str,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
    ) -> Upload:
        """Begin one; BadParameter (the key), BucketNotFound."""
        name = key_bytes(key)
        with writing(self._database) as connection:
            check_buckets(connection, [bucket], keep=True)
            moment = self._clock(connection)
            upload = Upload(
                id=_new_id(moment),
                bucket=bucket,
                key=key,
                content_type=content_type,
                headers=dict(headers or {}),
                owner=owner,
                created_at=moment,
            )
            connection.execute(
                insert(table).values(
                    id=upload.id,
                    bucket=bucket,
                    key=name,
                    owner=owner,
                    content_type=content_type,
                    headers=headers_text(upload.headers),
                    created_at=moment,
                )
            )
        return upload

    def get(self, upload_id: str, bucket: str, key: str) -> Upload:
        """The upload of that id, bucket and key; UploadNotFound."""
        with reading(self._database) as connection:
            return upload_of(find_upload(connection, upload_id, bucket, key))

    def put_part(self, upload: Upload, number: int, file: Path, md5: str) -> Part:
        """Keep a part, replacing one of that number; ``file`` is gone afterwards.

        Args:
            number: 1 to 10,000.

        Raises:
            BadParameter: the number.
            UploadNotFound: it is over.
            OutputError, StorageError: as :meth:`superres.buckets.objects.Objects.put`.
        """
        if not 1 <= number <= MAX_PARTS:
            raise BadParameter(f"A part's number must be 1 to {MAX_PARTS}.")
        made_of = [(file, md5)]
        with self._pieces.made(made_of, lambda c: upload_row(c, upload), position=number) as made:
            with writing(self._database) as connection:
                upload_row(connection, upload, lock=True)
                drop(connection, upload.id, self._clock(connection), [number])
                made.use(connection, upload.id)
            return Part(number, made.pieces[0].size, md5, made.created_at)

    def parts(
        self, upload: Upload, *, marker: int = 0, limit: int = 1000
    ) -> tuple[tuple[Part, ...], int | None]:
        """Parts behind number ``marker``, and the number to go on behind (None: that was all).

        UploadNotFound if it is over.
        """
        query = select(parts_table).where(parts_table.c.content_id == upload.id)
        query = query.where(parts_table.c.position > marker).order_by(parts_table.c.position)
        with reading(self._database) as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
            upload_row(connection, upload)
        found = tuple(Part(row.position, row.size, row.md5, row.created_at) for row in rows)
        if 0 < limit < len(found):
            return found[:limit], found[limit - 1].number
        return found[:limit], None

    def fetch(
        self, upload: Upload, parts: Sequence[tuple[int, str]], target: Path, max_bytes: int
    ) -> str:
        """Copy what :meth:`complete` would make of ``parts`` to a file; returns its ETag.

        Nothing is left at ``target`` when it fails.

        Raises:
            InvalidPart, UploadNotFound: as :meth:`complete`.
            SourceTooLarge: all together have more than ``max_bytes``.
            StorageError: a part is damaged, or the store cannot be used.
        """
        while True:
            with reading(self._database) as connection:
                pieces = chosen(connection, upload, parts)
            if sum(piece.size for piece in pieces) > max_bytes:
                raise SourceTooLarge(f"The object has more than the {max_bytes} bytes allowed.")
            with contextlib.suppress(ObjectNotFound):  # another was sent instead, or all is over
                self._reader.copy(pieces, target)
                return etag_of(pieces)

    def complete(
        self, upload: Upload, parts: Sequence[tuple[int, str]], *also: NewObject
    ) -> list[StoredObject]:
        """Make the object of its parts, and write others with it, all or none.

        Parts that are not named go.

        Args:
            parts: numbers, rising, and ETags as they were answered (quotes do not matter).
            also: written in the same transaction, after it (one of the same key wins).

        Returns:
            The object, then the others.

        Raises:
            InvalidPart: one is not there, or has another ETag; none is named, or not in order.
            UploadNotFound: it is over.
            BadParameter, BucketNotFound, OutputError, StorageError: of ``also``.
        """
        check(also)
        with self._pieces.made(files(also), lambda c: chosen(c, upload, parts)) as made:
            with writing(self._database) as connection:
                row = upload_row(connection, upload, lock=True)
                there = parts_of(connection, upload)
                pieces = choose(there, parts)
                moment = self._clock(connection)
                drop(connection, upload.id, moment, there.keys() - {number for number, _ in parts})
                connection.execute(delete(table).where(table.c.id == upload.id))
                stored = [_object(upload_of(row), pieces, moment)]
                stored += objects_of(also, made.pieces, moment)
                made.use(connection)
                place(connection, stored, moment)
            return stored

    def abort(self, upload: Upload) -> None:
        """Drop it and its parts; UploadNotFound."""
        with writing(self._database) as connection:
            upload_row(connection, upload, lock=True)
            _end(connection, upload.id, self._clock(connection))

    def expire(self, lifetime: float) -> bool:
        """Drop one that began ``lifetime`` seconds ago or earlier; returns whether one did.

        One at a time: it may have ten thousand parts.
        """
        with writing(self._database) as connection:
            moment = self._clock(connection)
            old = connection.scalar(
                select(table.c.id)
                .where(table.c.created_at <= moment - lifetime)
                .order_by(table.c.created_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if old is not None:
                _end(connection, old, moment)
        return old is not None

    def list(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        id_marker: str = "",
        limit: int = 1000,
    ) -> tuple[tuple[Upload, ...], bool]:
        """Uploads by key and time begun, and whether there are more; BucketNotFound.

        Args:
            prefix: of their keys.
            key_marker: they are behind those of this key, or
            id_marker: behind this one of the same key; what is no id does not count.
        """
        query = select(table).where(table.c.bucket == bucket)
        if start := text_bytes(prefix):
            query = query.where(table.c.key >= start, table.c.key < start + BEYOND)
        if key_marker and is_upload_id(id_marker):
            behind = (text_bytes(key_marker), id_marker)
            query = query.where(tuple_(table.c.key, table.c.id) > behind)
        elif key_marker:
            query = query.where(table.c.key > text_bytes(key_marker))
        with reading(self._database) as connection:
            check_buckets(connection, [bucket])
            rows = connection.execute(
                query.order_by(table.c.key, table.c.id).limit(limit + 1)
            ).all()
        return tuple(upload_of(row) for row in rows[:limit]), len(rows) > limit


def _new_id(moment: float) -> str:
    """Rises with time: 12 digits of milliseconds, 80 random bits."""
    return f"{int(moment * 1000):012x}{secrets.token_hex(10)}"


def _end(connection: Connection, upload_id: str, moment: float) -> None:
    """End an upload whose row is locked."""
    drop(connection, upload_id, moment)
    connection.execute(delete(table).where(table.c.id == upload_id))


def _object(upload: Upload, pieces: Sequence[Piece], moment: float) -> StoredObject:
    return StoredObject(
        bucket=upload.bucket,
        key=upload.key,
        size=sum(piece.size for piece in pieces),
        etag=etag_of(pieces),
        content_type=upload.content_type,
        headers=upload.headers,
        modified_at=moment,
        content_id=upload.id,
    )
