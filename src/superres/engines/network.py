"""Small networks beside the ones that enlarge: any ONNX graph of one fixed shape, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NetworkProgram:
    """A network that can be loaded.

    Attributes:
        key: changes whenever it would compute anything else; names cached compilations.
        shape: of its one input, which the model is brought to if it has another.
        build: its ONNX model; called only if no compilation is cached.
    """

    key: str
    shape: tuple[int, ...]
    build: Callable[[], bytes]


class Network(Protocol):
    """A loaded network. Thread-safe."""

    def __call__(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Compute once; blocks.

        Args:
            image: of the program's shape.

        Returns:
            Its outputs by their names; the arrays are the caller's own.

        Raises:
            EngineError: the runtime failed.
        """
        ...
