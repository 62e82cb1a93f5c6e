"""The pictures that are measured on: photographs that scikit-image ships."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superres.scorecard import Source

Picture = NDArray[np.uint8]

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


@cache
def photo(name: str) -> Picture:
    """One photograph, uint8 ``(h, w, 3)``."""
    from skimage import data

    return np.ascontiguousarray(getattr(data, name)())


def mosaic(height: int, width: int) -> Picture:
    """A large picture with a photograph's detail: the astronaut over and over, mirrored.

    An enlarged photograph would be smoother than what people have, and cheaper to compress.
    Mirrored copies meet without a step, which the plausibility guard might stumble over.
    """
    once = photo("astronaut")
    pads = [(0, max(0, n - have)) for n, have in zip((height, width), once.shape, strict=False)]
    return np.ascontiguousarray(np.pad(once, [*pads, (0, 0)], "symmetric")[:height, :width])


def square(side: int) -> Picture:
    """The middle of the astronaut, or a mosaic where that is too small."""
    if side > 512:
        return mosaic(side, side)
    start = (512 - side) // 4
    return np.ascontiguousarray(photo("astronaut")[start : start + side, start : start + side])


def save(picture: Picture, path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path


CREDITS = {
    "astronaut": "NASA, public domain; scikit-image",
    "coffee": "Rachel Michetti, CC0; scikit-image",
    "chelsea": "Stéfan van der Walt, CC0; scikit-image",
}
DEBIAN = "lomiri-wallpapers-16.04"
WALLPAPERS = {
    "dogs": ("friends_by_Aitzol_Berasategi", "Aitzol Berasategi"),
    "brushes": ("Picture_1A_by_freespace", "Trevor “Freespace”"),
    "stream": ("life_by_Aitzol_Berasategi", "Aitzol Berasategi"),
}
"""Of Debian's package, those under CC-BY-4.0 that show things of many kinds."""
FOCUS = {"dogs": (0.39, 0.405)}
"""Left and top of the part that is looked at, where the most detailed one is not the face."""
ORDER = ("astronaut", "dogs", "brushes", "coffee", "stream", "chelsea")


def scorecard_photos(folder: Path) -> tuple[list[Source], list[str]]:
    """The photographs of the project's scorecard, and a line for each thing that is not here.

    scikit-image's as they are; Debian's, which are large and soft, reduced by two. ``folder``
    keeps them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Source] = {}
    for name, credit in CREDITS.items():
        path = folder / f"{name}.png"
        if not path.exists():
            save(photo(name), path)
        found[name] = Source(name, path, credit)
    absent = []
    try:
        wallpapers = _wallpapers(folder)
    except (OSError, subprocess.SubprocessError) as error:
        absent.append(f"Debian's {DEBIAN} cannot be had here, so it is left out: {error}")
    else:
        for name, (stem, author) in WALLPAPERS.items():
            credit = f"{author}, CC-BY-4.0; Debian {DEBIAN}"
            path = wallpapers / f"{stem}.jpg"
            found[name] = Source(name, path, credit, reduce=2, focus=FOCUS.get(name))
    return [found[name] for name in ORDER if name in found], absent


def _wallpapers(folder: Path) -> Path:
    """Where the photographs of Debian's package lie; it is fetched by apt and only unpacked."""
    pictures = folder / DEBIAN / "usr" / "share" / "backgrounds"
    if not pictures.is_dir():
        _call(folder, "apt-get", "download", DEBIAN)
        package = next(folder.glob(f"{DEBIAN}_*.deb"), None)
        if package is None:
            raise OSError("apt-get downloaded nothing")
        _call(folder, "dpkg", "-x", package.name, DEBIAN)
    return pictures


def _call(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
