"""Do the networks stay plausible on what makes SPAN run away? Figures, and a sheet to look at.

Enlarges noise, checkerboard, stripes, dither, halftone and a fax with every model (and with
the model alone, fidelity 0, where its default mixes) and compares with the bicubic
enlargement of the same input. Writes a contact sheet: a row per pattern, bicubic first, then
each model, the middle of each result at full size.

Bicubic is no truth here, only a bound: whatever is right is not far from it. Goal: at least
15 dB everywhere. A network that has run away is at 5 dB or below, or is not a number.

Floor: none; the time is that of a hundred small pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.report import RESULTS, Goal, Report, Table, program, say
from bench.timing import private_folder, settings
from superres.errors import BadOutput
from superres.models import list_models
from superres.pipeline import UpscaleOptions, Upscaler
from tests.pictures.measures import enlarged, psnr
from tests.pictures.patterns import patterns

LEAST = 15.0
CELL, LABEL = 256, 14
"""Side of a cell of the sheet and height of the text above it, in pixels."""


def variants(quick: bool) -> dict[str, UpscaleOptions]:
    """What is run, by the name it has in the table."""
    found = {}
    for model in list_models():
        if quick and model.ramp:
            continue
        found[model.name] = UpscaleOptions(scale=max(model.native_scales), model=model.name)
        if 0 < model.fidelity < 1:
            found[f"{model.name} alone"] = UpscaleOptions(scale=4, model=model.name, fidelity=0.0)
    found["faithful ×2"] = UpscaleOptions(scale=2, model="faithful")
    return found


def sheet(rows: dict[str, dict[str, NDArray[np.uint8]]]) -> Image.Image:
    """The contact sheet; smaller results are shown by repeating their pixels."""
    columns = list(next(iter(rows.values())))
    height = CELL + LABEL
    made = Image.new("RGB", (len(columns) * (CELL + 4), len(rows) * (height + 4)), "white")
    draw = ImageDraw.Draw(made)
    for y, (pattern, results) in enumerate(rows.items()):
        for x, name in enumerate(columns):
            at = x * (CELL + 4), y * (height + 4)
            times = -(-CELL // results[name].shape[0])
            picture = results[name].repeat(times, 0).repeat(times, 1)
            top, left = ((n - CELL) // 2 for n in picture.shape[:2])
            cell = np.ascontiguousarray(picture[top : top + CELL, left : left + CELL])
            draw.text(at, f"{pattern}: {name}".replace("×", "x"), fill="black")
            made.paste(Image.fromarray(cell), (at[0], at[1] + LABEL))
    return made


def run(asked: argparse.Namespace) -> Report:
    inputs = patterns(asked.side or (64 if asked.quick else 96))
    found: dict[str, dict[str, float | None]] = {name: {} for name in inputs}
    refused: list[str] = []
    shown = {name: {"bicubic": enlarged(picture, 4)} for name, picture in inputs.items()}
    chosen = variants(asked.quick)
    with private_folder() as folder, Upscaler(settings(folder)) as upscaler:
        for variant, options in chosen.items():
            say(f"{variant} …")
            for name, picture in inputs.items():
                try:
                    result = upscaler.upscale_pixels(picture, options)
                except BadOutput as exc:  # no picture is better than garbage, but is no success
                    refused.append(f"{variant} on {name}: {exc}")
                    found[name][variant] = None
                    shown[name][variant] = np.full((CELL, CELL, 3), 128, np.uint8)
                    continue
                plain = enlarged(picture, result.shape[0] // picture.shape[0])
                found[name][variant] = psnr(result, plain)
                shown[name][variant] = result
    asked.sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet(shown).save(asked.sheet)
    table = Table("PSNR against bicubic, dB", ("pattern", *chosen))
    for name, row in found.items():
        cells = (row[variant] for variant in chosen)
        table.rows.append((name, *("refused" if v is None else f"{v:.1f}" for v in cells)))
    value, name, variant = min(
        (value, name, variant)
        for name, row in found.items()
        for variant, value in row.items()
        if value is not None
    )
    goals = [
        Goal(
            f"least of all ({variant} on {name})",
            f"{value:.1f} dB",
            f"≥ {LEAST:g} dB",
            value >= LEAST,
        ),
        Goal("pictures refused (BadOutput)", str(len(refused)), "0", not refused),
    ]
    notes = [f"Contact sheet: {asked.sheet}", *refused]
    if asked.quick:
        notes.append("Quick: without photo and anime.")
    return Report([table], goals, notes, {"psnr": found})


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        default=RESULTS / "guard.png",
        help="where the contact sheet goes [%(default)s]",
    )
    parser.add_argument("--side", type=int, metavar="PIXELS", help="of a pattern, a multiple of 8")


def main(arguments: Sequence[str] | None = None) -> int:
    return program("guard", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
