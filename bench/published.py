"""Does the whole way, file in to file out, give the figures that the papers publish?

Runs Set5 and Set14 through the pipeline and prints mean PSNR-Y by the papers' protocol:
8-bit result, BT.601 luma, ``scale`` pixels cut from each border. Run it from the checkout:

    python -m bench.published [--data FOLDER] [--rows faithful,general] [--json FILE]

The pictures are not ours to ship; ``--data`` names the folder that holds Set5 and Set14.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import load

DATA = Path(__file__).resolve().parents[2] / "shared" / "benchmarks"
SETS = (("Set5", 2), ("Set5", 4), ("Set14", 2), ("Set14", 4))

PUBLISHED = {("Set5", 2): 38.08, ("Set5", 4): 32.20, ("Set14", 2): 33.71, ("Set14", 4): 28.66}
"""SPAN ch48, Wan et al., CVPRW 2024."""


@dataclass(frozen=True)
class Row:
    """One way to enlarge; ``reference`` holds known figures by (set, scale)."""

    name: str
    options: UpscaleOptions | None
    scales: tuple[int, ...]
    reference: dict[tuple[str, int], float]

    def options_for(self, scale: int) -> UpscaleOptions:
        assert self.options is not None
        fields = {
            name: getattr(self.options, name) for name in ("model", "fidelity", "colour_lock")
        }
        return UpscaleOptions(scale=scale, **fields)


def _row(name: str, model: str, fidelity: float, lock: bool, set5: float, set14: float) -> Row:
    options = UpscaleOptions(model=model, fidelity=fidelity, colour_lock=lock)
    return Row(name, options, (4,), {("Set5", 4): set5, ("Set14", 4): set14})


BICUBIC = {("Set5", 2): 33.68, ("Set5", 4): 28.43, ("Set14", 2): 30.33, ("Set14", 4): 26.09}
ROWS = (
    Row("bicubic", None, (2, 4), BICUBIC),
    Row("faithful", UpscaleOptions(model="faithful"), (2, 4), PUBLISHED),
    _row("general raw", "general", 0.0, False, 26.64, 25.19),
    _row("general locked", "general", 0.0, True, 27.27, 25.55),
    _row("general half", "general", 0.5, True, 30.27, 27.52),
    _row("photo raw", "photo", 0.0, False, 26.64, 25.44),
    _row("photo locked", "photo", 0.0, True, 27.23, 25.81),
    _row("photo half", "photo", 0.5, True, 30.29, 27.70),
)


@dataclass(frozen=True)
class Figure:
    """One cell of the table: mean PSNR-Y in dB, over how many pictures, in what time."""

    row: str
    set: str
    scale: int
    psnr_y: float
    reference: float | None
    pictures: int
    seconds: float


def pairs(data: Path, name: str, scale: int) -> Iterator[tuple[Path, Path]]:
    """Files of the small and the true pictures of one set.

    Raises:
        FileNotFoundError: there are none.
    """
    small = sorted((data / name / f"x{scale}").glob("*_LR.png"))
    if not small:
        raise FileNotFoundError(f"There is no {name} for ×{scale} in {data}.")
    return ((path, path.with_name(path.name.replace("_LR", "_HR"))) for path in small)


def psnr_y(result: Path, truth: Path, border: int) -> float:
    """PSNR of luma without the border, dB; grey pictures count as three equal channels."""
    a, b = (_luma(path)[border:-border, border:-border] for path in (result, truth))
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))


def _luma(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as file:
        rgb = np.asarray(file.convert("RGB"), np.float64)
    return rgb @ (np.array([65.481, 128.553, 24.966]) / 255) + 16


def measure(
    upscaler: Upscaler, row: Row, name: str, scale: int, folder: Path, data: Path = DATA
) -> Figure:
    """Enlarge every picture of a set to a PNG file in ``folder`` and compare."""
    values = []
    started = time.perf_counter()
    for small, truth in pairs(data, name, scale):
        target = folder / f"{name}_x{scale}_{small.name}"
        if row.options is None:
            with Image.open(small) as file:
                size = file.width * scale, file.height * scale
                file.resize(size, Image.Resampling.BICUBIC).save(target)
        else:
            upscaler.upscale_file(small, target, row.options_for(scale))
        values.append(psnr_y(target, truth, scale))
        target.unlink()
    seconds = time.perf_counter() - started
    mean = float(np.mean(values))
    return Figure(
        row.name, name, scale, mean, row.reference.get((name, scale)), len(values), seconds
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if ``faithful`` is more than 0.03 dB off the paper."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        "bench.published", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of Set5 and Set14")
    parser.add_argument("--rows", default="", help="only rows whose names begin so, by comma")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args(arguments)
    if not asked.data.is_dir():
        print(f"Set5 and Set14 are not at {asked.data}; name their folder: --data", file=sys.stderr)
        return 2
    wanted = tuple(asked.rows.split(","))
    rows = [row for row in ROWS if row.name.startswith(wanted)]
    figures = []
    print(f"{'PSNR-Y, dB':16}" + "".join(f"{f'{name} ×{scale}':>20}" for name, scale in SETS))
    with Upscaler(load()) as upscaler, tempfile.TemporaryDirectory() as folder:
        for row in rows:
            cells = []
            for name, scale in SETS:
                if scale not in row.scales:
                    cells.append(f"{'–':>20}")
                    continue
                figure = measure(upscaler, row, name, scale, Path(folder), asked.data)
                figures.append(figure)
                cells.append(f"{f'{figure.psnr_y:.2f} ({figure.reference:.2f})':>20}")
            print(f"{row.name:16}" + "".join(cells), flush=True)
        print(f"In brackets: published or known. {upscaler.engine.device}, {upscaler.precision}.")
        found = {
            "device": upscaler.engine.device,
            "precision": upscaler.precision,
            "figures": [asdict(figure) for figure in figures],
        }
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    else:
        print(json.dumps(found))
    return int(
        any(
            abs(f.psnr_y - PUBLISHED[f.set, f.scale]) > 0.03 for f in figures if f.row == "faithful"
        )
    )


if __name__ == "__main__":
    sys.exit(main())
