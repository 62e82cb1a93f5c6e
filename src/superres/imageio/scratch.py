"""Scratch space on disk that leaves nothing behind.

On Linux each file is nameless from birth (``O_TMPFILE``, or unlinked at once), so the kernel
takes the space back even after ``kill -9``. Elsewhere files live in one folder per
:class:`Scratch`, removed on exit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from superres.errors import OutOfMemory

# libvips opens scratch files by name; /proc gives a nameless file one, on Linux only.
_NAMELESS = sys.platform == "linux" and Path("/proc/self/fd").is_dir()


class ScratchFile:
    """One open scratch file of a fixed size, read and written at offsets.

    Attributes:
        fd: file descriptor, open for reading and writing.
        size: length in bytes.
    """

    def __init__(self, fd: int, name: Path | None, size: int) -> None:
        self.fd = fd
        self.size = size
        self._name = name

    @property
    def path(self) -> str:
        """A name under which this process can open the file again while it is open here."""
        return str(self._name) if self._name is not None else f"/proc/self/fd/{self.fd}"

    @property
    def closed(self) -> bool:
        """Whether the file is gone."""
        return self.fd < 0

    def close(self) -> None:
        """Give the disk space back (once every mapping of it is gone). Safe to repeat."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self._name is not None:
            # Windows refuses while the file is mapped; the folder's removal tries again.
            with contextlib.suppress(OSError):
                self._name.unlink()


class Scratch:
    """A place for temporary files, as a context manager.

    Args:
        root: folder to work in; the system's temporary folder if None. A folder in memory
            (tmpfs) works but counts against the memory it is meant to save.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(root) if root is not None else Path(tempfile.gettempdir())
        self._directory: Path | None = None
        self._files: list[ScratchFile] = []

    def check_free(self, size: int) -> None:
        """Raise OutOfMemory if ``size`` bytes do not fit on the scratch disk."""
        try:
            free = shutil.disk_usage(self.root).free
        except OSError as exc:
            raise OutOfMemory(
                f"The scratch folder {self.root} cannot be used ({exc.strerror}); "
                "set [engine] scratch_dir to a folder that exists."
            ) from exc
        if size > free:
            raise OutOfMemory(_no_room(self.root, size, free))

    def new_file(self, size: int) -> ScratchFile:
        """A new file of ``size`` zero bytes.

        Raises:
            OutOfMemory: the disk lacks the room or the folder cannot be written.
        """
        self.check_free(size)
        fd = -1
        try:
            fd, name = self._open()
            os.ftruncate(fd, size)
        except OSError as exc:
            if fd >= 0:
                os.close(fd)
            raise OutOfMemory(
                f"No scratch file can be made in {self.root} ({exc.strerror}); "
                "set [engine] scratch_dir to a folder that can be written."
            ) from exc
        file = ScratchFile(fd, name, size)
        self._files = [old for old in self._files if not old.closed]
        self._files.append(file)
        return file

    def _open(self) -> tuple[int, Path | None]:
        if _NAMELESS:
            with contextlib.suppress(OSError, AttributeError):
                return os.open(self.root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), None
            # Some file systems (NFS, older overlayfs) know no O_TMPFILE.
            fd, name = tempfile.mkstemp(prefix="superres-", dir=self.root)
            Path(name).unlink()
            return fd, None
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="superres-", dir=self.root))
        fd, name = tempfile.mkstemp(dir=self._directory)
        return fd, Path(name)

    def close(self) -> None:
        """Close and remove everything made here. Safe to repeat."""
        for file in self._files:
            file.close()
        self._files.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A forgotten Scratch must not hold disk space until the process ends.
        with contextlib.suppress(Exception):
            self.close()


def _no_room(root: Path, size: int, free: int) -> str:
    return (
        f"The work needs {size / 1e9:.1f} GB in {root}, which has {free / 1e9:.1f} GB free; "
        "set [engine] scratch_dir to a folder on a larger disk."
    )
