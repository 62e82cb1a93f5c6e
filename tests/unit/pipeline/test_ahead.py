"""Encoding while tiles are computed: the same file, and nothing left when it goes wrong."""

import io
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from superres.engines.base import TileResult
from superres.errors import BadOutput, Cancelled, OutOfMemory, OutputError
from superres.imageio import Canvas, OutputOptions, Scratch
from superres.imageio.vips import library
from superres.pipeline import UpscaleOptions
from superres.pipeline import ahead as module
from superres.pipeline.ahead import Ahead
from tests.unit.pipeline.doubles import FaultyEngine, SharpEngine, photo

SMALL = {"memory_ceiling": 60 << 20}
OPTIONS = UpscaleOptions(scale=4, model="general", fidelity=0.0)


@pytest.fixture(autouse=True)
def on_disk(monkeypatch):
    """Every canvas is large."""
    init = Canvas.__init__

    def made(self, *arguments, **how):
        init(self, *arguments, **{**how, "memory_limit": 0})

    monkeypatch.setattr(Canvas, "__init__", made)


@pytest.fixture
def begun(monkeypatch):
    """When encoding began and canvases were filled, in order."""
    order = []
    begin, grown = Ahead.begin, Ahead.grown
    monkeypatch.setattr(Ahead, "begin", lambda s, c: (order.append("begin"), begin(s, c)))
    monkeypatch.setattr(Ahead, "grown", lambda s, n: (order.append(n), grown(s, n)))
    return order


def threads():
    return [
        t for t in threading.enumerate() if t.name.startswith(("superres-encode", "superres-v"))
    ]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("file_format", ["png", "tiff"])
@pytest.mark.parametrize("scale", [4, 3.3, 9])
def test_it_is_the_file_that_it_would_be(
    place, tmp_path, monkeypatch, begun, channels, file_format, scale
):
    picture = photo(90, 70, channels)
    source = tmp_path / "in.png"
    Image.fromarray(picture if channels > 1 else picture[..., 0]).save(source)
    output = OutputOptions(format=file_format)
    options = UpscaleOptions(scale=scale, model="faithful", output=output)
    with place.upscaler(SharpEngine(), **SMALL) as upscaler:
        got = upscaler.upscale_file(source, None, options).data
        assert begun[0] == "begin"
        assert len(begun) >= 3
        monkeypatch.setattr(Ahead, "begin", lambda self, canvas: None)
        want = upscaler.upscale_file(source, None, options).data
    assert got == want
    assert not threads()


def test_the_first_rows_are_encoded_before_the_last_are_computed(place, tmp_path, monkeypatch):
    reads = []
    read = module.Growing._read

    def noted(self, size):
        data = read(self, size)
        reads.append((time.perf_counter(), self._at))
        return data

    monkeypatch.setattr(module.Growing, "_read", noted)
    last = []

    class Slow(SharpEngine):
        def load(self, program, precision):
            session = super().load(program, precision)
            submit = session.submit

            def slow(image):
                time.sleep(0.01)
                last[:] = [time.perf_counter()]
                return submit(image)

            session.submit = slow
            return session

    source = tmp_path / "in.png"
    Image.fromarray(photo(900, 300)).save(source)
    with place.upscaler(Slow(), **SMALL) as upscaler:
        upscaler.upscale_file(source, tmp_path / "out.png", OPTIONS)
    early = max(at for when, at in reads if when < last[0] and at < 3600 * 1200 * 3)
    assert early > 3600 * 1200 * 3 / 4
    with Image.open(tmp_path / "out.png") as made:
        assert made.size == (1200, 3600)


@pytest.mark.parametrize(
    "error", [Cancelled("Stopped."), OutOfMemory("No room."), BadOutput("Wrong.")]
)
@pytest.mark.parametrize("to_file", [True, False])
def test_a_failure_in_the_middle_leaves_nothing(place, tmp_path, error, to_file):
    def broken(image, right, before) -> TileResult:
        raise error

    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(photo(400, 300)).save(source)
    target.write_bytes(b"precious")
    before = sorted(p.name for p in tmp_path.iterdir())
    engine = FaultyEngine(SharpEngine(), broken, ["f16", "f32"], after=6)
    with place.upscaler(engine, **SMALL) as upscaler, pytest.raises(type(error)):
        upscaler.upscale_file(source, target if to_file else None, OPTIONS)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert target.read_bytes() == b"precious"
    assert not threads()


@pytest.mark.parametrize("stage", ["upscale", "encode"])
def test_cancelling_leaves_nothing(place, tmp_path, monkeypatch, stage):
    grown = Ahead.grown
    if stage == "encode":  # so that it takes a while
        monkeypatch.setattr(Ahead, "grown", lambda self, rows: grown(self, rows - rows % 2000))
    slowly = replace(OPTIONS, output=OutputOptions(compression=9))
    source = tmp_path / "in.png"
    picture = np.random.default_rng(0).integers(0, 256, (500, 400, 3), np.uint8)
    Image.fromarray(picture).save(source)
    before = sorted(p.name for p in tmp_path.iterdir())
    seen = []
    with place.upscaler(SharpEngine(), **SMALL) as upscaler, pytest.raises(Cancelled):
        upscaler.upscale_file(
            source,
            tmp_path / "out.png",
            slowly,
            on_progress=lambda p: seen.append(p.stage),
            cancelled=lambda: seen.count(stage) > (3 if stage == "upscale" else 0),
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not threads()


def test_progress_comes_in_this_thread_and_in_order(place, tmp_path):
    source = tmp_path / "in.png"
    Image.fromarray(photo(500, 400)).save(source)
    seen = []
    with place.upscaler(SharpEngine(), **SMALL) as upscaler:
        upscaler.upscale_file(
            source,
            tmp_path / "out.png",
            OPTIONS,
            on_progress=lambda p: seen.append((p.stage, p.fraction, threading.get_ident())),
        )
    assert {ident for _, _, ident in seen} == {threading.get_ident()}
    stages = [stage for stage, _, _ in seen]
    assert stages == sorted(stages, key=["decode", "upscale", "encode"].index)
    fractions = [fraction for _, fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_target_that_cannot_be_written_is_told_in_the_end(place, tmp_path):
    source = tmp_path / "in.png"
    Image.fromarray(photo(100, 80)).save(source)
    with place.upscaler(SharpEngine(), **SMALL) as upscaler, pytest.raises(OutputError):
        upscaler.upscale_file(source, tmp_path / "nowhere" / "out.png", OPTIONS)
    assert not threads()


def test_tiles_that_are_done_again_smaller_are_no_harm(place, tmp_path, begun):
    from tests.unit.pipeline.test_shrink import Small

    source = tmp_path / "in.png"
    Image.fromarray(photo(400, 300)).save(source)
    pictures = []
    for room, first in ((10_000, 8), (1 << 30, 0)):
        engine = Small(room, first=first)
        begun.clear()
        with place.upscaler(engine, **SMALL) as upscaler:
            data = upscaler.upscale_file(source, None, OPTIONS).data
            pictures.append(np.asarray(Image.open(io.BytesIO(data))).astype(int))
        rows = begun[1:]
        assert (rows != sorted(rows)) == (len(dict.fromkeys(engine.windows)) > 1) == (first > 0)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(pictures[0][inner], pictures[1][inner], atol=1)


def test_rows_are_given_when_they_are_there(tmp_path):
    with Scratch(tmp_path) as scratch, Canvas(64, 300, 3, np.uint8, scratch) as canvas:
        growing = canvas.growing()
        got = []
        thread = threading.Thread(target=lambda: got.append(growing.image().write_to_memory()))
        thread.start()
        picture = photo(64, 300)
        for y in range(0, 64, 8):
            time.sleep(0.01)
            assert not got
            canvas.write(y, 0, picture[y : y + 8])
            growing.grown(y + 8)
        thread.join(20)
        assert got[0] == picture.tobytes()


def test_who_waits_for_rows_that_never_come_fails(tmp_path):
    with Scratch(tmp_path) as scratch, Canvas(64, 300, 3, np.uint8, scratch) as canvas:
        growing = canvas.growing()
        got = []

        def read():
            try:
                growing.image().write_to_memory()
            except library().Error as exc:
                got.append(exc)

        thread = threading.Thread(target=read)
        thread.start()
        growing.grown(8)
        time.sleep(0.05)
        growing.stop()
        thread.join(20)
        assert len(got) == 1


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("file_format", ["png", "webp", "tiff"])
def test_stopped_after_the_last_rows_nothing_is_written(
    place, tmp_path, monkeypatch, file_format, to_file
):
    """All may be encoded by then, but not in the target's place."""
    source, target = tmp_path / "in.png", tmp_path / f"out.{file_format}"
    Image.fromarray(photo(100, 80)).save(source)
    target.write_bytes(b"precious")
    before = sorted(p.name for p in tmp_path.iterdir())
    late, grown = [], Ahead.grown

    def told(self, rows):
        grown(self, rows)
        if rows == 400:
            deadline = time.monotonic() + 10
            while self._fraction < 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            late.append(self._fraction)

    monkeypatch.setattr(Ahead, "grown", told)
    with place.upscaler(SharpEngine(), **SMALL) as upscaler, pytest.raises(Cancelled):
        upscaler.upscale_file(
            source, target if to_file else None, OPTIONS, cancelled=lambda: bool(late)
        )
    assert late == [1.0]
    assert target.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not threads()


def test_progress_does_not_go_back_when_tiles_are_done_again(place, tmp_path):
    from tests.unit.pipeline.test_shrink import Small

    source, seen = tmp_path / "in.png", []
    Image.fromarray(photo(400, 300)).save(source)
    engine = Small(10_000, first=8)
    with place.upscaler(engine, **SMALL) as upscaler:
        upscaler.upscale_file(source, None, OPTIONS, on_progress=lambda p: seen.append(p.fraction))
    assert len(dict.fromkeys(engine.windows)) > 1
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_tiles_are_not_computed_for_a_file_that_cannot_be_written(place, tmp_path):
    class Counting(SharpEngine):
        tiles = 0

        def load(self, program, precision):
            session = super().load(program, precision)
            submit = session.submit

            def counted(image):
                self.tiles += 1
                time.sleep(0.02)
                return submit(image)

            session.submit = counted
            return session

    source, engine = tmp_path / "in.png", Counting()
    Image.fromarray(photo(900, 400)).save(source)
    with place.upscaler(engine, **SMALL) as upscaler:
        upscaler.upscale_file(source, None, OPTIONS)
        all_tiles, engine.tiles = engine.tiles, 0
        with pytest.raises(OutputError, match="No such file"):
            upscaler.upscale_file(source, tmp_path / "nowhere" / "out.png", OPTIONS)
    assert engine.tiles < all_tiles / 2
    assert not threads()
