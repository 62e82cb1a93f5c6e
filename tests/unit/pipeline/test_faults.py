"""A faulty engine under the whole pipeline: mended in f32, or an error and no file."""

import numpy as np
import pytest
from PIL import Image

from superres.engines.base import TileResult
from superres.engines.openvino import OpenVINOEngine
from superres.errors import BadOutput, EngineUnavailable, OutOfMemory
from superres.pipeline import UpscaleOptions
from tests.unit.pipeline.doubles import (
    FaultyEngine,
    SharpEngine,
    enlarged,
    photo,
    reduced,
)

OPTIONS = UpscaleOptions(scale=4, model="general", fidelity=0.0)


def _filled(value):
    def wrong(image, right, before):
        right.pixels[...] = value if right.pixels.dtype != np.uint8 else np.nan_to_num(value)
        right.reduced[...] = value
        return right

    return wrong


def _plain(kind):
    def wrong(image, right, before):
        source = image.transpose(1, 2, 0)
        scale = right.pixels.shape[0] // source.shape[0]
        values = enlarged(source, scale, kind)
        if right.pixels.dtype == np.uint8:
            right.pixels[...] = np.rint(values * 255)
        else:
            right.pixels[...] = values
        right.reduced[...] = reduced(values, scale)
        return right

    return wrong


def another_picture(image, right, before):
    return TileResult(right.pixels[::-1].copy(), right.reduced[::-1].copy(), right.errors)


def stale_pixels(image, right, before):
    return TileResult(before.pixels.copy(), right.reduced, right.errors) if before else right


def stale(image, right, before):
    return before or right


FAULTS = {
    "nan": _filled(np.nan),
    "black": _filled(0),
    "constant": _filled(0.5),
    "another picture": another_picture,
    "nearest": _plain("nearest"),
    "linear": _plain("linear"),
    "cubic": _plain("cubic"),
}
LATER = {"the pixels of the tile before": stale_pixels, "the tile before": stale}

EVERY = pytest.mark.parametrize("name", FAULTS)
PICTURE = photo(90, 70, 3)


def faulty(name, where, after=0, engine=None):
    return FaultyEngine(engine or SharpEngine(), {**FAULTS, **LATER}[name], where, after)


@EVERY
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_fault_in_f16_is_mended_in_f32(place, name, dtype):
    picture = PICTURE if dtype == "uint8" else photo(90, 70, 3, top=65535)
    engine = faulty(name, ["f16"])
    with place.upscaler(engine) as upscaler, place.upscaler(SharpEngine()) as healthy:
        assert upscaler.precision == "f16"
        got = upscaler.upscale_pixels(picture, OPTIONS)
        np.testing.assert_array_equal(got, healthy.upscale_pixels(picture, OPTIONS))
    assert ("f32", False) in engine.submitted


@EVERY
def test_a_fault_in_both_is_an_error_and_no_file(place, tmp_path, name):
    Image.fromarray(PICTURE).save(tmp_path / "in.png")
    before = sorted(p.name for p in tmp_path.iterdir())
    with place.upscaler(faulty(name, ["f16", "f32"])) as upscaler:
        with pytest.raises(BadOutput, match="instead of the enlarged picture, twice") as caught:
            upscaler.upscale_file(tmp_path / "in.png", tmp_path / "out.png", OPTIONS)
        with pytest.raises(BadOutput):
            upscaler.upscale_file((tmp_path / "in.png").read_bytes(), None, OPTIONS)
        with pytest.raises(BadOutput):
            upscaler.upscale_pixels(PICTURE, OPTIONS)
    assert str(tmp_path) not in caught.value.public_message
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["nan", "nearest"])
def test_a_file_that_was_there_stays_as_it_was(place, tmp_path, name):
    Image.fromarray(PICTURE).save(tmp_path / "in.png")
    target = tmp_path / "out.png"
    target.write_bytes(b"precious")
    before = sorted(p.name for p in tmp_path.iterdir())
    with place.upscaler(faulty(name, ["f16", "f32"])) as upscaler, pytest.raises(BadOutput):
        upscaler.upscale_file(tmp_path / "in.png", target, OPTIONS)
    assert target.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@EVERY
def test_a_fault_in_a_late_tile_is_found_as_well(place, name):
    picture = photo(200, 150, 3, seed=1)
    small = {"memory_ceiling": 60 << 20}  # so that there are several tiles
    engine = faulty(name, ["f16", "f32"], after=3)
    with place.upscaler(engine, **small) as upscaler, pytest.raises(BadOutput):
        upscaler.upscale_pixels(picture, OPTIONS)
    assert len(engine.submitted) > 4


@pytest.mark.parametrize("name", LATER)
def test_old_tiles_do_not_get_into_the_picture(place, name):
    picture = photo(200, 150, 3, seed=1)
    small = {"memory_ceiling": 60 << 20}
    with (
        place.upscaler(faulty(name, ["f16"], after=1), **small) as upscaler,
        place.upscaler(SharpEngine(), **small) as healthy,
    ):
        got = upscaler.upscale_pixels(picture, OPTIONS)
        np.testing.assert_array_equal(got, healthy.upscale_pixels(picture, OPTIONS))


@pytest.mark.parametrize("name", ["nan", "constant", "another picture"])
def test_a_fault_in_transparency_alone_is_found(place, name):
    def alpha_only(image, right, before):  # the one that comes out in one channel
        return FAULTS[name](image, right, before) if right.pixels.shape[2] == 1 else right

    engine = FaultyEngine(SharpEngine(), alpha_only, ["f16", "f32"])
    with place.upscaler(engine) as upscaler, pytest.raises(BadOutput):
        upscaler.upscale_pixels(photo(80, 70, 4, seed=2), OPTIONS)


@pytest.mark.parametrize("error", [EngineUnavailable("Broken."), OutOfMemory("No room.")])
def test_what_the_engine_raises_arrives(place, tmp_path, error):
    def broken(image, right, before):
        raise error

    engine = FaultyEngine(SharpEngine(), broken, ["f16"], after=2)
    Image.fromarray(photo(300, 200)).save(tmp_path / "in.png")
    with (
        place.upscaler(engine, memory_ceiling=60 << 20) as upscaler,
        pytest.raises(type(error), match=str(error)),
    ):
        upscaler.upscale_file(tmp_path / "in.png", tmp_path / "out.png", OPTIONS)
    assert not (tmp_path / "out.png").exists()


def _runaway(value):
    """Answers with large errors unless the graph is guarded, as a network out of hand does."""

    def wrong(image, right, before):
        if right.errors is not None:
            right.errors[...] = value
            right.pixels[...] = 0
        return right

    return wrong


@pytest.mark.parametrize("value", [0.9, 50.0, np.nan, np.inf])
def test_a_runaway_is_computed_again_with_its_guard(place, value):
    engine = FaultyEngine(SharpEngine(), _runaway(value), ["f16"])
    with place.upscaler(engine) as upscaler, place.upscaler(SharpEngine()) as healthy:
        got = upscaler.upscale_pixels(PICTURE, OPTIONS)
        np.testing.assert_array_equal(got, healthy.upscale_pixels(PICTURE, OPTIONS))
    tiles = len(engine.submitted) // 2
    assert tiles > 0
    assert engine.submitted.count(("f16", True)) == tiles
    assert ("f32", False) not in engine.submitted


def test_a_runaway_that_its_guard_cannot_hold_is_tried_in_f32(place):
    def wrong(image, right, before):
        if right.errors is not None:
            right.errors[...] = np.nan
        right.reduced[...] = np.nan
        return right

    engine = FaultyEngine(SharpEngine(), wrong, ["f16"])
    with place.upscaler(engine) as upscaler, place.upscaler(SharpEngine()) as healthy:
        got = upscaler.upscale_pixels(PICTURE, OPTIONS)
        np.testing.assert_array_equal(got, healthy.upscale_pixels(PICTURE, OPTIONS))
    assert ("f32", True) in engine.submitted


@pytest.fixture(scope="module")
def openvino(tmp_path_factory):
    return OpenVINOEngine(cache_dir=tmp_path_factory.mktemp("compiled"), streams=2)


@EVERY
@pytest.mark.parametrize("model", ["general", "faithful"])
def test_real_networks_are_mended_or_refused(place, openvino, name, model):
    first = openvino.precisions[0]
    if first == "f32":
        pytest.skip("this processor computes in f32 only")
    options = UpscaleOptions(scale=4, model=model)
    picture = photo(60, 60, 3, seed=5)
    with place.upscaler(faulty(name, [first], engine=openvino)) as upscaler:
        got = upscaler.upscale_pixels(picture, options)
    with place.upscaler(openvino, precision="f32") as exact:
        np.testing.assert_array_equal(got, exact.upscale_pixels(picture, options))
    both = faulty(name, [first, "f32"], engine=openvino)
    with place.upscaler(both) as upscaler, pytest.raises(BadOutput):
        upscaler.upscale_pixels(picture, options)
