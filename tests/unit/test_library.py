"""``superres.upscale`` and ``Upscaler``: each kind of picture comes back as the same kind."""

import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import superres
from superres import library
from superres.engines.fake import FakeEngine
from superres.errors import (
    BadParameter,
    Cancelled,
    CorruptImage,
    ModelNotFound,
    OutputError,
    SuperresError,
    UnsupportedFormat,
    WeightsMissing,
)
from superres.settings import EngineSettings, Settings


@pytest.fixture(autouse=True)
def fake(monkeypatch, tmp_path):
    """The fake engine, and no Upscaler of another test."""
    monkeypatch.setenv("SUPERRES_ENGINE__DEVICE", "fake")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library, "_shared", {})


def colours(height=20, width=30, channels=3, dtype=np.uint8):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    shape = (height, width, channels) if channels else (height, width)
    return (np.random.default_rng(0).random(shape) * top).astype(dtype)


def saved(pixels, kind="PNG", **how):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **how)
    return buffer.getvalue()


def repeated(pixels, scale):
    return pixels.repeat(scale, 0).repeat(scale, 1)


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1, 2.5, 4])
def test_an_array_comes_back_as_an_array_of_its_kind(dtype, channels, scale):
    source = colours(8, 10, channels, dtype)
    got = superres.upscale(source, scale)
    assert isinstance(got, np.ndarray)
    assert got.dtype == source.dtype
    assert got.shape == (8 * scale, 10 * scale, *source.shape[2:])


def test_the_scale_is_4_unless_said():
    np.testing.assert_array_equal(superres.upscale(colours()), repeated(colours(), 4))
    assert superres.upscale(colours(), width=45).shape == (30, 45, 3)
    assert superres.upscale(colours(), megapixels=0.0024).shape == (40, 60, 3)


def test_a_result_is_ones_own():
    source = colours()
    one = superres.upscale(source, 1)
    two = superres.upscale(source, 1)
    one[:] = 0
    np.testing.assert_array_equal(two, source)


# ------------------------------------------------------------------ bytes


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_come_back_as_bytes(kind):
    got = superres.upscale(kind(saved(colours())), 2)
    assert type(got) is bytes
    with Image.open(io.BytesIO(got)) as result:
        assert result.format == "PNG"
        np.testing.assert_array_equal(np.asarray(result), repeated(colours(), 2))


def test_bytes_are_stored_as_asked():
    data = saved(colours())
    for how, kind in (({"format": "jpg"}, "JPEG"), ({"format": "webp", "lossless": True}, "WEBP")):
        with Image.open(io.BytesIO(superres.upscale(data, 2, **how))) as result:
            assert result.format == kind
    low, high = (superres.upscale(data, 2, format="jpeg", quality=q) for q in (20, 95))
    assert len(low) < len(high)


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_written_beside_and_its_path_returned(tmp_path, kind):
    source = tmp_path / "photo ü.png"
    source.write_bytes(saved(colours()))
    got = superres.upscale(kind(source))
    assert got == tmp_path / "photo ü_x4.png"
    with Image.open(got) as result:
        np.testing.assert_array_equal(np.asarray(result), repeated(colours(), 4))
    assert superres.upscale(kind(source), 2.5).name == "photo ü_x2.5.png"
    assert superres.upscale(kind(source), width=60).name == "photo ü_60x40.png"
    assert superres.upscale(kind(source), 2, format="tiff").name == "photo ü_x2.tif"
    assert source.read_bytes() == saved(colours())


def test_a_relative_path_stays_relative(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(colours()))
    assert superres.upscale("a.png", 2) == Path("a_x2.png")
    assert (tmp_path / "a_x2.png").exists()


@pytest.mark.parametrize("kind", [str, Path])
def test_output_says_where_and_as_what(tmp_path, kind):
    source, target = tmp_path / "in.png", tmp_path / "out.webp"
    source.write_bytes(saved(colours()))
    for _ in range(2):  # also onto what is there
        assert superres.upscale(source, 2, output=kind(target)) == target
        with Image.open(target) as result:
            assert (result.format, result.size) == ("WEBP", (60, 40))


def test_output_goes_with_a_path_only(tmp_path):
    for image in (saved(colours()), colours(), Image.fromarray(colours())):
        with pytest.raises(BadParameter, match="output goes with a path"):
            superres.upscale(image, output=tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_or_written_is_said(tmp_path):
    (tmp_path / "in.png").write_bytes(saved(colours()))
    with pytest.raises(SuperresError):
        superres.upscale(tmp_path / "absent.png")
    with pytest.raises(OutputError):
        superres.upscale(tmp_path / "in.png", output=tmp_path / "no" / "folder" / "out.png")
    with pytest.raises(UnsupportedFormat):
        superres.upscale(b"this is no picture")
    with pytest.raises(CorruptImage):
        superres.upscale(saved(colours(200, 200))[:2000])
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


# ------------------------------------------------------------------ Pillow


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_pillow_picture_comes_back_as_one(mode):
    if mode == "I;16":
        source = Image.fromarray(colours(channels=0, dtype=np.uint16))
    else:
        source = Image.fromarray(colours(channels=4)).convert(mode)
    before = source.tobytes()
    got = superres.upscale(source, 2)
    assert isinstance(got, Image.Image)
    assert (got.mode, got.size) == (mode, (60, 40))
    assert source.tobytes() == before
    if mode in ("L", "RGB"):
        np.testing.assert_array_equal(np.asarray(got), repeated(np.asarray(source), 2))


@pytest.mark.parametrize(("how", "mode"), [("plain", "RGB"), ("transparent", "RGBA"), ("1", "L")])
def test_few_colours_become_many(how, mode):
    source = Image.fromarray(colours())
    source = source.convert("1") if how == "1" else source.quantize(8)
    if how == "transparent":
        source.info["transparency"] = 0
    got = superres.upscale(source, 2)
    assert (got.mode, got.size) == (mode, (60, 40))
    assert "transparency" not in got.info


def test_profile_and_exif_and_resolution_are_kept():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a description"
    profile = b"not looked into"
    Image.fromarray(colours()).save(buffer, "JPEG", dpi=(300, 300), exif=exif, icc_profile=profile)
    with Image.open(buffer) as source:
        got = superres.upscale(source, 2)
        assert got.info["icc_profile"] == profile
        assert got.info["exif"] == source.info["exif"]
        assert got.info["dpi"] == source.info["dpi"]
        assert source.info is not got.info


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "HSV", "F", "I", "RGBa"])
def test_other_modes_are_refused_with_advice(mode):
    with pytest.raises(BadParameter, match="pass the file itself"):
        superres.upscale(Image.new(mode, (5, 5)))


# ------------------------------------------------------------------ options


def test_unknown_and_contradicting_options_are_refused():
    with pytest.raises(BadParameter, match="knows no colour, widht"):
        superres.upscale(colours(), widht=5, colour=3)
    with pytest.raises(BadParameter, match="only one of"):
        superres.upscale(colours(), 2, width=100)
    with pytest.raises(BadParameter, match="scale is 17"):
        superres.upscale(colours(), 17)
    with pytest.raises(BadParameter, match="fidelity is 2"):
        superres.upscale(colours(), fidelity=2)
    with pytest.raises(ModelNotFound, match="Did you mean 'photo'"):
        superres.upscale(colours(), model="foto")
    with pytest.raises(BadParameter, match="not list"):
        superres.upscale([[1, 2]])


@pytest.mark.parametrize(
    "make", [colours, lambda: saved(colours()), lambda: Image.fromarray(colours())]
)
def test_progress_and_stopping(make):
    seen = []
    superres.upscale(make(), 2, on_progress=seen.append)
    assert all(isinstance(p, superres.Progress) for p in seen)
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert seen[-1].fraction == 1
    with pytest.raises(Cancelled):
        superres.upscale(make(), 2, cancelled=lambda: True)


# ------------------------------------------------------------------ Upscaler


def with_engine(tmp_path, **how):
    settings = Settings(engine=EngineSettings(device="fake", cache_dir=tmp_path / "cache"))
    return superres.Upscaler(settings=settings, engine=FakeEngine(), **how)


def test_an_upscaler_is_checked_when_made(tmp_path):
    with pytest.raises(ModelNotFound):
        with_engine(tmp_path, model="nonsense")
    with pytest.raises(BadParameter, match="fidelity"):
        with_engine(tmp_path, fidelity=-1)


def test_an_upscaler_takes_many_pictures_and_any_size(tmp_path):
    with with_engine(tmp_path, model="photo", fidelity=0.3) as upscaler:
        for size in (1, 7, 40):
            source = colours(size, size + 1)
            np.testing.assert_array_equal(upscaler.upscale(source, 2), repeated(source, 2))
        assert upscaler.upscale(colours(), height=50).shape == (50, 75, 3)
    upscaler.close()


def test_the_default_model_is_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERRES_MODELS__DEFAULT", "nonsense")
    with pytest.raises(ModelNotFound):
        superres.upscale(colours())
    assert superres.upscale(colours(), 2, "anime").shape == (40, 60, 3)


def test_threads_share_an_upscaler(tmp_path):
    sources = [colours(10 + n, 30 - n) for n in range(8)]
    ready = threading.Barrier(8)
    with with_engine(tmp_path) as upscaler, ThreadPoolExecutor(8) as threads:

        def work(source):
            ready.wait(30)
            return [upscaler.upscale(source, scale) for scale in (1, 2, 4)]

        for source, found in zip(sources, threads.map(work, sources), strict=True):
            for scale, got in zip((1, 2, 4), found, strict=True):
                np.testing.assert_array_equal(got, repeated(source, scale))


def test_threads_share_the_function(monkeypatch):
    made = []
    original = library.Upscaler.__init__

    def counted(self, *args, **kwargs):
        made.append(1)
        time.sleep(0.05)  # others come along meanwhile
        original(self, *args, **kwargs)

    monkeypatch.setattr(library.Upscaler, "__init__", counted)
    ready = threading.Barrier(8)

    def work(_):
        ready.wait(30)
        return superres.upscale(colours(), 2)

    with ThreadPoolExecutor(8) as threads:
        for got in threads.map(work, range(8)):
            np.testing.assert_array_equal(got, repeated(colours(), 2))
    assert len(made) == 1
    superres.upscale(colours(), 2, "anime")
    assert len(made) == 2


def test_it_works_without_pillow():
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "import numpy as np, superres\n"
        "print(superres.upscale(np.zeros((3, 4), np.uint8), 2).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "(6, 8)", done.stderr


@pytest.mark.parametrize(("mode", "key"), [("RGB", (0, 0, 0)), ("L", 0)])
def test_a_transparent_colour_becomes_transparency(mode, key):
    picture = Image.new(mode, (12, 10), 200 if mode == "L" else (200, 100, 50))
    picture.paste(key, (0, 0, 6, 10))
    picture.info["transparency"] = key
    with superres.Upscaler(engine=FakeEngine()) as upscaler:
        result = upscaler.upscale(picture, 2)
    alpha = np.asarray(result)[..., -1]
    assert result.mode == {"RGB": "RGBA", "L": "LA"}[mode]
    assert (alpha[:, :12] == 0).all()
    assert (alpha[:, 12:] == 255).all()


# ------------------------------------------------------------------- faces


def test_faces_are_told_of(portrait, tmp_path):
    path = tmp_path / "portrait.png"
    path.write_bytes(portrait)
    told = []
    for image in (path, portrait):
        superres.upscale(image, 2, face=True, on_faces=told.append)
    assert told[0] == told[1]
    ((found,), _) = told
    assert isinstance(found, superres.FaceReport)
    assert isinstance(found.face, superres.Face)
    assert found.tier == "enhanced"
    assert found.face.x < 72 < found.face.x + found.face.width
    superres.upscale(portrait, 2, on_faces=told.append)
    assert len(told) == 2  # nobody asked


def test_faces_of_arrays_and_pillow_pictures(portrait):
    pillow = Image.open(io.BytesIO(portrait))
    told = []
    enlarged = superres.upscale(np.asarray(pillow), 2, face=True, on_faces=told.append)
    superres.upscale(pillow, 2, face=True, on_faces=told.append)
    assert enlarged.shape == (440, 400, 3)
    assert [len(faces) for faces in told] == [1, 1]
    assert told[0] == told[1]


def test_a_network_for_faces_that_is_not_installed():
    with pytest.raises(WeightsMissing, match="superres models pull gfpgan"):
        superres.upscale(colours(), restore="gfpgan")
    with pytest.raises(ModelNotFound, match="did you mean 'gfpgan'"):
        superres.upscale(colours(), restore="gfpgam")
    with pytest.raises(BadParameter, match="restore_strength is 2; it must be 0 to 1"):
        superres.upscale(colours(), restore="gfpgan", restore_strength=2)
