"""Labels on the sheet, from a drawn alphabet: the same on machines with and without fonts."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from superres.scorecard.degrade import photo_of
from superres.scorecard.resample import Photo

HEIGHT = 19
"""Pixels of a line of text."""
_FIRST = 32


@cache
def _cells() -> tuple[NDArray[np.uint8], ...]:
    """Coverage 0…255 of the characters from 32 on, made by scripts/make_letters.py."""
    file = resources.files("superres.scorecard").joinpath("letters.png").read_bytes()
    sheet = photo_of(file)[..., 0]
    starts = np.flatnonzero(sheet[0] == 255)
    return tuple(np.split(sheet[1:], starts[1:], axis=1))


def _of(text: str) -> list[NDArray[np.uint8]]:
    plain = text.replace("×", "x").replace("–", "-").replace("…", "...")
    codes = (ord(c) - _FIRST if c.isascii() and c.isprintable() else 31 for c in plain)
    return [_cells()[code] for code in codes]


def width(text: str) -> int:
    """Pixels that ``text`` takes."""
    return sum(cell.shape[1] for cell in _of(text))


def fitted(text: str, room: int) -> str:
    """``text``, shortened at its end to ``room`` pixels."""
    if width(text) <= room:
        return text
    while text and width(text + "...") > room:
        text = text[:-1]
    return text + "..."


def write(page: Photo, y: int, x: int, text: str, *, ink: int = 40) -> None:
    """Write a line onto ``page``, its top left corner at ``(y, x)``; what sticks out is cut."""
    cells = _of(text)
    if not cells:
        return
    line = np.concatenate(cells, 1)[: max(0, page.shape[0] - y), : max(0, page.shape[1] - x)]
    cover = line[..., None].astype(np.float32) / 255
    under = page[y : y + line.shape[0], x : x + line.shape[1]]
    under[:] = np.rint(under * (1 - cover) + ink * cover).astype(np.uint8)
