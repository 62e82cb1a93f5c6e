"""The one object that doors ask about buckets."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, text, update

from superres.buckets.derived import DerivedPictures
from superres.buckets.objects import Objects
from superres.buckets.pieces import Pieces
from superres.buckets.reading import Reader
from superres.buckets.records import Bucket
from superres.buckets.rows import bucket_of, is_bucket_name, no_bucket
from superres.buckets.tables import buckets as table
from superres.buckets.tables import objects, pieces, uploads
from superres.buckets.uploads import Uploads
from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import BadParameter, BucketExists, BucketNotEmpty
from superres.settings import BucketsSettings
from superres.storage import ObjectStore

# Any number that nobody else locks in the same database: "buckets" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"buckets")
_NAMED = select(table).where(table.c.name == bindparam("name"))
_LOCKED = _NAMED.with_for_update()
_BEGUN = (
    select(func.coalesce(func.sum(pieces.c.size), 0))
    .join(uploads, uploads.c.id == pieces.c.content_id)
    .where(uploads.c.bucket == bindparam("name"))
)
_USAGE = select(
    func.count(), func.coalesce(func.sum(objects.c.size), 0) + _BEGUN.scalar_subquery()
).where(objects.c.bucket == bindparam("name"))


class Buckets:
    """Buckets, and what is in them. Thread-safe; blocks: for a thread.

    Attributes:
        objects: what is in them.
        uploads: uploads in parts.
        derived: pictures made from objects, kept for the next time.
    """

    def __init__(
        self,
        settings: BucketsSettings,
        database: Engine,
        store: ObjectStore,
        *,
        clock: Clock = now,
    ) -> None:
        self._settings, self._database, self._clock = settings, database, clock
        self._pieces = Pieces(database, store, clock)
        reader = Reader(database, store, self._pieces)
        self.objects = Objects(database, self._pieces, reader, clock)
        self.uploads = Uploads(database, self._pieces, reader, clock)
        self.derived = DerivedPictures(
            settings.max_derived_bytes, database, self._pieces, reader, clock
        )

    def create(self, name: str, owner: str, *, processing: bool = True) -> Bucket:
        """Make a bucket.

        Raises:
            BadParameter: that is no bucket's name (3 to 63 of a-z, 0-9 and ``-``, neither first
                nor last), or ``owner`` has as many as ``[buckets] max_buckets`` allows.
            BucketExists: the name is taken.
        """
        if not is_bucket_name(name):
            raise BadParameter(
                "A bucket's name must have 3 to 63 characters of a-z, 0-9 and -, and neither "
                "begin nor end with -."
            )
        with writing(self._database) as connection:
            _alone(connection)
            taken = _find(connection, name)
            if taken is not None:
                raise BucketExists(f"There is a bucket {name} already.", taken.owner)
            self._check_number(connection, owner)
            bucket = Bucket(name, owner, processing, self._clock(connection))
            connection.execute(
                insert(table).values(
                    name=name, owner=owner, processing=processing, created_at=bucket.created_at
                )
            )
        return bucket

    def get(self, name: str) -> Bucket:
        """The bucket of that name; BucketNotFound if there is none."""
        with reading(self._database) as connection:
            return _get(connection, name)

    def list(self, owner: str | None = None) -> list[Bucket]:
        """All buckets, or those of ``owner``, by name."""
        query = select(table)
        if owner is not None:
            query = query.where(table.c.owner == owner)
        with reading(self._database) as connection:
            found = [bucket_of(row) for row in connection.execute(query)]
        return sorted(found, key=lambda bucket: bucket.name)  # databases sort - differently

    def usage(self, name: str) -> tuple[int, int]:
        """How many objects a bucket has, and their bytes together (unfinished uploads too)."""
        with reading(self._database) as connection:
            _get(connection, name)
            number, size = connection.execute(_USAGE, {"name": name}).one()
        return number, int(size)

    def delete(self, name: str) -> None:
        """Remove an empty bucket; BucketNotFound, BucketNotEmpty."""
        with writing(self._database) as connection:
            _get(connection, name, lock=True)
            for held in (objects, uploads):
                within = select(held.c.bucket).where(held.c.bucket == name).limit(1)
                if connection.execute(within).first() is not None:
                    raise BucketNotEmpty(
                        f"The bucket {name} has objects or unfinished uploads; delete them first."
                    )
            connection.execute(delete(table).where(table.c.name == name))

    def enable_processing(self, name: str, *, on: bool = True) -> Bucket:
        """Let a bucket's pictures be super-resolved, or not any more; BucketNotFound."""
        return self._change(name, processing=on)

    def give(self, name: str, owner: str) -> Bucket:
        """Make a bucket another credential's; BucketNotFound."""
        return self._change(name, owner=owner)

    def sweep(self, budget: float | None = None) -> int:
        """Remove pieces that belong to nothing, and uploads that are too old.

        Args:
            budget: seconds after which no more is begun; the rest is for a later call.

        Returns:
            How many pieces went.
        """
        until = None if budget is None else time.monotonic() + budget

        def over() -> bool:
            return until is not None and time.monotonic() >= until

        while not over() and self.uploads.expire(self._settings.upload_lifetime):
            pass
        return self._pieces.sweep(over)

    def _check_number(self, connection: Connection, owner: str) -> None:
        query = select(func.count()).select_from(table).where(table.c.owner == owner)
        if connection.execute(query).scalar_one() >= self._settings.max_buckets:
            raise BadParameter(
                f"One credential may own {self._settings.max_buckets} buckets ([buckets] "
                "max_buckets); delete one first."
            )

    def _change(self, name: str, **values: object) -> Bucket:
        with writing(self._database) as connection:
            _get(connection, name, lock=True)
            connection.execute(update(table).where(table.c.name == name).values(values))
            return _get(connection, name)


def _find(connection: Connection, name: str, *, lock: bool = False) -> Bucket | None:
    if not is_bucket_name(name):
        return None
    row = connection.execute(_LOCKED if lock else _NAMED, {"name": name}).one_or_none()
    return None if row is None else bucket_of(row)


def _get(connection: Connection, name: str, *, lock: bool = False) -> Bucket:
    """A bucket, which nobody else changes before the transaction ends if it is locked."""
    found = _find(connection, name, lock=lock)
    if found is None:
        raise no_bucket(name)
    return found


def _alone(connection: Connection) -> None:
    """Nobody else makes buckets until the transaction ends: they are counted, then made."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
