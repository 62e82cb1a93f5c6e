"""One loaded graph on one of PyTorch's devices: an image goes in, arrays come out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from superres.engines.torch_graph import TorchGraph


class Run(Protocol):
    """A graph with its buffers. Thread-safe."""

    def __call__(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """Compute ``(3, h, w)``; blocks. The arrays, by the outputs' names, are the caller's own.

        Raises:
            RuntimeError: PyTorch failed.
        """
        ...

    def trim(self) -> None:
        """Give buffers back that are not in use; they are made again when needed."""
        ...


class PlainRun:
    """Computes in the calling thread: PyTorch's CPU, where that is all there is to do, and MPS.

    Args:
        graph: to compute.
        device: where it lies.
        threads: of the processor; 0 leaves it to PyTorch.
    """

    def __init__(self, graph: TorchGraph, device: torch.device, threads: int = 0) -> None:
        self._graph, self._device, self._threads = graph, device, threads
        # PyTorch's queue to Metal is one, and not made for several threads.
        self._turn = _METAL if device.type == "mps" else contextlib.nullcontext()

    def __call__(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """See :class:`Run`."""
        if self._threads:
            torch.set_num_threads(self._threads)
        with self._turn, torch.inference_mode():
            found = self._graph(tensor_of(image).to(self._device))
            # Copied, for outputs may share memory with each other and with the image.
            return {name: np.array(found[name].cpu().numpy(), order="C") for name in found}

    def trim(self) -> None:
        """Nothing is held between tiles but what the engine gives back as a whole."""


_METAL = threading.Lock()


def tensor_of(image: NDArray[np.float32]) -> torch.Tensor:
    """``(1, 3, h, w)`` of any array, for PyTorch takes none that is turned round or read-only."""
    return torch.from_numpy(np.require(image, np.float32, ["C", "W"]))[None]
