"""CUDA, and ROCm, which PyTorch calls CUDA too: graphs, streams, pinned memory.

One stream computes, tile after tile: a tile large enough fills the device, and the memory that
networks work in is there once, however many tiles are on their way. Transfers have streams of
their own, one for each tile in flight, so that they happen beside the computing. Only
:func:`_capture` and the calls of ``torch.cuda`` that it and :class:`CudaRun` make need a device.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray

from superres.engines.torch_graph import TorchGraph
from superres.engines.torch_run import tensor_of

_log = logging.getLogger("superres.engines")


class CudaDevice:
    """What all graphs on one device share.

    Attributes:
        device: it.
        stream: that computes. Only who holds ``lock`` puts work into it.
        graphs: captured and alive. They work in one pool of memory, which they may share because
            no two run at a time and what they answer is copied out before the next one begins.
        pool: it. Where no graph is left, PyTorch takes it for gone and refuses its name.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lock = threading.RLock()
        self.stream = torch.cuda.Stream(device)
        self.graphs: WeakSet[Any] = WeakSet()
        self.pool = torch.cuda.graph_pool_handle()


@dataclass
class _Slot:
    """A tile in flight: its stream and its buffers on either side."""

    stream: Any
    host_image: torch.Tensor
    image: torch.Tensor
    results: dict[str, torch.Tensor]
    host_results: dict[str, torch.Tensor]


class CudaRun:
    """A graph that is captured when it is first used (:class:`superres.engines.torch_run.Run`).

    Args:
        graph: to compute, on ``shared.device``.
        window: height and width of its image.
        shared: the device.
        slots: tiles in flight at the same time.
    """

    def __init__(
        self, graph: TorchGraph, window: tuple[int, int], shared: CudaDevice, slots: int
    ) -> None:
        self._graph, self._shape, self._shared = graph, (1, 3, *window), shared
        self._slots, self._in_use = slots, 0
        self._changing = threading.Lock()
        self._places = threading.Semaphore(slots)
        self._idle: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._compute: Callable[[], None] | None = None
        self._image: torch.Tensor | None = None
        self._results: dict[str, torch.Tensor] = {}

    def __call__(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """See :class:`superres.engines.torch_run.Run`."""
        with self._places, torch.inference_mode():
            with self._changing:
                self._in_use += 1
            slot: _Slot | None = None
            try:
                slot = self._slot()
                return self._through(slot, image)
            finally:
                with self._changing:
                    self._in_use -= 1
                    if slot is not None:
                        self._idle.put(slot)

    def trim(self) -> None:
        """See :class:`superres.engines.torch_run.Run`."""
        with self._shared.lock, self._changing:
            if self._in_use:
                return
            with suppress(queue.Empty):
                while True:
                    self._idle.get_nowait()
            self._compute, self._image, self._results = None, None, {}
            give_back()

    def _through(self, slot: _Slot, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        shared = self._shared
        slot.host_image.copy_(tensor_of(image))
        with torch.cuda.stream(slot.stream):
            slot.image.copy_(slot.host_image, non_blocking=True)
            here = slot.stream.record_event()
        with shared.lock, torch.cuda.stream(shared.stream), _exact():
            compute = self._compute or self._begin()
            assert self._image is not None
            shared.stream.wait_event(here)
            self._image.copy_(slot.image)
            # A run that fails to write leaves NaN, not an older tile, for the checks to find.
            self._results["reduced"].fill_(float("nan"))
            compute()
            for name, result in self._results.items():
                slot.results[name].copy_(result)
            done = shared.stream.record_event()
        with torch.cuda.stream(slot.stream):
            slot.stream.wait_event(done)
            for name, result in slot.results.items():
                slot.host_results[name].copy_(result, non_blocking=True)
            # Blocking: a thread that spins would take a processor from the encoder.
            back = torch.cuda.Event(blocking=True)
            back.record(slot.stream)
        back.synchronize()
        return {name: np.array(host.numpy()) for name, host in slot.host_results.items()}

    def _slot(self) -> _Slot:
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        device = self._shared.device
        stream = torch.cuda.Stream(device)
        # Memory that another stream has let go of may still be read there.
        with torch.cuda.stream(stream):
            image = torch.empty(self._shape, device=device)
            kinds = self._kinds().items()
            results = {name: torch.empty_like(s, device=device) for name, s in kinds}
        return _Slot(
            stream,
            _pinned(self._shape, torch.float32),
            image,
            results,
            {name: _pinned(tuple(s.shape), s.dtype) for name, s in results.items()},
        )

    def _kinds(self) -> dict[str, torch.Tensor]:
        """Shapes of what comes out, as tensors without content; rows one after the other."""
        made = self._graph.results.items()
        return {n: torch.empty(tuple(s.shape), dtype=s.dtype, device="meta") for n, s in made}

    def _begin(self) -> Callable[[], None]:
        """Make the buffers that stay where they are, and capture the graph."""
        device, graph = self._shared.device, self._graph
        image = torch.zeros(self._shape, device=device)
        results = {name: torch.empty_like(s, device=device) for name, s in self._kinds().items()}

        def compute() -> None:
            found = graph(image)  # not self: in a circle memory would be kept too long
            for name, kept in results.items():
                kept.copy_(found[name])

        compute()  # loads kernels and makes work spaces, neither of which can be captured
        run: Callable[[], None] = compute
        try:
            run = _capture(compute, self._shared)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as exc:
            if isinstance(exc.__context__, torch.OutOfMemoryError):  # what ended the capture
                raise exc.__context__ from exc
            _log.warning("A network is not captured as a CUDA graph, so it runs without: %s", exc)
        self._image, self._results, self._compute = image, results, run
        return run


def _capture(work: Callable[[], None], shared: CudaDevice) -> Callable[[], None]:
    """``work`` as a CUDA graph; call the result to run it in the current stream.

    The stream is that of the rehearsal, for libraries keep handles by stream. Errors are this
    thread's alone: others go on copying (torch.cuda.graph, cudaStreamCaptureMode).

    Raises:
        RuntimeError: it cannot be captured.
    """
    others = list(shared.graphs)  # alive until this one is in their pool, too
    if not others:
        shared.pool = torch.cuda.graph_pool_handle()
    graph = torch.cuda.CUDAGraph()
    try:
        with (
            _QUIET,
            torch.cuda.graph(
                graph, pool=shared.pool, stream=shared.stream, capture_error_mode="thread_local"
            ),
        ):
            work()
    except BaseException:
        shared.graphs.clear()  # PyTorch may go on taking their pool for one that is captured into
        raise
    shared.graphs.add(graph)

    def replay() -> None:
        graph.replay()

    return replay


_QUIET = threading.Lock()
"""Held while memory is given back, which PyTorch does on all devices, and while one captures."""


def give_back() -> None:
    """Let go of memory that PyTorch keeps for later. Holds up captures, and waits for them."""
    with _QUIET:
        torch.cuda.empty_cache()


@contextmanager
def _exact() -> Iterator[None]:
    """How cuDNN computes: the same bytes every time, and float32 as such.

    Searching for the fastest algorithm (``benchmark``) takes a second for every window and can
    find another one each time. These settings are the process's: whoever of several threads, with
    a device each, is the last to leave sets them back.
    """
    with _SETTING:
        _INSIDE.append(None)
        if len(_INSIDE) == 1:
            _BEFORE.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
            )
    try:
        yield
    finally:
        with _SETTING:
            _INSIDE.pop()
            if not _INSIDE:
                _BEFORE.close()


_SETTING = threading.Lock()
_INSIDE: list[None] = []
_BEFORE = ExitStack()


def _pinned(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory of the computer that a device reads and writes by itself."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)
