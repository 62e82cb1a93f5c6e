"""A page of a bucket's keys, read by leaps over what a delimiter makes one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    LargeBinary,
    Select,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
)

from superres.buckets.records import Listing
from superres.buckets.rows import BEYOND, object_of, text_bytes
from superres.buckets.tables import objects as table

_NEXT = b"\0"  # what makes of a key the one right behind it


def list_keys(
    connection: Connection, bucket: str, prefix: str, delimiter: str, marker: str, limit: int
) -> Listing:
    """What :meth:`superres.buckets.objects.Objects.list` promises, of a bucket that is there."""
    start, cut, behind = text_bytes(prefix), text_bytes(delimiter), text_bytes(marker)

    def folded(key: bytes) -> bytes | None:
        """The prefix that a key counts as, if any."""
        found = key.find(cut, len(start)) if cut else -1
        return None if found < 0 else key[: found + len(cut)]

    first = start
    if behind >= start:  # what a prefix stands for was told with it
        first = behind + (BEYOND if folded(behind) == behind else _NEXT)
    asked = {"bucket": bucket, "first": first, "last": start + BEYOND, "number": limit + 1}
    if cut:
        asked |= {"delimiter": cut, "length": len(cut), "skipped": len(start)}
    query = _LEAPS[connection.dialect.name] if cut else _PAGE
    rows = connection.execute(query, asked).all()
    entries = [(row, folded(row.key)) for row in rows[:limit]]
    truncated = 0 < limit < len(rows)
    row, fold = entries[-1] if truncated else (None, None)
    return Listing(
        objects=tuple(object_of(row) for row, fold in entries if fold is None),
        prefixes=tuple(fold.decode() for _, fold in entries if fold is not None),
        next_marker=None if row is None else (fold or row.key).decode(),
    )


def _from(first: Any) -> Select[Any]:
    """Keys from ``first`` on, in order."""
    return (
        select(table)
        .where(table.c.bucket == bindparam("bucket"))
        .where(table.c.key >= first, table.c.key < bindparam("last", type_=LargeBinary))
        .order_by(table.c.key)
    )


def _leaps(position: Any) -> Select[Any]:
    """The first key of each entry, each found by one look into the index.

    Args:
        position: the database's function of bytes for where others begin in them, from 1.
    """
    skipped, length = bindparam("skipped", type_=Integer), bindparam("length", type_=Integer)
    delimiter = bindparam("delimiter", type_=LargeBinary)
    key = _from(bindparam("first")).with_only_columns(table.c.key).limit(1).scalar_subquery()
    walk = select(key.label("key"), literal(1).label("count")).cte("walk", recursive=True)
    found = position(func.substr(walk.c.key, skipped + 1), delimiter)
    fold = func.substr(walk.c.key, 1, skipped + found + length - 1)
    behind = case((found > 0, fold.op("||")(BEYOND)), else_=walk.c.key.op("||")(_NEXT))
    following = _from(cast(behind, LargeBinary)).with_only_columns(table.c.key).limit(1)
    walk = walk.union_all(
        select(following.correlate(walk).scalar_subquery(), walk.c.count + 1).where(
            walk.c.key.is_not(None), walk.c.count < bindparam("number")
        )
    )
    return (
        select(table)
        .where(table.c.bucket == bindparam("bucket"), table.c.key.in_(select(walk.c.key)))
        .order_by(table.c.key)
    )


_PAGE = _from(bindparam("first")).limit(bindparam("number"))
_LEAPS = {"sqlite": _leaps(func.instr), "postgresql": _leaps(func.pg_catalog.position)}
