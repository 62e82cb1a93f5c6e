"""GPU or processor: whichever computes a tile sooner, measured once and remembered."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine, TileProgram
from superres.engines.presence import device_signs, likely_device
from superres.settings import EngineSettings

_log = logging.getLogger("superres.engines")

_FILE = "fastest.json"
_MODEL, _SCALE, _SIDE, _TILES = "general", 4, 256, 6

_AGREE_DB = 45.0
"""How near a GPU's tile must be to the processor's: half precision comes to 70 dB on this one."""


def fastest(settings: EngineSettings, make: Callable[[str], Engine]) -> str:
    """The device to use where people leave the choice: "cpu" or a GPU's name.

    Without a GPU, or without PyTorch, that is "cpu" at once. Else both compute tiles of one
    model the first time; the answer is kept in the cache folder under the names of the devices
    and the versions of the runtimes. A GPU that cannot be used, or answers otherwise than the
    processor, is logged and left alone.

    Args:
        settings: say where the cache is and what the processor may take.
        make: the engine on a device.
    """
    device = likely_device()
    if device is None:
        return "cpu"
    if find_spec("openvino") is None:
        return device
    key = _key(device, settings)
    file = settings.cache_dir / _FILE
    known = _read(file).get(key)
    if known in ("cpu", device):
        return known
    try:
        tried = {name: _tried(make(name)) for name in (device, "cpu")}
    except Exception as exc:  # noqa: BLE001 - drivers fail in many ways; the processor does not
        _log.warning("The GPU is not used: %s", exc)
        return "cpu"
    agreement = _decibels(tried[device][1], tried["cpu"][1])
    if not agreement >= _AGREE_DB:
        _log.warning(
            "The GPU is not used: what it answers is %.0f dB from the processor's.", agreement
        )
        return "cpu"
    seconds = {name: each[0] for name, each in tried.items()}
    chosen = min(seconds, key=lambda name: seconds[name])
    _log.info(
        "A tile takes %.4f s on %s and %.4f s on the processor: --device auto is %s",
        seconds[device],
        device,
        seconds["cpu"],
        chosen,
    )
    _write(file, {**_read(file), key: chosen})
    return chosen


def _tried(engine: Engine) -> tuple[float, NDArray[Any]]:
    """Seconds for one tile, when several are on their way and all is loaded; and its pixels."""
    from superres.models import get_model
    from superres.models.recipe import make_recipe

    model = get_model(_MODEL)
    recipe = make_recipe(model, _SCALE, model.fidelity)
    window = (_SIDE, _SIDE)
    program = TileProgram(
        key=recipe.key(*window, False),
        window=window,
        scale=_SCALE,
        channels=3,
        quantised=True,
        guarded=False,
        build=lambda: recipe.build(*window, False),
    )
    session = engine.load(program, next(p for p in engine.precisions if p != "bf16"))
    waves = np.sin(
        np.arange(_SIDE, dtype=np.float32) / np.array([[3.0], [5.0], [11.0]], np.float32)
    )
    image = np.asarray((waves[:, :, None] * waves[:, None, :] + 1) / 2, np.float32)
    pixels = session.submit(image).result().pixels
    times = []
    for _ in range(3):
        began = time.perf_counter()
        for future in [session.submit(image) for _ in range(_TILES)]:
            future.result()
        times.append((time.perf_counter() - began) / _TILES)
    return min(times), pixels


def _decibels(one: NDArray[Any], other: NDArray[Any]) -> float:
    """PSNR between two tiles of 8 bits; not a number where one has none."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _key(device: str, settings: EngineSettings) -> str:
    versions = []
    for name in ("superres", "torch", "openvino"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    processor = platform.processor() or platform.machine()
    share = f"{os.cpu_count()} {settings.threads} {settings.streams}"
    return " | ".join([device, *device_signs(), *versions, processor, share])


def _read(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: Path, content: dict[str, str]) -> None:
    """A folder that cannot be written costs the measurement every time, nothing else."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as made:
            json.dump(content, made)
        Path(made.name).replace(file)
