"""Pieces: files in the store that never change, from their making to their removal.

A piece's row is there before its file and goes after it (see
:data:`superres.buckets.tables.pieces`). Pieces that are in use no more are kept for
:data:`GRACE_SECONDS`, so that those who read them end in peace.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from superres.buckets.rows import lots
from superres.buckets.tables import pieces as table
from superres.database import reading, writing
from superres.database.clock import Clock
from superres.errors import BucketNotFound, OutputError, StorageError, SuperresError
from superres.storage import ObjectStore

BUCKET = "superres"
"""Where pieces are in the object store, under the keys ``objects/<2 digits>/<id>``."""
GRACE_SECONDS = 300.0
"""How long what was deleted or replaced is kept for those who read it."""

# How long pieces may take to be put; after that they are of a process that died. Five
# gigabytes take a slow S3 hours.
_MAKING_SECONDS = 6 * 3600.0
# How long who removes pieces has for it before others try, too.
_CLAIM_SECONDS = 60.0
_BATCH = 100
_CHANCE = secrets.SystemRandom()

_USE = (
    update(table)
    .where(table.c.id.in_(bindparam("ids", expanding=True)))
    .where(table.c.expires_at == bindparam("until"))
    .values(content_id=func.coalesce(bindparam("content"), table.c.id), expires_at=None)
)
_RETIRE = (
    update(table)
    .where(table.c.content_id.in_(bindparam("contents", expanding=True)))
    .where(table.c.expires_at.is_(None))
    .values(expires_at=bindparam("until"))
)


@dataclass(frozen=True)
class Piece:
    """A file in the store: ``size`` in bytes, ``md5`` in hexadecimal."""

    id: str
    size: int
    md5: str


@dataclass(frozen=True)
class Made:
    """Pieces that belong to nothing yet; ``until`` they must be used."""

    pieces: Sequence[Piece]
    created_at: float = 0.0
    until: float = 0.0

    def use(self, connection: Connection, content_id: str | None = None) -> None:
        """Let them belong to a content, or each to one of its own id.

        Raises:
            StorageError: somebody has begun to remove them, because it took so long.
        """
        used = 0
        for some in lots(piece.id for piece in self.pieces):
            asked = {"ids": some, "until": self.until, "content": content_id}
            used += connection.execute(_USE, asked).rowcount
        if used != len(self.pieces):
            raise StorageError("The object store took too long to keep a file; try again.")


class Pieces:
    """Makes pieces and removes them. Thread-safe; blocks."""

    def __init__(self, database: Engine, store: ObjectStore, clock: Clock) -> None:
        self._database, self._store, self._clock = database, store, clock

    @contextlib.contextmanager
    def made(
        self,
        files: Sequence[tuple[Path, str]],
        check: Callable[[Connection], object],
        *,
        position: int = 1,
    ) -> Iterator[Made]:
        """Move finished files into the store; they go if what is done with them fails.

        Args:
            files: each with its MD5 in hexadecimal; gone afterwards.
            check: raises if there is no sense in it, before anything is moved.
            position: that they have in their contents.

        Raises:
            OutputError: the store's disk is full, or a file cannot be read.
            StorageError: the store or the database cannot be used.
        """
        pieces = [Piece(secrets.token_hex(16), _size(file), md5) for file, md5 in files]
        made = self._announced(pieces, position, check) if pieces else Made(pieces)
        moved = False
        try:
            for piece, (file, _) in zip(pieces, files, strict=True):
                self._move(file, piece)
            moved = True
            yield made
        except BaseException as exc:
            # Who waits for a store that does not answer has waited long enough: what it may
            # have kept all the same is left to a sweep.
            answers = moved or not isinstance(exc, StorageError)
            with contextlib.suppress(SuperresError):
                self._abandon(pieces, remove=answers)
            raise

    def sweep(self, until: Callable[[], bool]) -> int:
        """Remove what belongs to nothing; returns how many went.

        What the store does not remove is tried again by a later call, from a minute on.

        Args:
            until: says when no more is to be begun.
        """
        gone = 0
        while not until():
            with writing(self._database) as connection:
                moment = self._clock(connection)
                old = connection.scalars(
                    select(table.c.id)
                    .where(table.c.expires_at <= moment)
                    .order_by(table.c.expires_at)
                    .limit(_BATCH)
                    .with_for_update(skip_locked=True)  # others who do the same
                ).all()
                if not old:
                    break
                connection.execute(
                    update(table)
                    .where(table.c.id.in_(old))
                    .values(content_id=None, expires_at=moment + _CLAIM_SECONDS)
                )
            claimed = list(old)
            # A few that can never be removed must not be the first ones each time.
            _CHANCE.shuffle(claimed)
            removed = self._remove(claimed)
            gone += removed
            if not removed:
                break
        return gone

    def lease(self, content_id: str) -> None:
        """Keep a content a while longer if it is in use no more; for who still reads it."""
        leaving = (table.c.content_id == content_id) & table.c.expires_at.is_not(None)
        with reading(self._database) as connection:
            if connection.execute(select(table.c.id).where(leaving).limit(1)).first() is None:
                return
        with writing(self._database) as connection:
            ids = connection.scalars(
                select(table.c.id).where(leaving).with_for_update(skip_locked=True)
            ).all()
            expires = self._clock(connection) + GRACE_SECONDS
            for some in lots(ids):
                connection.execute(
                    update(table).where(table.c.id.in_(some)).values(expires_at=expires)
                )

    def _announced(
        self, pieces: Sequence[Piece], position: int, check: Callable[[Connection], object]
    ) -> Made:
        """Write the rows of pieces that are to be made."""
        with writing(self._database) as connection:
            check(connection)
            moment = self._clock(connection)
            until = moment + _MAKING_SECONDS
            rows = [
                {
                    "id": piece.id,
                    "content_id": None,
                    "position": position,
                    "size": piece.size,
                    "md5": piece.md5,
                    "created_at": moment,
                    "expires_at": until,
                }
                for piece in pieces
            ]
            connection.execute(insert(table), rows)
        return Made(pieces, moment, until)

    def _move(self, file: Path, piece: Piece) -> None:
        try:
            self._store.move(BUCKET, path(piece.id), file)
        except BucketNotFound as exc:
            raise StorageError(
                f"The object store has no bucket {BUCKET}; make it, or name one bucket for "
                "all in [storage] url."
            ) from exc

    def _abandon(self, pieces: Sequence[Piece], *, remove: bool) -> None:
        """Let a sweep remove what was in the making, or do it, rows or no rows."""
        ids = [piece.id for piece in pieces]
        unused = update(table).where(table.c.id.in_(ids), table.c.content_id.is_(None))
        with writing(self._database) as connection:
            expires = self._clock(connection) + _CLAIM_SECONDS
            connection.execute(unused.values(expires_at=expires))
            # That a transaction failed is not always true: its answer may have been lost.
            used = select(table.c.id).where(table.c.id.in_(ids), table.c.content_id.is_not(None))
            kept = set(connection.scalars(used))
        if remove:
            self._remove([piece_id for piece_id in ids if piece_id not in kept])

    def _remove(self, ids: Sequence[str]) -> int:
        """Remove files, then rows; returns how many. The rest is left to a later try."""
        paths = {path(piece_id): piece_id for piece_id in ids}
        gone = [paths[key] for key in self._store.discard_all(BUCKET, list(paths))]
        if gone:
            with writing(self._database) as connection:
                connection.execute(delete(table).where(table.c.id.in_(gone)))
        return len(gone)


def path(piece_id: str) -> str:
    """Where a piece is in the store; in 256 folders, so that none has too many files."""
    return f"objects/{piece_id[:2]}/{piece_id}"


def retire(connection: Connection, content_ids: Iterable[str], moment: float) -> None:
    """Let contents be in use no more; they can be read until the grace is over."""
    for some in lots(content_ids):
        connection.execute(_RETIRE, {"contents": some, "until": moment + GRACE_SECONDS})


def drop(
    connection: Connection, content_id: str, moment: float, positions: Iterable[int] | None = None
) -> None:
    """Take all pieces, or those at some positions, from a content that nobody reads."""
    mine = update(table).where(table.c.content_id == content_id)
    mine = mine.values(content_id=None, expires_at=moment)
    if positions is None:
        connection.execute(mine)
        return
    for some in lots(positions):
        connection.execute(mine.where(table.c.position.in_(some)))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as exc:
        raise OutputError(f"What is to be kept cannot be read ({exc.strerror}).") from exc
