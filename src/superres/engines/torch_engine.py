"""The GPU engine: PyTorch, on CUDA, ROCm and MPS, and on the processor.

It computes the same tile graph as the CPU engine (:mod:`superres.engines.torch_graph`), the
networks in half precision with channels last where the device likes that, the head in float32.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from superres.engines.base import TileProgram, TileResult
from superres.engines.memory import EAGER, DeviceMemory, TileMemory
from superres.engines.torch_cuda import CudaDevice, CudaRun, give_back
from superres.engines.torch_graph import TorchGraph
from superres.engines.torch_run import PlainRun, Run
from superres.engines.turns import Turns
from superres.errors import EngineError, EngineUnavailable, OutOfMemory
from superres.models.listing import read_listing

DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
"""What precisions are called in PyTorch."""

_STREAMS = {"cpu": 1, "mps": 2, "cuda": 3}
"""Tiles in flight: one going in, one being computed, one coming out."""

_FULL = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "ALLOC_FAILED",  # cuDNN's and cuBLAS's
    "Invalid buffer size",  # MPS's
)


class TorchSession:
    """A tile graph on one device, run in the engine's threads."""

    def __init__(self, engine: TorchEngine, run: Run, workers: ThreadPoolExecutor) -> None:
        self._engine, self._run, self._workers = engine, run, workers

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        """See :class:`superres.engines.base.Session`."""
        return self._workers.submit(self._infer, image)

    def trim(self) -> None:
        """See :class:`superres.engines.base.Session`."""
        self._run.trim()

    def _infer(self, image: NDArray[np.float32]) -> TileResult:
        engine = self._engine
        try:
            with engine.turns.together():
                return self._computed(image)
        except OutOfMemory:
            pass  # and what the failed attempt holds on to is let go, by leaving this block
        with engine.turns.alone():
            engine.give_back()
            return self._computed(image)

    def _computed(self, image: NDArray[np.float32]) -> TileResult:
        try:
            out = self._run(image)
        except (RuntimeError, MemoryError) as exc:
            raise translated(exc, self._engine.device) from exc
        return TileResult(
            out["pixels"][0],
            np.ascontiguousarray(out["reduced"][0].transpose(1, 2, 0)),
            out["errors"][0] if "errors" in out else None,
        )


class TorchEngine:
    """PyTorch on one device.

    Args:
        device: "cpu", "cuda", "cuda:N" or "mps".
        streams: tiles in flight; 0 chooses by the device.
        threads: processors to use on "cpu"; 0 leaves it to PyTorch.
        express: threads more than streams, for a short tile beside long ones.

    Raises:
        EngineUnavailable: the device is not there, or this PyTorch cannot use it.
    """

    name = "torch"
    resamples = False

    def __init__(
        self, device: str = "cpu", *, streams: int = 0, threads: int = 0, express: int = 0
    ) -> None:
        self.torch_device = _found(device)
        kind = self.torch_device.type
        self.device = "torch" if kind == "cpu" else str(self.torch_device)
        self.streams = streams or _STREAMS[kind]
        self.threads = threads
        self.title = _title(self.torch_device)
        self.turns = Turns()
        self._express = express
        self._precisions = _precisions(self.torch_device)
        self._cuda = CudaDevice(self.torch_device) if kind == "cuda" else None
        self.memory = _memory(self.torch_device, self.streams)
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(self.streams + express, "superres-torch")

    @property
    def precisions(self) -> Sequence[str]:
        """See :class:`superres.engines.base.Engine`."""
        return self._precisions

    def load(self, program: TileProgram, precision: str) -> TorchSession:
        """See :class:`superres.engines.base.Engine`."""
        if precision not in self._precisions:
            raise EngineUnavailable(
                f"{self.title} has no fast {precision}; choose one of "
                f"{', '.join(self._precisions)}."
            )
        # One at a time: what takes long is Python's, and would only take turns.
        with self._lock:
            listing = read_listing(program.build())
            try:
                graph = TorchGraph(
                    listing,
                    program.window,
                    self.torch_device,
                    DTYPES[precision],
                    channels_last=self.torch_device.type != "mps" and torch.version.hip is None,
                )
            except (RuntimeError, MemoryError) as exc:
                raise translated(exc, self.device) from exc
        if self._cuda is not None:
            slots = self.streams + self._express
            return TorchSession(
                self, CudaRun(graph, program.window, self._cuda, slots), self._workers
            )
        run = PlainRun(graph, self.torch_device, self.threads)
        return TorchSession(self, run, self._workers)

    def give_back(self) -> None:
        """Let go of memory that PyTorch keeps for later."""
        if self._cuda is not None:
            with self._cuda.lock:
                give_back()
        elif self.torch_device.type == "mps":
            torch.mps.empty_cache()


def translated(exc: BaseException, device: str) -> EngineError:
    """What PyTorch raised, in words of ours."""
    text = str(exc)
    out = isinstance(exc, (torch.OutOfMemoryError, MemoryError))
    if out or any(sign in text for sign in _FULL):
        return OutOfMemory(
            f"The device {device} ran out of memory; close other programs that use it, "
            "or use --device cpu."
        )
    first = text.strip().splitlines()[0][:300] if text.strip() else type(exc).__name__
    return EngineUnavailable(f"PyTorch failed on {device} ({first}); use --device cpu.")


def _found(name: str) -> torch.device:
    """The device called ``name``, after it has computed something."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            if not torch.cuda.is_available():
                raise EngineUnavailable(
                    "PyTorch finds no CUDA or ROCm device; install its driver and the build of "
                    "PyTorch that is for it, or use --device cpu."
                )
            device = torch.device("cuda", device.index or 0)
            count = torch.cuda.device_count()
            if device.index >= count:
                raise EngineUnavailable(
                    f"There is no device {device}; choose one of "
                    f"{', '.join(f'cuda:{n}' for n in range(count))}."
                )
        elif device.type == "mps" and not torch.backends.mps.is_available():
            raise EngineUnavailable(
                "PyTorch finds no Metal device (Apple silicon and macOS 12.3 have one); "
                "use --device cpu."
            )
        torch.ones(1, device=device).add_(1).cpu()
    except RuntimeError as exc:  # a driver too old, a card too old, a card that is full
        raise translated(exc, name) from exc
    return device


def _title(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return {"cpu": "PyTorch on the processor", "mps": "Metal"}[device.type]


def _precisions(device: torch.device) -> tuple[str, ...]:
    """What to compute in, the best first."""
    if device.type == "mps":
        return ("f16", "f32")
    if device.type == "cpu":  # f32 first: this is not the engine for speed
        return ("f32", "bf16", "f16")
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (7, 0):
        return ("f32", "f16")  # no tensor cores, and often a 64th of the speed in f16
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (8, 0):
        return ("f16", "f32")
    return ("f16", "bf16", "f32")


def _memory(device: torch.device, streams: int) -> TileMemory:
    """How large tiles may be, by what is free now."""
    if device.type == "cpu":
        return TileMemory(streams, EAGER)
    if device.type == "mps":
        used = torch.mps.driver_allocated_memory()
        return DeviceMemory(torch.mps.recommended_max_memory() - used, streams)
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return DeviceMemory(free + kept, streams)
