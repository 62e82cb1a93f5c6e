"""Pictures made from objects, kept for the next time they are asked for."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from superres.buckets.pieces import Piece, Pieces, retire
from superres.buckets.reading import Reader, verified
from superres.buckets.records import Kept, StoredObject
from superres.buckets.rows import key_bytes
from superres.buckets.tables import derived as table
from superres.buckets.tables import objects
from superres.database import reading, writing
from superres.database.clock import Clock
from superres.errors import OutputError, SuperresError
from superres.storage.checked import Damaged

# How exactly it is known when a picture was used last; every use would be a write.
_USED_SECONDS = 60.0
_BATCH = 100


class DerivedPictures:
    """Kept by the object's bucket, key, ETag and size and by a recipe; goes with the object.

    All together take at most ``[buckets] max_derived_bytes``; those used longest ago go first.
    Those that went can be read for a few minutes more, which are not counted. Thread-safe;
    blocks.
    """

    def __init__(
        self, max_bytes: int, database: Engine, pieces: Pieces, reader: Reader, clock: Clock
    ) -> None:
        self._max_bytes, self._database = max_bytes, database
        self._pieces, self._reader, self._clock = pieces, reader, clock

    def find(self, source: StoredObject, recipe: str) -> Kept | None:
        """What was kept of that object as it is now."""
        with reading(self._database) as connection:
            same = (table.c.etag == source.etag) & (table.c.size == source.size)
            query = select(table).where(_named(source, recipe), same)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            moment = self._clock(connection)
        if moment - row.used_at > _USED_SECONDS:
            with contextlib.suppress(SuperresError):  # it can be read all the same
                self._note_use(row.piece_id, moment)
        return _kept(row)

    def keep(
        self, source: StoredObject, recipe: str, file: Path, md5: str, media_type: str
    ) -> Kept | None:
        """Keep a finished file, which is gone afterwards.

        If the object changes at the very moment, what is returned can be read for a few
        minutes, and is not found again.

        Returns:
            None, and ``file`` is still there: it is too large to be kept, or the object is not
            what it was when ``source`` was read.

        Raises:
            OutputError, StorageError: as :meth:`superres.buckets.objects.Objects.put`; ``file``
                may be gone.
        """
        if _size(file) > self._max_bytes or not self._is_current(source):
            return None
        with self._pieces.made([(file, md5)], lambda _: None) as made:
            (piece,) = made.pieces
            with writing(self._database) as connection:
                current = connection.execute(_object(source).with_for_update()).first() is not None
                moment = self._clock(connection)
                made.use(connection)
                if current:
                    values = {"media_type": media_type, "made_at": moment, "used_at": moment}
                    _put(connection, source, recipe, piece, moment, values)
                else:
                    retire(connection, [piece.id], moment)
        self._make_room()
        return Kept(piece.id, piece.size, piece.md5, media_type, moment)

    @contextlib.contextmanager
    def read(self, kept: Kept, first: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Its bytes, verified by MD5 before the last piece if all are read.

        Raises:
            ObjectNotFound: it went meanwhile.
            StorageError: it is damaged (it is forgotten then), or the store cannot be used.
        """
        end = kept.size if end is None else min(end, kept.size)
        piece = Piece(kept.piece_id, kept.size, kept.etag)
        with self._forgetting(piece), self._reader.read(piece.id, [piece], first, end) as chunks:
            whole = (first, end) == (0, kept.size)
            yield self._guarded(piece, verified(piece, chunks) if whole else chunks)

    def _guarded(self, piece: Piece, chunks: Iterator[bytes]) -> Iterator[bytes]:
        with self._forgetting(piece):
            yield from chunks

    @contextlib.contextmanager
    def _forgetting(self, piece: Piece) -> Iterator[None]:
        """Forget a picture that is damaged, so that it is made anew the next time."""
        try:
            yield
        except Damaged:
            with writing(self._database) as connection:
                _drop(connection, table.c.piece_id == piece.id, self._clock(connection))
            raise

    def _note_use(self, piece_id: str, moment: float) -> None:
        this = update(table).where(table.c.piece_id == piece_id)
        with writing(self._database) as connection:
            connection.execute(this.values(used_at=moment))

    def _is_current(self, source: StoredObject) -> bool:
        with reading(self._database) as connection:
            return connection.execute(_object(source)).first() is not None

    def _make_room(self) -> None:
        """Let those go that were used longest ago, while all together are too large."""
        while True:
            with reading(self._database) as connection:
                total = connection.scalar(select(func.sum(table.c.piece_size))) or 0
            if total <= self._max_bytes:
                return
            with writing(self._database) as connection:
                excess = connection.scalars(select(func.sum(table.c.piece_size))).one() or 0
                excess -= self._max_bytes
                oldest = connection.execute(
                    select(table.c.piece_id, table.c.piece_size)
                    .order_by(table.c.used_at, table.c.piece_id)
                    .limit(_BATCH)
                    .with_for_update(skip_locked=True)
                ).all()
                chosen = []
                for piece_id, size in oldest:
                    if excess <= 0:
                        break
                    chosen.append(piece_id)
                    excess -= size
                _drop(connection, table.c.piece_id.in_(chosen), self._clock(connection))
            if not chosen:  # others are at it
                return


def _object(source: StoredObject) -> Any:
    """The query for an object if it is still that one."""
    return select(objects.c.key).where(
        objects.c.bucket == source.bucket,
        objects.c.key == key_bytes(source.key),
        objects.c.etag == source.etag,
        objects.c.size == source.size,
    )


def _named(source: StoredObject, recipe: str) -> ColumnElement[bool]:
    return and_(
        table.c.bucket == source.bucket,
        table.c.key == key_bytes(source.key),
        table.c.recipe == _digest(recipe),
    )


def _put(
    connection: Connection,
    source: StoredObject,
    recipe: str,
    piece: Piece,
    moment: float,
    values: dict[str, object],
) -> None:
    """Write the row of a picture, of an object whose row is locked, instead of an earlier one."""
    _drop(connection, _named(source, recipe), moment)
    connection.execute(
        insert(table).values(
            bucket=source.bucket,
            key=key_bytes(source.key),
            recipe=_digest(recipe),
            etag=source.etag,
            size=source.size,
            piece_id=piece.id,
            piece_size=piece.size,
            piece_md5=piece.md5,
            **values,
        )
    )


def _drop(connection: Connection, which: ColumnElement[bool], moment: float) -> None:
    gone = connection.scalars(delete(table).where(which).returning(table.c.piece_id)).all()
    retire(connection, gone, moment)


def _kept(row: Row[Any]) -> Kept:
    return Kept(row.piece_id, row.piece_size, row.piece_md5, row.media_type, row.made_at)


def _digest(recipe: str) -> str:
    return hashlib.sha256(recipe.encode("utf-8", "surrogatepass")).hexdigest()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as exc:
        raise OutputError(f"What is to be kept cannot be read ({exc.strerror}).") from exc
