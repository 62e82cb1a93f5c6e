"""Reading pieces one after the other."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, bindparam, select

from superres.buckets.pieces import BUCKET, GRACE_SECONDS, Piece, Pieces, path
from superres.buckets.tables import pieces as table
from superres.database import reading
from superres.errors import BucketNotFound, ObjectNotFound, SuperresError
from superres.storage import ObjectStore, checked, whole_file
from superres.storage.checked import Damaged

_OF = (
    select(table.c.id, table.c.size, table.c.md5)
    .where(table.c.content_id == bindparam("content_id"))
    .order_by(table.c.position)
)


class Reader:
    """Reads contents from the store, and tells what is damaged from what is gone.

    Thread-safe; blocks. All methods raise ObjectNotFound for a piece that was removed
    meanwhile, and StorageError if one is damaged or the store cannot be used.
    """

    def __init__(self, database: Engine, store: ObjectStore, pieces: Pieces) -> None:
        self._database, self._store, self._pieces = database, store, pieces

    def of(self, content_id: str, size: int) -> list[Piece]:
        """The pieces of a content of that size in their order."""
        with reading(self._database) as connection:
            rows = connection.execute(_OF, {"content_id": content_id})
            found = [Piece(*row) for row in rows]
        if sum(piece.size for piece in found) != size:  # some are being removed
            raise _gone()
        return found

    @contextlib.contextmanager
    def read(
        self, content_id: str, pieces: Sequence[Piece], first: int, end: int
    ) -> Iterator[Iterator[bytes]]:
        """The bytes from ``first`` up to ``end`` of all pieces together.

        The first piece is open when this returns.
        """
        chunks = self._chunks(content_id, _spans(pieces, first, end))
        with contextlib.closing(chunks):
            next(chunks, None)
            yield (chunk for chunk in chunks if chunk)

    def copy(self, pieces: Sequence[Piece], target: Path) -> None:
        """Copy pieces to one file, and make sure of every one's MD5.

        Nothing is left at ``target`` when it fails.
        """
        with whole_file(target) as write:
            for piece in pieces:
                with self._opened(piece, 0, piece.size) as chunks:
                    for chunk in verified(piece, chunks):
                        write(chunk)

    def _chunks(
        self, content_id: str, spans: Iterator[tuple[Piece, int, int]]
    ) -> Generator[bytes, None, None]:
        """What the spans hold, and nothing (``b""``) when one has been opened."""
        leased = time.monotonic()
        for piece, first, end in spans:
            with self._opened(piece, first, end) as chunks:
                yield b""
                for chunk in chunks:
                    yield chunk
                    if time.monotonic() - leased > GRACE_SECONDS / 3:
                        leased = time.monotonic()
                        with contextlib.suppress(SuperresError):  # it may not be needed
                            self._pieces.lease(content_id)

    @contextlib.contextmanager
    def _opened(self, piece: Piece, first: int, end: int) -> Iterator[Iterator[bytes]]:
        with contextlib.ExitStack() as stack:
            with self._explained(piece):
                opened = self._store.read(BUCKET, path(piece.id), first, end)
                content = stack.enter_context(opened)
            if content.size != piece.size:
                raise damaged(piece, f"it has {content.size} bytes instead of {piece.size}")
            yield self._counted(piece, content.pieces, end - first)

    def _counted(self, piece: Piece, chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
        with self._explained(piece):
            yield from checked.counted(chunks, length, partial(damaged, piece))

    @contextlib.contextmanager
    def _explained(self, piece: Piece) -> Iterator[None]:
        """Tell a file that is missing from one that went with its row."""
        try:
            yield
        except (ObjectNotFound, BucketNotFound) as exc:
            query = select(table.c.id)
            query = query.where(table.c.id == piece.id, table.c.content_id.is_not(None))
            with reading(self._database) as connection:
                known = connection.execute(query).first() is not None
            raise damaged(piece, "it is missing") if known else _gone() from exc


def verified(piece: Piece, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks of all of a piece, the last one after the comparison of its MD5."""
    md5 = hashlib.md5(usedforsecurity=False)
    return checked.verified(chunks, md5, piece.md5, partial(damaged, piece))


def damaged(piece: Piece, how: str) -> Damaged:
    """The error of a piece that is not what was kept."""
    return Damaged(f"The kept file {piece.id[:8]}… is damaged in the object store: {how}.")


def _gone() -> ObjectNotFound:
    return ObjectNotFound("The object was deleted or replaced meanwhile; ask for it again.")


def _spans(pieces: Sequence[Piece], first: int, end: int) -> Iterator[tuple[Piece, int, int]]:
    """The pieces that hold bytes from ``first`` up to ``end``, each with what of it."""
    start = 0
    for piece in pieces:
        begin, stop = max(first - start, 0), min(end - start, piece.size)
        if begin < stop:
            yield piece, begin, stop
        start += piece.size
