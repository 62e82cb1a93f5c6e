"""Engines for tests of the pipeline: an honest one that sharpens, and one that goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from superres.engines.base import Engine, Session, TileProgram, TileResult
from superres.engines.memory import TileMemory
from superres.pipeline import Upscaler
from superres.settings import EngineSettings, LimitsSettings, Settings


def enlarged(source: np.ndarray, scale: int, kind: str = "cubic") -> np.ndarray:
    """``(h, w, c)`` floats, resampled plainly and clipped to 0…1."""
    how = {"cubic": "BICUBIC", "linear": "BILINEAR", "nearest": "NEAREST"}[kind]
    size = (source.shape[1] * scale, source.shape[0] * scale)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(source[..., c])).resize(
                size, Image.Resampling[how]
            )
        )
        for c in range(source.shape[2])
    ]
    return np.clip(np.stack(planes, axis=-1), 0, 1)


def reduced(pixels: np.ndarray, scale: int) -> np.ndarray:
    h, w, c = pixels.shape
    return pixels.reshape(h // scale, scale, w // scale, scale, c).mean((1, 3))


def sharpened(source: np.ndarray, scale: int) -> np.ndarray:
    """What a good network does: more contrast along edges, the same when reduced again."""
    if scale == 1:
        return source.copy()
    smooth = enlarged(source, scale)
    planes = [
        np.asarray(Image.fromarray(smooth[..., c]).convert("F")) - _blurred(smooth[..., c], scale)
        for c in range(smooth.shape[2])
    ]
    sharp = smooth + 0.8 * np.stack(planes, axis=-1)
    return (sharp - (reduced(sharp, scale) - source).repeat(scale, 0).repeat(scale, 1)).astype(
        np.float32
    )


def _blurred(plane: np.ndarray, radius: int) -> np.ndarray:
    size = 2 * radius + 1
    padded = np.pad(plane, radius, mode="edge")
    rows = np.lib.stride_tricks.sliding_window_view(padded, size, 0).mean(-1)
    return np.lib.stride_tricks.sliding_window_view(rows, size, 1).mean(-1)


def result_of(source: np.ndarray, sharp: np.ndarray, program: TileProgram) -> TileResult:
    """The engine's answer with these full-size values."""
    pixels = sharp if program.channels == 3 else sharp.mean(2, keepdims=True)
    if program.quantised:
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    errors = None if program.guarded else np.zeros((1, *program.window), np.float32)
    small = reduced(sharp, program.scale).astype(np.float32)
    return TileResult(pixels.astype(np.uint8 if program.quantised else np.float32), small, errors)


class SharpEngine:
    """Computes in the caller's thread; both precisions alike.

    Args:
        ripple: height of a pattern it adds everywhere, as networks do in areas without content.
    """

    def __init__(self, ripple: float = 0.0) -> None:
        self._ripple = ripple
        self.memory = TileMemory(self.streams)

    name = "sharp"
    device = "cpu"
    streams = 2
    resamples = False

    @property
    def precisions(self) -> Sequence[str]:
        return ("f16", "f32")

    def load(self, program: TileProgram, precision: str) -> Session:
        ripple = np.float32(self._ripple)

        class Sharp:
            def submit(self, image: np.ndarray) -> Future[TileResult]:
                future: Future[TileResult] = Future()
                source = image.transpose(1, 2, 0)
                sharp = sharpened(source, program.scale)
                sharp[::2] += ripple
                sharp[1::2] -= ripple
                future.set_result(result_of(source, sharp, program))
                return future

            def trim(self) -> None:
                """Nothing to give back."""

        return Sharp()


Fault = Callable[[np.ndarray, TileResult, TileResult | None], TileResult]
"""The image, the right answer and the answer to the tile before: what to answer instead."""


class FaultyEngine:
    """Answers wrongly in some precisions, from the tile ``after`` on.

    Args:
        engine: that computes.
        fault: what goes wrong.
        where: precisions in which it does.
        after: how many tiles are right first.
    """

    def __init__(
        self, engine: Engine, fault: Fault, where: Sequence[str] = ("f16",), after: int = 0
    ) -> None:
        self._engine, self._fault, self._where, self._after = engine, fault, where, after
        self.name, self.device, self.streams = engine.name, engine.device, engine.streams
        self.resamples, self.memory = False, engine.memory
        self.submitted: list[tuple[str, bool]] = []
        self._before: TileResult | None = None
        self._lock = threading.Lock()

    @property
    def precisions(self) -> Sequence[str]:
        return self._engine.precisions

    def load(self, program: TileProgram, precision: str) -> Session:
        outer, inner = self, self._engine.load(program, precision)

        class Faulty:
            def submit(self, image: np.ndarray) -> Future[TileResult]:
                with outer._lock:
                    outer.submitted.append((precision, program.guarded))
                    number = len(outer.submitted)
                    right = inner.submit(image).result(60)
                    before, outer._before = outer._before, right
                    future: Future[TileResult] = Future()
                    if precision in outer._where and number > outer._after:
                        copy = TileResult(
                            right.pixels.copy(),
                            right.reduced.copy(),
                            None if right.errors is None else right.errors.copy(),
                        )
                        try:
                            future.set_result(outer._fault(image, copy, before))
                        except Exception as exc:  # noqa: BLE001 - an engine's own failure
                            future.set_exception(exc)
                    else:
                        future.set_result(right)
                    return future

            def trim(self) -> None:
                inner.trim()

        return Faulty()


@dataclass(frozen=True)
class Place:
    """Folders of one test."""

    root: Path

    def settings(self, **engine: object) -> Settings:
        limits = LimitsSettings(**engine.pop("limits", {}))  # type: ignore[arg-type]
        scratch = self.root / "scratch"
        scratch.mkdir(exist_ok=True)
        chosen = {"device": "fake", "cache_dir": self.root / "cache", "scratch_dir": scratch}
        return replace(Settings(), engine=EngineSettings(**{**chosen, **engine}), limits=limits)

    def upscaler(self, engine: Engine | None = None, **settings: object) -> Upscaler:
        return Upscaler(self.settings(**settings), engine=engine)

    def left_over(self) -> list[Path]:
        return list((self.root / "scratch").iterdir())


def photo(height: int, width: int, channels: int = 3, seed: int = 0, top: int = 255) -> np.ndarray:
    """Soft blobs with a few hard edges, ``(h, w, c)`` of uint8, or uint16 for a ``top`` above."""
    rng = np.random.default_rng(seed)
    planes = [
        np.asarray(
            Image.fromarray(rng.random((5, 5), np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        ).copy()
        for _ in range(channels)
    ]
    picture = np.stack(planes, axis=-1)
    for _ in range(12):
        y, x = rng.integers(0, height), rng.integers(0, width)
        h, w = rng.integers(2, 12, 2)
        picture[y : y + h, x : x + w] = rng.random(channels)
    kind = np.uint8 if top == 255 else np.uint16
    return np.rint(picture * top).astype(kind)
