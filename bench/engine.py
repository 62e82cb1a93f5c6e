"""How fast does each network run, and how much of the machine's ceiling is that?

For every model of the catalogue, as input megapixels per second and as per cent of the
convolution ceiling (bench.ceiling) measured in turns with it:

- *network*: the bare network, in the shipped precision and in f32;
- *tile graph*: what the pipeline runs per tile, with the default fidelity (two networks for
  most models), colour lock, plausibility outputs and quantisation to 8 bits.

Floor: arithmetic. The catalogue's multiply-accumulates per input pixel, twice, divided by
the ceiling. A tile graph counts the operations of its networks only, so what its head
costs shows as a lower percentage.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.ceiling import Network, yardsticks
from bench.report import Report, Table, program, say
from bench.tiles import load
from bench.timing import best, interleaved, private_folder, settings
from superres.engines.base import Session
from superres.models import ModelDescriptor, list_models
from superres.models.recipe import make_recipe
from superres.models.weights import load_network
from superres.pipeline import Upscaler
from superres.pipeline.fitting import plan_pass

SCALE = 4
IN_F32 = ("general", "faithful")
"""Models that a quick run measures in f32 too; the others take seconds a tile."""


def side_for(model: ModelDescriptor, quick: bool) -> int:
    """Side of a window as the pipeline uses; in a quick run smaller where that is slow."""
    side = math.isqrt(model.tile_area) // 16 * 16
    return min(side, 128 if model.ramp else 256) if quick else side


def tiles(session: Session, side: tuple[int, int], batch: int) -> Callable[[], None]:
    """``batch`` tiles through the engine's own session, as many at a time as it likes."""
    image = np.random.default_rng(1).random((3, *side), np.float32)

    def call() -> None:
        for future in [session.submit(image) for _ in range(batch)]:
            future.result()

    return call


def measure(
    model: ModelDescriptor,
    upscaler: Upscaler,
    precision: str,
    ceilings: Mapping[int, tuple[Network, float]],
    quick: bool,
) -> dict[str, float]:
    """Megapixels per second and TFLOP/s of one model in one precision."""
    engine = upscaler.engine
    side = side_for(model, quick)
    batch = engine.streams * (1 if model.ramp else 4)
    network = load_network(model.weights_for(SCALE))
    work: dict[str, Callable[[], object]] = {
        "network": Network(network, (side, side), precision, engine, batch)
    }
    pixels = {"network": side * side * batch}
    mmac = {"network": model.mmac_per_pixel}
    if precision == upscaler.precision or not quick:
        recipe = make_recipe(model, SCALE, model.fidelity)
        ceiling = upscaler.settings.engine.memory_ceiling
        # A picture of exactly two windows a side, so that the plan chooses the window.
        window = plan_pass(recipe, (2 * side, 2 * side, 3), engine, ceiling).window
        session = load(engine, recipe, window, precision)
        work["tile graph"] = tiles(session, window, batch)
        pixels["tile graph"] = window[0] * window[1] * batch
        mmac["tile graph"] = recipe.mmac_per_pixel
    for channels, (convolutions, _) in ceilings.items():
        work[f"ceiling {channels}"] = convolutions
    rounds, least = (2, 0.2) if quick else (5, 0.5)
    seconds = best(interleaved(work, rounds, least))
    found = {}
    for channels, (_, operations) in ceilings.items():
        found[f"ceiling {channels}"] = operations / seconds[f"ceiling {channels}"] / 1e12
    for name, count in pixels.items():
        found[name] = count / seconds[name] / 1e6
        found[f"{name} tflops"] = found[name] * 2 * mmac[name]
    return found


def run(asked: argparse.Namespace) -> Report:
    table = Table(
        f"Engine, ×{SCALE}: input megapixels per second, TFLOP/s, share of the ceiling",
        ("model", "precision", "what", "MMAC/px", "MPx/s", "TFLOP/s", "of 256 ch", "of 64 ch"),
    )
    figures: dict[str, dict[str, float]] = {}
    with private_folder() as folder, Upscaler(settings(folder)) as upscaler:
        precisions = dict.fromkeys((upscaler.precision, "f32"))
        ceilings = {p: yardsticks(upscaler.engine, p) for p in precisions}
        for model in list_models():
            if asked.model and model.name not in asked.model:
                continue
            for precision in precisions:
                if asked.quick and precision != upscaler.precision and model.name not in IN_F32:
                    continue
                say(f"{model.name}, {precision} …")
                found = measure(model, upscaler, precision, ceilings[precision], asked.quick)
                figures[f"{model.name} {precision}"] = found
                recipe = make_recipe(model, SCALE, model.fidelity)
                rows = {"network": model.mmac_per_pixel, "tile graph": recipe.mmac_per_pixel}
                for what, mmac in rows.items():
                    if what not in found:
                        continue
                    speed = found[f"{what} tflops"]
                    shares = (f"{speed / found[f'ceiling {c}']:.0%}" for c in (256, 64))
                    cells = (f"{mmac:.3g}", f"{found[what]:.3g}", f"{speed:.2f}", *shares)
                    table.rows.append((model.name, precision, what, *cells))
    note = "Tile graph: everything the pipeline computes per tile, at the model's default fidelity."
    return Report([table], notes=[note], figures=figures)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="only this one; repeatable"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    return program("engine", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
