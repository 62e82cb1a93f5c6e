"""Reading and writing an open file at an offset.

Windows has no calls for this; there, seeking and reading happen under a lock. Then the
file's own position moves, so callers that hand a descriptor on seek first anyway.
"""

from __future__ import annotations

import os
import threading

_NATIVE = hasattr(os, "pwrite") and hasattr(os, "preadv")
_LOCK = threading.Lock()
_STEP = 1 << 24


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; several threads may.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    view = memoryview(data)
    while view.nbytes:
        if _NATIVE:
            count = os.pwrite(fd, view, offset)
        else:
            with _LOCK:
                os.lseek(fd, offset, os.SEEK_SET)
                count = os.write(fd, view[:_STEP])
        view, offset = view[count:], offset + count


def read_at(fd: int, view: memoryview, offset: int) -> int:
    """Fill ``view`` with the bytes at ``offset``; several threads may.

    Returns:
        The number of bytes read, fewer than asked for only at the end of the file.

    Raises:
        OSError: the file cannot be read.
    """
    done = 0
    while done < view.nbytes:
        rest = view[done:]
        if _NATIVE:
            count = os.preadv(fd, [rest], offset + done)
        else:
            with _LOCK:
                os.lseek(fd, offset + done, os.SEEK_SET)
                part = os.read(fd, min(rest.nbytes, _STEP))
            count = len(part)
            rest[:count] = part
        if count == 0:
            break
        done += count
    return done
