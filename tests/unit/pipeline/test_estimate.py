"""What is expected of pictures with faces, before anybody has seen them."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from superres.errors import WeightsMissing
from superres.faces import restore
from superres.imageio import Header, Scratch
from superres.models.installed import InstalledWeights, WeightsFolder
from superres.pipeline import UpscaleOptions, Upscaler
from superres.pipeline import estimate as forecasts
from superres.pipeline.estimate import RESTORE_MEMORY
from tests.unit.pipeline.doubles import Place

HEADER = Header("png", 4000, 3000, channels=3, bits=8)


@pytest.fixture(scope="module")
def portrait(photos):
    buffer = io.BytesIO()
    crop = np.asarray(Image.fromarray(photos["astronaut"][0:300, 40:400]).reduce(2))
    rng = np.random.default_rng(0)
    noisy = np.clip(crop + rng.normal(0, 6, crop.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "PNG")
    return buffer.getvalue()


class Network:
    """Restores a face in ``seconds``; the pipeline around it is the real one."""

    def __init__(self, seconds=0.0):
        self.seconds, self.called = seconds, lambda: None

    def __call__(self, face, check):
        time.sleep(self.seconds)
        self.called()
        return face[::-1].copy()


@pytest.fixture
def network(monkeypatch):
    made = Network()
    monkeypatch.setattr(restore, "load_restorer", lambda *_: made)
    monkeypatch.setattr(restore, "check_runtime", lambda *_: None)
    return made


@pytest.fixture
def upscaler(tmp_path):
    """With weights called gfpgan, which hold nothing."""
    settings = Place(tmp_path).settings(memory_ceiling=3 << 29)
    folder = WeightsFolder(tmp_path / "weights")
    file = tmp_path / "gfpgan.pth"
    file.write_bytes(b"nothing")
    with folder.stage(file) as staged:
        known = ("GFPGAN", "Apache-2.0", False, staged.sha256, staged.size, "a", "2026-11-21")
        folder.add(staged, InstalledWeights("gfpgan", *known))
    models = replace(settings.models, weights_dir=folder.folder)
    with Upscaler(replace(settings, models=models)) as made:
        yield made


def expected(upscaler, header=HEADER, **options):
    return upscaler.estimate_header(header, UpscaleOptions(**options))


# ------------------------------------------------------------------------- room


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
@pytest.mark.parametrize(("channels", "bits"), [(3, 8), (4, 16)])
def test_scratch_has_room_for_a_face_over_all_of_the_picture(place, scale, channels, bits):
    header = replace(HEADER, width=1000, height=800, channels=channels, bits=bits)
    with place.upscaler() as upscaler:
        plain = expected(upscaler, header, scale=scale)
        faced = expected(upscaler, header, scale=scale, face=True)
    once = 1000 * 800 * channels * bits // 8
    first = plain.passes[0]
    assert faced.scratch_bytes >= once * (1 + 2 * first**2)
    assert faced.scratch_bytes == max(plain.scratch_bytes, once * (2 + 2 * first**2))


def test_no_more_is_taken_from_the_disk_than_was_told(tmp_path, monkeypatch):
    """A noisy picture that is one face, all of it on disk."""
    from superres.faces.face import Face
    from superres.imageio import canvas

    held = [0, 0]
    made, closed = Scratch.new_file, canvas.ScratchFile.close

    def new_file(self, size):
        file = made(self, size)
        sizes[id(file)] = size
        held[0] += size
        held[1] = max(held)
        return file

    def close(self):
        held[0] -= sizes.pop(id(self), 0)
        closed(self)

    sizes = {}
    monkeypatch.setattr(Scratch, "new_file", new_file)
    monkeypatch.setattr(canvas.ScratchFile, "close", close)
    monkeypatch.setattr(canvas, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(canvas.Canvas.__init__, "__kwdefaults__", {"memory_limit": 0})
    monkeypatch.setattr("superres.pipeline.faces.MEMORY", 0)
    points = ((60.0, 60.0), (140.0, 60.0), (100.0, 100.0), (70.0, 140.0), (130.0, 140.0))
    face = Face(-100.0, -100.0, 400.0, 400.0, 0.9, points)
    monkeypatch.setattr("superres.faces.detect.Detector.find", lambda *_, **__: (face,))
    rng = np.random.default_rng(0)
    noisy = np.clip(120 + rng.normal(0, 8, (200, 200, 3)), 0, 255).astype(np.uint8)
    header = Header("array", 200, 200, channels=3, bits=8)
    with Place(tmp_path).upscaler() as upscaler:
        options = UpscaleOptions(scale=2, face=True)
        told = upscaler.estimate_header(header, options).scratch_bytes
        upscaler.upscale_pixels(noisy, options)
    assert held[1] >= 200 * 200 * 3 * (4 + 4 + 1)
    # Each file has a head and a tail of its own.
    assert held[1] <= told + 3 * 4096


def test_memory_counts_the_second_network_and_the_third(upscaler, network):
    plain = expected(upscaler).memory_bytes
    faced = expected(upscaler, face=True).memory_bytes
    none = expected(upscaler, restore="gfpgan", restore_strength=0.0).memory_bytes
    restored = expected(upscaler, restore="gfpgan").memory_bytes
    assert plain < faced == none
    assert faced < 3 << 29
    assert restored == faced + RESTORE_MEMORY


def test_an_estimate_refuses_a_network_that_is_not_there(place):
    with place.upscaler() as upscaler, pytest.raises(WeightsMissing):
        expected(upscaler, restore="gfpgan")


# ------------------------------------------------------------------------- time


def test_faces_are_a_tenth_of_the_picture_until_one_was_seen(place, portrait, monkeypatch):
    monkeypatch.setattr("superres.pipeline.speed._LEAST_SECONDS", 0)
    png = UpscaleOptions(scale=4)
    with place.upscaler() as upscaler:
        assert expected(upscaler, face=True).seconds == 0
        upscaler.upscale_file(portrait, None, png)
        plain, guessed = expected(upscaler).seconds, expected(upscaler, face=True).seconds
        assert plain < guessed < 1.2 * plain
        monkeypatch.setattr(forecasts, "_LEAST_SECONDS", 0)
        find = upscaler._detector.find

        def slowly(*arguments, **more):
            time.sleep(0.5)
            return find(*arguments, **more)

        monkeypatch.setattr(upscaler._detector, "find", slowly)
        report = upscaler.upscale_file(portrait, None, replace(png, face=True))
        assert [face.tier for face in report.faces] == ["enhanced"]
        own = Header("png", report.width, report.height, channels=3, bits=8)
        plain, known = (expected(upscaler, own, face=face).seconds for face in (False, True))
        assert known > plain + 0.5


def test_what_faces_take_is_not_taken_for_the_model_s(upscaler, portrait, network, monkeypatch):
    """Else a slow restoring would make all that follows look slow."""
    monkeypatch.setattr("superres.pipeline.speed._LEAST_SECONDS", 0)
    network.seconds = 1.0
    upscaler.upscale_file(portrait, None, UpscaleOptions(scale=2, restore="gfpgan"))
    own = Header("png", 180, 150, channels=3, bits=8)
    assert 0 < expected(upscaler, own, scale=2).seconds < 1.0


def test_restoring_is_not_known_until_it_was_done(upscaler, portrait, network, monkeypatch):
    monkeypatch.setattr("superres.pipeline.speed._LEAST_SECONDS", 0)
    network.seconds = 0.5
    upscaler.upscale_file(portrait, None, UpscaleOptions(scale=4))
    assert expected(upscaler).seconds > 0
    assert expected(upscaler, restore="gfpgan").seconds == 0
    wanted = UpscaleOptions(scale=4, restore="gfpgan")
    (face,) = upscaler.upscale_file(portrait, None, wanted).faces
    assert face.tier == "restored"
    known = expected(upscaler, restore="gfpgan").seconds
    assert known > expected(upscaler, face=True).seconds + 2 * 0.5
    one = replace(upscaler.settings, faces=replace(upscaler.settings.faces, most=1))
    with Upscaler(one) as other:
        assert expected(other, restore="gfpgan").seconds < known - 0.4


# --------------------------------------------------------------------- progress


def test_progress_moves_with_every_face_that_is_restored(upscaler, portrait, network):
    with Image.open(io.BytesIO(portrait)) as picture:
        crowd = np.concatenate([np.asarray(picture)] * 3, 1)
    told, before = [], []
    network.called = lambda: before.append(told[-1])
    upscaler.upscale_pixels(
        crowd,
        UpscaleOptions(scale=2, restore="gfpgan"),
        on_progress=lambda progress: told.append(progress.fraction),
    )
    assert len(before) == 3
    assert told == sorted(told)
    assert before[0] < before[1] < before[2] < 0.9
    assert told[-1] == 1.0
    # A face takes longer than such a small picture, and so has most of the bar.
    assert before[2] - before[0] > 0.3


def test_the_bar_goes_by_what_faces_took_before(upscaler, portrait, network, monkeypatch):
    monkeypatch.setattr("superres.pipeline.speed._LEAST_SECONDS", 0)
    rest = []
    for seconds in (0.0, 1.0):
        network.seconds = seconds
        upscaler.settings.engine.cache_dir.joinpath("speed.json").unlink(missing_ok=True)
        options = UpscaleOptions(scale=2, restore="gfpgan")
        upscaler.upscale_file(portrait, None, options)
        told = []
        upscaler.upscale_file(
            portrait, None, options, on_progress=lambda p, told=told: told.append(p.fraction)
        )
        rest.append(0.9 - max(np.diff([each for each in told if each <= 0.9])))
    assert 0 < rest[1] < rest[0] / 2


def test_all_orientations_take_eight_times_as_long(place):
    with place.upscaler() as upscaler:
        for scale, times in ((4, (7.9, 8.4)), (16, (1, 8))):
            plain = upscaler._plan(HEADER, UpscaleOptions(scale))
            turned = upscaler._plan(HEADER, UpscaleOptions(scale, tta=True))
            assert times[0] <= sum(turned.costs) / sum(plain.costs) <= times[1]
            assert turned.costs[1:] == plain.costs[1:]
        plain, turned = (expected(upscaler, scale=4, tta=tta) for tta in (False, True))
        assert turned.memory_bytes > plain.memory_bytes
        upscaler._forecast._speed.record("fake:f32:general:True", 1e6, 10)
        plain, turned = (expected(upscaler, scale=4, tta=tta) for tta in (False, True))
        assert turned.seconds == pytest.approx(8 * plain.seconds, rel=0.05)


def test_cleaning_takes_time_too(place):
    with place.upscaler() as upscaler:
        upscaler._forecast._speed.record("fake:f32:general:True", 1e6, 10)
        unknown = expected(upscaler, denoise=0.5).seconds
        upscaler._forecast.learn_cleaning(1_000_000, 2.0)
        values = HEADER.width * HEADER.height * HEADER.channels
        assert expected(upscaler, denoise=0.5).seconds == pytest.approx(unknown + values * 2e-6)
        assert expected(upscaler, denoise=0.0).seconds == unknown
