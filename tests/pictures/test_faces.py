"""Faces stay themselves: nearer to the truth than the plain model's, to a network that knows faces
and by PSNR, with the shipped networks and the shipped detector.

Truths are portraits in the public domain, reduced so that their faces have a known size; inputs are
the truths reduced again. The network that compares faces is dlib's ResNet (Davis King, CC0).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from superres.faces.face import Face
from superres.faces.region import mask, oval
from superres.imageio import OutputOptions
from superres.pipeline import UpscaleOptions, Upscaler
from tests.pictures.measures import psnr

FOLDER = Path(__file__).parent / "faces"

FACES = ("collins", "collins mirrored", "collins turned", "hopper", "hopper small", "hopper grey")

REPEATABLE = 0.01
"""Differences of distance below this mean nothing."""


@dataclass(frozen=True)
class Portrait:
    """A truth, and its face as the detector sees it there."""

    pixels: NDArray[np.uint8]
    face: Face

    @property
    def box(self) -> tuple[slice, slice]:
        face = self.face
        return (
            slice(round(face.y), round(face.y + face.height)),
            slice(round(face.x), round(face.x + face.width)),
        )


def around(picture: Image.Image, upscaler: Upscaler, size: int | None) -> Portrait:
    """The face of ``picture``, made ``size`` pixels large, with as much again around it."""
    (face,) = upscaler._detector.find(np.asarray(picture))
    side = (face.width * face.height) ** 0.5
    if size is not None:
        factor = size / side
        shape = round(picture.width * factor), round(picture.height * factor)
        picture = picture.resize(shape, Image.Resampling.LANCZOS)
        (face,) = upscaler._detector.find(np.asarray(picture))
        side = size
    half = round(side * 1.05) // 8 * 8
    x, y = round(face.x + face.width / 2), round(face.y + face.height / 2)
    x, y = max(x, half), max(y, half)
    pixels = np.asarray(picture)[y - half : y + half, x - half : x + half]
    h, w = (side // 8 * 8 for side in pixels.shape[:2])
    pixels = np.ascontiguousarray(pixels[:h, :w])
    (face,) = upscaler._detector.find(pixels)
    return Portrait(pixels, face)


@pytest.fixture(scope="module")
def portraits(upscaler, photos) -> dict[str, Portrait]:
    collins = Image.fromarray(photos["astronaut"])
    hopper = Image.open(FOLDER / "grace_hopper.jpg").convert("RGB")
    turned = collins.rotate(25, Image.Resampling.BICUBIC, center=(222, 120))
    mirrored = collins.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return {
        "collins": around(collins, upscaler, None),
        "collins mirrored": around(mirrored, upscaler, None),
        "collins turned": around(turned, upscaler, None),
        "hopper": around(hopper, upscaler, 144),
        "hopper small": around(hopper, upscaler, 112),
        "hopper grey": around(hopper.convert("L").convert("RGB"), upscaler, 128),
    }


@pytest.fixture(scope="module")
def likeness():
    """``likeness(portrait, result)``: distance of two faces in dlib's space; below 0.6 the same."""
    dlib = pytest.importorskip("dlib", reason="dlib-bin is installed on Linux x86_64 only")
    models = pytest.importorskip("face_recognition_models")
    points = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
    network = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def described(pixels: NDArray[np.uint8], shape) -> NDArray[np.float64]:
        # The same cut of both, and its mirror image: repeatable to 0.01.
        chip = dlib.get_face_chip(np.ascontiguousarray(pixels), shape, 150, 0.25)
        parts = [
            network.compute_face_descriptor(np.ascontiguousarray(c)) for c in (chip, chip[:, ::-1])
        ]
        return np.concatenate(parts) / 2**0.5

    def distance(portrait: Portrait, result: NDArray[np.uint8]) -> float:
        face = portrait.face
        box = dlib.rectangle(
            int(face.x),
            int(face.y + 0.12 * face.height),
            int(face.x + face.width),
            int(face.y + face.height),
        )
        shape = points(portrait.pixels, box)
        return float(np.linalg.norm(described(result, shape) - described(portrait.pixels, shape)))

    return distance


def small(portrait: Portrait, scale: int, quality: int | None = None) -> bytes:
    """A file of the truth, ``scale`` times smaller: by averaging for 2, else bicubic."""
    picture = Image.fromarray(portrait.pixels)
    size = picture.width // scale, picture.height // scale
    how = Image.Resampling.BOX if scale == 2 else Image.Resampling.BICUBIC
    buffer = io.BytesIO()
    kind = {"format": "PNG"} if quality is None else {"format": "JPEG", "quality": quality}
    picture.resize(size, how).save(buffer, **kind, **({"subsampling": 0} if quality else {}))
    return buffer.getvalue()


def compared(upscaler, likeness, portrait, data, model, scale):
    """By how much a face is nearer to the truth with faces than without: distance and dB."""
    results = []
    for face in (False, True):
        options = UpscaleOptions(
            model=model, scale=scale, face=face, output=OutputOptions(format="png")
        )
        report = upscaler.upscale_file(data, None, options)
        assert [each.tier for each in report.faces] == (["enhanced"] if face else [])
        results.append(np.asarray(Image.open(io.BytesIO(report.data)).convert("RGB")))
    distances = [likeness(portrait, result) for result in results]
    closeness = [psnr(result[portrait.box], portrait.pixels[portrait.box]) for result in results]
    return distances[0] - distances[1], closeness[1] - closeness[0]


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("model", ["general", "photo"])
def test_a_clean_face_is_more_itself(upscaler, likeness, portraits, model, scale, name):
    if (model, scale, name) == ("photo", 4, "hopper grey"):
        pytest.xfail("photo is nearer to itself on this grainy scan, at this size: see below")
    portrait = portraits[name]
    nearer, decibels = compared(upscaler, likeness, portrait, small(portrait, scale), model, scale)
    assert nearer > 0
    assert decibels > 0


def test_a_grainy_grey_scan_is_as_near_with_faces_as_without(upscaler, likeness):
    """What the tests around this one leave open: ``photo`` and ``faces`` are a tie there.

    By the size that the scan is looked at in, now one is nearer to the truth, now the other.
    """
    grey = Image.open(FOLDER / "grace_hopper.jpg").convert("L").convert("RGB")
    found = []
    for size in (112, 128, 144, 160):
        portrait = around(grey, upscaler, size)
        found.append(compared(upscaler, likeness, portrait, small(portrait, 4), "photo", 4))
    nearer, decibels = np.array(found).T
    assert nearer.mean() > -REPEATABLE
    assert nearer.min() > -4 * REPEATABLE
    assert decibels.min() > 0.1  # more before grain ceased to lower the fidelity of the whole


@pytest.mark.parametrize("name", [name for name in FACES if name != "hopper small"])
@pytest.mark.parametrize("model", ["general", "photo"])
def test_a_face_of_a_good_jpeg_is_more_itself(upscaler, likeness, portraits, model, name):
    """But for 28 pixels of a grainy scan, which gain in PSNR alone: see the next."""
    if (model, name) == ("photo", "hopper grey"):
        pytest.xfail("photo is nearer to itself on this grainy scan, at this size: see above")
    portrait = portraits[name]
    nearer, decibels = compared(upscaler, likeness, portrait, small(portrait, 4, 95), model, 4)
    assert nearer > -REPEATABLE / 2
    assert decibels > 0


@pytest.mark.parametrize("model", ["general", "photo"])
def test_faces_of_fair_jpegs_are_more_themselves_in_the_mean(upscaler, likeness, portraits, model):
    found = [
        compared(upscaler, likeness, portrait, small(portrait, 4, 85), model, 4)
        for portrait in portraits.values()
    ]
    nearer, decibels = np.array(found).T
    assert nearer.mean() > 0
    assert decibels.min() > 0
    assert nearer.min() > -3 * REPEATABLE


def test_outside_the_mask_no_byte_changes_and_two_runs_are_equal(upscaler, photos):
    picture = np.asarray(Image.fromarray(photos["astronaut"][:256, 60:380]).reduce(2))
    told = []
    plain = upscaler.upscale_pixels(picture)
    faced, again = (
        upscaler.upscale_pixels(picture, UpscaleOptions(face=True), on_faces=told.append)
        for _ in range(2)
    )
    np.testing.assert_array_equal(faced, again)
    assert told[0] == told[1]
    weights = mask([oval(each.face) for each in told[0]], 0, 0, *plain.shape[:2], 4)
    np.testing.assert_array_equal(faced[weights == 0], plain[weights == 0])
    assert (faced != plain).any(2)[weights == 1].mean() > 0.5


def test_no_edge_shows_where_the_mask_ends(upscaler, portraits):
    """Across the mask's soft rim the picture's steps are no larger than without faces."""
    truth = portraits["hopper"].pixels
    picture = np.asarray(Image.fromarray(truth).resize((truth.shape[1] // 4, truth.shape[0] // 4)))
    told = []
    plain = upscaler.upscale_pixels(picture).astype(float)
    faced = upscaler.upscale_pixels(
        picture, UpscaleOptions(face=True), on_faces=told.append
    ).astype(float)
    weights = mask([oval(each.face) for each in told[0]], 0, 0, *plain.shape[:2], 4)
    rim = (weights > 0) & (weights < 1)
    steps = [np.abs(np.diff(p, axis=0)).mean(2)[rim[1:]].mean() for p in (plain, faced)]
    assert steps[1] <= steps[0] * 1.02
