"""The CPU engine: OpenVINO.

Chosen by measurement (shared/models.md, docs/decisions): with half or bfloat16 arithmetic on
processors that have it, it comes close to the convolution ceiling of the hardware; where
they do not, it is as fast as the best of the others.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from superres.engines.base import Engine, Session, TileProgram, TileResult
from superres.engines.cache import CompiledCache
from superres.engines.memory import TileMemory
from superres.engines.network import NetworkProgram
from superres.engines.torch_lazy import torch_engine
from superres.errors import EngineError, EngineUnavailable, OutOfMemory

_PRECISIONS = {"f16": ("FP16", ov.Type.f16), "bf16": ("BF16", ov.Type.bf16)}


def physical_threads() -> int:
    """Processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@cache
def _core() -> ov.Core:
    """The one core of this process, kept to its end.

    The CPU plugin gives its thread a stack for signal handlers and takes it back at its own
    end, without regard to other cores: of two that end in the order of their making, the
    second leaves the thread with the first one's stack, which is no more, and the next
    signal (Ctrl-C, say) is a segmentation fault.
    """
    # The binding looks numpy up at its first array, in a way that locks up for ever when two
    # threads are there at the same time, each with a first tile (seen): so it is done here.
    ov.Tensor(np.zeros(1, np.float32)).data[:] = 0
    return ov.Core()


class OpenVINOSession:
    """A compiled tile graph with one infer request per stream.

    Requests run in the engine's threads rather than by OpenVINO's callbacks, which are not
    called when an inference fails.
    """

    def __init__(
        self, compiled: ov.CompiledModel, streams: int, workers: ThreadPoolExecutor
    ) -> None:
        self._workers = workers
        self._compiled = compiled
        self._streams = streams
        self._idle: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())
        found = {name for port in compiled.outputs for name in port.names}
        self._names = sorted(found & {"pixels", "reduced", "errors"})

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        return self._workers.submit(self._infer, image)

    def trim(self) -> None:
        taken = []
        with contextlib.suppress(queue.Empty):
            for _ in range(self._streams):
                taken.append(self._idle.get_nowait())  # noqa: PERF401 - some may be taken before Empty
        if len(taken) == self._streams:  # memory in use must stay
            self._compiled.release_memory()
        for request in taken:
            self._idle.put(request)

    def _infer(self, image: NDArray[np.float32]) -> TileResult:
        request = self._idle.get()
        try:
            # A run that fails to write leaves NaN, not an older tile, for the checks to find.
            request.get_tensor("reduced").data[:] = np.nan
            request.get_tensor("image").data[:] = image[None]
            request.infer()
            out = {name: request.get_tensor(name).data for name in self._names}
            return TileResult(
                out["pixels"][0].copy(),
                out["reduced"][0].transpose(1, 2, 0).copy(),
                out["errors"][0].copy() if "errors" in out else None,
            )
        except RuntimeError as exc:
            raise _translated(exc) from exc
        finally:
            self._idle.put(request)


class OpenVINOEngine:
    """OpenVINO on the CPU.

    Args:
        cache_dir: where compiled graphs are kept; None keeps none.
        cache_size: bytes at most in there.
        streams: tiles at a time; 0 chooses one per processor.
        threads: processors to use; 0 takes all this process may use.
        express: threads more than streams, for a short tile beside long ones.
    """

    name = "openvino"
    device = "cpu"
    resamples = False

    def __init__(
        self,
        cache_dir: Path | None = None,
        cache_size: int = 1 << 30,
        streams: int = 0,
        threads: int = 0,
        express: int = 0,
    ) -> None:
        self.threads = threads or physical_threads()
        self.streams = streams or self.threads
        self._core = _core()
        self._cache = CompiledCache(cache_dir, cache_size) if cache_dir else None
        self._lock = threading.Lock()
        self.memory = TileMemory(self.streams)
        self._workers = ThreadPoolExecutor(self.streams + express, "superres-openvino")
        self._torch: Engine | None = None
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._precisions = [p for p, (name, _) in _PRECISIONS.items() if name in capabilities]

    @property
    def precisions(self) -> Sequence[str]:
        return (*self._precisions, "f32")

    def load(self, program: TileProgram, precision: str) -> Session:
        """See :class:`superres.engines.base.Engine`."""
        if precision not in self.precisions:
            raise EngineUnavailable(
                f"This processor has no fast {precision}; choose one of "
                f"{', '.join(self.precisions)}."
            )
        if program.runtime == "torch":
            return self._in_torch().load(program, "f32")
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": self.threads,
            # Pinned, the first stream of every program sits on the same processor: two
            # programs, a tile each, then take twice as long while another processor idles.
            "ENABLE_CPU_PINNING": False,
        }
        # One at a time: compilation is parallel in itself, and a twin finds the cached result.
        with self._lock:
            try:
                compiled = _compiled(program.key, program.build, config, self._cache)
            except RuntimeError as exc:
                raise _translated(exc) from exc
        return OpenVINOSession(compiled, self.streams, self._workers)

    def _in_torch(self) -> Engine:
        """What runs networks that have no ONNX form, on the same processors."""
        with self._lock:
            if self._torch is None:
                self._torch = torch_engine("cpu", threads=self.threads)
            return self._torch


class OpenVINONetwork:
    """A compiled network; one caller at a time, with all the threads it has."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        # A graph rewritten for the processor may give an output a second name; both are right.
        self._names = sorted(name for port in compiled.outputs for name in port.names)
        self._lock = threading.Lock()

    def __call__(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        with self._lock:
            try:
                self._request.get_input_tensor().data[:] = image
                self._request.infer()
                return {name: self._request.get_tensor(name).data.copy() for name in self._names}
            except RuntimeError as exc:
                raise _translated(exc) from exc


def load_network(
    program: NetworkProgram, cache: CompiledCache | None = None, threads: int = 0
) -> OpenVINONetwork:
    """Load a network of one fixed shape, in float32.

    Args:
        cache: where the compilation is kept; None keeps none.
        threads: processors to use; 0 takes all this process may use.

    Raises:
        EngineUnavailable, OutOfMemory: the runtime refuses the network.
        WeightsMissing: from ``program.build``.
    """
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads or physical_threads(),
        "ENABLE_CPU_PINNING": False,
    }
    try:
        return OpenVINONetwork(_compiled(program.key, program.build, config, cache, program.shape))
    except RuntimeError as exc:
        raise _translated(exc) from exc


def _compiled(
    key: str,
    build: Callable[[], bytes],
    config: dict[str, Any],
    cache: CompiledCache | None,
    shape: tuple[int, ...] | None = None,
) -> ov.CompiledModel:
    """The model that ``build`` makes, with its one input of ``shape``, from ``cache`` if there."""

    def compiled() -> ov.CompiledModel:
        model = _core().read_model(build())
        if shape is not None:
            model.reshape(list(shape))
        return _core().compile_model(model, "CPU", config)

    if cache is None:
        return compiled()
    key = f"{key}|{_identity()}|{sorted(config.items())}"
    blob = cache.get(key)
    if blob is not None:
        try:
            return _core().import_model(blob, "CPU", config)
        except RuntimeError:
            cache.drop(key)
    made = compiled()
    cache.put(key, made.export_model().getvalue())
    return made


def _identity() -> str:
    """What a compilation is for: the runtime's version and the processor."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    processor = _core().get_property("CPU", "FULL_DEVICE_NAME")
    return "|".join([ov.__version__, processor, *capabilities])


def _translated(exc: RuntimeError) -> EngineError:
    text = str(exc)
    if "alloc" in text.lower() or "memory" in text.lower():
        return OutOfMemory("The CPU engine ran out of memory; lower [engine] memory_ceiling.")
    return EngineUnavailable(f"The CPU engine failed: {text.strip().splitlines()[-1]}")
