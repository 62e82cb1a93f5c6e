"""``superres upscale``: options that contradict each other or are out of range."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from superres.errors import BadParameter

if TYPE_CHECKING:
    from superres.cli.plan import Destination


def check(given: dict[str, Any]) -> None:
    """Refuse what contradicts itself or is out of range, before anything is loaded.

    Raises:
        BadParameter: something does.
    """
    sizes = [name for name in ("scale", "megapixels") if given[name] is not None]
    if given["width"] is not None or given["height"] is not None:
        sizes.append("width" if given["width"] is not None else "height")
    if len(sizes) > 1:
        raise BadParameter(f"--{sizes[0]} and --{sizes[1]} exclude each other; give one of them.")
    if given["resume"] and given["overwrite"]:
        raise BadParameter(
            "--resume keeps finished results and --overwrite replaces them; give one of them."
        )
    if given["restore_strength"] is not None and given["restore"] is None:
        raise BadParameter(
            "--restore-strength is how much --restore shows; name a network with --restore, too."
        )
    ranges: dict[str, tuple[float, float]] = {"scale": (1, 16), "fidelity": (0, 1)}
    ranges |= {"restore_strength": (0, 1), "denoise": (0, 1)}
    ranges |= {"quality": (1, 100), "jobs": (1, 64), "width": (1, math.inf)}
    ranges |= {"height": (1, math.inf), "megapixels": (sys.float_info.min, math.inf)}
    for name, (least, most) in ranges.items():
        value = given[name]
        if value is None or (least <= value <= most and math.isfinite(value)):
            continue
        expected = f"from {least:g} to {most:g}" if most < math.inf else "more than 0"
        option = name.replace("_", "-")
        raise BadParameter(f"--{option} must be {expected}, not {value:g}.")


def check_format(
    where: Destination, file_format: str | None, quality: int | None, lossless: bool
) -> None:
    """Refuse format options that say different things.

    Raises:
        BadParameter: they do.
    """
    from superres.imageio import format_name

    named = format_name(file_format) if file_format else None
    implied = format_name(where.file.suffix) if where.file else None
    if named and implied and named != implied:
        raise BadParameter(
            f"--format {named} contradicts the name {where.file}; change one of them."
        )
    final = named or implied
    if quality is not None and final not in ("jpeg", "webp"):
        have = f"{final.upper()} has none" if final else "the result would be PNG"
        raise BadParameter(
            f"--quality is for JPEG and WebP and {have}; add --format jpeg or --format webp."
        )
    if lossless and final == "jpeg":
        raise BadParameter("--lossless cannot be had in JPEG; choose png, webp or tiff.")
    if lossless and quality is not None:
        raise BadParameter("--lossless and --quality exclude each other; give one of them.")
