"""What every engine promises, asked of every engine."""

from __future__ import annotations

import importlib.util
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from superres.engines.base import Engine
from superres.engines.select import select_engine
from superres.engines.several import SeveralEngine
from superres.errors import EngineError, EngineUnavailable, SuperresError, WeightsMissing
from superres.settings import EngineSettings
from tests.contract.toys import WINDOW, answer, program, tile

# device: the runtime it needs
ENGINES = {"fake": None, "cpu": "openvino", "torch": "torch", "torch twice": "torch"}


def made(device: str, folder: Path) -> Engine:
    runtime = ENGINES[device]
    if runtime is not None and importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    settings = EngineSettings(device=device, cache_dir=folder, streams=2)
    if device == "torch twice":
        settings = replace(settings, device="torch")
        return SeveralEngine([select_engine(settings), select_engine(settings)])
    return select_engine(settings)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory) -> Engine:
    return made(request.param, tmp_path_factory.mktemp("compiled"))


def test_it_says_what_it_is(engine):
    assert engine.name
    assert engine.device
    assert engine.streams >= 1
    assert engine.memory.tiles >= 1
    assert isinstance(engine.resamples, bool)
    assert set(engine.precisions) <= {"f16", "bf16", "f32"}
    assert len(set(engine.precisions)) == len(engine.precisions)
    assert "f32" in engine.precisions  # the retry needs it


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_shapes_dtypes_and_values(engine, scale, channels, quantised, guarded):
    wanted = program(scale=scale, channels=channels, quantised=quantised, guarded=guarded)
    image = tile()
    result = engine.load(wanted, "f32").submit(image).result(60)
    h, w = WINDOW
    assert result.pixels.shape == (h * scale, w * scale, channels)
    assert result.pixels.dtype == (np.uint8 if quantised else np.float32)
    assert result.reduced.shape == (h, w, 3)
    assert result.reduced.dtype == np.float32
    want = answer(image, scale, channels)
    if quantised:
        assert np.abs(result.pixels - np.rint(want * 255)).max() <= 1
    else:
        np.testing.assert_allclose(result.pixels, want, atol=1e-5)
    np.testing.assert_allclose(result.reduced, image.transpose(1, 2, 0), atol=1e-5)
    if guarded:
        assert result.errors is None
    else:
        assert result.errors.shape == (1, h, w)
        assert result.errors.dtype == np.float32


def test_every_precision_it_names_works(engine):
    image = tile()
    for precision in engine.precisions:
        result = engine.load(program(quantised=False), precision).submit(image).result(60)
        tolerance = {"f32": 1e-5, "f16": 2e-3, "bf16": 2e-2}[precision]
        np.testing.assert_allclose(result.pixels, answer(image, 2), atol=tolerance)


@pytest.mark.parametrize("precision", ["f64", "", "F32", "int8"])
def test_another_precision_is_refused(engine, precision):
    with pytest.raises(EngineUnavailable, match=r"\w+ .*f32"):
        engine.load(program(), precision)


@pytest.mark.parametrize("quantised", [False, True])
def test_results_are_the_callers_own(engine, quantised):
    session = engine.load(program(scale=1, quantised=quantised), "f32")
    image = tile()
    before = image.copy()
    first = session.submit(image).result(60)
    kept = first.pixels.copy(), first.reduced.copy(), first.errors.copy()
    for array in (first.pixels, first.reduced, first.errors):
        assert array.flags.writeable
        array[...] = 7
    np.testing.assert_array_equal(image, before)
    for _ in range(2 * engine.streams):
        again = session.submit(image).result(60)
        for got, want in zip((again.pixels, again.reduced, again.errors), kept, strict=True):
            np.testing.assert_array_equal(got, want)


def test_any_array_is_taken(engine):
    """Turned round in memory, as mirrored tiles are, or not to be written to."""
    session = engine.load(program(), "f32")
    want = session.submit(tile()).result(60).pixels
    backwards = np.ascontiguousarray(tile()[:, ::-1, ::-1])[:, ::-1, ::-1]
    kept = tile()
    kept.flags.writeable = False
    columns = np.asfortranarray(tile())
    for image in (backwards, kept, columns):
        np.testing.assert_array_equal(session.submit(image).result(60).pixels, want)


def test_an_older_result_is_not_overwritten_by_a_newer(engine):
    session = engine.load(program(), "f32")
    results = [session.submit(tile(seed)).result(60) for seed in range(5)]
    for seed, result in enumerate(results):
        want = np.rint(answer(tile(seed), 2) * 255)
        assert np.abs(result.pixels - want).max() <= 1


def test_the_same_tile_gives_the_same_bytes(engine):
    for precision in engine.precisions:
        session = engine.load(program(quantised=False), precision)
        one, two = (session.submit(tile()).result(60) for _ in range(2))
        assert one.pixels.tobytes() == two.pixels.tobytes()


def test_many_threads_get_what_one_gets(engine):
    session = engine.load(program(), "f32")
    tiles = [tile(seed) for seed in range(8)]
    serial = [session.submit(image).result(60).pixels for image in tiles]
    ready = threading.Barrier(4)

    def work(number: int) -> list[np.ndarray]:
        ready.wait(30)
        order = [(number * 3 + i) % len(tiles) for i in range(24)]
        waiting = [(i, session.submit(tiles[i])) for i in order]
        return [(i, future.result(60).pixels) for i, future in waiting]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(work, range(4)):
            for i, pixels in found:
                np.testing.assert_array_equal(pixels, serial[i])


def test_many_threads_may_load(engine):
    with ThreadPoolExecutor(4) as threads:
        sessions = list(threads.map(lambda _: engine.load(program(key="same"), "f32"), range(4)))
    for session in sessions:
        result = session.submit(tile()).result(60)
        assert np.abs(result.pixels - np.rint(answer(tile(), 2) * 255)).max() <= 1


def test_memory_given_back_is_taken_again(engine):
    session = engine.load(program(), "f32")
    for _ in range(3):
        assert (
            np.abs(
                session.submit(tile()).result(60).pixels - np.rint(answer(tile(), 2) * 255)
            ).max()
            <= 1
        )
        session.trim()
        session.trim()


def test_memory_may_be_given_back_at_any_time(engine):
    session = engine.load(program(scale=4), "f32")
    want = session.submit(tile()).result(60).pixels

    def work(number: int) -> bool:
        if number % 4 == 3:
            session.trim()
            return True
        return np.array_equal(session.submit(tile()).result(60).pixels, want)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(60)))


def test_submitting_answers_with_a_future(engine):
    future = engine.load(program(), "f32").submit(tile())
    assert isinstance(future, Future)
    assert future.exception(60) is None


def test_two_programs_do_not_disturb_each_other(engine):
    two, four = engine.load(program(scale=2), "f32"), engine.load(program(scale=4), "f32")
    futures = [(s, load.submit(tile())) for s, load in ((2, two), (4, four)) * 3]
    for scale, future in futures:
        got = future.result(60).pixels
        assert np.abs(got - np.rint(answer(tile(), scale) * 255)).max() <= 1


@pytest.mark.parametrize("device", [d for d, runtime in ENGINES.items() if runtime])
class TestComputing:
    """Promises of engines that look at the program's graph."""

    @pytest.fixture
    def engine(self, device, tmp_path) -> Engine:
        return made(device, tmp_path)

    def test_missing_weights_are_told_as_such(self, engine):
        def build() -> bytes:
            raise WeightsMissing("Not there.")

        with pytest.raises(WeightsMissing, match="Not there"):
            engine.load(replace(program(), build=build), "f32")

    def test_a_graph_it_cannot_read_is_its_own_error(self, engine):
        with pytest.raises(EngineError) as caught:
            engine.load(replace(program(), build=lambda: b"this is no network"), "f32")
        assert isinstance(caught.value, SuperresError)
        assert caught.value.__cause__ is not None

    def test_not_a_number_in_is_not_a_number_out(self, engine):
        session = engine.load(program(quantised=False), "f32")
        image = tile()
        image[0, 3, 4] = np.nan
        result = session.submit(image).result(60)
        assert np.isnan(result.reduced[3, 4, 0])
        after = session.submit(tile()).result(60)
        assert np.isfinite(after.pixels).all()
