"""Contents get their names, and lose them, in transactions of those who call.

Locks are always taken in the same order, so that nobody deadlocks: an upload's row, buckets by
name, objects by bucket and key, derived pictures, pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from superres.buckets.pieces import retire
from superres.buckets.records import StoredObject
from superres.buckets.rows import is_bucket_name, key_bytes, lots, no_bucket, object_values
from superres.buckets.tables import buckets, derived, objects

_BUCKETS = (
    select(buckets.c.name)
    .where(buckets.c.name.in_(bindparam("names", expanding=True)))
    .order_by(buckets.c.name)
)
_KEPT_BUCKETS = _BUCKETS.with_for_update(read=True, key_share=True)
_NAMED = (objects.c.bucket == bindparam("its_bucket")) & (objects.c.key == bindparam("its_key"))
_OLD = select(objects.c.content_id, objects.c.etag, objects.c.size).where(_NAMED).with_for_update()
_REPLACE = update(objects).where(_NAMED)
_INSERT = {
    "sqlite": sqlite.insert(objects).on_conflict_do_nothing().returning(objects.c.key),
    "postgresql": postgresql.insert(objects).on_conflict_do_nothing().returning(objects.c.key),
}
_THOSE = (objects.c.bucket == bindparam("bucket")) & objects.c.key.in_(
    bindparam("keys", expanding=True)
)
_LEAVING = (
    select(objects.c.key, objects.c.content_id)
    .where(_THOSE)
    .order_by(objects.c.key)
    .with_for_update()
)
_REMOVE = delete(objects).where(_THOSE)
_FORGET = (
    delete(derived)
    .where(derived.c.bucket == bindparam("bucket"))
    .where(derived.c.key.in_(bindparam("keys", expanding=True)))
    .returning(derived.c.piece_id)
)


def check_buckets(connection: Connection, names: Iterable[str], *, keep: bool = False) -> None:
    """Make sure that buckets are there, and with ``keep`` stay until the transaction ends.

    Raises:
        BucketNotFound: one is not.
    """
    wanted = set(names)
    possible = [name for name in wanted if is_bucket_name(name)]
    query = _KEPT_BUCKETS if keep else _BUCKETS
    missing = wanted - set(connection.scalars(query, {"names": possible}))
    if missing:
        raise no_bucket(min(missing))


def place(connection: Connection, new: Sequence[StoredObject], moment: float) -> None:
    """Let contents be what their names mean, instead of what did until now.

    Of two of the same name the later one counts.

    Raises:
        BucketNotFound: a bucket is not there (any more).
    """
    check_buckets(connection, {stored.bucket for stored in new}, keep=True)
    left = []
    for stored in sorted(new, key=lambda stored: (stored.bucket, key_bytes(stored.key))):
        old = _place(connection, stored)
        if old is not None:
            left.append(old)
    retire(connection, left, moment)


def remove(connection: Connection, bucket: str, keys: Iterable[str], moment: float) -> None:
    """Take the objects of these names away; there need not be any."""
    for some in lots(sorted({key_bytes(key) for key in keys})):
        rows = connection.execute(_LEAVING, {"bucket": bucket, "keys": some}).all()
        if not rows:
            continue
        found = [row.key for row in rows]
        forget(connection, bucket, found, moment)
        connection.execute(_REMOVE, {"bucket": bucket, "keys": found})
        retire(connection, [row.content_id for row in rows], moment)


def forget(connection: Connection, bucket: str, keys: Sequence[bytes], moment: float) -> None:
    """Take away what was made of objects, whose rows are locked."""
    gone = connection.scalars(_FORGET, {"bucket": bucket, "keys": keys}).all()
    retire(connection, gone, moment)


def _place(connection: Connection, stored: StoredObject) -> str | None:
    """Write an object's row; returns what its content was before."""
    values = object_values(stored)
    name = {"its_bucket": stored.bucket, "its_key": values["key"]}
    while True:  # others may write and delete it at the same time
        found = connection.execute(_OLD, name).one_or_none()
        if found is not None:
            break
        if connection.execute(_INSERT[connection.dialect.name], values).first() is not None:
            return None
    if (found.etag, found.size) != (stored.etag, stored.size):
        forget(connection, stored.bucket, [key_bytes(stored.key)], stored.modified_at)
    del values["bucket"], values["key"]  # which stay: indexes and references need no look
    connection.execute(_REPLACE, values | name)
    content_id: str = found.content_id
    return content_id
