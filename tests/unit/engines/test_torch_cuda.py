"""The way of a tile through a CUDA device, walked on the processor.

Streams, events and captured graphs are stand-ins that do at once, in order, what the device would
do later; what they are asked for is noted. Where there is a device, all runs on it as well.
"""

import gc
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from superres.errors import OutOfMemory
from superres.models.listing import read_listing
from tests.contract.toys import WINDOW, answer, program, tile

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-tools")

from superres.engines import torch_cuda  # noqa: E402
from superres.engines.torch_cuda import CudaDevice, CudaRun  # noqa: E402
from superres.engines.torch_engine import TorchEngine, TorchSession  # noqa: E402
from superres.engines.torch_graph import TorchGraph  # noqa: E402

CPU = torch.device("cpu")
CAPTURE = torch_cuda._capture


class Event:
    def __init__(self, **_):
        self.at = None

    def record(self, stream):
        stream.said.append("record")
        self.at = stream

    def synchronize(self):
        assert self.at is not None


class Stream:
    made = 0

    def __init__(self, device):
        assert device == CPU
        Stream.made += 1
        self.said = []

    def record_event(self):
        event = Event()
        event.record(self)
        return event

    def wait_event(self, event):
        assert event.at is not None
        assert event.at is not self
        self.said.append("wait")


@pytest.fixture
def stand_in(monkeypatch):
    current = threading.local()

    @contextmanager
    def stream(which):
        before, current.stream = getattr(current, "stream", None), which
        try:
            yield
        finally:
            current.stream = before

    Stream.made = 0
    handles = itertools.count(1)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, next(handles)))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch_cuda, "_pinned", lambda shape, dtype: torch.empty(shape, dtype=dtype))

    def capture(work, shared):
        assert current.stream is shared.stream
        work()
        return lambda: (captured.append(1), work())

    captured = []
    monkeypatch.setattr(torch_cuda, "_capture", capture)
    captured_stream.of = lambda: getattr(current, "stream", None)
    return captured


def captured_stream():
    return captured_stream.of()


class Graph:
    """As torch.cuda.CUDAGraph: its pool is gone with the last graph in it, and for good."""

    living: dict[object, int]
    gone: set[object]

    def __init__(self):
        self.pool = None

    def replay(self):
        """At once, with the work."""

    def __del__(self):
        if self.pool is not None:
            Graph.living[self.pool] -= 1
            if not Graph.living[self.pool]:
                Graph.gone.add(self.pool)


@pytest.fixture
def capturing(stand_in, monkeypatch):
    """:func:`torch_cuda._capture` itself; the pools of what was captured."""
    Graph.living, Graph.gone = {}, set()
    pools = []

    @contextmanager
    def graph(made, pool, stream, capture_error_mode):
        assert pool not in Graph.gone, "INTERNAL ASSERT FAILED: use_count > 0"
        assert captured_stream() is stream
        assert capture_error_mode == "thread_local"
        pools.append(pool)
        yield
        made.pool = pool
        Graph.living[pool] = Graph.living.get(pool, 0) + 1

    monkeypatch.setattr(torch_cuda, "_capture", CAPTURE)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    return pools


def graph_of(**how):
    listing = read_listing(program(**how).build())
    return TorchGraph(listing, WINDOW, CPU, torch.float32, channels_last=True)


def run_of(slots=2, **how):
    return CudaRun(graph_of(**how), WINDOW, CudaDevice(CPU), slots)


def right(out, seed=0):
    want = np.rint(answer(tile(seed), 2) * 255)
    return np.abs(out["pixels"][0] - want).max() <= 1


def test_a_tile_goes_in_and_comes_out(stand_in):
    run = run_of()
    out = run(tile())
    assert right(out)
    assert out["reduced"].shape == (1, 3, *WINDOW)
    assert out["errors"].shape == (1, 1, *WINDOW)
    for array in out.values():
        assert array.flags.c_contiguous
        array[...] = 7
    assert right(run(tile()))
    assert right(run(tile(1)), 1)
    assert len(stand_in) == 3


def test_copies_wait_for_the_computing_and_the_other_way_round(stand_in):
    run = run_of()
    run(tile())
    (slot,) = [run._idle.get_nowait()]
    assert run._shared.stream.said == ["wait", "record"]
    assert slot.stream.said == ["record", "wait", "record"]


def test_buffers_are_made_once_for_each_tile_in_flight(stand_in):
    run = run_of(slots=3)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda seed: run(tile(seed)), range(40)))
    assert all(right(out, seed) for seed, out in enumerate(results))
    assert run._idle.qsize() <= 3
    assert Stream.made <= 1 + 3


def test_a_run_that_writes_nothing_leaves_no_older_tile(stand_in, monkeypatch):
    monkeypatch.setattr(torch_cuda, "_capture", lambda work, shared: lambda: None)
    run = run_of()
    assert np.isnan(run(tile())["reduced"]).all()


def test_a_network_that_cannot_be_captured_runs_all_the_same(stand_in, monkeypatch, caplog):
    def capture(work, shared):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    monkeypatch.setattr(torch_cuda, "_capture", capture)
    run = run_of()
    assert right(run(tile()))
    assert right(run(tile(1)), 1)
    assert caplog.text.count("not captured as a CUDA graph") == 1


@pytest.mark.parametrize("hidden", [False, True])
def test_no_room_for_a_capture_is_no_room(stand_in, monkeypatch, hidden):
    def capture(work, shared):
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        finally:
            if hidden:  # the capture's own end fails as well
                raise RuntimeError("CUDA error: operation failed due to a previous error")

    monkeypatch.setattr(torch_cuda, "_capture", capture)
    run = run_of()
    with pytest.raises(torch.OutOfMemoryError):
        run(tile())
    monkeypatch.setattr(torch_cuda, "_capture", lambda work, shared: work)
    assert right(run(tile()))  # nothing of the failed attempt is left


def test_buffers_are_given_back_and_made_again(stand_in):
    run = run_of()
    assert right(run(tile()))
    run.trim()
    run.trim()
    assert run._image is None
    assert run._idle.empty()
    assert right(run(tile(2)), 2)

    def work(number):
        if number % 4 == 3:
            run.trim()
            return True
        return right(run(tile(number)), number)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(60)))


def test_a_failure_gives_the_place_back(stand_in, monkeypatch):
    run = run_of(slots=1)
    assert right(run(tile()))
    broken = run._compute

    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    run._compute = fail
    for _ in range(3):
        with pytest.raises(torch.OutOfMemoryError):
            run(tile())
    run._compute = broken
    assert right(run(tile(1)), 1)


def test_under_the_engines_session(stand_in, monkeypatch):
    """The engine's retry: memory is short once, and once for good."""
    engine = TorchEngine("cpu", streams=3)
    session = TorchSession(engine, run_of(slots=3), engine._workers)
    for seed, future in enumerate([session.submit(tile(seed)) for seed in range(9)]):
        assert np.abs(future.result(30).pixels - np.rint(answer(tile(seed), 2) * 255)).max() <= 1

    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    session._run._compute = fail
    assert type(session.submit(tile()).exception(30)) is OutOfMemory
    session.trim()
    assert session.submit(tile()).exception(30) is None


def test_captured_graphs_share_a_pool_as_long_as_one_of_them_lives(capturing):
    device = CudaDevice(CPU)
    runs = [CudaRun(graph_of(), WINDOW, device, 1) for _ in range(3)]
    for run in runs[:2]:
        run(tile())
    assert len(set(capturing)) == 1
    runs[0].trim()
    runs[2](tile())
    assert len(set(capturing)) == 1
    del run, runs  # as sessions are dropped: nobody trims them
    gc.collect()
    again = CudaRun(graph_of(), WINDOW, device, 1)
    again(tile())
    assert len(capturing) == 4
    assert len(set(capturing)) == 2
    again.trim()
    again(tile())
    assert len(set(capturing)) == 3


def test_after_a_capture_that_failed_there_is_another_pool(capturing):
    device = CudaDevice(CPU)
    runs = [CudaRun(graph_of(), WINDOW, device, 1) for _ in range(2)]
    runs[0](tile())
    with torch.cuda.stream(device.stream), pytest.raises(RuntimeError, match="capturing"):
        torch_cuda._capture(lambda: (_ for _ in ()).throw(RuntimeError("capturing")), device)
    runs[1](tile())
    assert capturing[0] == capturing[1] != capturing[2]


def test_buffers_belong_to_the_stream_that_fills_them(stand_in, monkeypatch):
    made = []
    for name in ("empty", "empty_like"):
        plain = getattr(torch, name)

        def noted(*a, plain=plain, **how):
            if how.get("device") == CPU:
                made.append(captured_stream())
            return plain(*a, **how)

        monkeypatch.setattr(torch, name, noted)
    run = run_of()
    run(tile())
    slot = run._idle.get_nowait()
    assert len(made) >= 2 + len(slot.results)
    assert set(made) == {slot.stream, run._shared.stream}


def test_kinds_of_results(stand_in):
    out = run_of(channels=1, quantised=False, guarded=True, scale=4)(tile())
    assert set(out) == {"pixels", "reduced"}
    assert out["pixels"].shape == (1, 4 * WINDOW[0], 4 * WINDOW[1], 1)
    assert out["pixels"].dtype == np.float32
    np.testing.assert_allclose(out["pixels"][0], answer(tile(), 4, 1), atol=1e-5)


def test_arithmetic_is_exact_and_the_rest_of_the_process_left_alone():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    with torch_cuda._exact():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark) == before


def test_the_last_of_several_devices_sets_the_arithmetic_back():
    """Each has a thread; they come and go in any order."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    first, second = torch_cuda._exact(), torch_cuda._exact()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic
    second.__exit__(None, None, None)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_on_a_device(precision, caplog):
    engine = TorchEngine("cuda")
    session = engine.load(program(), precision)
    for _ in range(2):
        futures = [session.submit(tile(seed)) for seed in range(20)]
        for seed, future in enumerate(futures):
            want = np.rint(answer(tile(seed), 2) * 255)
            assert np.abs(future.result(60).pixels - want).max() <= 1
        session.trim()
    assert "not captured" not in caplog.text
