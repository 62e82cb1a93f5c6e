"""Turns of tiles, on an engine whose tiles end when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from superres.engines.base import TileProgram, TileResult
from superres.engines.fair import FairEngine, FairSession
from superres.engines.fake import FakeEngine
from superres.engines.memory import TileMemory
from superres.engines.select import select_shared_engine
from superres.errors import BadParameter, Cancelled, EngineUnavailable
from superres.settings import EngineSettings

LONG, SHORT = (64, 64), (16, 16)


def program(window: tuple[int, int]) -> TileProgram:
    return TileProgram("key", window, 2, 3, quantised=True, guarded=False, build=lambda: b"")


class Manual:
    """Notes whose tile came, in order; a tile ends when :meth:`finish` is called."""

    name, device, resamples = "manual", "manual", False
    precisions: Sequence[str] = ("f32",)

    def __init__(self, streams: int) -> None:
        self.streams, self.memory = streams, TileMemory(streams)
        self.order: list[float] = []
        self.open: dict[float, Future[TileResult]] = {}
        self.loads = 0
        self.trims = 0
        self.refuse = 0
        self.time = 0.0

    def load(self, program: TileProgram, precision: str) -> Manual:
        self.loads += 1
        if self.refuse:
            self.refuse -= 1
            raise EngineUnavailable("Not now.")
        return self

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        name = round(float(image.flat[0]), 3)
        self.order.append(name)
        self.open[name] = Future()
        return self.open[name]

    def trim(self) -> None:
        self.trims += 1

    def finish(self, name: float, seconds: float = 1.0) -> None:
        """End a tile ``seconds`` later."""
        self.time += seconds
        result = TileResult(np.zeros(1, np.uint8), np.zeros(1, np.float32), None)
        self.open.pop(name).set_result(result)


class Picture:
    """A picture's thread."""

    def __init__(self, fair: FairEngine, window: tuple[int, int], seconds: float | None) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(int).result()
        self.session: FairSession = fair.load(program(window), "f32")
        self.session.seconds = seconds

    def submit(self, *names: float) -> list[Future[TileResult]]:
        """Tiles, known by the value of their pixels."""
        shape = (3, 2, 2)

        def all_of_them() -> list[Future[TileResult]]:
            return [self.session.submit(np.full(shape, name, np.float32)) for name in names]

        return self._thread.submit(all_of_them).result(5)

    def close(self) -> None:
        self._thread.shutdown()


@pytest.fixture
def make():
    pictures: list[Picture] = []

    def make(fair: FairEngine, window: tuple[int, int] = LONG, seconds: float | None = 1.0):
        pictures.append(Picture(fair, window, seconds))
        return pictures[-1]

    yield make
    for picture in pictures:
        picture.close()


def play(inner: Manual, count: int) -> None:
    """Let ``count`` tiles end after a second each, always the one that began first."""
    for _ in range(count):
        inner.finish(next(iter(inner.open)))


def test_pictures_take_turns(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    a, b, c = make(fair), make(fair), make(fair)
    a.submit(0.11, 0.12, 0.13)
    b.submit(0.21, 0.22, 0.23)
    c.submit(0.31, 0.32, 0.33)
    play(inner, 9)
    assert inner.order[0] == 0.11
    rounds = [{int(name * 10) for name in inner.order[i : i + 3]} for i in (0, 3, 6)]
    assert rounds == [{1, 2, 3}] * 3


def test_a_small_newcomer_goes_next_however_many_wait(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    big = [make(fair) for _ in range(3)]
    for i, picture in enumerate(big, 1):
        picture.submit(*(i / 10 + j / 100 for j in range(1, 6)))
    play(inner, 6)
    newcomers = [make(fair, (40, 40), 0.3), make(fair, (40, 40), 0.3)]  # too long for express
    newcomers[0].submit(0.8)
    newcomers[1].submit(0.9)
    play(inner, 2)
    assert set(inner.order[7:9]) == {0.8, 0.9}


def test_a_newcomer_as_large_as_the_others_waits_for_its_turn(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    for i in (1, 2, 3):
        make(fair).submit(*(i / 10 + j / 100 for j in range(1, 6)))
    play(inner, 6)
    make(fair).submit(0.9, 0.91)
    play(inner, 3)
    assert 0.9 in inner.order[7:10]


def test_newcomers_do_not_starve_a_big_one(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    big = make(fair)
    big.submit(*(0.1 + j / 1000 for j in range(50)))
    slots = [make(fair, (40, 40), 0.3) for _ in range(3)]
    for slot in slots:
        slot.submit(0.5, 0.5)
    for _ in range(40):  # a new thumbnail comes as soon as one has ended
        name = next(iter(inner.open))
        inner.finish(name, 1.0 if name < 0.2 else 0.3)
        if name == 0.5:
            slots[0].submit(0.5)
    large = sum(name < 0.2 for name in inner.order)
    seconds = large / (large + 0.3 * (len(inner.order) - large))
    assert seconds >= 0.4  # of two that always have something: slots[0] and the big one


def test_time_counts_not_tiles(make):
    """A picture whose tiles take three times as long gets a third as many."""
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    slow, fast = make(fair), make(fair)
    slow.session.seconds, fast.session.seconds = 0.03, 0.01
    slow.submit(*(0.1 + j / 1000 for j in range(30)))
    fast.submit(*(0.2 + j / 1000 for j in range(30)))
    for _ in range(24):
        name = next(iter(inner.open))
        inner.finish(name, 0.03 if name < 0.2 else 0.01)
    counts = sum(n < 0.2 for n in inner.order), sum(n >= 0.2 for n in inner.order)
    assert 2.5 <= counts[1] / counts[0] <= 3.5


def test_no_more_than_the_streams_and_all_of_them(make):
    inner = Manual(2)
    fair = FairEngine(inner, lambda: inner.time)
    a = make(fair)
    futures = a.submit(0.11, 0.12, 0.13, 0.14)
    assert len(inner.open) == 2
    play(inner, 1)
    assert len(inner.open) == 2
    play(inner, 3)
    assert all(future.done() for future in futures)
    assert fair._flows == {}


def test_a_short_tile_runs_beside_long_ones_but_only_one(make):
    inner = Manual(2)
    fair = FairEngine(inner, lambda: inner.time)
    make(fair, seconds=2.0).submit(0.11, 0.12, 0.13)
    make(fair, SHORT, 0.1).submit(0.21)
    make(fair, SHORT, 0.1).submit(0.31)
    assert inner.order == [0.11, 0.12, 0.21]
    inner.finish(0.21)
    assert inner.order == [0.11, 0.12, 0.21, 0.31]


def test_what_is_not_much_shorter_waits(make):
    inner = Manual(2)
    fair = FairEngine(inner, lambda: inner.time)
    make(fair, seconds=2.0).submit(0.11, 0.12, 0.13)
    make(fair, seconds=0.8).submit(0.21)
    assert inner.order == [0.11, 0.12]
    inner.finish(0.11, 2.0)
    assert inner.order == [0.11, 0.12, 0.21]


def test_an_unknown_tile_is_judged_by_its_size(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    make(fair, LONG, None).submit(0.11, 0.12)
    make(fair, (48, 48), None).submit(0.21)
    make(fair, SHORT, None).submit(0.31)
    assert inner.order == [0.11, 0.31]


def test_a_tile_nobody_wants_any_more_is_not_computed(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    futures = make(fair).submit(0.11, 0.12, 0.13)
    assert not futures[0].cancel()
    assert futures[1].cancel()
    play(inner, 2)
    assert inner.order == [0.11, 0.13]
    assert fair._flows == {}


def test_a_picture_that_is_given_up(make):
    """Its tiles leave the line at once; what is on the device has to be waited for."""
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    session = fair.load(program(LONG), "f32")
    image = np.full((3, 2, 2), 0.1, np.float32)
    with fair.picture() as give_up:
        first, second = session.submit(image), session.submit(image + 0.1)
        assert give_up() >= 60  # nobody knows yet how long such a tile takes
        assert isinstance(second.exception(0), Cancelled)
        assert isinstance(session.submit(image).exception(0), Cancelled)
        inner.finish(0.1, 2.0)
        assert first.result(0)
    assert give_up() == 0.0
    with fair.picture() as give_up:  # the thread's next picture is another matter
        session.submit(image + 0.2)
        assert 2.0 < give_up() < 10.0
    assert inner.order == [0.1, 0.3]


def test_errors_belong_to_their_tile(make):
    inner = Manual(1)
    fair = FairEngine(inner, lambda: inner.time)
    first, second = make(fair).submit(0.11, 0.12)
    inner.open.pop(0.11).set_exception(EngineUnavailable("Gone."))
    assert isinstance(first.exception(1), EngineUnavailable)
    inner.finish(0.12)
    assert second.result(1)


def test_a_program_is_loaded_by_its_first_tile_and_again_if_that_failed(make):
    inner = Manual(1)
    inner.refuse = 1
    picture = make(FairEngine(inner, lambda: inner.time))
    assert inner.loads == 0
    picture.session.trim()
    assert inner.trims == 0
    with pytest.raises(EngineUnavailable):
        picture.submit(0.1)
    picture.submit(0.1, 0.2)
    assert inner.loads == 2
    picture.session.trim()
    assert inner.trims == 1


def test_loading_one_program_does_not_hold_up_another(make):
    class Slow(Manual):
        gate = threading.Event()

        def load(self, program: TileProgram, precision: str) -> Manual:
            if program.window == LONG:
                assert self.gate.wait(10)
            return super().load(program, precision)

    inner = Slow(1)
    fair = FairEngine(inner, lambda: inner.time)
    large, small = make(fair), make(fair, SHORT)
    with ThreadPoolExecutor(1) as other:
        loading = other.submit(large.submit, 0.1)
        small.submit(0.2)
        assert inner.order == [0.2]
        Slow.gate.set()
        loading.result(5)


def test_an_engine_that_answers_at_once(make):
    """The fake engine calls back from within submit; many tiles must not nest."""
    fair = FairEngine(FakeEngine())
    session = fair.load(program(SHORT), "f32")
    gate = threading.Event()
    image = np.random.default_rng(0).random((3, *SHORT), np.float32)

    def some() -> list[Future[TileResult]]:
        gate.wait(5)
        return [session.submit(image) for _ in range(300)]

    with ThreadPoolExecutor(4) as threads:
        batches = [threads.submit(some) for _ in range(4)]
        gate.set()
        results = [future.result(10) for batch in batches for future in batch.result(10)]
    assert len(results) == 1200
    assert all(result.pixels.shape == (32, 32, 3) for result in results)


def test_it_is_the_inner_engine_otherwise():
    fair = select_shared_engine(EngineSettings(device="fake"))
    assert (fair.name, fair.device, fair.streams, fair.resamples) == ("fake", "fake", 1, True)
    assert fair.precisions == ("f32",)
    with pytest.raises(BadParameter):
        select_shared_engine(EngineSettings(device="abacus"))
