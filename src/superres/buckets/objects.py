"""Objects: written whole or not at all, read in pieces, listed in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine, bindparam, select

from superres.buckets.listing import list_keys
from superres.buckets.pieces import Piece, Pieces
from superres.buckets.placing import check_buckets, place, remove
from superres.buckets.reading import Reader
from superres.buckets.records import Listing, NewObject, StoredObject
from superres.buckets.rows import is_bucket_name, key_bytes, no_bucket, object_of
from superres.buckets.tables import objects as table
from superres.database import reading, writing
from superres.database.clock import Clock
from superres.errors import ObjectNotFound, SourceTooLarge

_NAMED = select(table).where(table.c.bucket == bindparam("bucket"), table.c.key == bindparam("key"))


class Objects:
    """The objects of all buckets. Thread-safe; blocks."""

    def __init__(self, database: Engine, pieces: Pieces, reader: Reader, clock: Clock) -> None:
        self._database, self._pieces, self._reader = database, pieces, reader
        self._clock = clock

    def put(self, *new: NewObject) -> list[StoredObject]:
        """Write objects, all of them or none, replacing those of the same names.

        Of two of the same name the later one counts.

        Raises:
            BadParameter: a key that cannot be one (1 to 850 bytes of UTF-8).
            BucketNotFound: there is no such bucket (any more).
            OutputError: the store's disk is full.
            StorageError: the store or the database cannot be used.
        """
        check(new)
        names = {each.bucket for each in new}
        with self._pieces.made(files(new), lambda c: check_buckets(c, names)) as made:
            with writing(self._database) as connection:
                moment = self._clock(connection)
                stored = objects_of(new, made.pieces, moment)
                made.use(connection)
                place(connection, stored, moment)
            return stored

    def get(self, bucket: str, key: str) -> StoredObject:
        """What is known of an object; BucketNotFound, ObjectNotFound."""
        name = key_bytes(key)
        if not is_bucket_name(bucket):
            raise no_bucket(bucket)
        with reading(self._database) as connection:
            row = connection.execute(_NAMED, {"bucket": bucket, "key": name}).one_or_none()
            if row is None:
                check_buckets(connection, [bucket])
                raise ObjectNotFound(f"There is no such object in the bucket {bucket}.")
        return object_of(row)

    @contextlib.contextmanager
    def read(
        self, found: StoredObject, first: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Its bytes from ``first`` up to ``end``, in pieces of about a megabyte at most.

        Reads what was there when ``found`` was, or fails: never a mixture, never less. What
        is deleted or replaced meanwhile is read to its end.

        Raises:
            ObjectNotFound: it was deleted or replaced meanwhile, and is gone.
            StorageError: it is damaged, or the store cannot be used. The iterator raises these,
                too.
        """
        end = found.size if end is None else min(end, found.size)
        pieces = self._pieces_of(found)
        with self._reader.read(found.content_id, pieces, first, end) as chunks:
            yield chunks

    def fetch(self, found: StoredObject, target: Path, max_bytes: int) -> None:
        """Copy an object to ``target``, and make sure that it is what was stored.

        Nothing is left at ``target`` when it fails.

        Raises:
            SourceTooLarge: it has more than ``max_bytes``; seen before anything is copied.
            ObjectNotFound, StorageError: as :meth:`read`.
        """
        if found.size > max_bytes:
            raise SourceTooLarge(f"The object has more than the {max_bytes} bytes allowed.")
        self._reader.copy(self._pieces_of(found), target)

    def delete(self, bucket: str, *keys: str) -> None:
        """Remove objects; there need not be any. BucketNotFound."""
        with writing(self._database) as connection:
            check_buckets(connection, [bucket])
            remove(connection, bucket, keys, self._clock(connection))

    def list(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        marker: str = "",
        limit: int = 1000,
    ) -> Listing:
        """A page of keys that begin with ``prefix``, behind ``marker``, in the order of UTF-8.

        With a delimiter, keys that go on behind the prefix up to one count as one prefix.
        Takes time for what is returned, not for what is passed over.

        Raises:
            BadParameter: ``prefix``, ``delimiter`` or ``marker`` cannot be text of a key.
            BucketNotFound: there is no such bucket.
        """
        with reading(self._database) as connection:
            check_buckets(connection, [bucket])
            return list_keys(connection, bucket, prefix, delimiter, marker, limit)

    def _pieces_of(self, found: StoredObject) -> Sequence[Piece]:
        if "-" in found.etag:  # an upload in parts
            return self._reader.of(found.content_id, found.size)
        return [Piece(found.content_id, found.size, found.etag)]


def check(new: Sequence[NewObject]) -> None:
    """BadParameter if the key of one cannot be one."""
    for each in new:
        key_bytes(each.key)


def files(new: Sequence[NewObject]) -> list[tuple[Path, str]]:
    """What pieces are to be made of."""
    return [(each.file, each.md5) for each in new]


def objects_of(
    new: Sequence[NewObject], pieces: Sequence[Piece], moment: float
) -> list[StoredObject]:
    """What new objects are once each has its piece."""
    return [
        StoredObject(
            bucket=each.bucket,
            key=each.key,
            size=piece.size,
            etag=piece.md5,
            content_type=each.content_type,
            headers=each.headers,
            modified_at=moment,
            content_id=piece.id,
        )
        for each, piece in zip(new, pieces, strict=True)
    ]
