"""Pictures and works for tests of executors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from superres.executors.base import Work
from superres.imageio import OutputOptions
from superres.pipeline import UpscaleOptions
from superres.settings import EngineSettings, LimitsSettings, Settings, WorkersSettings


def settings(root: Path, *, limits: dict | None = None, **workers: object) -> Settings:
    """Settings with the fake engine and small tiles, so that there are many."""
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    engine = EngineSettings(
        device="fake", cache_dir=root / "cache", scratch_dir=scratch, memory_ceiling=32 << 20
    )
    return replace(
        Settings(),
        engine=engine,
        limits=LimitsSettings(**(limits or {})),
        workers=WorkersSettings(**workers),
    )


def picture(path: Path, width: int, height: int, seed: int = 0) -> Path:
    """A PNG of soft blobs."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path


def quick(root: Path, name: str = "quick", **kind: object) -> Work:
    """A work of some milliseconds."""
    source = picture(root / f"{name}.png", 40, 30)
    return Work(source, root / f"{name}-result", **kind)  # type: ignore[arg-type]


def slow(root: Path, name: str = "slow", side: int = 800, **kind: object) -> Work:
    """A work of a second or more, of many tiles."""
    source = picture(root / f"{name}.png", side, side)
    kind.setdefault("options", UpscaleOptions(output=OutputOptions(compression=0)))
    return Work(source, root / f"{name}-result", **kind)  # type: ignore[arg-type]


def until(predicate: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that happens in another thread or process."""
    end = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def is_right(work: Work, scale: int = 4) -> bool:
    """Whether the result is the fake engine's enlargement of the source."""
    with Image.open(work.source) as before, Image.open(work.target) as after:
        wanted = np.asarray(before).repeat(scale, 0).repeat(scale, 1)
        return bool(np.abs(np.asarray(after).astype(int) - wanted).max() <= 1)
