"""The whole way of a picture, on the fake engine and on one that sharpens."""

import io
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superres.engines.fake import FakeEngine
from superres.engines.openvino import OpenVINOEngine
from superres.errors import (
    BadParameter,
    Cancelled,
    EngineUnavailable,
    ImageTooLarge,
    ImageTooSmall,
    InputError,
)
from superres.imageio import OutputOptions
from superres.pipeline import UpscaleOptions, Upscaler
from tests.unit.pipeline.doubles import Place, SharpEngine, photo

DTYPES = ["uint8", "uint16", "float32"]
TOPS = {"uint8": 255, "uint16": 65535, "float32": 1.0}


def picture(height, width, channels=3, dtype="uint8", seed=0):
    """Soft blobs; ``channels`` 0 has no third axis."""
    made = photo(height, width, channels or 1, seed, 65535)
    if dtype == "float32":
        made = (made / 65535).astype(np.float32)
    elif dtype == "uint8":
        made = (made // 257).astype(np.uint8)
    return made if channels else made[..., 0]


def saved(pixels, kind="PNG", **how):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **how)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    with Place(tmp_path_factory.mktemp("fake")).upscaler() as made:
        yield made


@pytest.fixture(scope="module")
def rippling(tmp_path_factory):
    """A network that leaves a pattern of three levels everywhere."""
    place = Place(tmp_path_factory.mktemp("rippling"))
    with place.upscaler(SharpEngine(ripple=0.012)) as made:
        yield made


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    with Place(tmp_path_factory.mktemp("sharp")).upscaler(SharpEngine()) as made:
        yield made


# ------------------------------------------------------------------ sizes and kinds


@settings(max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(8, 128),
    st.integers(0, 4),
    st.sampled_from(DTYPES),
)
def test_any_array_comes_back_as_itself_at_exactly_the_size(
    upscaler, height, width, eighths, channels, dtype
):
    scale = Fraction(eighths, 8)
    source = picture(height, width, channels, dtype)
    before = source.copy()
    options = UpscaleOptions(scale=float(scale), fidelity=0.5)
    got = upscaler.upscale_pixels(source, options)
    want = tuple(math.floor(side * scale + Fraction(1, 2)) for side in (height, width))
    assert got.shape == want + source.shape[2:]
    assert got.dtype == source.dtype
    assert got.flags.writeable
    np.testing.assert_array_equal(source, before)


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("channels", [0, 1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_native_scales_are_exact_repetition(upscaler, scale, channels, dtype):
    source = picture(37, 23, channels, dtype)
    got = upscaler.upscale_pixels(source, UpscaleOptions(scale=scale))
    want = source.repeat(scale, 0).repeat(scale, 1)
    if dtype == "uint8":
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(
            got.astype(float), want.astype(float), atol=2e-6 * TOPS[dtype] + (dtype == "uint16")
        )


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 1, 4), (1, 700, 3), (700, 1), (2, 3, 2)])
@pytest.mark.parametrize("scale", [1, 1.5, 4, 7])
def test_slivers(upscaler, sharp, shape, scale):
    source = np.full(shape, 200, np.uint8)
    for each in (upscaler, sharp):
        got = each.upscale_pixels(source, UpscaleOptions(scale=scale))
        size = tuple(math.floor(side * scale + 0.5) for side in shape[:2])
        assert got.shape == size + shape[2:]
        assert (got == 200).all()


@pytest.mark.parametrize(
    "how",
    [
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        lambda a: np.pad(a, ((0, 0), (0, 3), (0, 0)))[:, :-3],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: a.astype(a.dtype.newbyteorder("<")),
    ],
    ids=["fortran", "upside down", "part of a larger one", "big-endian", "little-endian"],
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [2, 2.5])
def test_the_layout_in_memory_does_not_matter(upscaler, how, dtype, scale):
    source = picture(20, 24, 3, dtype)
    options = UpscaleOptions(scale=scale)
    other = how(source)
    other.flags.writeable = False
    got = upscaler.upscale_pixels(other, options)
    assert got.dtype == other.dtype
    np.testing.assert_array_equal(got, upscaler.upscale_pixels(source, options))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((4, 4, 0), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((1, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((4, 4), np.int16), "int16"),
        ([[1, 2], [3, 4]], "list"),
        (None, "NoneType"),
        (np.full((4, 4), np.nan, np.float32), "not numbers"),
        (np.full((4, 4), np.inf, np.float32), "not numbers"),
    ],
)
def test_what_is_no_picture_is_refused(upscaler, value, reason):
    with pytest.raises(BadParameter, match=reason):
        upscaler.upscale_pixels(value)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 0)])
def test_a_picture_without_pixels_is_refused(upscaler, shape):
    with pytest.raises(ImageTooSmall):
        upscaler.upscale_pixels(np.zeros(shape, np.uint8))


def test_a_large_result_is_on_disk_and_stays(tmp_path):
    with Place(tmp_path).upscaler() as upscaler:
        source = picture(1000, 1400)
        got = upscaler.upscale_pixels(source, UpscaleOptions(scale=4))
    assert isinstance(got, np.memmap)
    assert got.flags.writeable
    assert Place(tmp_path).left_over() == []
    np.testing.assert_array_equal(got[::4, ::4], source)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [3, 2.5])
def test_many_tiles_are_one_picture(tmp_path, dtype, scale):
    """With little memory there are many tiles; the fake engine shows every misplaced pixel."""
    source = picture(310, 205, 3, dtype)
    with (
        Place(tmp_path).upscaler() as large,
        Place(tmp_path).upscaler(memory_ceiling=20 << 20) as small,
    ):
        for model in ("general", "photo"):
            options = UpscaleOptions(scale=scale, model=model)
            got, want = (each.upscale_pixels(source, options) for each in (small, large))
            gap = np.abs(got.astype(float) - want.astype(float)).max()
            assert gap <= (1 if dtype != "float32" else 1e-5)


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "uint16",
        "float32",
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resizing_does_not_leave_the_range(upscaler, dtype, channels):
    board = (np.indices((20, 24)).sum(0) % 2)[..., None].repeat(channels, 2)
    source = (board * TOPS[dtype]).astype(dtype)
    got = upscaler.upscale_pixels(source, UpscaleOptions(scale=2.5))
    assert got.min() >= 0
    assert got.max() <= TOPS[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [0, 1, 3])
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1, 2, 3.7, 8])
def test_white_stays_white_and_black_black(rippling, dtype, channels, value, scale):
    shape = (33, 21, channels) if channels else (33, 21)
    source = np.full(shape, value * TOPS[dtype]).astype(dtype)
    got = rippling.upscale_pixels(source, UpscaleOptions(scale=scale))
    np.testing.assert_allclose(got.astype(float), value * TOPS[dtype], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_flat_areas_beside_others_are_kept_exactly(rippling, channels):
    source = photo(60, 80, channels, seed=4)
    source[:, :40] = 201
    got = rippling.upscale_pixels(source, UpscaleOptions(scale=4))
    assert (got[:, : 34 * 4] == 201).all()
    assert not (got[:, 41 * 4 :] == source[:, 41:].repeat(4, 0).repeat(4, 1)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_sixteen(sharp, channels):
    line = np.linspace(0, 65535, 64).astype(np.uint16)
    source = np.broadcast_to(line[None, :, None], (48, 64, channels)).copy()
    got = sharp.upscale_pixels(source, UpscaleOptions(scale=4, fidelity=0.0))
    assert len(np.unique(got)) > 240
    assert len(np.unique(got % 257)) > 90


# ------------------------------------------------------------------ transparency


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("scale", [1, 2, 2.5, 4, 6])
def test_one_alpha_stays_exactly_that(rippling, dtype, channels, value, scale):
    source = picture(31, 42, channels, dtype)
    source[..., -1] = value * TOPS[dtype]
    got = rippling.upscale_pixels(source, UpscaleOptions(scale=scale))
    np.testing.assert_allclose(got[..., -1].astype(float), value * TOPS[dtype], atol=1e-6)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_well_inside_alpha_is_exactly_0_or_1(rippling, channels, scale):
    source = picture(60, 60, channels)
    source[..., -1] = 0
    source[20:45, 15:50, -1] = 255
    got = rippling.upscale_pixels(source, UpscaleOptions(scale=scale))[..., -1]
    grown = source[..., -1].repeat(scale, 0).repeat(scale, 1)
    # Each of the passes may blur two of its own pixels to either side of the edge.
    n = 3 * scale
    edge = np.zeros(grown.shape, bool)
    edge[20 * scale - n : 45 * scale + n, 15 * scale - n : 50 * scale + n] = True
    edge[20 * scale + n : 45 * scale - n, 15 * scale + n : 50 * scale - n] = False
    np.testing.assert_array_equal(got[~edge], grown[~edge])


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("scale", [2, 4])
def test_hidden_colour_does_not_show(sharp, channels, scale):
    source = picture(60, 60, channels)
    source[..., -1] = 0
    source[20:45, 15:50, -1] = 255
    other = source.copy()
    other[source[..., -1] == 0, :-1] = 255 - other[source[..., -1] == 0, :-1]
    one, two = (sharp.upscale_pixels(each, UpscaleOptions(scale=scale)) for each in (source, other))
    np.testing.assert_array_equal(one, two)


def test_the_first_channels_are_the_same_with_and_without_opaque_alpha(sharp):
    source = picture(60, 50, 4)
    source[..., -1] = 255
    options = UpscaleOptions(scale=4)
    got = sharp.upscale_pixels(source, options)
    want = sharp.upscale_pixels(np.ascontiguousarray(source[..., :3]), options)
    assert np.abs(got[..., :3].astype(int) - want).max() <= 1


# ------------------------------------------------------------------ sizes asked for


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ({"width": 100}, (100, 75)),
        ({"height": 100}, (133, 100)),
        ({"width": 100, "height": 100}, (100, 75)),
        ({"width": 1000, "height": 60}, (80, 60)),
        ({"megapixels": 0.012}, (126, 95)),
        ({"width": 40}, (40, 30)),
        ({"width": 640}, (640, 480)),
    ],
)
def test_width_height_and_megapixels(upscaler, how, size):
    got = upscaler.upscale_pixels(picture(30, 40), UpscaleOptions(**how))
    assert got.shape[1::-1] == size


def test_limits_are_met_before_any_work(tmp_path):
    class Idle(FakeEngine):
        def load(self, program, precision):
            raise AssertionError("nothing should run")

    small = {"max_input_pixels": 1000, "max_output_pixels": 10_000, "max_side": 60}
    with Place(tmp_path).upscaler(Idle(), limits=small) as upscaler:
        for shape, scale, setting in (
            ((40, 40), 1, "max_input_pixels"),
            ((10, 70), 1, "max_side"),
            ((30, 30), 4, "max_output_pixels"),
        ):
            with pytest.raises(ImageTooLarge, match=setting):
                upscaler.upscale_pixels(picture(*shape), UpscaleOptions(scale=scale))
            with pytest.raises(ImageTooLarge, match=setting):
                upscaler.upscale_file(saved(picture(*shape)), None, UpscaleOptions(scale=scale))
            with pytest.raises(ImageTooLarge, match=setting):
                upscaler.estimate(saved(picture(*shape)), None, UpscaleOptions(scale=scale))


# ------------------------------------------------------------------ progress and stopping


@pytest.mark.parametrize("scale", [1, 3, 4, 10])
@pytest.mark.parametrize("kind", ["array", "bytes", "file"])
def test_progress_grows_to_exactly_one(tmp_path, scale, kind):
    seen = []
    options = UpscaleOptions(scale=scale)
    source = picture(150, 120)
    with Place(tmp_path).upscaler(memory_ceiling=40 << 20) as upscaler:
        if kind == "array":
            upscaler.upscale_pixels(source, options, on_progress=seen.append)
        else:
            target = tmp_path / "out.png" if kind == "file" else None
            upscaler.upscale_file(saved(source), target, options, on_progress=seen.append)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0
    assert fractions[-1] == 1.0
    stages = list(dict.fromkeys(p.stage for p in seen))
    assert stages == (["upscale", "encode"] if kind == "array" else ["decode", "upscale", "encode"])
    assert sum(p.stage == "upscale" for p in seen) > 1


@pytest.mark.parametrize("turn", [1, 2, 5, 9])
def test_stopping_between_tiles_leaves_nothing(tmp_path, turn):
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) >= turn

    target = tmp_path / "out.png"
    target.write_bytes(b"precious")
    (tmp_path / "in.png").write_bytes(saved(picture(300, 200)))
    with Place(tmp_path).upscaler(memory_ceiling=20 << 20) as upscaler:
        before = sorted(p.name for p in tmp_path.iterdir())
        with pytest.raises(Cancelled):
            upscaler.upscale_file(
                tmp_path / "in.png", target, UpscaleOptions(), cancelled=cancelled
            )
        assert len(asked) == turn  # and not asked again
        assert target.read_bytes() == b"precious"
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        assert Place(tmp_path).left_over() == []
        # It can be used again.
        upscaler.upscale_file(tmp_path / "in.png", target, UpscaleOptions())
    with Image.open(target) as result:
        assert result.size == (800, 1200)


def test_an_error_in_the_listener_stops_cleanly(place, tmp_path):
    def listen(progress):
        if progress.stage == "encode":
            raise KeyboardInterrupt

    with place.upscaler() as upscaler, pytest.raises(KeyboardInterrupt):
        upscaler.upscale_file(saved(picture(50, 50)), tmp_path / "out.png", on_progress=listen)
    assert not (tmp_path / "out.png").exists()
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == []


# ------------------------------------------------------------------ files, estimates


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("PNG", None, {}),
        ("PNG", "out.jpg", {"scale": 2.3}),
        ("JPEG", None, {"scale": 7}),
        ("JPEG", "out.webp", {"width": 200}),
        ("TIFF", "out.tif", {"megapixels": 0.05, "model": "photo"}),
        ("PNG", "out.png", {"scale": 1, "model": "faithful"}),
        ("PNG", None, {"scale": 12, "fidelity": 0.0, "model": "anime-video"}),
        ("PNG", None, {"output": OutputOptions(format="webp", quality=50)}),
    ],
)
def test_an_estimate_is_what_happens(tmp_path, kind, name, options):
    data = saved(picture(61, 83), kind)
    wanted = UpscaleOptions(**{"fidelity": 0.5, **options})
    target = tmp_path / name if name else None
    with Place(tmp_path).upscaler() as upscaler:
        estimate = upscaler.estimate(data, target, wanted)
        report = upscaler.upscale_file(data, target, wanted)
    for field in ("width", "height", "out_width", "out_height", "model", "fidelity", "passes"):
        assert getattr(estimate, field) == getattr(report, field), field
    assert estimate.format == report.format
    with Image.open(target or io.BytesIO(report.data)) as result:
        assert result.size == (report.out_width, report.out_height)
        assert result.format.lower() == report.format
    assert (report.data is None) == (target is not None)
    assert report.target == target
    assert report.seconds >= report.inference_seconds > 0
    assert report.peak_memory > 10 << 20
    assert (report.device, report.precision) == ("fake", "f32")
    assert estimate.scratch_bytes >= 83 * 61 * 3
    assert estimate.memory_bytes > 100 << 20


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("out.png", UpscaleOptions(width=10)),
        ("out.jpg", UpscaleOptions(output=OutputOptions(lossless=True))),
        ("out.gif", UpscaleOptions()),
    ],
)
def test_an_estimate_refuses_what_the_work_would(place, tmp_path, target, options):
    data = saved(picture(20, 20))
    with place.upscaler() as upscaler:
        for work in (upscaler.estimate, upscaler.upscale_file):
            with pytest.raises(InputError):
                work(data, tmp_path / target, options)
    assert not (tmp_path / target).exists()


def test_an_estimate_knows_the_time_once_something_ran(place, monkeypatch):
    data = saved(picture(61, 83))
    with place.upscaler() as upscaler:
        assert upscaler.estimate(data, None).seconds == 0
        monkeypatch.setattr("superres.pipeline.speed._LEAST_SECONDS", 0)
        report = upscaler.upscale_file(data, None)
        expected = upscaler.estimate(data, None).seconds
        assert expected == pytest.approx(report.inference_seconds, rel=0.01)
    with place.upscaler() as later:  # another process would read the same file
        assert later.estimate(data, None).seconds == expected


def test_the_same_file_gives_the_same_bytes(sharp):
    data = saved(picture(61, 83))
    one, two = (sharp.upscale_file(data, None, UpscaleOptions(scale=3)).data for _ in range(2))
    assert one == two


def test_a_file_may_be_given_as_path_or_bytes(sharp, tmp_path):
    path = tmp_path / "größe 画.png"
    path.write_bytes(saved(picture(30, 20)))
    assert sharp.upscale_file(path, None).data == sharp.upscale_file(path.read_bytes(), None).data
    report = sharp.upscale_file(path, tmp_path / "ergebnis ü.png")
    assert (report.source, report.target) == (path, tmp_path / "ergebnis ü.png")


# ------------------------------------------------------------------ threads, engines


def test_eight_threads_share_an_upscaler(tmp_path):
    jobs = [
        (
            picture(40 + 13 * n, 90 - 7 * n, (3, 1, 4)[n % 3], seed=n),
            1 + n % 4,
            ("general", "photo")[n % 2],
        )
        for n in range(8)
    ]
    place = Place(tmp_path)
    with place.upscaler(SharpEngine(), memory_ceiling=40 << 20) as upscaler:

        def work(job):
            source, scale, model = job
            return upscaler.upscale_pixels(source, UpscaleOptions(scale=scale, model=model))

        serial = [work(job) for job in jobs]
        ready = threading.Barrier(8)

        def at_once(job):
            ready.wait(30)
            return [work(job) for _ in range(3)]

        with ThreadPoolExecutor(8) as threads:
            for found, want in zip(threads.map(at_once, jobs), serial, strict=True):
                for got in found:
                    np.testing.assert_array_equal(got, want)
    assert place.left_over() == []


def test_threads_share_real_sessions_too(tmp_path):
    engine = OpenVINOEngine(cache_dir=tmp_path / "compiled", streams=2)
    options = UpscaleOptions(scale=2, model="faithful")
    sources = [picture(48, 48, 3, seed=n) for n in range(6)]
    with Place(tmp_path).upscaler(engine) as upscaler:
        serial = [upscaler.upscale_pixels(source, options) for source in sources]
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(lambda s: upscaler.upscale_pixels(s, options), sources))
    for got, want in zip(found, serial, strict=True):
        np.testing.assert_array_equal(got, want)


def test_closing_lets_go_and_does_no_harm(place):
    upscaler = place.upscaler()
    source = picture(20, 20)
    one = upscaler.upscale_pixels(source)
    upscaler.close()
    upscaler.close()
    np.testing.assert_array_equal(upscaler.upscale_pixels(source), one)


@pytest.mark.parametrize(
    ("wanted", "have", "chosen"),
    [
        ("auto", ("f16", "bf16", "f32"), "f16"),
        ("auto", ("bf16", "f32"), "f32"),
        ("auto", ("f32",), "f32"),
        ("bf16", ("bf16", "f32"), "bf16"),
        ("f32", ("f16", "f32"), "f32"),
    ],
)
def test_the_precision_is_the_fastest_that_is_exact_enough(place, wanted, have, chosen):
    class Engine(FakeEngine):
        precisions = have

    assert place.upscaler(Engine(), precision=wanted).precision == chosen


def test_a_precision_that_is_not_there_is_refused(place):
    with pytest.raises(EngineUnavailable, match=r"f16 is not fast .*f32"):
        place.upscaler(FakeEngine(), precision="f16")


def test_defaults_are_enough(monkeypatch):
    monkeypatch.setattr("superres.pipeline.upscaler.select_engine", lambda settings: FakeEngine())
    got = Upscaler().upscale_pixels(np.zeros((3, 4), np.uint8))
    assert got.shape == (12, 16)
