#!/usr/bin/env python3
"""Make the README's before/after picture with the installed superres.

    .venv/bin/python scripts/before_after.py

Left of each pair: the small original enlarged by bicubic interpolation; right: by superres with
its defaults. The pictures ship with scikit-image and are free: astronaut (NASA), coffee (Rachel
Michetti) and chelsea the cat (Stéfan van der Walt) are in the public domain or CC0.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import superres

SCALE, SIDE, GAP = 4, 96, 8
OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "before_after.jpg"
CROPS = {"astronaut": (65, 10), "coffee": (100, 50), "chelsea": (60, 40)}


def main() -> None:
    side = SIDE * SCALE
    sheet = Image.new("RGB", (2 * side + GAP, len(CROPS) * (side + GAP) - GAP), "white")
    for row, (name, (x, y)) in enumerate(CROPS.items()):
        photo = Image.fromarray(getattr(data, name)())
        small = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)
        small = small.crop((x, y, x + SIDE, y + SIDE))
        before = small.resize((side, side), Image.Resampling.BICUBIC)
        after = Image.fromarray(superres.upscale(np.asarray(small), SCALE))
        sheet.paste(before, (0, row * (side + GAP)))
        sheet.paste(after, (side + GAP, row * (side + GAP)))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(OUT, quality=90)
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
