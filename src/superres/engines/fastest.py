"""GPU or processor: whichever computes a tile sooner, measured once and remembered."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from superres.engines.base import Engine, TileProgram
from superres.engines.presence import device_signs, likely_device
from superres.settings import EngineSettings

_log = logging.getLogger("superres.engines")

_FILE = "fastest.json"
_MODEL, _SCALE, _SIDE, _TILES = "general", 4, 256, 6


def fastest(settings: EngineSettings, make: Callable[[str], Engine]) -> str:
    """The device to use where people leave the choice: "cpu" or a GPU's name.

    Without a GPU, or without PyTorch, that is "cpu" at once. Else both compute tiles of one
    model the first time; the answer is kept in the cache folder under the names of the devices
    and the versions of the runtimes. A GPU that cannot be used is logged and left alone.

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
        seconds = {name: _seconds(make(name)) for name in (device, "cpu")}
    except Exception as exc:  # noqa: BLE001 - drivers fail in many ways; the processor does not
        _log.warning("The GPU is not used: %s", exc)
        return "cpu"
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


def _seconds(engine: Engine) -> float:
    """For one tile, when several are on their way, once everything is loaded."""
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
    image = np.random.default_rng(0).random((3, *window), np.float32)
    session.submit(image).result()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        for future in [session.submit(image) for _ in range(_TILES)]:
            future.result()
        times.append((time.perf_counter() - began) / _TILES)
    return min(times)


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
