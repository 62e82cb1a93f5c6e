"""Objects that are files of this machine: moved in, and read, without the store library.

It would copy what can be moved, and leave what nobody finds when it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from superres.errors import OutputError

_PIECE = 1 << 18
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The store library's own mark for what is being written; no key can have it.
_UNFINISHED = "#1"


def move_file(source: Path, target: Path) -> None:
    """Move ``source`` to ``target``, which is there whole or not at all.

    Raises:
        OutputError: the disk of ``target`` is full.
        OSError: anything else.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(target)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            _copy(source, target)
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        raise OutputError(
            f"The result could not be kept ({exc.strerror}); make room where [storage] url or "
            "[server] data_dir is."
        ) from exc


def _copy(source: Path, target: Path) -> None:
    """From another disk."""
    unfinished = _unfinished(target)
    try:
        shutil.copyfile(source, unfinished)
        unfinished.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    source.unlink()


def discard_file(target: Path) -> None:
    """Remove what a :func:`move_file` to ``target`` left that was killed."""
    _unfinished(target).unlink(missing_ok=True)


def pieces_of(file: BinaryIO, first: int, length: int) -> Iterator[bytes]:
    """Yield ``length`` bytes of an open file from ``first``, or fewer if it ends earlier."""
    if length > 0:
        file.seek(first)
    while length > 0 and (piece := file.read(min(_PIECE, length))):
        length -= len(piece)
        yield piece


def _unfinished(target: Path) -> Path:
    return target.with_name(target.name + _UNFINISHED)
