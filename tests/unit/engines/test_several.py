"""Several devices as one engine."""

import logging
import threading
from concurrent.futures import CancelledError, Future

import numpy as np
import pytest

from superres.engines.fair import FairEngine
from superres.engines.fake import FakeEngine
from superres.engines.memory import TileMemory
from superres.engines.several import SeveralEngine
from superres.errors import BadOutput, EngineUnavailable, OutOfMemory
from superres.pipeline import UpscaleOptions
from tests.contract.toys import answer, program, tile
from tests.unit.pipeline.doubles import Place, photo


class Held(FakeEngine):
    """Notes its tiles; they end when :meth:`go` is called. Or fails with ``error``."""

    def __init__(self, device, streams=1):
        self.device, self.streams = device, streams
        self.error = self.at_load = None
        self.waiting, self.tiles, self.loads, self.trims = [], 0, 0, 0

    def load(self, wanted, precision):
        self.loads += 1
        if self.at_load is not None:
            raise self.at_load
        inner, outer = super().load(wanted, precision), self

        class Session:
            def submit(self, image):
                future = Future()
                outer.tiles += 1
                if outer.error is not None:
                    future.set_exception(outer.error)
                else:
                    outer.waiting.append((future, inner.submit(image).result()))
                return future

            def trim(self):
                outer.trims += 1

        return Session()

    def go(self, count=99):
        for _ in range(min(count, len(self.waiting))):
            future, result = self.waiting.pop(0)
            future.set_result(result)


def right(future, seed=0):
    got = future.result(5).pixels
    return np.abs(got - np.rint(answer(tile(seed), 2) * 255)).max() <= 1


def test_what_it_is():
    one, two = Held("cuda:0", 2), Held("cuda:1", 3)
    both = SeveralEngine([one, two])
    assert (both.device, both.streams, both.memory.tiles) == ("cuda:0,cuda:1", 5, 5)
    assert both.resamples
    assert both.precisions == ("f32",)


def test_tiles_go_to_the_least_busy_for_what_it_can_take():
    one, two = Held("one", 1), Held("two", 2)
    session = SeveralEngine([one, two]).load(program(), "f32")
    futures = [session.submit(tile()) for _ in range(6)]
    assert (one.tiles, two.tiles) == (2, 4)
    two.go()
    futures += [session.submit(tile()) for _ in range(3)]
    assert (one.tiles, two.tiles) == (2, 7)
    one.go()
    two.go()
    assert all(map(right, futures))


def test_a_device_loads_when_it_gets_a_tile():
    one, two = Held("one"), Held("two")
    session = SeveralEngine([one, two]).load(program(), "f32")
    assert (one.loads, two.loads) == (1, 0)
    for _ in range(4):
        session.submit(tile())
    assert (one.loads, two.loads) == (1, 1)
    session.trim()
    assert (one.trims, two.trims) == (1, 1)


@pytest.mark.parametrize("when", ["load", "tile"])
def test_a_device_that_fails_is_left_out_and_its_tiles_are_done(when, caplog):
    one, two = Held("one"), Held("two")
    engine = SeveralEngine([one, two])
    session = engine.load(program(), "f32")
    if when == "load":
        two.at_load = EngineUnavailable("Gone.")
    else:
        two.error = EngineUnavailable("Gone.")
    with caplog.at_level(logging.WARNING, "superres.engines"):
        futures = [session.submit(tile(seed)) for seed in range(6)]
    one.go()
    assert all(right(future, seed) for seed, future in enumerate(futures))
    assert two.loads + two.tiles <= 2
    assert caplog.text.count("two is left out: Gone.") == 1
    two.at_load = two.error = None
    futures = [session.submit(tile()) for _ in range(3)]
    one.go()
    assert all(map(right, futures))
    assert not two.waiting


def test_a_device_without_room_hands_the_tile_on_and_is_asked_again():
    one, two = Held("one"), Held("two")
    session = SeveralEngine([one, two]).load(program(), "f32")
    two.error = OutOfMemory("No room.")
    futures = [session.submit(tile()) for _ in range(4)]
    one.go()
    assert all(map(right, futures))
    tried = two.tiles
    assert tried
    two.error = None
    futures = [session.submit(tile()) for _ in range(4)]
    one.go()
    two.go()
    assert all(map(right, futures))
    assert two.tiles > tried


def test_no_room_anywhere_is_no_room():
    one, two = Held("one"), Held("two")
    session = SeveralEngine([one, two]).load(program(), "f32")
    one.error, two.error = OutOfMemory("No room."), EngineUnavailable("Gone.")
    assert type(session.submit(tile()).exception(5)) is OutOfMemory
    one.error = None
    future = session.submit(tile())
    one.go()
    assert right(future)


def test_no_device_left_is_told():
    one, two = Held("one"), Held("two")
    engine = SeveralEngine([one, two])
    session = engine.load(program(), "f32")
    one.error = two.error = EngineUnavailable("Gone.")
    with pytest.raises(EngineUnavailable, match=r"None of one,two works any more"):
        session.submit(tile()).result(5)
    one.at_load = two.at_load = OutOfMemory("No room.")
    with pytest.raises(OutOfMemory, match=r"No room\."):
        engine.load(program(), "f32")


def test_a_device_that_does_not_load_is_left_out_of_that_program_only():
    one, two = Held("one"), Held("two")
    engine = SeveralEngine([one, two])
    one.at_load = EngineUnavailable("The network uses an operator.")
    session = engine.load(program(), "f32")
    futures = [session.submit(tile()) for _ in range(3)]
    two.go()
    assert all(map(right, futures))
    one.at_load = None
    session = engine.load(program(), "f32")
    futures = [session.submit(tile()) for _ in range(4)]
    assert len(one.waiting) == len(two.waiting) == 2


def test_other_errors_are_the_callers():
    one, two = Held("one"), Held("two")
    session = SeveralEngine([one, two]).load(program(), "f32")
    one.error = BadOutput("Wrong.")
    assert type(session.submit(tile()).exception(5)) is BadOutput
    assert two.tiles == 0


def test_the_smallest_device_decides_how_large_tiles_are():
    one, two = Held("one"), Held("two", 4)
    memory = SeveralEngine([one, two]).memory
    assert memory.area(1000, 100, 4, 2 * 4 * 100 * 500) == 500
    memory.did_not_fit(500, 100)
    assert memory.area(1000, 100, 4, 2 * 4 * 100 * 500) == 250
    assert one.memory.area(1000, 100, 4, 1 << 30) == 250
    assert memory.held(10, 100, 4) == one.memory.held(10, 100, 4) + two.memory.held(10, 100, 4)


def test_engines_without_a_common_precision_are_refused():
    class Odd(FakeEngine):
        precisions = ("f16",)

    with pytest.raises(EngineUnavailable, match="precision in common"):
        SeveralEngine([FakeEngine(), Odd()])


def test_two_devices_make_the_picture_that_one_makes(tmp_path):
    """PyTorch's CPU device twice, under the pipeline and under the server's queue."""
    pytest.importorskip("torch", reason="PyTorch is not installed: make test-tools")
    from superres.engines.torch_engine import TorchEngine

    picture = photo(150, 130)
    options = UpscaleOptions(scale=2, model="faithful")
    place = Place(tmp_path)
    small = {"memory_ceiling": 60 << 20}
    engines = [TorchEngine("cpu"), TorchEngine("cpu")]
    counts = dict.fromkeys(range(2), 0)
    for number, engine in enumerate(engines):
        engine.memory = TileMemory(1)
        load = engine.load

        def counted(wanted, precision, *, load=load, number=number):
            session = load(wanted, precision)
            submit = session.submit

            def one(image):
                counts[number] += 1
                return submit(image)

            session.submit = one
            return session

        engine.load = counted
    with place.upscaler(SeveralEngine(engines), **small) as upscaler:
        got = upscaler.upscale_pixels(picture, options)
    with place.upscaler(TorchEngine("cpu"), **small) as upscaler:
        want = upscaler.upscale_pixels(picture, options)
    assert min(counts.values()) > 0
    assert np.abs(got.astype(int) - want).max() <= 1
    with place.upscaler(FairEngine(SeveralEngine(engines)), **small) as upscaler:
        again = []
        threads = [
            threading.Thread(target=lambda: again.append(upscaler.upscale_pixels(picture, options)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert all(np.array_equal(each, got) for each in again)
    assert len(again) == 2


def test_a_tile_that_a_device_gives_up_is_not_waited_for():
    one, two = Held("one"), Held("two")
    session = SeveralEngine([one, two]).load(program(), "f32")
    future = session.submit(tile())
    one.waiting[0][0].cancel()
    one.waiting[0][0].set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        future.result(5)
