"""A picture being made: rows and tiles are written into it, the encoder streams it out.

A large canvas is a scratch file written at offsets, not a memory map: dirty mapped
pages count as resident memory of the process until the kernel finds time to write them.
"""

from __future__ import annotations

import mmap
import os
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from superres.errors import BadParameter, ImageTooSmall, OutOfMemory
from superres.imageio.growing import Growing
from superres.imageio.layout import PIXEL_OFFSET, file_parts
from superres.imageio.picture import Pixels
from superres.imageio.positioned import read_at, write_at
from superres.imageio.scratch import Scratch, ScratchFile
from superres.imageio.vips import Image, drive, library

IN_MEMORY_BYTES = 64 * 1024 * 1024
"""Pictures up to this size are held in memory; larger ones on scratch disk."""

VIPS_FORMATS = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}


class Canvas:
    """``(height, width, channels)`` pixels of one dtype, all zero at first.

    Args:
        height, width: in pixels, at least 1.
        channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA.
        dtype: uint8, uint16 or float32, with the ranges of :data:`Pixels`.
        scratch: where a large canvas lives; it must outlive the canvas. None: in memory.
        memory_limit: bytes up to which the canvas is held in memory.

    Raises:
        ImageTooSmall, BadParameter: a size, channel count or dtype that no picture has.
        OutOfMemory: no room in memory or on the scratch disk.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        dtype: DTypeLike,
        scratch: Scratch | None = None,
        *,
        memory_limit: int = IN_MEMORY_BYTES,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if height < 1 or width < 1:
            raise ImageTooSmall(f"A picture of {width} x {height} has no pixels.")
        if channels not in (1, 2, 3, 4) or self.dtype.name not in VIPS_FORMATS:
            raise BadParameter(f"No picture has {channels} channels of {self.dtype.name}.")
        self.height, self.width, self.channels = height, width, channels
        self._pixel = channels * self.dtype.itemsize
        self._row = width * self._pixel
        self._array: NDArray[Any] | None = None
        self._file: ScratchFile | None = None
        if scratch is None or self.nbytes <= memory_limit:
            try:
                self._array = np.zeros(self.shape, self.dtype)
            except MemoryError as exc:
                raise OutOfMemory(
                    f"A picture of {width:,} x {height:,} does not fit in memory."
                ) from exc
        else:
            head, tail_at, tail = file_parts(self.shape, self.dtype)
            self._file = scratch.new_file(tail_at + len(tail))
            self._put(head, 0)
            self._put(tail, tail_at)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)``."""
        return (self.height, self.width, self.channels)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels."""
        return self.height * self._row

    @property
    def on_disk(self) -> bool:
        """Whether the pixels are on scratch disk."""
        return self._array is None

    def write(self, y: int, x: int, block: Pixels) -> None:
        """Copy ``block`` ``(h, w, channels)`` in with its top left corner at ``(y, x)``.

        Blocks as wide as the canvas go out in one write; narrower ones row by row. Blocks
        that do not overlap may be written from several threads.

        Raises:
            BadParameter: the block sticks out, or has another dtype or channel count.
            OutOfMemory: the scratch disk is full.
        """
        if block.ndim != 3 or block.shape[2] != self.channels or block.dtype != self.dtype:
            raise BadParameter(
                f"A block of shape {block.shape} {block.dtype} does not fit a canvas of "
                f"{self.channels} channels of {self.dtype}."
            )
        h, w = block.shape[:2]
        if y < 0 or x < 0 or y + h > self.height or x + w > self.width:
            raise BadParameter(
                f"A block of {w} x {h} at ({x}, {y}) sticks out of a canvas of "
                f"{self.width} x {self.height}."
            )
        if self._array is not None:
            self._array[y : y + h, x : x + w] = block
            return
        rows = np.ascontiguousarray(block)
        offset = PIXEL_OFFSET + y * self._row + x * self._pixel
        if w == self.width:
            self._put(_bytes_of(rows), offset)
            return
        for row in rows:
            self._put(_bytes_of(row), offset)
            offset += self._row

    def _put(self, data: bytes | memoryview, offset: int) -> None:
        file = self._open_file()
        try:
            write_at(file.fd, data, offset)
        except OSError as exc:
            raise OutOfMemory(
                f"The scratch disk cannot take the picture ({exc.strerror}); "
                "set [engine] scratch_dir to a folder on a larger disk."
            ) from exc

    def read(self, y0: int, y1: int) -> NDArray[Any]:
        """A copy of rows ``y0`` to ``y1`` (exclusive): ``(y1 - y0, width, channels)``."""
        if not 0 <= y0 <= y1 <= self.height:
            raise BadParameter(f"Rows {y0} to {y1} are not in a canvas of {self.height} rows.")
        if self._array is not None:
            return self._array[y0:y1].copy()
        file = self._open_file()
        out = np.empty((y1 - y0, self.width, self.channels), self.dtype)
        view = _bytes_of(out)
        if read_at(file.fd, view, PIXEL_OFFSET + y0 * self._row) < view.nbytes:
            raise OutOfMemory("The scratch file was cut short while it was in use.")
        return out

    def array(self, *, read_only: bool = True) -> NDArray[Any]:
        """All pixels as one array that shares them with the canvas, for library use.

        On disk it is a memory map, valid even after the canvas and its scratch are closed.
        """
        if self._array is not None:
            view = self._array.view()
            view.flags.writeable = not read_only
            return view
        file = self._open_file()
        mode: Literal["r", "r+"] = "r" if read_only else "r+"
        return np.memmap(file.path, self.dtype, mode, offset=PIXEL_OFFSET, shape=self.shape)

    def image(self) -> Image:
        """The pixels as a libvips picture; a canvas on disk is streamed, not loaded.

        A streamed picture can be computed once, from top to bottom. The canvas
        must stay open, and unchanged, until the picture has been saved.
        """
        if self._array is not None:
            return image_of(self._array)
        vips = library()
        source = vips.Source.new_from_file(self._open_file().path)
        image = vips.Image.tiffload_source(source, access="sequential", fail_on="error")
        return image.copy(interpretation=_interpretation(self.channels, self.dtype))

    def growing(self) -> Growing:
        """This canvas, which has to be on disk, as a picture to be read while it is written."""
        samples = _interpretation(self.channels, self.dtype)
        return Growing(self._open_file().fd, self._row, self.height, samples)

    def fill_from(self, image: Image) -> None:
        """Compute a libvips picture of this size and sample type into the canvas, streaming.

        Raises:
            pyvips.Error: the picture cannot be computed (the caller knows what it was).
        """
        if self._array is not None:
            data = drive(image, image.write_to_memory)
            self._array[:] = np.frombuffer(data, self.dtype).reshape(self.shape)
            return
        file = self._open_file()
        # The target writes from the descriptor's current position on.
        os.lseek(file.fd, PIXEL_OFFSET, os.SEEK_SET)
        target = library().Target.new_to_descriptor(file.fd)
        drive(image, lambda: image.rawsave_target(target))

    def close(self) -> None:
        """Give the pixels up. Safe to repeat."""
        if self._file is not None:
            self._file.close()
        self._array = None

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_file(self) -> ScratchFile:
        if self._file is None or self._file.closed:
            raise BadParameter("The canvas is closed.")
        return self._file


def image_of(pixels: Pixels) -> Image:
    """A libvips picture over an ``(h, w, c)`` array, without a copy if it is contiguous."""
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels)
    image = library().Image.new_from_memory(
        _bytes_of(rows), width, height, channels, VIPS_FORMATS[rows.dtype.name]
    )
    return image.copy(interpretation=_interpretation(channels, rows.dtype))


def _interpretation(channels: int, dtype: np.dtype[Any]) -> str:
    """What libvips calls these samples; float32 is 0…1 and rescaled by the encoder."""
    if dtype == np.uint16:
        return "grey16" if channels < 3 else "rgb16"
    return "b-w" if channels < 3 else "srgb"


def _bytes_of(rows: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, shared with it (a view cannot be cast if empty)."""
    return memoryview(rows.data).cast("B") if rows.size else memoryview(b"")


def release_pages(pixels: Pixels) -> None:
    """Let go of the memory behind a mapped array; it is read from disk again when needed.

    Mapped pages that were read count as resident memory of the process until the kernel
    wants them back. Call now and then while walking a large picture; harmless otherwise.
    """
    base: Any = pixels
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
