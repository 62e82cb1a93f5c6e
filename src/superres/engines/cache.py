"""Compiled graphs on disk, so that the second start is fast.

An entry is the SHA-256 of its content followed by the content: an engine may crash on a
damaged compilation, so damage has to be found before the engine sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

_SUFFIX = ".blob"


class CompiledCache:
    """Least-recently-used files in one folder. Safe for several processes at a time.

    A cache that cannot be written or read is only slow: no method raises OSError.

    Args:
        folder: made when first needed.
        max_bytes: the oldest entries go when all together are larger.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def _path(self, key: str) -> Path:
        return self._folder / (hashlib.sha256(key.encode()).hexdigest() + _SUFFIX)

    def get(self, key: str) -> bytes | None:
        """The content stored under ``key``, or None if there is none or it is damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read still serves
            os.utime(path)
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            self.drop(key)
            return None
        return data[32:]

    def put(self, key: str, content: bytes) -> None:
        """Store ``content``, then make room."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                try:
                    file.write(hashlib.sha256(content).digest())
                    file.write(content)
                    file.close()
                    Path(file.name).replace(self._path(key))
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            self._prune()
        except OSError:
            return

    def drop(self, key: str) -> None:
        """Forget ``key``."""
        with contextlib.suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _prune(self) -> None:
        entries = [(path, path.stat()) for path in self._folder.glob("*" + _SUFFIX)]
        total = sum(stat.st_size for _, stat in entries)
        for path, stat in sorted(entries, key=lambda entry: entry[1].st_mtime):
            if total <= self._max_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= stat.st_size
