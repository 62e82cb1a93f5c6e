"""The bytes of one input file, in memory or open on disk, read at any offset."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from superres.errors import InputError
from superres.imageio.limits import Limits
from superres.imageio.positioned import read_at
from superres.imageio.vips import library

_READ_STEP = 1 << 20


class Content:
    """An input's bytes; the file is opened once, so sniffing and decoding see the same one.

    Args:
        source: a path, or the bytes themselves. Pipes and devices are read into memory.
        limits: ``max_input_bytes`` is enforced here.

    Raises:
        InputError: the path cannot be opened or read.
        ImageTooLarge: more bytes than allowed.
    """

    def __init__(self, source: Path | bytes, limits: Limits) -> None:
        self._fd: int | None = None
        self._data: bytes | None = None
        if isinstance(source, bytes):
            limits.check_bytes(len(source))
            self._data = source
            self.size = len(source)
            return
        try:
            fd = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or "the name is not valid"
            raise InputError(f"{Path(source).name!r} cannot be opened: {reason}.") from exc
        try:
            info = os.fstat(fd)
            if stat.S_ISDIR(info.st_mode):
                raise InputError(f"{Path(source).name!r} is a folder, not a picture.")
            if stat.S_ISREG(info.st_mode):
                limits.check_bytes(info.st_size)
                self._fd, self.size = fd, info.st_size
            else:
                self._data = _read_stream(fd, limits)
                self.size = len(self._data)
        except OSError as exc:
            raise InputError(f"{Path(source).name!r} cannot be read: {exc.strerror}.") from exc
        finally:
            if self._fd is None:
                os.close(fd)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer at the end of the file."""
        if self._data is not None:
            return self._data[offset : offset + length]
        fd = self._descriptor()
        # What a damaged file calls an offset may be more than the system can seek to.
        buffer = bytearray(max(0, min(length, self.size - offset)))
        try:
            count = read_at(fd, memoryview(buffer), offset) if buffer else 0
        except OSError as exc:
            raise InputError(f"The file cannot be read: {exc.strerror}.") from exc
        return bytes(buffer[:count])

    def vips_source(self) -> Any:
        """A fresh ``pyvips.Source`` over the whole content. Keep ``self`` open while used."""
        sources = library().Source
        if self._data is not None:
            return sources.new_from_memory(self._data)
        fd = self._descriptor()
        # A duplicate shares its file offset with ours, so start it at the beginning.
        os.lseek(fd, 0, os.SEEK_SET)
        return sources.new_from_descriptor(fd)

    def _descriptor(self) -> int:
        if self._fd is None:
            raise InputError("The file has been closed already.")
        return self._fd

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read_stream(fd: int, limits: Limits) -> bytes:
    """Everything from a pipe, stopping as soon as the limit is passed."""
    parts: list[bytes] = []
    total = 0
    while part := os.read(fd, _READ_STEP):
        parts.append(part)
        total += len(part)
        limits.check_bytes(total)
    return b"".join(parts)
