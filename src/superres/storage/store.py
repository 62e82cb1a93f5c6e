"""Buckets with objects, over a folder, over memory or over S3."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
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
from superres.storage.whole import whole_file

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ObjectStore as Backend

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NO_BUCKET = "NoSuchBucket"  # in what S3 answers, unless the answer has no body
_CHUNK = 1 << 20
_PARTS = 4  # of 5 MB each, that a large file is in memory with at the same time


class Head(NamedTuple):
    """What is known of an object without its content; ``size`` is in bytes."""

    size: int
    modified: datetime
    etag: str | None


class Layout(Protocol):
    """Where buckets and their objects are."""

    def place(self, bucket: str, key: str) -> tuple[Backend, str]:
        """Return the backend and the path in it; BadParameter if a key cannot be held."""

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
