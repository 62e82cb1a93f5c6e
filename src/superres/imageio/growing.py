"""A canvas on scratch disk that is read while it is still being written, from top to bottom."""

from __future__ import annotations

import os
import threading
from typing import Any

from superres.imageio.layout import PIXEL_OFFSET
from superres.imageio.positioned import read_at
from superres.imageio.vips import Image, library


class Growing:
    """Gives libvips the rows that are finished, and lets it wait for the others.

    Args:
        fd: of the canvas's file, laid out as :mod:`superres.imageio.layout` says.
        row: bytes of a row of pixels.
        height: of the canvas.
        interpretation: what libvips calls its samples.
    """

    def __init__(self, fd: int, row: int, height: int, interpretation: str) -> None:
        self._fd, self._row, self._interpretation = fd, row, interpretation
        self._size = os.fstat(fd).st_size
        self._pixels_end = PIXEL_OFFSET + row * height
        self._there = PIXEL_OFFSET
        self._at = 0
        self._stopped = False
        self._source: Any = None
        self._changed = threading.Condition()

    def grown(self, rows: int) -> None:
        """The first ``rows`` rows are finished."""
        with self._changed:
            self._there = max(self._there, PIXEL_OFFSET + rows * self._row)
            self._changed.notify_all()

    def stop(self) -> None:
        """No more rows will come: whoever waits for them fails."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def image(self) -> Image:
        """The picture, as the canvas gives it; to be computed once, in another thread."""
        vips = library()
        # Kept: pyvips forgets who is to be called when the last Python name of it goes.
        self._source = source = vips.SourceCustom()
        source.on_read(self._read)
        source.on_seek(self._seek)
        image = vips.Image.tiffload_source(source, access="sequential", fail_on="error")
        return image.copy(interpretation=self._interpretation)

    def _read(self, size: int) -> bytes:
        """Libvips' reader; nothing means the end, which in the middle is an error."""
        with self._changed:
            if self._at < self._pixels_end:
                self._changed.wait_for(lambda: self._stopped or self._there > self._at)
                size = min(size, self._there - self._at)
            if self._stopped:
                return b""
        data = bytearray(max(0, min(size, self._size - self._at)))
        count = read_at(self._fd, memoryview(data), self._at)
        self._at += count
        return bytes(data[:count])

    def _seek(self, offset: int, whence: int) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at
