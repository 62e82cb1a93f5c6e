"""Locks on files, between processes."""

from __future__ import annotations

import sys


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, or the process ends however it does."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
