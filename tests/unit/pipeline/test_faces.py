"""Faces in the pipeline: where they are changed, and where no byte may be.

The engine is one whose chosen model leaves a ripple that its faithful one does not, so that every
pixel tells where it comes from; the detector is the real one.
"""

from __future__ import annotations

import io
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from superres.engines.fake import FakeEngine
from superres.engines.memory import TileMemory
from superres.errors import Cancelled, ModelNotFound
from superres.faces.face import Face
from superres.faces.region import mask, oval
from superres.imageio import Canvas, OutputOptions, Scratch
from superres.models import get_model
from superres.models.recipe import make_recipe
from superres.pipeline import UpscaleOptions
from superres.pipeline.faces import Faces, looked_for
from superres.pipeline.options import DRAWINGS
from superres.pipeline.sessions import Sessions
from tests.unit.pipeline.doubles import FaultyEngine, Place, SharpEngine, photo

RIPPLE = 0.012
TOPS = {"uint8": 255, "uint16": 65535, "float32": 1.0}


class TwoModels:
    """Sharpens; whatever holds the chosen model's weights also leaves a ripple."""

    name, device, resamples = "two", "cpu", False

    def __init__(self, streams=2):
        self.streams, self.memory = streams, TileMemory(streams)
        self._clean, self._rippled = SharpEngine(), SharpEngine(RIPPLE)
        self._chosen = get_model("general").weights[0].sha256

    @property
    def precisions(self):
        return self._clean.precisions

    def load(self, program, precision):
        engine = self._rippled if self._chosen in program.key else self._clean
        return engine.load(program, precision)


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    with Place(tmp_path_factory.mktemp("faces")).upscaler(TwoModels()) as made:
        yield made


@pytest.fixture(scope="module")
def portrait(photos):
    """A face of 50 pixels, and room around it."""
    return np.asarray(Image.fromarray(photos["astronaut"][0:300, 40:400]).reduce(2))


def kind_of(picture, dtype, channels):
    """``picture`` as this kind of array; alpha is opaque around the face and soft elsewhere."""
    top = TOPS[dtype]
    colours = picture if channels > 2 else picture[..., 1:2]
    made = colours.astype(np.float64) / 255 * top
    if channels in (2, 4):
        x = np.arange(picture.shape[1]) / picture.shape[1]
        alpha = np.clip(3 - 3 * x, 0, 1) * np.ones((len(picture), 1))
        made = np.dstack([made, alpha * top])
    return (made if dtype == "float32" else np.rint(made)).astype(dtype)


def both(upscaler, pixels, **options):
    """The result without and with faces, and what was said of these."""
    told = []
    plain = upscaler.upscale_pixels(pixels, UpscaleOptions(**options))
    faced = upscaler.upscale_pixels(
        pixels, UpscaleOptions(face=True, **options), on_faces=told.append
    )
    assert len(told) == 1
    return plain, faced, told[0]


def shown(reports, height, width, scale):
    """The mask over the whole result, at a fractional scale too."""
    ovals = [oval(report.face) for report in reports]
    wide = mask(ovals, 0, 0, math.ceil(height * 4), math.ceil(width * 4), 4)
    size = round(width * scale), round(height * scale)
    return np.asarray(Image.fromarray(wide).resize(size, Image.Resampling.BOX))


# ------------------------------------------------------------------- only under the mask


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", TOPS)
def test_outside_the_mask_no_byte_changes_and_inside_the_face_does(
    upscaler, portrait, dtype, channels, scale
):
    pixels = kind_of(portrait, dtype, channels)
    plain, faced, reports = both(upscaler, pixels, scale=scale)
    assert [report.tier for report in reports] == ["enhanced"]
    weights = mask([oval(reports[0].face)], 0, 0, *plain.shape[:2], scale)
    assert faced[weights == 0].tobytes() == plain[weights == 0].tobytes()
    colours = channels - (channels in (2, 4))
    assert faced[..., colours:].tobytes() == plain[..., colours:].tobytes()
    changed = (faced[..., :colours] != plain[..., :colours]).any(2)
    assert changed[weights == 1].mean() > 0.5


@pytest.mark.parametrize("scale", [1.5, 3, 8])
def test_what_follows_the_first_pass_takes_the_face_along(upscaler, portrait, scale):
    plain, faced, reports = both(upscaler, portrait, scale=scale)
    assert [report.tier for report in reports] == ["enhanced"]
    weights = shown(reports, *portrait.shape[:2], scale)
    # Resampling and the second pass reach a few pixels over the mask's edge.
    far = np.asarray(Image.fromarray((weights > 0).astype(np.uint8)).resize(weights.shape[::-1]))
    reach = int(20 * scale)
    near = np.pad(far, reach)
    near = near.cumsum(0).cumsum(1)
    size = 2 * reach
    near = near[size:, size:] - near[:-size, size:] - near[size:, :-size] + near[:-size, :-size]
    np.testing.assert_array_equal(faced[near == 0], plain[near == 0])
    assert (near == 0).any()
    assert (faced != plain).any(2)[weights > 0.99].mean() > 0.4


def test_the_ripple_is_gone_from_a_clean_face(upscaler, portrait):
    plain, faced, reports = both(upscaler, portrait, scale=4)
    faithful = upscaler.upscale_pixels(portrait, UpscaleOptions(model="faithful"))
    weights = mask([oval(reports[0].face)], 0, 0, *plain.shape[:2], 4)
    errors = [np.abs(p.astype(int) - faithful)[weights == 1].mean() for p in (plain, faced)]
    assert errors[1] < errors[0] / 2


def test_a_picture_without_faces_is_byte_for_byte_the_same(upscaler, photos):
    cat = photos["chelsea"][60:200, 100:260]
    plain, faced, reports = both(upscaler, cat, scale=2)
    assert reports == ()
    assert faced.tobytes() == plain.tobytes()


@pytest.mark.parametrize("model", DRAWINGS)
def test_in_drawings_faces_are_not_looked_for(upscaler, portrait, model):
    options = UpscaleOptions(scale=2, model=model, face=True)
    assert not looked_for(options.descriptor)
    assert not options.with_faces
    told = []
    faced = upscaler.upscale_pixels(portrait, options, on_faces=told.append)
    plain = upscaler.upscale_pixels(portrait, replace(options, face=False))
    np.testing.assert_array_equal(faced, plain)
    assert told == []


def test_what_the_faithful_model_has_made_already_stays(upscaler, portrait):
    plain, faced, reports = both(upscaler, portrait, scale=4, model="faithful")
    assert [report.tier for report in reports] == ["unchanged"]
    np.testing.assert_array_equal(faced, plain)


def test_a_damaged_face_is_cleaned_for_the_faithful_model_too(upscaler, portrait):
    buffer = io.BytesIO()
    Image.fromarray(portrait).save(buffer, "JPEG", quality=60)
    damaged = np.asarray(Image.open(buffer))
    plain, faced, reports = both(upscaler, damaged, scale=4, model="faithful")
    assert [report.tier for report in reports] == ["enhanced"]
    assert (faced != plain).any()


# ----------------------------------------------------------------------- files and reports


def test_a_file_s_report_lists_faces_and_its_quality_is_heeded(upscaler, portrait, tmp_path):
    canvases = {}
    for quality in (98, 60):
        path = tmp_path / f"{quality}.jpg"
        Image.fromarray(portrait).save(path, "JPEG", quality=quality, subsampling=0)
        png = OutputOptions(format="png")
        report = upscaler.upscale_file(path, None, UpscaleOptions(face=True, output=png))
        (face,) = report.faces
        assert face.tier == "enhanced"
        assert face.face.score > 0.865
        plain = upscaler.upscale_file(path, None, UpscaleOptions(output=png))
        assert plain.faces == ()
        weights = mask([oval(face.face)], 0, 0, report.out_height, report.out_width, 4)
        made, old = (
            np.asarray(Image.open(io.BytesIO(each.data))).astype(int) for each in (report, plain)
        )
        np.testing.assert_array_equal(made[weights == 0], old[weights == 0])
        canvases[quality] = np.abs(made - old)[weights == 1].mean()
    assert canvases[98] > canvases[60] > 0


def test_a_picture_stored_turned_has_its_faces_where_they_are_seen(upscaler, portrait):
    upright, turned = io.BytesIO(), io.BytesIO()
    Image.fromarray(portrait).save(upright, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(portrait)).save(turned, "PNG", exif=exif)
    options = UpscaleOptions(face=True, scale=2)
    first, second = (
        upscaler.upscale_file(each.getvalue(), None, options) for each in (upright, turned)
    )
    assert first.faces == second.faces
    assert len(first.faces) == 1
    pixels = [np.asarray(Image.open(io.BytesIO(each.data))) for each in (first, second)]
    np.testing.assert_array_equal(*pixels)


def test_the_settings_say_how_many_and_how_sure(portrait, tmp_path):
    place = Place(tmp_path)
    crowd = np.concatenate([portrait, portrait], 1)
    found = []
    for faces in ({}, {"most": 1}, {"threshold": 0.999}):
        settings = place.settings()
        settings = replace(settings, faces=replace(settings.faces, **faces))
        from superres.pipeline import Upscaler

        with Upscaler(settings, engine=TwoModels()) as upscaler:
            options = UpscaleOptions(face=True, scale=1)
            upscaler.upscale_pixels(crowd, options, on_faces=lambda r: found.append(len(r)))
    assert found == [2, 1, 0]
    assert place.left_over() == []


def test_a_network_that_nobody_knows_is_refused_before_any_work(upscaler, portrait):
    options = UpscaleOptions(restore="nobody")
    reports = []
    with pytest.raises(ModelNotFound):
        upscaler.upscale_pixels(portrait, options, on_progress=reports.append)
    assert reports == []


# ------------------------------------------------------------------ progress, cancellation


def test_progress_never_goes_back(upscaler, portrait):
    fractions = []
    upscaler.upscale_pixels(
        portrait,
        UpscaleOptions(face=True, scale=8),
        on_progress=lambda p: fractions.append(p.fraction),
    )
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    plain = []
    upscaler.upscale_pixels(
        portrait, UpscaleOptions(scale=8), on_progress=lambda p: plain.append(p.fraction)
    )
    assert len(fractions) > len(plain)


def test_it_stops_between_tiles_of_a_face(place, portrait):
    """Stopped at every moment that is asked about; each leaves nothing behind."""

    class Asked:
        def __init__(self, allowed):
            self.allowed, self.times = allowed, 0

        def __call__(self):
            self.times += 1
            return self.times > self.allowed

    with place.upscaler(TwoModels()) as upscaler:
        runs = []
        for options in (UpscaleOptions(scale=2), UpscaleOptions(scale=2, face=True)):
            asked = Asked(math.inf)
            upscaler.upscale_pixels(portrait, options, cancelled=asked)
            runs.append(asked.times)
        assert runs[1] > runs[0] + 2
        for allowed in range(runs[1] - 1):
            options = UpscaleOptions(scale=2, face=True)
            with pytest.raises(Cancelled):
                upscaler.upscale_pixels(portrait, options, cancelled=Asked(allowed))
            assert place.left_over() == []


# --------------------------------------------------------------- made-up faces, hard places


def at(x, y, width, height):
    """An upright face with this box."""
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return Face(x, y, width, height, 0.9, tuple((x + u * width, y + v * height) for u, v in points))


def enhanced(engine, faces, pixels, tmp_path, *, scale=4, ceiling=1 << 30, canvas=None):
    """The plain canvas, the one with ``faces``, and what was said of them."""
    first = make_recipe(get_model("general"), scale, 0.5)
    sessions = Sessions(engine)
    made = Faces(faces, pixels, first, 0, sessions, engine.precisions[0], ceiling)
    height, width, channels = pixels.shape
    with Scratch(tmp_path) as scratch:
        if canvas is None:
            canvas = Canvas(height * scale, width * scale, channels, pixels.dtype)
            rng = np.random.default_rng(5)
            canvas.write(0, 0, rng.integers(0, 256, canvas.shape).astype(pixels.dtype))
        before = canvas.array().copy() if not canvas.on_disk else None
        costs = []
        made.run(canvas, scratch, costs.append, lambda: None)
        assert costs == sorted(costs)
        assert not costs or costs[-1] == pytest.approx(made.cost)
    return before, canvas.array(), [report.tier for report in made.reports]


def weights_of(faces, canvas, scale=4):
    return mask([oval(face) for face in faces], 0, 0, *canvas.shape[:2], scale)


@pytest.mark.parametrize(
    "face",
    [
        at(-30, -20, 60, 70),
        at(70, 60, 80, 90),
        at(-100, -150, 300, 400),
        at(0, 0, 96, 80),
        at(40, 30, 2, 3),
    ],
    ids=["over a corner", "over the other", "larger than the picture", "as large", "tiny"],
)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_face_anywhere(tmp_path, face, scale):
    before, after, tiers = enhanced(TwoModels(), [face], photo(80, 96), tmp_path, scale=scale)
    weights = weights_of([face], after, scale)
    assert tiers == ["enhanced"]
    np.testing.assert_array_equal(after[weights == 0], before[weights == 0])
    assert (after != before).any(2)[weights > 0.5].mean() > 0.9


def test_a_face_outside_the_picture_is_left_alone(tmp_path):
    before, after, tiers = enhanced(TwoModels(), [at(300, 300, 40, 40)], photo(60, 60), tmp_path)
    assert tiers == ["unchanged"]
    np.testing.assert_array_equal(after, before)


def test_overlapping_faces_are_blended_once(tmp_path):
    faces = [at(20, 20, 40, 50), at(50, 25, 42, 48), at(150, 20, 30, 36)]
    pixels = photo(110, 200)
    before, after, tiers = enhanced(TwoModels(), faces, pixels, tmp_path)
    _, alone, _ = enhanced(TwoModels(), [at(-200, -200, 700, 700)], pixels, tmp_path)
    weights = weights_of(faces, after)[..., None]
    expected = before + weights * (alone.astype(float) - before)
    assert tiers == ["enhanced"] * 3
    assert np.abs(after - expected).max() <= 1
    _, other, _ = enhanced(TwoModels(), faces[::-1], pixels, tmp_path)
    np.testing.assert_array_equal(other, after)


def test_tiles_streams_and_runs_make_no_difference(tmp_path):
    faces, pixels = [at(30, 25, 110, 130)], photo(220, 230)
    results = [
        enhanced(TwoModels(streams), faces, pixels, tmp_path, ceiling=ceiling)[1]
        for streams, ceiling in ((1, 1 << 30), (2, 1 << 30), (2, 1 << 30), (4, 1 << 30), (2, 1))
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def running_away(where):
    """An engine whose errors are high where the picture is nearly white in the first channel."""

    def fault(image, right, before):
        if right.errors is not None:
            right.errors[:, image[0] > where] = 1
        return right

    return FaultyEngine(TwoModels(), fault, where=("f16", "f32"))


def test_a_face_that_needs_the_guard_is_left_alone_and_its_neighbour_is_not(tmp_path):
    faces = [at(20, 20, 40, 50), at(64, 25, 42, 48)]
    pixels = np.minimum(photo(110, 130), 180)
    pixels[20:70:2, 24:44:2] = 255
    before, after, tiers = enhanced(running_away(0.9), faces, pixels, tmp_path)
    assert tiers == ["unchanged", "enhanced"]
    weights = weights_of(faces[1:], after)
    np.testing.assert_array_equal(after[weights == 0], before[weights == 0])
    assert (after != before).any(2)[weights > 0.5].mean() > 0.9


def test_a_guard_beside_the_face_or_in_a_spot_of_it_does_not_matter(tmp_path):
    pixels = np.minimum(photo(110, 130), 180)
    pixels[:8] = 255
    pixels[50, 60] = 255
    face = at(40, 30, 40, 48)
    before, after, tiers = enhanced(running_away(0.9), [face], pixels, tmp_path)
    assert tiers == ["enhanced"]
    assert (after != before).any()


def test_flat_areas_stay_flat_in_a_face(tmp_path):
    pixels = photo(100, 100)
    pixels[30:70, 30:70] = (250, 10, 10)
    face = at(-100, -100, 300, 300)
    _, after, _ = enhanced(SharpEngine(RIPPLE), [face], pixels, tmp_path, scale=1)
    np.testing.assert_array_equal(after[36:64, 36:64], np.full((28, 28, 3), (250, 10, 10)))


def test_a_wrong_tile_is_computed_again(tmp_path):
    def fault(image, right, before):
        return replace(right, reduced=np.full_like(right.reduced, np.nan))

    engine = FaultyEngine(TwoModels(), fault)
    faces, pixels = [at(20, 20, 40, 50)], photo(90, 90)
    _, right, _ = enhanced(TwoModels(), faces, pixels, tmp_path)
    _, after, tiers = enhanced(engine, faces, pixels, tmp_path)
    assert tiers == ["enhanced"]
    np.testing.assert_array_equal(after, right)


@pytest.mark.parametrize("damaged", [False, True])
def test_memory_does_not_grow_with_the_face(tmp_path, damaged):
    """A face over the whole picture, 69 MB on the canvas, which is on disk."""
    pixels = photo(1600, 900)
    if damaged:
        rng = np.random.default_rng(3)
        pixels = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    face, ceiling = at(-500, -500, 2400, 3600), 96 << 20
    with Scratch(tmp_path) as scratch:
        canvas = Canvas(6400, 3600, 3, np.uint8, scratch, memory_limit=0)
        tracemalloc.start()
        try:
            _, after, tiers = enhanced(
                FakeEngine(), [face], pixels, tmp_path, canvas=canvas, ceiling=ceiling
            )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert tiers == ["enhanced"]
        assert after[3200, 1800].any()
        del after
        canvas.close()
    assert peak < 48 << 20
