"""A folder for the files of requests in flight, which is removed even if its process was killed.

Whether a process still lives cannot be told from its number: in containers the server is often
number 1 each time, and two containers that share the folder do not see each other's processes.
So each folder has a file beside it that its process keeps locked for life; whoever can lock it
knows that nobody uses the folder any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from superres.locks import try_lock as _try_lock

_LOCK = ".lock"


class Spool:
    """A new folder, for its owner only, in a folder shared by all servers on the same data.

    Those of processes that are no more are removed first.

    Args:
        parent: the shared folder; made if it is not there.

    Attributes:
        folder: the new one.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for lock in parent.glob(f"*{_LOCK}"):
            _clear(lock)
        self._lock, self._descriptor = _locked(parent)
        self.folder = self._lock.with_suffix("")
        try:
            self.folder.mkdir(mode=0o700)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder and all in it, and let the lock go. Safe to repeat."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _remove(self._lock, descriptor)


def _locked(parent: Path) -> tuple[Path, int]:
    """A new file in ``parent`` and the descriptor that holds its lock."""
    while True:
        descriptor, name = tempfile.mkstemp(f"{_LOCK}", f"{os.getpid()}-", parent)
        # Another process that starts now may have seen the file before it was locked.
        if _try_lock(descriptor) and _is_same(descriptor, Path(name)):
            return Path(name), descriptor
        os.close(descriptor)


def _clear(lock: Path) -> None:
    """Remove the folder of ``lock`` if its process is no more."""
    try:
        descriptor = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # another process was first
        return
    if _try_lock(descriptor) and _is_same(descriptor, lock):
        _remove(lock, descriptor)
    else:
        os.close(descriptor)


def _remove(lock: Path, descriptor: int) -> None:
    """The folder first: as long as it is there its lock is, so that somebody tries again."""
    folder = lock.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    if sys.platform == "win32":  # an open file cannot be removed there
        os.close(descriptor)
    if not folder.exists():
        with contextlib.suppress(OSError):
            lock.unlink()
    if sys.platform != "win32":
        os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
