"""A device too small for the tiles: smaller ones, and the same picture."""

import itertools
import logging
from concurrent.futures import Future

import numpy as np
import pytest
import skimage.data

from superres.engines.fair import FairEngine
from superres.engines.fake import FakeEngine
from superres.engines.memory import TileMemory
from superres.errors import OutOfMemory
from superres.imageio import Canvas
from superres.models import get_model
from superres.models.recipe import make_recipe
from superres.pipeline import UpscaleOptions
from superres.pipeline.fitting import SMALLEST, plan_pass, smaller_plan
from superres.pipeline.passes import Pass
from superres.pipeline.sessions import Sessions
from tests.unit.pipeline.doubles import SharpEngine, photo, result_of, sharpened

OPTIONS = UpscaleOptions(scale=4, model="general", fidelity=0.0)


class Small:
    """Sharpens tiles of up to ``room`` pixels.

    Args:
        room: in pixels.
        at: where it notices, "load" or "tile".
        first: tiles that get through whatever their size.
        streams: tiles on their way; the first ones are still under way when a later one fails.
    """

    name, device, resamples = "small", "small", False
    precisions = ("f16", "f32")

    def __init__(self, room, at="tile", first=0, streams=2):
        self.room, self._at, self._first = room, at, first
        self.streams, self.memory = streams, TileMemory(streams)
        self.windows = []

    def load(self, program, precision):
        area = program.window[0] * program.window[1]
        self.windows.append(program.window)
        outer = self
        if self._at == "load" and area > self.room:
            raise OutOfMemory("No room.")

        class Session:
            def submit(self, image):
                future = Future()
                if outer._at == "tile" and area > outer.room and outer._first <= 0:
                    future.set_exception(OutOfMemory("No room."))
                else:
                    outer._first -= 1
                    source = image.transpose(1, 2, 0)
                    future.set_result(result_of(source, sharpened(source, program.scale), program))
                return future

            def trim(self):
                """Nothing to give back."""

        return Session()


def areas(engine):
    return [h * w for h, w in dict.fromkeys(engine.windows)]


@pytest.mark.parametrize("at", ["load", "tile"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("fair", [False, True])
def test_smaller_tiles_make_the_same_picture(place, at, channels, fair, caplog):
    picture = photo(300, 260, channels)
    small = Small(20_000, at)
    with (
        place.upscaler(FairEngine(small) if fair else small) as upscaler,
        place.upscaler(Small(1 << 30)) as large,
        caplog.at_level(logging.WARNING, "superres.pipeline"),
    ):
        got = upscaler.upscale_pixels(picture, OPTIONS)
        want = large.upscale_pixels(picture, OPTIONS)
    tried = areas(small)
    assert tried[0] > 20_000 >= tried[-1]
    assert all(b < a for a, b in itertools.pairwise(tried) if a > 20_000)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(got[inner].astype(int), want[inner], atol=1)
    assert "do not fit in the memory of small" in caplog.text


def test_the_next_picture_is_planned_for_what_fits(place):
    small = Small(20_000)
    with place.upscaler(small) as upscaler:
        upscaler.upscale_pixels(photo(300, 260), OPTIONS)
        tried = len(areas(small))
        small.windows.clear()
        upscaler.upscale_pixels(photo(310, 250), OPTIONS)
        upscaler.upscale_pixels(photo(310, 250, 4), OPTIONS)
    assert tried > 1
    assert max(areas(small)) <= 20_000


def test_tiles_that_were_done_are_done_again_and_counted_once(place):
    picture = photo(400, 400)
    engine = Small(30_000, first=2)
    recipe = make_recipe(get_model("general"), 4, 0.0)
    plan = plan_pass(recipe, picture.shape, engine, 200 << 20)
    assert len(plan) > 3
    counts = []
    canvas = Canvas(1600, 1600, 3, np.uint8)
    Pass(picture, recipe, plan, Sessions(engine), "f16").run(canvas, counts.append)
    assert 1 in counts
    assert counts[-1] == len(plan)
    assert counts.count(len(plan)) == 1
    assert np.abs(canvas.array()[::4, ::4].astype(int) - picture).mean() < 30
    assert (canvas.array() > 0).mean() > 0.9


def test_an_engine_without_room_for_anything_is_an_error_in_the_end(place):
    engine = Small(100)
    with place.upscaler(engine) as upscaler, pytest.raises(OutOfMemory, match=r"No room\."):
        upscaler.upscale_pixels(photo(300, 260), OPTIONS)
    assert areas(engine)[-1] <= 2 * SMALLEST
    assert len(areas(engine)) < 12


def test_a_full_disk_is_no_reason_for_smaller_tiles():
    class Full(Canvas):
        def write(self, y, x, block):
            raise OutOfMemory("The scratch disk is full.")

    engine, picture = Small(1 << 30), photo(300, 260)
    recipe = make_recipe(get_model("general"), 4, 0.0)
    plan = plan_pass(recipe, picture.shape, engine, 1 << 30)
    with pytest.raises(OutOfMemory, match="scratch"):
        Pass(picture, recipe, plan, Sessions(engine), "f16").run(Full(1200, 1040, 3, np.uint8))
    assert len(areas(engine)) == 1


def test_a_plan_gets_smaller_until_it_cannot():
    engine = FakeEngine()
    recipe = make_recipe(get_model("photo"), 4, 0.0)
    shape = (2000, 3000, 3)
    plan = plan_pass(recipe, shape, engine, 1 << 34)
    seen = [plan.window[0] * plan.window[1]]
    while (smaller := smaller_plan(recipe, shape, engine, plan)) is not None:
        seen.append(smaller.window[0] * smaller.window[1])
        assert seen[-1] < seen[-2]
        plan = smaller
        again = plan_pass(recipe, shape, engine, 1 << 34)
        assert again.window == plan.window
    assert len(seen) > 2
    assert seen[-1] < 12_000


def test_a_guard_is_told_of_once(place):
    """Tiles that were computed before memory ran out are not told of twice."""

    class Away(Small):
        def load(self, program, precision):
            session = super().load(program, precision)
            plain = session.submit

            def submit(image):
                future = plain(image)
                if future.exception() is None and future.result().errors is not None:
                    future.result().errors[...] = 9.0
                return future

            session.submit = submit
            return session

    engine, picture = Away(20_000, first=2), photo(300, 260)
    recipe = make_recipe(get_model("general"), 4, 0.0)
    plan = plan_pass(recipe, picture.shape, engine, 150 << 20)
    told = []
    work = Pass(
        picture, recipe, plan, Sessions(engine), "f16", lambda tile, away: told.append(tile)
    )
    work.run(Canvas(1200, 1040, 3, np.uint8))
    assert len(engine.windows) > 2
    assert len(told) == len(set(told))
    covered = sum((t.y.hi - t.y.lo) * (t.x.hi - t.x.lo) for t in told)
    assert covered == 300 * 260


def test_an_engine_that_always_fits_is_asked_once(place):
    engine = SharpEngine()
    with place.upscaler(engine) as upscaler:
        upscaler.upscale_pixels(photo(100, 100), OPTIONS)
    assert engine.memory.area(1 << 20, 1, 4, 1 << 40) == 1 << 20


def test_pytorch_without_room_makes_the_picture_all_the_same(place, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-tools")
    from superres.engines.torch_engine import TorchEngine
    from superres.engines.torch_graph import TorchGraph

    calls, right = [], TorchGraph.__call__

    def tight(graph, image):
        calls.append(image.shape[2] * image.shape[3])
        if calls[-1] > 7000:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return right(graph, image)

    picture = np.ascontiguousarray(skimage.data.astronaut()[50:170, 150:250])
    options = UpscaleOptions(scale=2, model="faithful")
    with place.upscaler(TorchEngine("cpu")) as upscaler:
        want = upscaler.upscale_pixels(picture, options)
        monkeypatch.setattr(TorchGraph, "__call__", tight)
        got = upscaler.upscale_pixels(picture, options)
        assert max(calls) > 7000
        calls.clear()
        again = upscaler.upscale_pixels(picture, options)
    assert max(calls) <= 7000  # planned for what fits
    assert np.abs(got.astype(int) - want).max() <= 1
    np.testing.assert_array_equal(again, got)
