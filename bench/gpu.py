"""How fast is the GPU engine, how near the card's ceiling, and is it worth its code?

One command on a machine with a CUDA or ROCm card: ``python -m bench.gpu --json gpu.json``.
(``--device cpu`` goes the same way with tiny sizes, so that this program itself is tested.)

- *Ceiling*: a 3×3 convolution of 256, and of 64, channels with itself, over and over, in half
  precision with channels last: what cuDNN gets out of this card, not what its maker prints.
- *Tiles*: `photo` and `general`, the shipped tile graph in the shipped windows, through the
  engine with as many in flight as it likes: input megapixels per second and per cent of that
  ceiling (the networks' operations only), beside
- *plain PyTorch*: a loop over the same tiles with the bare network, eager, in half precision, one
  after the other, with cuDNN's search for the fastest algorithm. Goal: the engine, which also
  does all that is around the network, at least 1.5 times as fast.
- *Agreement*: the largest difference to the CPU engine in float32, and PSNR. Goal: 60 dB, and in
  float32 one level.
- *A picture*: 4096² ×4 from PNG to PNG, and how much of that is not the passes. Goal: the encoder
  and all else together at most 40 % over the passes.

Floor: arithmetic for the tiles; for the picture the longer of the passes and of 268 megapixels
that have to be filtered and deflated once.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.pictures import mosaic, save
from bench.report import Goal, Report, Table, program, say
from bench.runtimes import flatten, in_torch
from bench.timing import best, interleaved, private_folder, settings
from superres.engines.base import Engine
from superres.engines.torch_engine import DTYPES, TorchEngine
from superres.models import get_model
from superres.models.recipe import Recipe, make_recipe
from superres.models.weights import load_network
from superres.pipeline import UpscaleOptions, Upscaler
from superres.pipeline.fitting import plan_pass
from superres.pipeline.sessions import tile_program
from superres.tiling.window import read_window

MODELS, SCALE = ("photo", "general"), 4
WORTH, AGREES, OVERHEAD = 1.5, 60.0, 1.4
TILES = 8
"""Tiles a round."""


def wait(device: Any) -> None:
    """Until the device has done all it was told."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceiling(engine: TorchEngine, precision: str, channels: int, side: int) -> float:
    """TFLOP/s of convolutions of ``channels`` with themselves."""
    import torch

    device, dtype = engine.torch_device, DTYPES[precision]
    made = torch.rand(1, channels, side, side, device=device)
    image = made.to(dtype, memory_format=torch.channels_last)
    kernel = torch.rand(channels, channels, 3, 3, device=device)
    kernel = kernel.to(dtype, memory_format=torch.channels_last) / (9 * channels)
    count = 20 if device.type == "cuda" else 2

    def call() -> None:
        value = image
        for _ in range(count):
            value = torch.nn.functional.conv2d(value, kernel, padding=1)
        wait(device)

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
        seconds = best(interleaved({"convolutions": call}, 3))["convolutions"]
    return 2.0 * 9 * channels**2 * side**2 * count / seconds / 1e12


def window_of(engine: Engine, recipe: Recipe, side: int, memory: int) -> tuple[int, int]:
    """Height and width of tiles of a large picture."""
    return plan_pass(recipe, (side, side, 3), engine, memory).window


def images(window: tuple[int, int]) -> list[Any]:
    """A few tiles of a photograph, float32 ``(3, h, w)``."""
    height, width = window
    picture = mosaic(height + TILES * 16, width)
    return [
        np.ascontiguousarray(
            read_window(picture, 16 * i, 0, height, width).transpose(2, 0, 1).astype(np.float32)
            / np.float32(255)
        )
        for i in range(TILES)
    ]


def through(engine: Engine, recipe: Recipe, tiles: list[Any], precision: str) -> Callable[[], None]:
    """The tiles through the engine's own session."""
    session = engine.load(tile_program(recipe, tiles[0].shape[1:]), precision)

    def call() -> None:
        for future in [session.submit(tile) for tile in tiles]:
            future.result()

    return call


def plain(engine: TorchEngine, name: str, tiles: list[Any], precision: str) -> Callable[[], None]:
    """The tiles through the bare network, as a PyTorch program without further ado does it."""
    import torch

    device, dtype = engine.torch_device, DTYPES[precision]
    network = flatten(load_network(get_model(name).weights_for(SCALE)))
    constants = {
        key: torch.from_numpy(value.copy()).to(device, dtype)
        for key, value in network.constants.items()
    }
    last = {key: i for i, node in enumerate(network.nodes) for key in node.inputs}
    # The factors of a Resize are read by the processor.
    held = {n.inputs[-1] for n in network.nodes if n.kind == "Resize"}
    constants.update({key: torch.from_numpy(network.constants[key].copy()) for key in held})

    def call() -> None:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for tile in tiles:
                image = torch.from_numpy(tile)[None].to(device, dtype)
                values = {**constants, network.input: image}
                for index, node in enumerate(network.nodes):
                    values[node.output] = in_torch(
                        node, [values[key] for key in node.inputs if key]
                    )
                    for key in node.inputs:
                        if last[key] == index and key not in constants:
                            values.pop(key, None)
                out = values[network.output].float().clamp(0, 1).mul(255).round()
                out.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()

    return call


def agreement(engine: Engine, other: Engine, recipe: Recipe, precision: str) -> tuple[int, float]:
    """Largest difference in levels of the tile graph's result, and PSNR in dB."""
    (tile, *_) = images((96, 128))
    found = [
        each.load(tile_program(recipe, (96, 128)), p).submit(tile).result().pixels.astype(int)
        for each, p in ((engine, precision), (other, "f32"))
    ]
    difference = found[0] - found[1]
    error = float(np.square(difference).mean())
    return int(np.abs(difference).max()), 10 * math.log10(255**2 / max(error, 1e-9))


def tables(asked: argparse.Namespace, engine: TorchEngine, folder: Path, report: Report) -> None:
    """Ceiling, tiles and agreement."""
    from superres.engines.openvino import OpenVINOEngine

    small = engine.torch_device.type == "cpu"
    precision = next(p for p in engine.precisions if p != "bf16")
    side = 64 if small else 1024
    say("Convolutions …")
    top = {c: ceiling(engine, precision, c, side // (c // 64)) for c in (64, 256)}
    report.figures["ceiling"] = top
    report.tables.append(
        Table(
            f"Convolution ceiling of {engine.title}, TFLOP/s, {precision}",
            ("64 → 64 channels", "256 → 256 channels"),
            [(f"{top[64]:.2f}", f"{top[256]:.2f}")],
        )
    )
    rows = Table(
        f"Tiles ×{SCALE}, {precision}, input megapixels per second",
        ("model", "what", "window", "MPx/s", "TFLOP/s", "of the ceiling", "of plain"),
    )
    same = Table("Agreement with the CPU engine in f32", ("model", "precision", "levels", "dB"))
    memory = settings(folder).engine.memory_ceiling
    reference = OpenVINOEngine(cache_dir=folder)
    for name in MODELS:
        say(f"{name} …")
        model = get_model(name)
        bare, shipped = (make_recipe(model, SCALE, f) for f in (0.0, model.fidelity))
        window = (48, 64) if small else window_of(engine, shipped, asked.side, memory)
        tiles = images(window)[: 1 if small else TILES]
        times = best(
            interleaved(
                {
                    "engine, as shipped": through(engine, shipped, tiles, precision),
                    "engine, one network": through(engine, bare, tiles, precision),
                    "plain PyTorch": plain(engine, name, tiles, precision),
                },
                2 if small or asked.quick else 5,
            )
        )
        pixels = len(tiles) * window[0] * window[1]
        mmac = {"engine, as shipped": shipped.mmac_per_pixel}
        for what, seconds in times.items():
            speed = pixels / seconds / 1e6
            flops = speed * 2 * mmac.get(what, model.mmac_per_pixel)
            ratio = times["plain PyTorch"] / seconds
            share = flops / max(top.values())
            report.figures[f"{name}, {what}"] = speed
            shape = f"{window[1]} × {window[0]}"
            cells = (f"{speed:.3g}", f"{flops:.2f}", f"{share:.0%}", f"{ratio:.2f} ×")
            rows.rows.append((name, what, shape, *cells))
        ratio = times["plain PyTorch"] / times["engine, one network"]
        met = None if small else ratio >= WORTH
        report.goals.append(Goal(f"{name} against plain PyTorch", f"{ratio:.2f} ×", "1.5 ×", met))
        for each in dict.fromkeys((precision, "f32")):
            levels, decibels = agreement(engine, reference, shipped, each)
            same.rows.append((name, each, str(levels), f"{decibels:.1f}"))
            good = decibels >= AGREES and (levels <= 1 or each != "f32")
            report.goals.append(Goal(f"{name} {each}", f"{decibels:.1f} dB", "60 dB", good))
    report.tables += [rows, same]


def picture(asked: argparse.Namespace, engine: TorchEngine, folder: Path, report: Report) -> None:
    """A whole picture, from file to file."""
    side = 64 if engine.torch_device.type == "cpu" else asked.side
    table = Table(
        f"{side}² ×{SCALE}, PNG to PNG, seconds",
        ("model", "passes", "decoding and encoding", "altogether", "output MP/s"),
    )
    source = save(mosaic(side, side), folder / "large.png")
    with Upscaler(settings(folder), engine=engine) as upscaler:
        names = MODELS[1:] if engine.torch_device.type == "cpu" else MODELS
        for name in names:
            say(f"{side}² ×{SCALE} by {name} …")
            options = UpscaleOptions(scale=SCALE, model=name)
            upscaler.upscale_file(source, folder / "out.png", options)  # loads and captures
            began = time.perf_counter()
            done = upscaler.upscale_file(source, folder / "out.png", options)
            took = time.perf_counter() - began
            rest = took - done.inference_seconds
            speed = done.out_width * done.out_height / took / 1e6
            cells = (f"{s:.2f}" for s in (done.inference_seconds, rest, took))
            table.rows.append((name, *cells, f"{speed:.0f}"))
            report.figures[f"{name}, picture"] = {"passes": done.inference_seconds, "all": took}
            met = None if side < 4096 else took <= OVERHEAD * done.inference_seconds
            value = f"{took / done.inference_seconds:.2f} ×"
            report.goals.append(Goal(f"{name}: all against the passes", value, "1.4 ×", met))
    report.tables.append(table)


def run(asked: argparse.Namespace) -> Report:
    engine = TorchEngine(asked.device)
    report = Report(notes=[f"{engine.title}; a network that is not captured says so above."])
    with private_folder() as folder:
        tables(asked, engine, folder, report)
        picture(asked, engine, folder, report)
    if engine.torch_device.type == "cpu":
        report.goals = [replace(g, met=None) if "×" in g.value else g for g in report.goals]
    return report


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps, or cpu for a trial")
    parser.add_argument("--side", type=int, default=4096, help="of the picture, in pixels")


def main(arguments: Sequence[str] | None = None) -> int:
    return program("gpu", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
