"""A page of a bucket's keys, read by leaps over what a delimiter makes one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, select

from superres.buckets.records import Listing
from superres.buckets.rows import object_of, successor, text_bytes
from superres.buckets.tables import objects as table

_MOST = 1000  # rows that are read at once
_FEW = 8


def list_keys(
    connection: Connection, bucket: str, prefix: str, delimiter: str, marker: str, limit: int
) -> Listing:
    """What :meth:`superres.buckets.objects.Objects.list` promises, of a bucket that is there."""
    walk = _Walk(connection, bucket, text_bytes(prefix), text_bytes(delimiter))
    entries = list(islice(walk.behind(text_bytes(marker), limit + 1), limit + 1))
    truncated = 0 < limit < len(entries)
    entries = entries[:limit]
    return Listing(
        objects=tuple(object_of(entry) for entry in entries if isinstance(entry, Row)),
        prefixes=tuple(entry.decode() for entry in entries if isinstance(entry, bytes)),
        next_marker=_name(entries[-1]).decode() if truncated else None,
    )


class _Walk:
    """Through the keys with a prefix, in order."""

    def __init__(
        self, connection: Connection, bucket: str, prefix: bytes, delimiter: bytes
    ) -> None:
        self._connection = connection
        self._prefix, self._delimiter = prefix, delimiter
        self._query = select(table).where(table.c.bucket == bucket).order_by(table.c.key)
        if prefix:
            self._query = self._query.where(table.c.key < successor(prefix))

    def behind(self, marker: bytes, wanted: int) -> Iterator[Row[Any] | bytes]:
        """Rows, and prefixes that stand for several; somewhat more than ``wanted`` is read."""
        start, within = self._prefix, True
        if marker >= start:
            start, within = marker, False
            if marker and self._folded(marker) == marker:  # all that it stands for was told
                start, within = successor(marker), True
        most = at_once = min(wanted, _MOST)
        while True:
            rows = self._rows(start, within, at_once)
            fold, passed = None, 0
            for row in rows:
                if fold is not None and row.key.startswith(fold):
                    passed += 1
                    continue
                fold = self._folded(row.key)
                yield row if fold is None else fold
            if len(rows) < at_once:
                return
            start, within = (rows[-1].key, False) if fold is None else (successor(fold), True)
            # Long folders are leapt over, short ones read through.
            crowded = passed > len(rows) // 2
            at_once = max(_FEW, at_once // 4) if crowded else min(at_once * 4, most)

    def _rows(self, start: bytes, within: bool, number: int) -> list[Row[Any]]:
        bound = table.c.key >= start if within else table.c.key > start
        return list(self._connection.execute(self._query.where(bound).limit(number)))

    def _folded(self, key: bytes) -> bytes | None:
        """The prefix that a key counts as, if any."""
        if not self._delimiter:
            return None
        found = key.find(self._delimiter, len(self._prefix))
        return None if found < 0 else key[: found + len(self._delimiter)]


def _name(entry: Row[Any] | bytes) -> bytes:
    return entry if isinstance(entry, bytes) else bytes(entry.key)
