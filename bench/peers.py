"""The same weights, the same picture, the same machine: superres against its peers.

Enlarges a photograph four times, 512² to 2048² (with --quick 128² to 512²), pixels in,
8-bit pixels out, in turns with ONNX Runtime, ncnn and, where it can be imported, PyTorch
(bfloat16 autocast and float32). superres runs twice: *raw*, the model alone without colour
lock, which is the peers' work plus this project's checks; and with its defaults, which is
more work (a second network, colour lock). Agreement with ONNX Runtime, float32, shows that
it is the same work; a border of 16 input pixels is left out of it.

Peers take the compact networks whole. RRDBNet would need several gigabytes, so they cut it
into tiles of 192 pixels with 10 around each, as the well-known command line tools do.

Floor: arithmetic, as in bench.engine. Goal on a machine with AMX: raw superres at least 5
times as fast as every peer for `photo` and 4 times for `general` at 512²; on machines
without AMX or AVX512-FP16 not slower than the best of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.pictures import Picture, square
from bench.report import Goal, Report, Table, machine, program, say
from bench.runtimes import Peer, ncnn_runtime, onnx_runtime, torch_runtime
from bench.timing import best, interleaved, private_folder, settings
from superres.engines.peers import enlarger
from superres.models import ModelDescriptor, get_model, list_models
from superres.pipeline import UpscaleOptions, Upscaler

SCALE = 4
EXPECTED = {"photo": 5.0, "general": 4.0}
RAW, DEFAULT, REFERENCE = "superres raw", "superres default", "ONNX Runtime f32"


def peers(model: ModelDescriptor) -> dict[str, Callable[[], Peer]]:
    """Every runtime that is installed, not yet loaded."""
    weights = model.weights_for(SCALE)
    found: dict[str, Callable[[], Peer]] = {REFERENCE: partial(onnx_runtime, weights)}
    if importlib.util.find_spec("ncnn"):
        found["ncnn"] = partial(ncnn_runtime, weights)
        found["ncnn bf16"] = partial(ncnn_runtime, weights, bf16=True)
    if importlib.util.find_spec("torch"):
        found["PyTorch bf16"] = partial(torch_runtime, weights, bf16=True)
        found["PyTorch f32"] = partial(torch_runtime, weights, bf16=False)
    return found


def agreement(a: Picture, b: Picture, border: int) -> float:
    """PSNR in dB without the border."""
    inside = (slice(border, -border),) * 2
    error = np.mean((a[inside].astype(np.float64) - b[inside].astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def measure(
    model: ModelDescriptor, upscaler: Upscaler, side: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Seconds and agreement by runtime."""
    picture = square(side)
    raw = UpscaleOptions(scale=SCALE, model=model.name, fidelity=0.0, colour_lock=False)
    default = UpscaleOptions(scale=SCALE, model=model.name)
    work: dict[str, Callable[[], Picture]] = {
        RAW: partial(upscaler.upscale_pixels, picture, raw),
        DEFAULT: partial(upscaler.upscale_pixels, picture, default),
    }
    results: dict[str, Picture] = {}
    for name, load in peers(model).items():
        work[name] = partial(enlarger(load(), model, model.weights_for(SCALE)), picture)

    def keeping(name: str, call: Callable[[], Picture]) -> None:
        results[name] = call()

    kept = {name: partial(keeping, name, call) for name, call in work.items()}
    seconds = best(interleaved(kept, rounds))
    border = SCALE * min(16, side // 4)
    reference = results[REFERENCE]
    return {
        name: {"seconds": took, "psnr": agreement(results[name], reference, border)}
        for name, took in seconds.items()
    }


def run(asked: argparse.Namespace) -> Report:
    side = asked.side or (128 if asked.quick else 512)
    report = Report()
    with private_folder() as folder, Upscaler(settings(folder)) as upscaler:
        amx = "amx" in machine().get("instructions", "")
        fast = upscaler.precision != "f32"
        for name in asked.model or ("general", "photo", "faithful"):
            say(f"{name} …")
            model = get_model(name)
            # Peers take many seconds for RRDBNet, so that one round says enough for a first look.
            quick = 1 if model.ramp else 3
            found = measure(model, upscaler, side, asked.rounds or (quick if asked.quick else 3))
            report.figures[name] = found
            report.tables.append(_table(name, side, upscaler.precision, found))
            others = {n: row for n, row in found.items() if n not in (RAW, DEFAULT)}
            nearest = min(others, key=lambda n: others[n]["seconds"])
            ratio = others[nearest]["seconds"] / found[RAW]["seconds"]
            limit = EXPECTED.get(name, 1.0) if amx and fast else 1.0
            report.goals.append(
                Goal(
                    f"{name}: raw superres against the fastest peer ({nearest}), {side}²",
                    f"{ratio:.1f} ×",
                    f"≥ {limit:g} ×",
                    ratio >= limit,
                )
            )
            same = found[RAW]["psnr"]
            report.goals.append(
                Goal(
                    f"{name}: same picture as {REFERENCE}", f"{same:.0f} dB", "≥ 45 dB", same >= 45
                )
            )
    if asked.quick:
        report.notes.append(
            f"The goals are meant at 512²; at {side}² a picture is one or two tiles."
        )
    if not importlib.util.find_spec("torch"):
        report.notes.append("PyTorch is not installed, so it was not compared.")
    return report


def _table(name: str, side: int, precision: str, found: dict[str, dict[str, float]]) -> Table:
    table = Table(
        f"{name}, {side}² → {side * SCALE}², superres in {precision}",
        ("runtime", "seconds", "MPx/s in", "superres raw is", "default is", "agrees to"),
    )
    for runtime, row in found.items():
        seconds = row["seconds"]
        ratios = (f"{seconds / found[key]['seconds']:.2f} ×" for key in (RAW, DEFAULT))
        psnr = "reference" if runtime == REFERENCE else f"{row['psnr']:.1f} dB"
        speed = f"{side**2 / seconds / 1e6:.3g}"
        table.rows.append((runtime, f"{seconds:.3g}", speed, *ratios, psnr))
    return table


def _options(parser: argparse.ArgumentParser) -> None:
    names = [model.name for model in list_models()]
    add: Any = parser.add_argument
    add("--model", action="append", choices=names, help="only this one; repeatable")
    add("--side", type=int, metavar="PIXELS", help="of the input; overrides --quick")
    add("--rounds", type=int, metavar="N", help="times for each; overrides --quick")


def main(arguments: Sequence[str] | None = None) -> int:
    return program("peers", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
