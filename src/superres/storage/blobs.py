"""Files that are kept for a while: in the object store, described in the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from superres.database.clock import Clock, now
from superres.storage.store import ObjectStore

BUCKET = "superres"
"""Where blobs are in the object store, under the keys ``blobs/<id>``."""


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
        raise NotImplementedError

    def open(self, blob_id: str) -> Blob:
        """What is known of a blob.

        Raises:
            ObjectNotFound: there is none, or its time is over.
        """
        raise NotImplementedError

    def read(
        self, blob: Blob, first: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Its content from byte ``first`` up to ``end``, in pieces.

        Raises:
            ObjectNotFound: it went meanwhile.
            StorageError: the store cannot be used.
        """
        raise NotImplementedError

    def fetch(self, blob_id: str, target: Path) -> Blob:
        """Copy a blob to the file ``target``, and make sure that it is what was kept.

        Raises:
            ObjectNotFound: there is none, or its time is over.
            StorageError: it is damaged, or the store cannot be used.
        """
        raise NotImplementedError

    def extend(self, blob_id: str, lifetime: float) -> None:
        """Let a blob live ``lifetime`` seconds from now; one that is gone stays gone."""
        raise NotImplementedError

    def delete(self, *blob_ids: str) -> None:
        """Remove blobs; there need not be any."""
        raise NotImplementedError

    def expire(self) -> int:
        """Remove what is too old; returns how many went."""
        raise NotImplementedError
