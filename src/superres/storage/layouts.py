"""The three kinds of places that ``[storage] url`` can name."""

from __future__ import annotations

import functools
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
    from obstore.store import ObjectStore as Backend
    from obstore.store import RetryConfig

# A request of ours waits for the answer, so the library's patience (10 tries, 3 minutes) is too
# long. How long one try may take is one of the AWS_... variables.
_RETRY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


class Rooted:
    """All buckets in one place of our own: objects are at ``bucket/key``, escaped."""

    def __init__(self, backend: Backend, *, on_disk: bool) -> None:
        self._backend = backend
        self._on_disk = on_disk

    def place(self, bucket: str, key: str) -> tuple[Backend, str]:
        return self._backend, f"{bucket}/{keys.encode(key, on_disk=self._on_disk)}"

    def file(self, bucket: str, key: str) -> Path | None:
        return None

    def has_bucket(self, bucket: str) -> bool:
        return _first(self._backend, f"{bucket}/") is not None


class Folder(Rooted):
    """A folder with a folder for each bucket."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Without its automatic clean-up: that removes folders under files being written.
            backend = LocalStore(folder)
        except (OSError, ValueError) as exc:
            raise StorageError(
                "The folder for objects cannot be made; change [storage] url or its rights."
            ) from exc
        super().__init__(backend, on_disk=True)
        self._folder = folder

    def file(self, bucket: str, key: str) -> Path:
        return self._folder / self.place(bucket, key)[1]

    def has_bucket(self, bucket: str) -> bool:
        return (self._folder / bucket).is_dir()


class Buckets:
    """Every bucket is one of an S3 service's own, and keys are what they are there."""

    def __init__(self, connect: Callable[[str], Backend]) -> None:
        self._connect = functools.lru_cache(maxsize=64)(connect)

    def place(self, bucket: str, key: str) -> tuple[Backend, str]:
        keys.check(key)
        if key.startswith("/") or key.endswith("/"):  # the library would trim it
            raise BadParameter("A key in S3 that starts or ends with / cannot be read from here.")
        return self._connect(bucket), key

    def file(self, bucket: str, key: str) -> Path | None:
        return None

    def has_bucket(self, bucket: str) -> bool:
        _first(self._connect(bucket), None)  # which fails if there is none
        return True


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
        return S3Store(bucket, prefix=prefix or None, retry_config=_RETRY)
    except (ValueError, obstore.exceptions.BaseError) as exc:
        raise StorageError("S3 cannot be used as configured; check the AWS_... variables.") from exc


def _first(backend: Backend, prefix: str | None) -> object:
    return next(iter(obstore.list(backend, prefix, chunk_size=1)), None)
