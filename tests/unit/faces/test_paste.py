"""Restoring a face and laying it back: what changes, where, and what does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from superres.errors import BadOutput
from superres.faces import Face
from superres.faces.align import TEMPLATE, apply, inverse, sample, similarity
from superres.faces.paste import FINEST, LEAST_EYES, TOO_FINE, restore_faces
from superres.faces.region import mask, oval
from superres.imageio import Canvas, Scratch

EYES = float(np.hypot(*(TEMPLATE[1] - TEMPLATE[0])))
SIZE = 120, 150


def a_face(x=75.0, y=62.0, eyes=18.0, degrees=0.0):
    """A face whose middle is at x, y and whose eyes are that far apart, turned."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (TEMPLATE - TEMPLATE.mean(0)) * (eyes / EYES) @ turn.T + (x, y)
    side = 2.3 * eyes
    box = x - side / 2, y - side / 2 - 0.1 * side, side, side * 1.2
    return Face(*map(float, box), 0.9, tuple(tuple(map(float, p)) for p in points))


def a_canvas(scale=2, channels=3, dtype="uint8", size=SIZE, scratch=None, seed=1):
    height, width = (side * scale for side in size)
    canvas = Canvas(height, width, channels, dtype, scratch, memory_limit=0 if scratch else 1 << 30)
    top = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (7 + 3 * c) + c) * np.cos(y / (9 + 2 * c)) for c in range(channels)]
    noise = np.random.default_rng(seed).normal(0, 0.03, (height, width, channels))
    values = np.clip(0.5 + 0.3 * np.stack(waves, 2) + noise, 0.1, 0.9)
    if channels in (2, 4):
        values[..., -1] = np.clip(1.2 - x / width, 0, 1)
        values[: height // 3, :, -1] = 0
    canvas.write(0, 0, (values * top).astype(dtype))
    return canvas


def restore(canvas, scale, faces, network, strength, check=None):
    return restore_faces(canvas, scale, faces, lambda square, _: network(square), strength, check)


def pixels(canvas):
    return canvas.read(0, canvas.height)


def same(face):
    return face


def other(face):
    """Something quite different, of the same mean or near it."""
    return np.ascontiguousarray(face[::-1, ::-1])


KINDS = [(channels, dtype) for channels in (1, 2, 3, 4) for dtype in ("uint8", "uint16", "float32")]


@pytest.mark.parametrize(("channels", "dtype"), KINDS)
def test_a_network_that_changes_nothing_changes_no_byte(channels, dtype):
    with a_canvas(channels=channels, dtype=dtype) as canvas:
        before = pixels(canvas)
        assert restore(canvas, 2, [a_face(degrees=20)], same, 1.0) == ("restored",)
        assert np.array_equal(before, pixels(canvas))


@pytest.mark.parametrize(("channels", "dtype"), KINDS)
def test_outside_the_mask_no_byte_changes_and_alpha_nowhere(channels, dtype):
    face = a_face(degrees=-15)
    with a_canvas(channels=channels, dtype=dtype) as canvas:
        before = pixels(canvas)
        assert restore(canvas, 2, [face], other, 1.0) == ("restored",)
        after = pixels(canvas)
    inside = mask([oval(face)], 0, 0, *before.shape[:2], 2) > 0
    assert np.array_equal(before[~inside], after[~inside])
    colours = channels - 1 if channels in (2, 4) else channels
    assert np.array_equal(before[..., colours:], after[..., colours:])
    changed = (before != after).any(2)
    seen = inside & (before[..., -1] > 0) if colours < channels else inside
    assert not changed[inside & ~seen].any(), "transparent pixels changed"
    assert changed[seen].mean() > 0.7
    if dtype == "uint16":
        assert len(np.unique(after[inside & changed] % 257)) > 200, "16 bits were cut to 8"


@pytest.mark.parametrize("degrees", [0, 25, -40])
@pytest.mark.parametrize(("scale", "eyes"), [(1, 30.0), (2, 18.0), (4, 12.0)])
def test_what_is_at_the_landmarks_comes_to_the_landmarks(scale, eyes, degrees):
    face = a_face(eyes=eyes, degrees=degrees)

    def marked(square):
        y, x = np.mgrid[:512, :512] + 0.5
        square = square.copy()
        for u, v in TEMPLATE:
            square += 0.4 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 8.0**2))[..., None]
        return square.astype(np.float32)

    with a_canvas(scale, dtype="float32") as canvas:
        before = pixels(canvas)
        restore(canvas, scale, [face], marked, 1.0)
        added = np.clip((pixels(canvas) - before)[..., 1], 0.02, None) - 0.02
    y, x = np.mgrid[: added.shape[0], : added.shape[1]] + 0.5
    radius = eyes * scale / EYES * 8.0 * 3
    for u, v in np.array(face.points) * scale:
        near = added * (np.hypot(x - u, y - v) < radius)
        found = (near * x).sum() / near.sum(), (near * y).sum() / near.sum()
        assert np.hypot(found[0] - u, found[1] - v) < 0.35
        # The dot keeps its size too.
        spread = math.sqrt((near * ((x - u) ** 2 + (y - v) ** 2)).sum() / near.sum() / 2)
        assert spread == pytest.approx(8.0 * eyes * scale / EYES, rel=0.25)


@pytest.mark.parametrize("degrees", [0, 33])
@pytest.mark.parametrize(("scale", "eyes"), [(2, 20.0), (4, 22.0), (4, 45.0)])
def test_out_and_back_is_the_same_picture(photos, scale, eyes, degrees):
    """A square cut from a photograph, laid into a grey canvas, is that photograph again."""
    photo = photos["astronaut"][: SIZE[0] * scale, : SIZE[1] * scale].astype(np.float32) / 255
    face = a_face(eyes=eyes, degrees=degrees)
    to_square = similarity(np.array(face.points) * scale, TEMPLATE)
    seen = np.clip(sample(photo, inverse(to_square), (512, 512)), 0, 1)
    with Canvas(*photo.shape, "float32") as canvas:
        canvas.write(0, 0, np.full_like(photo, 0.5))
        restore(canvas, scale, [face], lambda square: seen, 1.0)
        after = pixels(canvas)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]] + 0.5
    places = apply(to_square, np.stack([x.ravel(), y.ravel()], 1)).reshape(*x.shape, 2)
    full = mask([oval(face)], 0, 0, *photo.shape[:2], scale) == 1
    full &= (np.abs(places - 256) < 256 - 34).all(2)  # within the rim
    there, here = photo[full], after[full]
    clear = ((here > 0.001) & (here < 0.999)).all(1)  # the mean was held: some reach an end
    error = (there - here)[clear]
    error -= np.median(error, axis=0)
    assert clear.mean() > 0.5
    psnr = -10 * np.log10((error**2).mean())
    assert psnr > (33 if eyes * scale > EYES else 38)


def test_the_mean_of_each_colour_stays():
    with a_canvas() as canvas:
        before = pixels(canvas)
        restore(canvas, 2, [a_face()], lambda square: square * 0.6 + [0.3, 0.1, 0.2], 1.0)
        after = pixels(canvas)
    assert not np.array_equal(before, after)
    inside = mask([oval(a_face())], 0, 0, *before.shape[:2], 2)[..., None]
    drift = ((after.astype(float) - before) * inside).sum((0, 1)) / inside.sum()
    assert np.abs(drift).max() < 0.5


def test_strength_is_how_much_of_it_is_shown():
    results = {}
    for strength in (0.25, 0.5, 1.0):
        with a_canvas(dtype="float32") as canvas:
            before = pixels(canvas)
            restore(canvas, 2, [a_face()], other, strength)
            results[strength] = pixels(canvas) - before
    assert np.allclose(results[0.25] * 2, results[0.5], atol=1e-6)
    untouched = (np.abs(results[1.0]) > 0) & (np.abs(results[1.0]) < 0.08)  # not clipped
    assert np.allclose((results[0.5] * 2)[untouched], results[1.0][untouched], atol=1e-6)


def test_strength_0_reads_nothing():
    canvas = a_canvas()
    with Scratch() as scratch:
        closed = a_canvas(scratch=scratch)
        closed.close()  # reading it would fail
        assert restore(closed, 2, [a_face()], never, 0.0) == ("unchanged",)
    before = pixels(canvas)
    assert restore(canvas, 2, [a_face()], never, 0.0) == ("unchanged",)
    assert np.array_equal(before, pixels(canvas))


def never(face):
    raise AssertionError("the network was asked")


def test_no_faces():
    with a_canvas() as canvas:
        assert restore(canvas, 2, [], never, 1.0) == ()


def test_a_face_too_small_is_left_alone():
    small, enough = a_face(eyes=LEAST_EYES * 0.99), a_face(eyes=LEAST_EYES * 1.01)
    with a_canvas(4) as canvas:
        assert restore(canvas, 4, [small], never, 1.0) == ("unchanged",)
        assert restore(canvas, 4, [enough], other, 1.0) == ("restored",)


def test_a_face_too_large_for_the_square_is_changed_less_and_less():
    """Eyes so far apart that a pixel of the square is that many pixels of the canvas."""
    changes = {}
    for times in (FINEST * 0.98, (FINEST + TOO_FINE) / 2, TOO_FINE * 0.98, TOO_FINE * 1.01):
        face = a_face(400, 400, eyes=times * EYES)
        with a_canvas(1, dtype="float32", size=(800, 800)) as canvas:
            before = pixels(canvas)
            tiers = restore(canvas, 1, [face], lambda square: square + bump(0.1), 1.0)
            changes[times] = (tiers[0], np.abs(pixels(canvas) - before).max())
    most, half, least, none = changes.values()
    assert [tier for tier, _ in (most, half, least, none)] == ["restored"] * 3 + ["unchanged"]
    assert half[1] == pytest.approx(most[1] / 2, rel=0.1)
    assert 0 < least[1] < 0.1 * most[1]
    assert none[1] == 0


def bump(height):
    y, x = np.mgrid[:512, :512].astype(np.float32)
    value = height * np.exp(-((x - 256) ** 2 + (y - 300) ** 2) / (2 * 40**2))
    return (value - value.mean())[..., None].astype(np.float32)


def test_a_canvas_finer_than_the_square_keeps_its_detail():
    """Noise of the canvas that the square cannot hold is still there, not smeared."""
    face = a_face(400, 400, eyes=1.4 * EYES)
    with a_canvas(1, dtype="float32", size=(800, 800)) as canvas:
        before = pixels(canvas)
        restore(canvas, 1, [face], lambda square: square + bump(0.2), 1.0)
        after = pixels(canvas)
    assert np.abs(after - before).max() > 0.1
    fine = [np.diff(each[380:420, 380:420], axis=0).std() for each in (before, after)]
    assert fine[1] == pytest.approx(fine[0], rel=0.02)


def test_faces_that_overlap_are_seen_before_either_is_changed():
    faces = [a_face(62, 60, 16), a_face(95, 64, 15)]
    results = []
    for order in (faces, faces[::-1]):
        squares = []

        def counted(square, squares=squares):
            squares.append(square.copy())
            return other(square)

        with a_canvas() as canvas:
            assert restore(canvas, 2, order, counted, 1.0) == ("restored", "restored")
            results.append((pixels(canvas), squares))
    (first, (a, b)), (second, (c, d)) = results
    assert np.array_equal(a, d)
    assert np.array_equal(b, c)
    assert np.abs(first.astype(int) - second).max() <= 1
    both = mask([oval(faces[0])], 0, 0, *first.shape[:2], 2) * mask(
        [oval(faces[1])], 0, 0, *first.shape[:2], 2
    )
    assert both.max() > 0.1, "they do not overlap: the test shows nothing"


def test_the_same_on_disk_and_by_any_band(monkeypatch):
    results = []
    for area in (1 << 19, 1 << 12):
        monkeypatch.setattr("superres.faces.paste._AREA", area)
        with Scratch() as scratch, a_canvas(scratch=scratch) as canvas, a_canvas() as held:
            assert canvas.on_disk
            for each in (canvas, held):
                restore(each, 2, [a_face(degrees=10)], other, 0.7)
                results.append(pixels(each))
    assert all(np.array_equal(results[0], each) for each in results[1:])


def test_a_face_at_the_edge_sees_grey_beyond():
    seen = []
    with a_canvas() as canvas:
        tiers = restore(
            canvas, 2, [a_face(4, 60, 18)], lambda square: seen.append(square) or square, 1.0
        )
    assert tiers == ("restored",)
    corner = seen[0][200:300, :40].reshape(-1, 3)
    assert np.allclose(corner, np.array([132, 133, 135]) / 255, atol=1e-3)
    assert seen[0].dtype == np.float32
    assert seen[0].min() >= 0
    assert seen[0].max() <= 1


def test_a_face_outside_the_picture_is_left_alone():
    with a_canvas() as canvas:
        assert restore(canvas, 2, [a_face(-400, 60, 18)], never, 1.0) == ("unchanged",)


def test_a_grey_face_is_shown_in_three_colours_and_stays_grey():
    seen = []
    with a_canvas(channels=1) as canvas:
        restore(canvas, 2, [a_face()], lambda square: seen.append(square) or square, 1.0)
    assert np.array_equal(seen[0][..., 0], seen[0][..., 1])
    assert np.array_equal(seen[0][..., 0], seen[0][..., 2])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda square: square * np.float32("nan"),
        lambda square: np.full_like(square, np.inf),
        lambda square: square[:256, :256],
    ],
)
def test_what_is_no_picture_is_not_laid_in(wrong):
    with a_canvas() as canvas:
        before = pixels(canvas)
        with pytest.raises(BadOutput, match="no picture"):
            restore(canvas, 2, [a_face()], wrong, 1.0)
        assert np.array_equal(before, pixels(canvas))


def test_the_network_is_given_what_stops_it():
    given = []

    def network(square, check):
        given.append(check)
        return square

    def check():
        pass

    with a_canvas() as canvas:
        restore_faces(canvas, 2, [a_face()], network, 1.0, check)
        restore_faces(canvas, 2, [a_face()], network, 1.0)
    assert given[0] is check
    given[1]()


def test_it_can_be_stopped_between_faces():
    class Stopped(Exception):
        pass

    asked = []

    def check():
        if asked:
            raise Stopped

    def once(square):
        asked.append(1)
        return square

    with a_canvas() as canvas, pytest.raises(Stopped):
        restore(canvas, 2, [a_face(40, 60, 9), a_face(110, 60, 9)], once, 1.0, check)
    assert len(asked) == 1
