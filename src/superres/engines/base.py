"""What an engine is: the runtime that computes tiles on a device.

An engine knows nothing of pictures. It loads a tile graph (``superres.models.graph``) for
one shape and precision and answers tiles, several at a time if the device likes that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from superres.engines.memory import TileMemory


@dataclass(frozen=True)
class TileResult:
    """What the tile graph returned; arrays are the caller's own.

    Attributes:
        pixels: ``(H, W, c)`` uint8 or float32.
        reduced: ``(h, w, 3)`` float32, the result area-reduced to the input's size.
        errors: ``(n, h, w)`` float32, or None from a guarded graph.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    reduced: NDArray[np.float32]
    errors: NDArray[np.float32] | None


@dataclass(frozen=True)
class TileProgram:
    """A tile graph that can be loaded.

    Attributes:
        key: changes whenever the graph would compute anything else; names cached compilations.
        window: height and width of its input.
        scale: output side / input side.
        channels: of the output, 1 or 3.
        quantised: output is uint8 (else float32).
        guarded: whether the plausibility guard is applied.
        build: makes the serialised ONNX model; called only if no compilation is cached.
        runtime: "torch" if some network in it has no ONNX form, so that only PyTorch runs it;
            None: any engine does.
    """

    key: str
    window: tuple[int, int]
    scale: int
    channels: int
    quantised: bool
    guarded: bool
    build: Callable[[], bytes]
    runtime: str | None = None


class Session(Protocol):
    """A loaded program. Thread-safe."""

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        """Compute one tile; may wait for a free slot on the device.

        Args:
            image: ``(3, h, w)`` float32 in [0, 1], h × w the program's window.

        Returns:
            A future that fails with EngineError if the runtime does.
        """
        ...

    def trim(self) -> None:
        """Give back working memory that is only needed while tiles are computed."""
        ...


class Engine(Protocol):
    """One runtime on one device. Thread-safe."""

    name: str
    device: str
    streams: int
    """How many tiles may be on their way through the device at a time."""
    resamples: bool
    """Whether it merely resamples (the fake engine), so that plain output is no fault."""

    @property
    def memory(self) -> TileMemory:
        """How large tiles may be on the device."""
        ...

    @property
    def precisions(self) -> Sequence[str]:
        """What the device computes fast: of "f16", "bf16", "f32", the best first."""
        ...

    def load(self, program: TileProgram, precision: str) -> Session:
        """Load ``program``.

        Raises:
            EngineUnavailable: the runtime refuses the graph or the precision.
            OutOfMemory: it does not fit.
            WeightsMissing: from ``program.build``.
        """
        ...
