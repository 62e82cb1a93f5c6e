"""A file that is there whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from superres.errors import StorageError


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Callable[[Any], None]]:
    """Open ``target`` anew and yield what writes a buffer of bytes to it.

    Whatever fails within removes the file again.

    Raises:
        StorageError: it cannot be written, for want of room most likely.
    """
    with _translated():
        file = target.open("wb")

    def write(chunk: Any) -> None:
        with _translated():
            file.write(chunk)

    try:
        yield write
        with _translated():
            file.close()
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError("What was to be read cannot be kept; make room on the disk.") from exc
