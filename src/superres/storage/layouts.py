"""The three kinds of places that ``[storage] url`` can name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, MemoryStore, S3Store

from superres.errors import BadParameter, StorageError
from superres.storage import keys

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Backend

# A request of ours waits for the answer, so the library's patience (10 tries, 3 minutes) is
# too long. The time for one transfer leaves room for the largest result.
_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(minutes=10),
}
_RETRY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


class Rooted:
    """All buckets in one place of our own: objects are at ``bucket/key``, escaped."""

    def __init__(self, backend: Backend, *, on_disk: bool) -> None:
        self._backend = backend
        self._on_disk = on_disk

    def place(self, bucket: str, key: str) -> tuple[Backend, str]:
        return self._backend, f"{bucket}/{keys.encode(key, on_disk=self._on_disk)}"

    def has_bucket(self, bucket: str) -> bool:
        return next(iter(obstore.list(self._backend, f"{bucket}/", chunk_size=1)), None) is not None


class Folder(Rooted):
    """A folder with a folder for each bucket."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            backend = LocalStore(folder, automatic_cleanup=True)
        except (OSError, ValueError) as exc:
            raise StorageError(
                "The folder for objects cannot be made; change [storage] url or its rights."
            ) from exc
        super().__init__(backend, on_disk=True)
        self._folder = folder

    def has_bucket(self, bucket: str) -> bool:
        return (self._folder / bucket).is_dir()


class Buckets:
    """Every bucket is one of an S3 service's own, and keys are what they are there."""

    def __init__(self, connect: Callable[[str], Backend]) -> None:
        self._connect = connect
        self._backends: dict[str, Backend] = {}
        self._lock = threading.Lock()

    def place(self, bucket: str, key: str) -> tuple[Backend, str]:
        keys.check(key)
        if key.startswith("/") or key.endswith("/"):  # the library would trim it
            raise BadParameter("A key in S3 that starts or ends with / cannot be read from here.")
        with self._lock:
            if bucket not in self._backends:
                self._backends[bucket] = self._connect(bucket)
            return self._backends[bucket], key

    def has_bucket(self, bucket: str) -> bool:
        return True  # S3 says NoSuchBucket itself


def layout(url: str, default: Path) -> Rooted | Buckets:
    """Return the place that ``url`` names; ``default`` is the folder if it is empty.

    Raises:
        BadParameter: none of the forms that the setting's description names.
        StorageError: the folder cannot be made.
    """
    if not url:
        return Folder(default)
    parts = urlsplit(url)
    if not (parts.query or parts.fragment or "@" in parts.netloc):
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            return Folder(Path(unquote(parts.path)))
        if parts.scheme == "memory" and not parts.netloc and parts.path in ("", "/"):
            return Rooted(MemoryStore(), on_disk=False)
        if parts.scheme == "s3" and not parts.netloc and parts.path in ("", "/"):
            return Buckets(_s3)
        if parts.scheme == "s3" and parts.netloc:
            return Rooted(_s3(parts.netloc, parts.path.strip("/")), on_disk=False)
    raise BadParameter(
        "[storage] url must be file:///folder, memory:///, s3://bucket/prefix, or s3:// alone "
        "for buckets that are those of S3; credentials and endpoint are set by AWS_... variables."
    )


def _s3(bucket: str, prefix: str = "") -> Backend:
    try:
        return S3Store(bucket, prefix=prefix or None, client_options=_CLIENT, retry_config=_RETRY)
    except (ValueError, obstore.exceptions.BaseError) as exc:
        raise StorageError("S3 cannot be used as configured; check the AWS_... variables.") from exc
