"""The pixel-honest matrix: what goes in comes out, at the new size. Every row is a test.

All of it goes through files and the real default network; the pictures are small.
"""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image, ImageCms

import superres
from superres.errors import BadParameter, UnsupportedFormat
from superres.imageio import OutputOptions
from superres.models import list_models
from superres.pipeline import UpscaleOptions
from tests.pictures.files import (
    TRANSPOSED,
    chunks,
    icc_profile,
    opened,
    pixels_of,
    png16,
    read_png16,
    saved,
    stored,
    tiff_with_exif,
)
from tests.pictures.measures import levels_apart, psnr

EXIF_ORIENTATION, EXIF_MAKE, EXIF_IFD, GPS_IFD = 0x0112, 0x010F, 0x8769, 0x8825
PIXEL_X, PIXEL_Y, LENS = 0xA002, 0xA003, 0xA434
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="Ansel"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)


@pytest.fixture(scope="module")
def small(photos):
    """A cup's rim: 41 × 59 pixels, both prime."""
    return np.ascontiguousarray(photos["coffee"][175:216, 260:319])


@pytest.fixture(scope="module")
def enlarge(upscaler):
    """``enlarge(data, scale=…, model=…, format=…, strip=…)`` gives the result's bytes."""

    def call(data: bytes, **how) -> bytes:
        output = {k: how.pop(k) for k in ("format", "quality", "lossless", "strip") if k in how}
        options = UpscaleOptions(**how, output=OutputOptions(**output))
        return upscaler.upscale_file(data, None, options).data

    return call


@pytest.fixture(scope="module")
def large(upscaler, small):
    """``small``, enlarged: what every lossless way of storing it must give."""
    return upscaler.upscale_pixels(small)


# ------------------------------------------------------------------------ orientation


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(enlarge, upscaler, small, large, kind, orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    exif[EXIF_MAKE] = "camera"
    how = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(kind, {})
    turned = stored(small, orientation)
    assert turned.shape[:2] == (
        small.shape[1::-1] if orientation in TRANSPOSED else small.shape[:2]
    )
    data = saved(turned, kind, exif=exif, **how)
    if kind == "JPEG":
        upright = stored(pixels_of(data), {6: 8, 8: 6}.get(orientation, orientation))
        large = upscaler.upscale_pixels(upright)
    result = opened(enlarge(data, format="png"))
    assert np.array_equal(np.asarray(result), large)
    assert result.getexif().get(EXIF_ORIENTATION, 1) == 1
    assert result.getexif()[EXIF_MAKE] == "camera"


# ---------------------------------------------------------------------- colour profiles


@pytest.mark.parametrize("out", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", ["srgb", "display-p3", "adobe-rgb"])
def test_rgb_profiles_are_kept_byte_for_byte(enlarge, small, name, kind, out):
    profile = icc_profile(name)
    data = saved(small, kind, icc_profile=profile)
    assert opened(data).info["icc_profile"] == profile
    assert opened(enlarge(data, format=out, model="faithful")).info["icc_profile"] == profile


def test_a_profile_does_not_change_pixels(enlarge, small, large):
    data = saved(small, "PNG", icc_profile=icc_profile("display-p3"))
    assert np.array_equal(pixels_of(enlarge(data)), large)


@pytest.mark.parametrize("out", ["png", "jpeg", "tiff"])
def test_grey_profile_is_kept_byte_for_byte(enlarge, small, out):
    profile = icc_profile("grey")
    result = opened(enlarge(saved(small[..., 1], "PNG", icc_profile=profile), format=out))
    assert result.mode == "L"
    assert result.info["icc_profile"] == profile


def test_strip_keeps_the_profile(enlarge, small):
    profile = icc_profile("display-p3")
    data = saved(small, "PNG", icc_profile=profile)
    assert opened(enlarge(data, strip=True)).info["icc_profile"] == profile


@pytest.fixture(scope="module")
def cmyk_profile() -> bytes:
    """A real press profile: libvips carries one."""
    import pyvips

    return bytes(pyvips.Image.profile_load("cmyk"))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile_to_srgb(enlarge, upscaler, small, cmyk_profile, kind):
    press = ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile))
    screen = ImageCms.createProfile("sRGB")
    inks = ImageCms.profileToProfile(
        Image.fromarray(small), screen, press, outputMode="CMYK", renderingIntent=1
    )
    how = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = saved(inks, kind, icc_profile=cmyk_profile, **how)
    expected = ImageCms.profileToProfile(
        opened(data),
        press,
        screen,
        outputMode="RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    result = opened(enlarge(data, format="png"))
    assert result.mode == "RGB"
    embedded = result.info.get("icc_profile")
    assert embedded is None or embedded[16:20] == b"RGB "
    large = upscaler.upscale_pixels(np.asarray(expected))
    assert psnr(np.asarray(result), large) > 38
    assert np.abs(np.asarray(result).mean((0, 1)) - np.asarray(expected).mean((0, 1))).max() < 1.5


def test_cmyk_without_profile_is_no_negative(enlarge, small):
    result = pixels_of(enlarge(saved(Image.fromarray(small).convert("CMYK"), "JPEG"), format="png"))
    assert result.shape == (164, 236, 3)
    bright, dark = small.mean(2) > 200, small.mean(2) < 40
    means = result.reshape(41, 4, 59, 4, 3).mean((1, 3, 4))
    assert np.corrcoef(means.ravel(), small.mean(2).ravel())[0, 1] > 0.95
    if bright.any() and dark.any():
        assert means[bright].mean() > means[dark].mean() + 80


# ------------------------------------------------------------------------- EXIF, XMP, DPI


def described(small, kind: str) -> bytes:
    exif = Image.Exif()
    exif[EXIF_MAKE] = "camera"
    details = exif.get_ifd(EXIF_IFD)
    details[PIXEL_X], details[PIXEL_Y], details[LENS] = 59, 41, "lens"
    position = exif.get_ifd(GPS_IFD)
    position[1], position[2] = "N", (47.0, 22.0, 30.0)
    how = {"PNG": {}, "JPEG": {"xmp": XMP}, "WEBP": {"xmp": XMP, "lossless": True}}[kind]
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        how = {"pnginfo": info}
    if kind != "WEBP":
        how["dpi"] = (300, 300)
    return saved(small, kind, exif=exif, **how)


@pytest.mark.parametrize("out", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_and_xmp_are_kept_and_dimensions_updated(enlarge, small, kind, out):
    result = opened(enlarge(described(small, kind), format=out))
    exif = result.getexif()
    assert exif[EXIF_MAKE] == "camera"
    details = exif.get_ifd(EXIF_IFD)
    assert details[LENS] == "lens"
    assert (details[PIXEL_X], details[PIXEL_Y]) == result.size == (236, 164)
    assert exif.get_ifd(GPS_IFD)[2] == (47.0, 22.0, 30.0)
    assert b'dc:creator="Ansel"' in _xmp(result)


def _xmp(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return found.encode() if isinstance(found, str) else found


@pytest.mark.parametrize("out", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_resolution_is_kept(enlarge, small, kind, out):
    result = opened(enlarge(saved(small, kind, dpi=(240, 240)), format=out))
    assert tuple(map(float, result.info["dpi"])) == pytest.approx((240, 240), abs=0.02)


def test_tiff_exif_is_kept(enlarge, small):
    # An odd number of bytes would put the directory at an odd place.
    small = small[:40]
    data = tiff_with_exif(small, "camera", {LENS: "lens", PIXEL_X: 59, PIXEL_Y: 40})
    assert np.array_equal(pixels_of(data), small)
    assert opened(data).getexif().get_ifd(EXIF_IFD)[LENS] == "lens"
    result = opened(enlarge(data))
    assert result.format == "TIFF"
    assert result.getexif()[EXIF_MAKE] == "camera"
    details = result.getexif().get_ifd(EXIF_IFD)
    assert details[LENS] == "lens"
    assert (details[PIXEL_X], details[PIXEL_Y]) == result.size == (236, 160)


@pytest.mark.parametrize("out", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_strip_removes(enlarge, small, kind, out):
    data = enlarge(described(small, kind), format=out, strip=True)
    for secret in (b"camera", b"lens", b"Ansel"):
        assert secret not in data
    result = opened(data)
    assert not result.getexif().get_ifd(GPS_IFD)
    assert EXIF_MAKE not in result.getexif()
    assert not _xmp(result)


# ---------------------------------------------------------------------------- bit depth


def gradient(channels: int):
    """A slow ramp: 48 × 64 pixels over a sixteenth of the range, about 3 levels of 255 apart."""
    y, x = np.mgrid[:48, :64]
    ramp = 20000 + (x * 64 + y * 5) * (4096 / (63 * 64 + 47 * 5))
    return np.repeat(ramp.round().astype(np.uint16)[..., None], channels, 2)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_stays_16_bit(enlarge, channels):
    picture = gradient(channels)
    if channels == 4:
        picture[..., 3] = 65535
    data = enlarge(png16(picture))
    result = read_png16(data)
    assert result.shape == (192, 256, channels)
    assert len(np.unique(result[..., 0])) > 256
    # 4096 levels of 65535 are only 16 levels of 255: nothing was rounded to those.
    assert len(np.unique(result[..., 0] % 257)) > 200
    means = result.reshape(48, 4, 64, 4, channels).mean((1, 3))
    assert np.abs(means - picture).max() < 257


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_tiff_stays_16_bit(enlarge, channels):
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    picture = gradient(channels)
    kind = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(buffer, picture[..., 0] if channels == 1 else picture, photometric=kind)
    result = tifffile.imread(io.BytesIO(enlarge(buffer.getvalue())))
    assert result.dtype == np.uint16
    assert result.shape == ((192, 256) if channels == 1 else (192, 256, 3))
    assert len(np.unique(result)) > 256


def test_16_bit_equals_8_bit_of_the_same_picture(enlarge, small, large):
    result = read_png16(enlarge(png16(small.astype(np.uint16) * 257)))
    assert np.abs(result / 257 - large).max() <= 1


def test_16_bit_goes_to_8_where_the_format_has_no_more(enlarge):
    result = opened(enlarge(png16(gradient(3)), format="jpeg"))
    assert result.mode == "RGB"
    assert np.abs(np.asarray(result).mean() - gradient(3).mean() / 257) < 1


# --------------------------------------------------------------------------------- grey


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_grey_stays_one_channel(enlarge, upscaler, small, kind):
    data = saved(small[..., 1], kind)
    grey = pixels_of(data)
    result = opened(enlarge(data, format="png"))
    assert result.mode == "L"
    coloured = upscaler.upscale_pixels(np.repeat(grey[..., None], 3, 2))
    assert np.abs(np.asarray(result).astype(float) - coloured.mean(2)).max() <= 1


@pytest.mark.parametrize("out", ["png", "jpeg", "tiff"])
def test_grey_is_stored_as_one_channel(enlarge, small, out):
    assert opened(enlarge(saved(small[..., 1], "PNG"), format=out)).mode == "L"


# -------------------------------------------------------------------------------- alpha

DISC = (205, 60, 35)


def disc(hidden: int, side: int = 48):
    """A disc with a soft rim; the colour under full transparency is ``hidden``."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip((side * 0.33 - np.hypot(x, y)) * 255 + 128, 0, 255).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, DISC, hidden).astype(np.uint8)
    return np.dstack([colour, alpha])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("model", ["general", "faithful", "anime-video"])
def test_alpha_has_no_fringes(enlarge, kind, model):
    how = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    results = [
        pixels_of(enlarge(saved(disc(hidden), kind, **how), model=model)) for hidden in (0, 255)
    ]
    black, white = results
    assert black.shape == (192, 192, 4)
    assert np.array_equal(black[..., 3], white[..., 3])
    visible = black[..., 3] > 0
    assert np.array_equal(black[visible], white[visible])
    # Along the edge the disc's own colour, no darker, no lighter.
    edge = (black[..., 3] > 8) & (black[..., 3] < 248)
    assert edge.sum() > 100
    assert np.abs(black[edge, :3].astype(int) - DISC).max() <= 4


def test_alpha_stays_alpha(enlarge):
    """Inside opaque, outside transparent, in between a rim no wider than it has to be."""
    picture = disc(0)
    alpha = pixels_of(enlarge(saved(picture, "PNG")))[..., 3]
    y, x = np.mgrid[:192, :192] - 95.5
    radius = np.hypot(x, y) / 4
    assert (alpha[radius < 48 * 0.33 - 4] == 255).all()
    assert (alpha[radius > 48 * 0.33 + 4] == 0).all()
    means = alpha.reshape(48, 4, 48, 4).mean((1, 3))
    assert np.abs(means - picture[..., 3]).mean() < 3


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("scale", [1, 1.5, 2, 3, 4, 6])
def test_opaque_stays_opaque_and_transparent_transparent(enlarge, small, value, scale):
    picture = np.dstack([small, np.full(small.shape[:2], value, np.uint8)])
    result = pixels_of(enlarge(saved(picture, "PNG"), scale=scale, model="faithful"))
    assert result.shape[2] == 4
    assert (result[..., 3] == value).all()


def test_opaque_colour_is_that_without_alpha(enlarge, small, large):
    picture = np.dstack([small, np.full(small.shape[:2], 255, np.uint8)])
    result = pixels_of(enlarge(saved(picture, "PNG")))
    assert levels_apart(result[..., :3], large) <= 1


def test_grey_with_alpha_stays_so(enlarge):
    picture = disc(0)[..., [0, 3]]
    data = saved(_la(picture), "PNG")
    result = opened(enlarge(data))
    assert result.mode == "LA"
    assert result.size == (192, 192)


def _la(picture) -> Image.Image:
    planes = [Image.fromarray(np.ascontiguousarray(picture[..., i])) for i in range(2)]
    return Image.merge("LA", planes)


def test_alpha_cannot_go_into_jpeg(enlarge):
    with pytest.raises(BadParameter, match="transparency"):
        enlarge(saved(disc(0), "PNG"), format="jpeg")


# ------------------------------------------------------------- variants of files, by kind


def test_palette(enlarge, upscaler, small):
    indexed = Image.fromarray(small).quantize(64)
    expected = upscaler.upscale_pixels(np.asarray(indexed.convert("RGB")))
    assert np.array_equal(pixels_of(enlarge(saved(indexed, "PNG"))), expected)


def test_palette_with_transparency(enlarge):
    indexed = Image.fromarray(disc(0)).convert("RGB").quantize(16)
    first = indexed.getpixel((0, 0))
    result = opened(enlarge(saved(indexed, "PNG", transparency=first)))
    assert result.mode == "RGBA"
    alpha = np.asarray(result)[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[96, 96] == 255


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_1_bit(enlarge, upscaler, photos, kind):
    bits = np.zeros((40, 40), np.uint8)
    bits[10:30, 8:16] = bits[18:24, 8:34] = 255
    result = opened(enlarge(saved(Image.fromarray(bits).convert("1"), kind), format="png"))
    grey = np.asarray(result.convert("L"))
    assert np.abs(grey.astype(int) - upscaler.upscale_pixels(bits)).max() <= 1


@pytest.mark.parametrize("interlaced", [False, True])
def test_interlaced_png(enlarge, small, large, interlaced):
    import pyvips

    image = pyvips.Image.new_from_array(small).copy(interpretation="srgb")
    data = image.pngsave_buffer(interlace=interlaced)
    assert chunks(data)[b"IHDR"][-1] == interlaced
    assert np.array_equal(pixels_of(enlarge(data)), large)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_progressive_jpeg(enlarge, upscaler, small, progressive, subsampling):
    data = saved(small, "JPEG", quality=90, progressive=progressive, subsampling=subsampling)
    expected = upscaler.upscale_pixels(pixels_of(data))
    assert np.array_equal(pixels_of(enlarge(data, format="png")), expected)


def test_bmp(enlarge, small, large):
    assert np.array_equal(pixels_of(enlarge(saved(small, "BMP"), format="png")), large)


def test_bmp_with_palette(enlarge, upscaler, small):
    indexed = Image.fromarray(small).quantize(32)
    expected = upscaler.upscale_pixels(np.asarray(indexed.convert("RGB")))
    assert np.array_equal(pixels_of(enlarge(saved(indexed, "BMP"), format="png")), expected)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused_unless_the_first_frame_is_asked_for(enlarge, small, kind):
    frames = [Image.fromarray(small), Image.fromarray(small[::-1].copy())]
    how = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **how)
    with pytest.raises(UnsupportedFormat, match="2 frames"):
        enlarge(data)
    result = opened(enlarge(data, first_frame=True, format="png")).convert("RGB")
    assert result.size == (236, 164)
    # The first, not the second, which is upside down.
    top = np.asarray(result)[:80].mean((0, 1))
    assert np.abs(top - small[:20].mean((0, 1))).max() < 4


# ------------------------------------------------------------- white, black, constants


@pytest.mark.parametrize("model", [model.name for model in list_models()])
@pytest.mark.parametrize(
    "colour", [(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 90), (3, 252, 127)]
)
def test_constants_stay_constant(upscaler, model, colour):
    picture = np.full((24, 31, 3), colour, np.uint8)
    result = upscaler.upscale_pixels(picture, UpscaleOptions(model=model))
    exact = colour in ((255, 255, 255), (0, 0, 0))
    assert np.abs(result.astype(int) - colour).max() <= (0 if exact else 1)


@pytest.mark.parametrize("model", ["general", "faithful", "anime-video"])
@pytest.mark.parametrize("value", [0, 255])
def test_white_paper_stays_white_around_print(upscaler, model, value):
    page = np.full((64, 64, 3), value, np.uint8)
    page[20:44, 30:33] = 255 - value
    result = upscaler.upscale_pixels(page, UpscaleOptions(model=model))
    far = np.ones((256, 256), bool)
    far[13 * 4 : 51 * 4, 23 * 4 : 40 * 4] = False
    assert (result[far] == value).all()
    assert np.abs(result[120:130, 124:128].astype(int) - (255 - value)).mean() < 12


# --------------------------------------------------------------------------------- size


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 5), (37, 41), (61, 2)])
@pytest.mark.parametrize("scale", [1, 1.5, 2, 2.9, 4, 5.25])
def test_sizes_are_exact(enlarge, small, size, scale):
    w, h = size
    picture = np.resize(small, (h, w, 3))
    result = opened(enlarge(saved(picture, "PNG"), scale=scale))
    assert result.size == (int(w * scale + 0.5), int(h * scale + 0.5))


# -------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("out", ["png", "jpeg", "webp", "tiff"])
def test_same_input_same_bytes(enlarge, small, out):
    data = saved(small, "PNG")
    assert enlarge(data, format=out) == enlarge(data, format=out)


@pytest.mark.slow
def test_same_bytes_from_another_process_and_a_fresh_compilation(small, tmp_path):
    source = tmp_path / "in.png"
    source.write_bytes(saved(small, "PNG"))
    code = f"""
        import pathlib, superres
        data = superres.upscale(pathlib.Path({str(source)!r}).read_bytes())
        pathlib.Path({str(tmp_path / "child.png")!r}).write_bytes(data)
    """
    here = superres.upscale(source.read_bytes())
    for cache in ("a", "a", "b"):  # compiled anew, from the cache, anew
        environment = _environment() | {"SUPERRES_ENGINE__CACHE_DIR": str(tmp_path / cache)}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        subprocess.run(command, check=True, timeout=120, env=environment)
        assert (tmp_path / "child.png").read_bytes() == here


def _environment() -> dict[str, str]:
    import os
    from pathlib import Path

    package = str(Path(superres.__file__).parents[1])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


# ------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_formats_in(enlarge, upscaler, small, kind):
    how = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    picture = Image.fromarray(small)
    try:
        data = saved(picture.quantize(128) if kind == "GIF" else picture, kind, **how.get(kind, {}))
    except (KeyError, OSError):
        pytest.skip(f"this Pillow cannot write {kind}")
    expected = upscaler.upscale_pixels(np.asarray(opened(data).convert("RGB")))
    result = np.asarray(opened(enlarge(data, format="png")).convert("RGB"))
    # libheif and Pillow's libavif need not round YCbCr alike.
    assert levels_apart(result, expected) <= (12 if kind == "AVIF" else 0)


@pytest.mark.parametrize(
    ("out", "name", "least"),
    [("png", "PNG", None), ("tiff", "TIFF", None), ("jpeg", "JPEG", 34), ("webp", "WEBP", 34)],
)
def test_formats_out(enlarge, small, large, out, name, least):
    result = opened(enlarge(saved(small, "PNG"), format=out))
    assert result.format == name
    if least is None:
        assert np.array_equal(np.asarray(result), large)
    else:
        assert psnr(np.asarray(result), large) > least


def test_webp_without_loss(enlarge, small, large):
    result = enlarge(saved(small, "PNG"), format="webp", lossless=True)
    assert np.array_equal(pixels_of(result), large)


@pytest.mark.parametrize(
    ("kind", "how", "expected"),
    [
        ("PNG", {}, "PNG"),
        ("TIFF", {}, "TIFF"),
        ("JPEG", {}, "PNG"),
        ("BMP", {}, "PNG"),
        ("WEBP", {"lossless": True}, "WEBP"),
        ("WEBP", {"quality": 80}, "PNG"),
    ],
)
def test_the_default_format_loses_nothing(enlarge, upscaler, small, kind, how, expected):
    data = saved(small, kind, **how)
    result = opened(enlarge(data))
    assert result.format == expected
    assert np.array_equal(np.asarray(result), upscaler.upscale_pixels(pixels_of(data)))
