"""Files that are kept for a while: in the object store, described in the database."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, insert, select, update

from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import (
    BucketNotFound,
    ObjectNotFound,
    OutputError,
    StorageError,
    SuperresError,
)
from superres.storage.checked import Damaged, counted, verified
from superres.storage.store import ObjectStore
from superres.storage.tables import blobs as table
from superres.storage.whole import whole_file

BUCKET = "superres"
"""Where blobs are in the object store, under the keys ``blobs/<id>``."""

_ID = re.compile(r"[0-9a-f]{32}")
# How long a blob may take to be put; after that it is of a process that died.
_MAKING_SECONDS = 3600.0
# How long who removes blobs has for it before others try, too.
_CLAIM_SECONDS = 60.0
_BATCH = 100
_CHANCE = secrets.SystemRandom()


@dataclass(frozen=True)
class Blob:
    """A kept file.

    Attributes:
        id: 32 hexadecimal digits, 128 random bits.
        name: for people who save it; never a path.
        media_type: such as ``image/png``.
        size: in bytes.
        sha256: of the content, in hexadecimal.
        expires: seconds since 1970.
    """

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    expires: float


class Blobs:
    """Keeps files until they expire, for every machine on the same database and store.

    Thread-safe; blocks: for a thread.

    Args:
        database: where they are described.
        store: where they are.
        max_bytes: what all that is counted may take together.
        clock: seconds since 1970.
    """

    def __init__(
        self, database: Engine, store: ObjectStore, max_bytes: int, *, clock: Clock = now
    ) -> None:
        self._database, self._store, self._max_bytes = database, store, max_bytes
        self._clock = clock

    def keep(
        self, file: Path, name: str, media_type: str, lifetime: float, *, counted: bool = True
    ) -> Blob:
        """Take ``file``, which is gone afterwards; whole or not at all.

        Args:
            file: a finished file.
            name: for people who save it; a path's last part is taken.
            media_type: such as ``image/png``.
            lifetime: seconds.
            counted: counts against ``[server] max_results_bytes``; the oldest of those go
                when room is short. False for what must not go early, such as a job's input.

        Raises:
            OutputError: it is larger than everything that may be kept, or the disk is full.
            StorageError: the store or the database cannot be used.
        """
        size, sha256 = _measure(file)
        if counted and size > self._max_bytes:
            raise OutputError(
                "The result is larger than all kept results may be ([server] "
                "max_results_bytes); ask for the picture itself instead of a link."
            )
        blob_id, name = secrets.token_hex(16), _plain(name)
        with writing(self._database) as connection:
            moment = self._clock(connection)
            until = moment + _MAKING_SECONDS
            connection.execute(
                insert(table).values(
                    id=blob_id,
                    name=name,
                    media_type=media_type,
                    size=size,
                    sha256=sha256,
                    ready=False,
                    counted=counted,
                    created_at=moment,
                    expires_at=until,
                )
            )
        try:
            if counted:
                self._make_room()
            self._store.move(BUCKET, _key(blob_id), file)
            expires = self._finish(blob_id, until, lifetime)
        except BaseException as exc:
            with contextlib.suppress(SuperresError):
                self._abandon(blob_id)
            if isinstance(exc, BucketNotFound):
                raise StorageError(
                    f"The object store has no bucket {BUCKET}; make it, or name one bucket for "
                    "all in [storage] url."
                ) from exc
            raise
        return Blob(blob_id, name, media_type, size, sha256, expires)

    def open(self, blob_id: str) -> Blob:
        """What is known of a blob.

        Raises:
            ObjectNotFound: there is none, or its time is over.
        """
        if _ID.fullmatch(blob_id):
            with reading(self._database) as connection:
                query = select(table).where(table.c.id == blob_id, *self._alive(connection))
                row = connection.execute(query).one_or_none()
            if row is not None:
                return _blob(row)
        raise ObjectNotFound("There is no such result, or its time is over; upscale again.")

    @contextlib.contextmanager
    def read(self, blob: Blob, first: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Its content from byte ``first`` up to ``end``, in pieces.

        The last piece of a whole blob comes only once all of it is known to be what was kept.

        Raises:
            ObjectNotFound: it went meanwhile.
            StorageError: it is damaged, or the store cannot be used. The iterator raises it,
                too.
        """
        end = blob.size if end is None else min(end, blob.size)
        with contextlib.ExitStack() as stack:
            with self._explained(blob):
                content = stack.enter_context(self._store.read(BUCKET, _key(blob.id), first, end))
            if content.size != blob.size:
                raise _damaged(blob, f"it has {content.size} bytes instead of {blob.size}")
            pieces = self._pieces(blob, content.pieces, end - first)
            whole = (first, end) == (0, blob.size)
            wrong = partial(_damaged, blob)
            yield verified(pieces, hashlib.sha256(), blob.sha256, wrong) if whole else pieces

    def fetch(self, blob_id: str, target: Path) -> Blob:
        """Copy a blob to the file ``target``, and make sure that it is what was kept.

        Raises:
            ObjectNotFound: there is none, or its time is over.
            StorageError: it is damaged, or the store cannot be used.
        """
        blob = self.open(blob_id)
        with self.read(blob) as pieces, whole_file(target) as write:
            for piece in pieces:
                write(piece)
        return blob

    def extend(self, blob_id: str, lifetime: float) -> None:
        """Let a blob live ``lifetime`` seconds from now; one that is gone stays gone."""
        if not _ID.fullmatch(blob_id):
            return
        with writing(self._database) as connection:
            connection.execute(
                update(table)
                .where(table.c.id == blob_id, *self._alive(connection))
                .values(expires_at=self._clock(connection) + lifetime)
            )

    def delete(self, *blob_ids: str) -> None:
        """Remove blobs; there need not be any.

        What the store does not remove now, :meth:`expire` removes later.

        Raises:
            StorageError: the database cannot be used.
        """
        known = [blob_id for blob_id in blob_ids if _ID.fullmatch(blob_id)]
        for start in range(0, len(known), _BATCH):
            with writing(self._database) as connection:
                claimed = self._claim(connection, known[start : start + _BATCH])
            self._remove(claimed)

    def expire(self, budget: float | None = None) -> int:
        """Remove what is too old or too much; returns how many went.

        What the store does not remove is tried again by a later call, from a minute on.

        Args:
            budget: seconds after which no more is begun; the rest is for a later call.

        Raises:
            StorageError: the database cannot be used.
        """
        until = None if budget is None else time.monotonic() + budget
        gone = self._make_room()
        while until is None or time.monotonic() < until:
            with writing(self._database) as connection:
                old = (
                    select(table.c.id)
                    .where(table.c.expires_at <= self._clock(connection))
                    .order_by(table.c.expires_at)
                    .limit(_BATCH)
                    .with_for_update(skip_locked=True)  # others who do the same
                )
                claimed = list(self._claim(connection, connection.scalars(old).all()))
            # A few that can never be removed must not be the first ones each time.
            _CHANCE.shuffle(claimed)
            removed = self._remove(claimed)
            gone += removed
            if not removed:
                break
        return gone

    def _alive(self, connection: Connection) -> Sequence[ColumnElement[bool]]:
        return table.c.ready, table.c.expires_at > self._clock(connection)

    def _finish(self, blob_id: str, until: float, lifetime: float) -> float:
        """Let a blob be seen, unless somebody has begun to remove it; returns when it expires."""
        with writing(self._database) as connection:
            expires = self._clock(connection) + lifetime
            made = connection.execute(
                update(table)
                .where(table.c.id == blob_id, table.c.expires_at == until)
                .values(ready=True, expires_at=expires)
            ).rowcount
        if not made:
            raise StorageError("The object store took too long to keep a file; try again.")
        return expires

    def _abandon(self, blob_id: str) -> None:
        """Remove what is in the making, whether or not its row is still there."""
        with writing(self._database) as connection:
            self._claim(connection, [blob_id])
        self._remove([blob_id])

    def _make_room(self) -> int:
        """Remove the oldest that count while all together are too large."""
        gone = 0
        while True:
            with reading(self._database) as connection:
                alive = table.c.counted & (table.c.expires_at > self._clock(connection))
                total = (
                    select(func.sum(table.c.size)).where(alive).correlate(None).scalar_subquery()
                )
                oldest = (
                    select(table.c.id, table.c.size, total)
                    .where(alive, table.c.ready)
                    .order_by(table.c.created_at, table.c.id)
                    .limit(_BATCH)
                )
                rows = connection.execute(oldest).all()
            excess = int(rows[0][2]) - self._max_bytes if rows else 0
            chosen = []
            for blob_id, size, _ in rows:
                if excess <= 0:
                    break
                chosen.append(blob_id)
                excess -= size
            if not chosen:
                return gone
            with writing(self._database) as connection:
                claimed = self._claim(connection, chosen)
            gone += self._remove(claimed)

    def _claim(self, connection: Connection, blob_ids: Sequence[str]) -> Sequence[str]:
        """Take blobs out of sight; whoever does must remove them. Returns those there were."""
        return connection.scalars(
            update(table)
            .where(table.c.id.in_(blob_ids))
            .values(ready=False, counted=False, expires_at=self._clock(connection) + _CLAIM_SECONDS)
            .returning(table.c.id)
        ).all()

    def _remove(self, claimed: Sequence[str]) -> int:
        """Remove objects, then rows; returns how many. The rest is left to a later try."""
        ids = {_key(blob_id): blob_id for blob_id in claimed}
        gone = [ids[key] for key in self._store.discard_all(BUCKET, list(ids))]
        if gone:
            with writing(self._database) as connection:
                connection.execute(delete(table).where(table.c.id.in_(gone)))
        return len(gone)

    def _pieces(self, blob: Blob, pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
        with self._explained(blob):
            yield from counted(pieces, length, partial(_damaged, blob))

    @contextlib.contextmanager
    def _explained(self, blob: Blob) -> Iterator[None]:
        """Tell an object that is missing from one that went with its row."""
        try:
            yield
        except (ObjectNotFound, BucketNotFound) as exc:
            self.open(blob.id)
            raise _damaged(blob, "it is missing") from exc


def _key(blob_id: str) -> str:
    return f"blobs/{blob_id}"


def _blob(row: Row[Any]) -> Blob:
    return Blob(row.id, row.name, row.media_type, row.size, row.sha256, row.expires_at)


def _measure(file: Path) -> tuple[int, str]:
    """Size and SHA-256."""
    try:
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            return stream.tell(), sha256
    except OSError as exc:
        raise OutputError(
            f"The result could not be kept ({exc.strerror}); make room in [server] data_dir."
        ) from exc


def _damaged(blob: Blob, how: str) -> Damaged:
    return Damaged(
        f"The kept file {blob.id[:8]}… is damaged in the object store: {how}. Upscale again."
    )


def _plain(name: str) -> str:
    """The last part of a path in any system's writing, as every database can hold it."""
    last = re.split(r"[/\\]", name)[-1].replace("\0", "")
    return last.encode("utf-8", "replace").decode() or "result"
