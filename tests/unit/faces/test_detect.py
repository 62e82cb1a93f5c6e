"""Faces are found: where they are, whatever the picture is made of; and only faces."""

import itertools
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from superres.engines.cache import CompiledCache
from superres.faces import detect
from superres.faces.detect import OVERLAP, WINDOW, Detector

FACE = np.array([[199, 101], [246, 102], [222, 126], [202, 144], [242, 143]])
"""The astronaut's five points, by eye."""


@pytest.fixture(scope="module")
def detector(isolated_settings):
    return Detector(CompiledCache(isolated_settings, 1 << 30))


@pytest.fixture(scope="module")
def astronaut(photos):
    return photos["astronaut"]


def scaled(picture, factor):
    size = [max(1, round(n * factor)) for n in picture.shape[1::-1]]
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def near(face, points, share=0.12):
    """Whether the points are those, within a share of the distance between the eyes."""
    eyes = np.hypot(*np.subtract(points[1], points[0]))
    return np.hypot(*(np.array(face.points) - points).T).max() < share * eyes


def portrait(astronaut, size):
    """The astronaut's face and a little around it, ``size`` pixels square."""
    return np.asarray(Image.fromarray(astronaut[40:200, 140:300]).resize((size, size)))


def pasted(places, height, width, astronaut):
    """Portraits of sizes at places x, y on grey."""
    picture = np.full((height, width, 3), 120, np.uint8)
    for x, y, size in places:
        picture[y : y + size, x : x + size] = portrait(astronaut, size)
    return picture


def middles(faces):
    return sorted((round(f.x + f.width / 2), round(f.y + f.height / 2)) for f in faces)


def all_found(faces, places):
    return len(faces) == len(places) and all(
        np.hypot(x - u, y - v) < 0.08 * size
        for (x, y), (u, v, size) in zip(
            middles(faces),
            sorted((x + 0.52 * size, y + 0.51 * size, size) for x, y, size in places),
            strict=True,
        )
    )


def test_a_face_is_found_with_its_points(detector, astronaut):
    (face,) = detector.find(astronaut)
    assert near(face, FACE)
    assert face.score > 0.9
    inside = np.array(face.points) - (face.x, face.y)
    assert (inside > 0).all()
    assert (inside < (face.width, face.height)).all()
    assert 75 < (face.width * face.height) ** 0.5 < 120
    values = [face.x, face.y, face.width, face.height, face.score, *np.ravel(face.points).tolist()]
    assert {type(value) for value in [*values, *face.points[0]]} == {float}


@pytest.mark.parametrize("factor", [0.25, 0.3, 0.5, 0.8, 1.7, 3, 5, 9])
def test_faces_of_all_sizes_are_found(detector, astronaut, factor):
    (face,) = detector.find(scaled(astronaut, factor))
    # At a quarter the eyes are 12 pixels apart: a point a pixel and a half off is not bad.
    assert near(face, FACE * factor, 0.12 + 0.02 / factor)


@pytest.mark.parametrize("angle", [-40, -30, -15, 15, 30, 40])
def test_turned_faces_are_found_and_their_points_turn_with_them(detector, astronaut, angle):
    turned = np.asarray(Image.fromarray(astronaut).rotate(angle, Image.Resampling.BICUBIC))
    (face,) = detector.find(turned)
    t = np.deg2rad(-angle)
    turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    assert near(face, (FACE - 256) @ turn.T + 256, 0.2)


def test_a_mirrored_picture_has_mirrored_points_in_the_same_order(detector, astronaut):
    (face,) = detector.find(np.ascontiguousarray(astronaut[:, ::-1]))
    mirrored = (FACE * [-1, 1] + [512, 0])[[1, 0, 2, 4, 3]]
    assert near(face, mirrored)


def as_float(picture):
    return (picture / 255).astype(np.float32)


def with_alpha(picture):
    """Opaque."""
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])


def as_grey(picture):
    return np.rint(picture @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None]


@pytest.mark.parametrize(
    "how",
    [
        lambda p: p.astype(np.uint16) * 257,
        as_float,
        with_alpha,
        lambda p: with_alpha(p).astype(np.uint16) * 257,
        lambda p: with_alpha(p) / np.float32(255),
    ],
    ids=["16 bit", "float", "alpha", "16 bit alpha", "float alpha"],
)
def test_every_kind_of_pixels_shows_the_same_face(detector, astronaut, how):
    (plain,), (face,) = detector.find(astronaut), detector.find(how(astronaut))
    assert np.abs(np.subtract(face.points, plain.points)).max() < 0.01
    assert abs(face.score - plain.score) < 1e-4


def test_a_grey_picture_shows_the_face_too(detector, astronaut):
    grey = as_grey(astronaut)
    (face,), (other,) = detector.find(grey), detector.find(with_alpha(grey))
    assert near(face, FACE)
    assert np.allclose(face.points, other.points, atol=0.01)


def test_float_pixels_out_of_range_are_clipped(detector, astronaut):
    picture = as_float(astronaut)
    picture[400:, :, :] = 1e6
    picture[:20] = -np.inf
    picture[20:25] = np.nan
    (face,) = detector.find(picture)
    assert near(face, FACE)


def test_what_is_transparent_is_not_seen(detector, astronaut):
    picture = with_alpha(astronaut)
    picture[..., 3] = 0
    assert detector.find(picture) == ()
    picture[40:200, 140:300, 3] = 255  # cut out
    assert len(detector.find(picture)) == 1
    picture[..., 3] = 100  # a shadow of a face
    assert detector.find(picture) == ()


def test_pictures_without_faces_have_none(detector, photos):
    from skimage import data

    names = ("brick", "cell", "clock", "coins", "colorwheel", "grass", "gravel", "horse")
    names += ("hubble_deep_field", "immunohistochemistry", "moon", "page", "text", "logo")
    pictures = {name: getattr(data, name)() for name in names}
    pictures |= {name: photos[name] for name in ("chelsea", "coffee", "rocket")}
    pictures["motorcycle"] = data.stereo_motorcycle()[0]
    found = {}
    for (name, picture), factor in itertools.product(pictures.items(), (1, 0.5)):
        if picture.dtype != np.uint8:
            picture = np.uint8(picture * 255)
        picture = scaled(picture, factor)
        found[name, factor] = detector.find(picture if picture.ndim == 3 else picture[..., None])
    assert not any(found.values()), {key: faces for key, faces in found.items() if faces}


def test_noise_and_patterns_have_no_faces(detector):
    rng = np.random.default_rng(6)
    noise = rng.integers(0, 256, (700, 700, 3), np.uint8)
    board = (np.indices((640, 640)).sum(0) // 16 % 2 * 255).astype(np.uint8)[..., None]
    for picture in (noise, board, np.zeros((300, 300, 3), np.uint8)):
        assert detector.find(picture) == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (7, 5), (33, 31)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_too_small_for_a_face_have_none(detector, shape, channels):
    assert detector.find(np.full((*shape, channels), 90, np.uint8)) == ()


def test_the_same_pixels_give_the_same_faces_in_any_thread(detector, astronaut):
    first = detector.find(astronaut)
    with ThreadPoolExecutor(4) as threads:
        assert all(found == first for found in threads.map(detector.find, [astronaut] * 8))


def test_the_largest_come_first_and_no_more_than_asked_for(detector, astronaut):
    sizes = (60, 240, 90, 150, 70, 300, 110, 200, 80, 130, 100, 180)
    places = [(20 + 330 * (i % 4), 20 + 330 * (i // 4), size) for i, size in enumerate(sizes)]
    picture = pasted(places, 1020, 1360, astronaut)
    everyone = detector.find(picture, most=50)
    assert all_found(everyone, places)
    found = [face.width * face.height for face in everyone]
    assert found == sorted(found, reverse=True)
    assert detector.find(picture) == everyone[:10]
    assert detector.find(picture, most=3) == everyone[:3]
    assert detector.find(picture, most=0) == ()


def test_a_threshold_that_nothing_reaches_finds_nothing(detector, astronaut):
    assert detector.find(astronaut, threshold=0.99) == ()


@pytest.mark.parametrize("size", [60, 300])
def test_a_face_on_a_seam_between_windows_is_found_once(detector, astronaut, size):
    """Two windows across: the seam is somewhere in what they share."""
    length = 2 * WINDOW - OVERLAP
    for offset in range(-40, 41, 20):
        x = length // 2 - round(0.52 * size) + offset
        place = [(x, 100, size)]
        faces = detector.find(pasted(place, 500, length, astronaut))
        assert all_found(faces, place), (offset, faces)


def test_a_large_picture_is_read_in_parts(detector, astronaut):
    """A mapped picture of 36 million pixels: its copies, and no more than a few windows."""
    places = [(5900, 5700, 200), (100, 300, 1600)]
    picture = pasted(places, 6000, 6200, astronaut)
    detector.find(picture[:700, :700])
    tracemalloc.start()
    try:
        faces = detector.find(picture)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all_found(faces, places)
    assert peak < picture.size / 3 / 5 + (32 << 20)


def test_compilations_are_kept_for_the_next_process(tmp_path, astronaut):
    first = Detector(CompiledCache(tmp_path, 1 << 30)).find(astronaut)
    files = {path: path.stat().st_ino for path in tmp_path.glob("*.blob")}
    assert len(files) == 2
    assert Detector(CompiledCache(tmp_path, 1 << 30)).find(astronaut) == first
    assert {path: path.stat().st_ino for path in tmp_path.glob("*.blob")} == files


def test_of_a_great_many_candidates_the_largest_are_told_apart(detector, astronaut, monkeypatch):
    height, width = 1300, 2200
    tile = portrait(astronaut, 40)
    picture = np.tile(tile, (height // 40 + 1, width // 40 + 1, 1))[:height, :width].copy()
    places = [(100, 200, 280), (900, 700, 280), (1700, 300, 280)]
    for x, y, size in places:
        picture[y - 30 : y + size + 30, x - 30 : x + size + 30] = 120
        picture[y : y + size, x : x + size] = portrait(astronaut, size)
    told_apart, counts = detect._distinct, []
    monkeypatch.setattr(
        detect, "_distinct", lambda rows: counts.append(len(rows)) or told_apart(rows)
    )
    monkeypatch.setattr(detect, "_MOST_CANDIDATES", 512)
    assert all_found(detector.find(picture, most=3), places)
    assert counts == [512]  # all of them would take time as their square


def test_whoever_asks_is_asked_between_looks_and_can_stop_it(detector, astronaut):
    asked = []

    def check():
        asked.append(None)
        if len(asked) == 5:
            raise InterruptedError

    picture = pasted([(10, 10, 200)], 1500, 1500, astronaut)
    with pytest.raises(InterruptedError):
        detector.find(picture, check=check)
    assert len(asked) == 5
