"""Keep what the C library's allocator holds on to small (glibc; elsewhere nothing is done)."""

from __future__ import annotations

import ctypes
import functools
import sys

_M_ARENA_MAX = -8
_ARENAS = 2


@functools.cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None


def limit_arenas() -> None:
    """Let all threads share few heaps. Call before threads are started."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return free memory to the system; takes milliseconds, so do it when idle."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
