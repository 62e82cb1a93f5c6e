#!/usr/bin/env python3
"""Draw the letters of the scorecard's sheet: src/superres/scorecard/letters.png.

    .venv/bin/python scripts/make_letters.py

So that labels look the same on machines without fonts. The typeface is Aileron (Sora Sagano),
CC0, which comes with Pillow. One row of cells for the characters 32 to 126; in the uppermost
line of pixels 255 marks where a cell begins.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, HEIGHT = 15, 20
OUT = Path(__file__).resolve().parents[1] / "src" / "superres" / "scorecard" / "letters.png"


def main() -> None:
    font = ImageFont.load_default(SIZE)
    cells = []
    for code in range(32, 127):
        width = max(1, round(font.getlength(chr(code))))
        cell = Image.new("L", (width, HEIGHT))
        ImageDraw.Draw(cell).text((0, 1), chr(code), 255, font)
        marked = np.asarray(cell).copy()
        marked[0] = 0
        marked[0, 0] = 255
        cells.append(marked)
    Image.fromarray(np.concatenate(cells, 1)).save(OUT, optimize=True)
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
