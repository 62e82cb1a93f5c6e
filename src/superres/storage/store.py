"""Buckets with objects, over a folder, over memory or over S3."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import obstore
from obstore import exceptions

from superres.errors import (
    BadParameter,
    BucketNotFound,
    ObjectNotFound,
    SourceTooLarge,
    StorageError,
    SuperresError,
)
from superres.storage.files import discard_file, move_file, pieces_of
from superres.storage.whole import whole_file

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ObjectStore as Backend

_log = logging.getLogger(__name__)

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NO_BUCKET = "NoSuchBucket"  # in what S3 answers, unless the answer has no body
_CHUNK = 1 << 20
# What is asked of S3 at once when a client is read to, and so in memory. An answer of S3 may
# take half a minute in all, which slow clients need for less than a large picture.
_WINDOW = 4 << 20
_PARTS = 4  # of 5 MB each, that a large file is in memory with at the same time
# Removed at the same time: each takes a store elsewhere some hundredths of a second.
_REMOVALS = 8


class Head(NamedTuple):
    """What is known of an object without its content; ``size`` is in bytes."""

    size: int
    modified: datetime
    etag: str | None


class Content(NamedTuple):
    """An object that is being read: the ``size`` of all of it in bytes, and what was asked for."""

    size: int
    pieces: Iterator[bytes]


class Layout(Protocol):
    """Where buckets and their objects are."""

    def place(self, bucket: str, key: str) -> tuple[Backend, str]:
        """Return the backend and the path in it; BadParameter if a key cannot be held."""

    def file(self, bucket: str, key: str) -> Path | None:
        """Return the file that holds the object where objects are files of this machine."""

    def has_bucket(self, bucket: str) -> bool:
        """Return whether there is such a bucket; errors are the backend's own."""


class ObjectStore:
    """Buckets with objects.

    A bucket is there as soon as something is put into it; only where buckets are those of an
    S3 service must they be made there. Safe to use from several threads. All methods raise
    BadParameter for a key that cannot be one, BucketNotFound for an impossible bucket name,
    and StorageError where the store cannot be reached or refuses.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def fetch(
        self,
        bucket: str,
        key: str,
        target: Path,
        max_bytes: int,
        *,
        pulse: Callable[[], object] | None = None,
    ) -> int:
        """Copy an object to the file ``target`` and return its size in bytes.

        Nothing is left at ``target`` when it fails. ``pulse`` is called about once a megabyte
        and may raise, to stop it.

        Raises:
            BucketNotFound, ObjectNotFound: there is none of that name.
            SourceTooLarge: it has more than ``max_bytes``; seen before anything is copied.
        """
        with self._at(bucket, key) as (backend, path):
            found = obstore.get(backend, path)
            if found.meta["size"] > max_bytes:
                raise _too_large(max_bytes)
            chunks = found.stream(min_chunk_size=_CHUNK)
            return _save(chunks, target, max_bytes, pulse)

    def put(self, bucket: str, key: str, source: Path | bytes) -> None:
        """Keep the bytes, or the content of the file, as an object; replaces one of that name.

        Whoever reads meanwhile gets the old object or the new one, never a mixture.
        """
        if isinstance(source, Path):
            source.stat()  # if there is none, that is no missing object
        with self._at(bucket, key) as (backend, path):
            obstore.put(backend, path, source, max_concurrency=_PARTS)

    def move(self, bucket: str, key: str, source: Path) -> None:
        """Put a file, which is gone afterwards; at once where it lies on the store's own disk.

        Nobody else may write an object of that name at the same time.

        Raises:
            OutputError: the store's disk is full.
        """
        source.stat()
        with self._at(bucket, key) as (backend, path):
            file = self._layout.file(bucket, key)
            if file is not None:
                move_file(source, file)
                return
            obstore.put(backend, path, source, max_concurrency=_PARTS)
        source.unlink()

    @contextlib.contextmanager
    def read(
        self, bucket: str, key: str, first: int = 0, end: int | None = None
    ) -> Iterator[Content]:
        """Open an object and read it in pieces, from byte ``first`` up to ``end`` or its end.

        Where objects are files, one that is deleted meanwhile is read to its end. An object
        that ends earlier than ``end`` gives that much less.

        Raises:
            BucketNotFound, ObjectNotFound: there is none of that name.
        """
        with self._at(bucket, key):
            path = self._layout.file(bucket, key)
            file = None if path is None else path.open("rb")
        if file is None:
            size = self.head(bucket, key).size
            end = size if end is None else min(end, size)
            yield Content(size, self._windows(bucket, key, first, end))
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            length = (size if end is None else min(end, size)) - first
            yield Content(size, self._translated(bucket, key, pieces_of(file, first, length)))

    def head(self, bucket: str, key: str) -> Head:
        """Return what is known of an object; BucketNotFound or ObjectNotFound if none is."""
        with self._at(bucket, key) as (backend, path):
            meta = obstore.head(backend, path)
            return Head(meta["size"], meta["last_modified"], meta["e_tag"])

    def exists(self, bucket: str, key: str) -> bool:
        """Return whether there is such an object."""
        try:
            self.head(bucket, key)
        except (BucketNotFound, ObjectNotFound):
            return False
        return True

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; there need not be one."""
        with contextlib.suppress(BucketNotFound, ObjectNotFound), self._at(bucket, key) as (b, p):
            obstore.delete(b, p)

    def discard(self, bucket: str, key: str) -> None:
        """Remove an object and what a :meth:`move` left that was killed; there need be neither."""
        self.delete(bucket, key)
        with self._at(bucket, key):
            file = self._layout.file(bucket, key)
            if file is not None:
                discard_file(file)

    def discard_all(self, bucket: str, keys: Sequence[str]) -> list[str]:
        """:meth:`discard` for many; those that cannot be removed now are told in the log.

        Returns:
            The keys that went. When the store itself does not answer, the rest is not tried.
        """
        gone: list[str] = []

        def removed(key: str) -> bool:
            try:
                self.discard(bucket, key)
            except SuperresError as exc:
                _log.warning("A kept file cannot be removed now: %s", exc, exc_info=True)
                return False
            return True

        with ThreadPoolExecutor(_REMOVALS) as pool:
            for start in range(0, len(keys), _REMOVALS):
                some = keys[start : start + _REMOVALS]
                went = [key for key, did in zip(some, pool.map(removed, some), strict=True) if did]
                gone += went
                if not went:
                    break
        return gone

    def _windows(self, bucket: str, key: str, first: int, end: int) -> Iterator[bytes]:
        while first < end:
            with self._at(bucket, key) as (backend, path):
                window = obstore.get_range(
                    backend, path, start=first, end=min(end, first + _WINDOW)
                )
            if not window:  # it has become shorter
                return
            first += len(window)
            view = memoryview(window)
            for start in range(0, len(view), _CHUNK):
                yield bytes(view[start : start + _CHUNK])
            del window, view  # or the next is there beside it

    def _translated(self, bucket: str, key: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            with self._at(bucket, key):
                piece = next(pieces, b"")
            if not piece:
                return
            yield piece

    @contextlib.contextmanager
    def _at(self, bucket: str, key: str) -> Iterator[tuple[Backend, str]]:
        """Yield where the object is, and translate what goes wrong there."""
        if not _BUCKET.fullmatch(bucket):
            raise BucketNotFound("There is no bucket of that name.")
        place = self._layout.place(bucket, key)
        try:
            yield place
        except SuperresError:
            raise
        except FileNotFoundError as exc:
            raise self._missing(bucket, exc) from exc
        except ValueError as exc:  # paths that the library cannot express
            raise BadParameter("The object store cannot hold an object of that key.") from exc
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as exc:
            raise StorageError(
                "The object store refused access; check the credentials it is used with."
            ) from exc
        except (exceptions.BaseError, OSError) as exc:
            raise StorageError(
                "The object store did not answer as it should; check [storage] url and the "
                "AWS_... variables, that it can be reached, and that there is room."
            ) from exc

    def _missing(self, bucket: str, found: FileNotFoundError) -> StorageError:
        there = _NO_BUCKET not in str(found)
        if there:
            try:
                there = self._layout.has_bucket(bucket)
            except (exceptions.BaseError, OSError) as exc:
                there = _NO_BUCKET not in str(exc)  # that no object is there is known at least
        if there:
            return ObjectNotFound(f"There is no such object in the bucket {bucket}.")
        return BucketNotFound(f"There is no bucket {bucket}.")


def _save(
    chunks: BytesStream, target: Path, max_bytes: int, pulse: Callable[[], object] | None
) -> int:
    """Write ``chunks`` to ``target`` and return how many bytes that were."""
    size = 0
    with whole_file(target) as write:
        for chunk in chunks:
            if pulse is not None:
                pulse()
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
            write(chunk)
    return size


def _too_large(max_bytes: int) -> SourceTooLarge:
    return SourceTooLarge(f"The object has more than the {max_bytes} bytes allowed.")
