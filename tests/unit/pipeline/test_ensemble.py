"""All eight orientations: undone exactly, averaged, and the whole way through the pipeline."""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.engines.fake import FakeEngine
from superres.errors import BadOutput, Cancelled
from superres.imageio import Canvas
from superres.models import get_model
from superres.models.recipe import make_recipe
from superres.pipeline import UpscaleOptions
from superres.pipeline.ensemble import ORIENTATIONS, Mean, turned, turned_back
from superres.pipeline.fitting import plan_pass
from superres.pipeline.passes import Pass
from superres.pipeline.sessions import Sessions
from superres.pipeline.verify import fault
from tests.unit.pipeline.doubles import FaultyEngine, SharpEngine, photo
from tests.unit.pipeline.test_upscaler import DTYPES, picture

ALL = range(ORIENTATIONS)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.sampled_from(ALL))
def test_each_is_undone(height, width, channels, number):
    values = np.arange(height * width * max(1, channels)).reshape(height, width, -1)
    values = values if channels else values[..., 0]
    there = turned(values, number)
    assert there.shape[:2] == ((width, height) if number >= 4 else (height, width))
    np.testing.assert_array_equal(turned_back(there, number), values)


def test_there_are_eight_of_them():
    values = np.arange(9).reshape(3, 3)
    assert len({turned(values, number).tobytes() for number in ALL}) == 8


@given(st.floats(0, 1, width=32), st.integers(1, 4))
def test_where_all_agree_the_mean_is_that(value, channels):
    mean = Mean()
    for number in ALL:
        assert not mean.complete
        mean.add(turned(np.full((3, 5, channels), value, np.float32), number), number)
    assert mean.complete
    taken = mean.take()
    assert taken.dtype == np.float32
    assert (taken == np.float32(value)).all()
    assert not mean.complete


def test_the_mean_is_upright():
    rng = np.random.default_rng(0)
    results = [rng.random((4, 6, 3), np.float32) for _ in ALL]
    mean = Mean()
    for number, result in enumerate(results):
        mean.add(turned(result, number), number)
    np.testing.assert_allclose(mean.take(), np.mean(results, 0), atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (41, 57)])
def test_an_engine_that_repeats_pixels_makes_the_same(place, dtype, channels, size):
    """Whatever is turned comes back to its place, in every kind of picture."""
    source = picture(*size, channels, dtype)
    with place.upscaler() as upscaler:
        for options in (UpscaleOptions(2, model="general"), UpscaleOptions(3, model="photo")):
            want = upscaler.upscale_pixels(source, options)
            got = upscaler.upscale_pixels(source, replace(options, tta=True))
            np.testing.assert_array_equal(got, want)


class Leaning(SharpEngine):
    """Its answers are brighter towards the top and the left; what it sees, it notes down."""

    def __init__(self):
        super().__init__()
        self.seen, self.windows = [], []

    def load(self, program, precision):
        inner, outer = super().load(program, precision), self
        outer.windows.append(program.window)

        class Session:
            def submit(self, image):
                outer.seen.append(image.copy())
                result = inner.submit(image).result()
                height, width = result.pixels.shape[:2]
                lean = np.add.outer(np.linspace(8, -8, height), np.linspace(4, -4, width))[
                    ..., None
                ]
                pixels = result.pixels + lean * (1 if program.quantised else 1 / 255)
                if program.quantised:
                    pixels = np.rint(np.clip(pixels, 0, 255))
                future = Future()
                future.set_result(replace(result, pixels=pixels.astype(result.pixels.dtype)))
                return future

            def trim(self):
                """Nothing to give back."""

        return Session()


def test_what_leans_one_way_cancels_out(place):
    source = np.clip(photo(64, 40), 40, 215)
    engine = Leaning()
    options = UpscaleOptions(4, model="general", fidelity=0.0)
    with place.upscaler(engine) as upscaler, place.upscaler(SharpEngine()) as honest:
        upright = honest.upscale_pixels(source, options).astype(int)
        plain = upscaler.upscale_pixels(source, options).astype(int)
        assert engine.windows == [(64, 40)]
        assert len(engine.seen) == 1
        mean = upscaler.upscale_pixels(source, replace(options, tta=True)).astype(int)
    assert np.abs(plain - upright).max() > 8
    assert np.abs(mean - upright)[8:-8, 8:-8].max() <= 4
    assert len(engine.seen) == 9
    assert set(engine.windows) == {(64, 40), (40, 64)}


def test_the_second_pass_goes_without(place):
    counts = []
    for tta in (False, True):
        engine = Leaning()
        with place.upscaler(engine) as upscaler:
            upscaler.upscale_pixels(photo(40, 40), UpscaleOptions(16, model="general", tta=tta))
        first = sum(image.shape == (3, 40, 40) for image in engine.seen)
        counts.append((first, len(engine.seen) - first))
    assert counts[0] == (1, counts[1][1])
    assert counts[1] == (8, counts[0][1])
    assert counts[0][1] > 0


def black(image, right, before):
    return replace(right, pixels=right.pixels * 0, reduced=right.reduced * 0)


def test_every_orientation_is_checked(place):
    """From the sixth answer on, which is a turned one's, all are nothing but black."""
    source = photo(48, 60)
    options = UpscaleOptions(4, model="general", fidelity=0.0, tta=True)
    engine = FaultyEngine(SharpEngine(), black, ("f16",), after=5)
    with place.upscaler(engine) as upscaler, place.upscaler(SharpEngine()) as honest:
        want = honest.upscale_pixels(source, options)
        np.testing.assert_array_equal(upscaler.upscale_pixels(source, options), want)
    assert [precision for precision, _ in engine.submitted].count("f32") == 3
    engine = FaultyEngine(SharpEngine(), black, ("f16", "f32"), after=5)
    with place.upscaler(engine) as upscaler, pytest.raises(BadOutput):
        upscaler.upscale_pixels(source, options)


@pytest.mark.parametrize(("model", "fidelity"), [("general", 0.0), ("photo", 0.5)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiles_fit_together(place, model, fidelity, channels):
    """Many tiles, with hard seams and with soft ones, make what one would."""
    source = photo(150, 230, channels)
    recipe = make_recipe(get_model(model), 4, fidelity, colour_lock=False)
    engine = FakeEngine()
    results = []
    for ceiling in (1 << 34, 60 << 20):
        plan = plan_pass(recipe, source.shape, engine, ceiling, tta=True)
        canvas = Canvas(600, 920, channels, np.uint8)
        done = []
        Pass(source, recipe, plan, Sessions(engine), "f32", tta=True).run(canvas, done.append)
        assert done == [step / 8 for step in range(1, 8 * len(plan) + 1)]
        results.append(canvas.array())
    assert len(plan) > 2
    np.testing.assert_array_equal(*results)


def test_memory_for_it_is_reserved():
    recipe = make_recipe(get_model("general"), 4, 0.5)
    shape = (4096, 4096, 3)
    area, less = (
        np.prod(plan_pass(recipe, shape, SharpEngine(), 1 << 28, tta=tta).window)
        for tta in (False, True)
    )
    assert area / 4 < less < area / 2


def test_what_is_flat_stays_so(place):
    source = photo(60, 70)
    source[20:50, 30:60] = 77
    with place.upscaler(SharpEngine(ripple=0.012)) as upscaler:
        result = upscaler.upscale_pixels(source, UpscaleOptions(4, model="general", tta=True))
    assert (result[4 * 24 : 4 * 46, 4 * 34 : 4 * 56] == 77).all()


def test_it_takes_eight_times_as_long_and_stops_at_once(place):
    source = photo(60, 70)
    fractions = []
    options = UpscaleOptions(4, model="general", tta=True)
    with place.upscaler(SharpEngine()) as upscaler:
        upscaler.upscale_pixels(source, options, on_progress=lambda p: fractions.append(p.fraction))
        assert len(set(fractions)) >= 8
        asked = 0

        def third():
            nonlocal asked
            asked += 1
            return asked > 3

        with pytest.raises(Cancelled):
            upscaler.upscale_pixels(source, options, cancelled=third)
    assert asked == 4


def test_the_checks_need_no_upright_picture():
    """What a network makes of a turned tile is compared with that tile."""
    image = photo(64, 48).transpose(2, 0, 1).astype(np.float32) / 255
    there = np.ascontiguousarray(turned(image.transpose(1, 2, 0), 5).transpose(2, 0, 1))
    program = type("P", (), {"scale": 2, "channels": 3, "quantised": False, "guarded": False})
    program.window = there.shape[1:]
    result = SharpEngine().load(program, "f32").submit(there).result()
    assert fault(there, result, may_be_plain=False) is None
    other = np.ascontiguousarray(turned(there.transpose(1, 2, 0), 3).transpose(2, 0, 1))
    assert fault(other, result, may_be_plain=False) is not None
