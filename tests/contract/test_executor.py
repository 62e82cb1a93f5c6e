"""What every executor promises, asked of every executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from superres.errors import (
    BadParameter,
    Cancelled,
    CorruptImage,
    DeadlineExceeded,
    ImageTooLarge,
    InputError,
    Overloaded,
    UnsupportedFormat,
)
from superres.executors.base import Executor, Work
from superres.executors.inline import InlineExecutor
from superres.executors.pool import WorkerPool
from superres.imageio import OutputOptions
from superres.pipeline import Progress, UpscaleOptions, Upscaler
from tests.unit.executors.works import is_right, picture, quick, settings, slow, until

Open = Callable[..., Executor]


@contextmanager
def opened(kind: str, root: Path, **workers: object) -> Iterator[Executor]:
    chosen = settings(root, **workers)
    if kind == "inline":
        limits = chosen.workers
        executor: Executor = InlineExecutor(Upscaler(chosen), limits.concurrency, limits.queue)
    else:
        executor = WorkerPool(chosen)
    try:
        yield executor
    finally:
        executor.close()


@pytest.fixture(scope="module", params=["inline", "pool"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def shared(kind, tmp_path_factory) -> Iterator[Executor]:
    with opened(kind, tmp_path_factory.mktemp("shared"), concurrency=3) as executor:
        yield executor


def test_the_result_is_written_and_reported(shared, tmp_path):
    work = quick(tmp_path)
    running = shared.submit(work)
    done = running.future.result(30)
    assert is_right(work)
    assert done.attempts == 1
    assert done.queue_seconds >= 0
    assert (done.report.source, done.report.target) == (work.source, work.target)
    assert (done.report.out_width, done.report.out_height) == (160, 120)
    assert done.report.format == "png"


def test_options_are_honoured(shared, tmp_path):
    options = UpscaleOptions(scale=2, output=OutputOptions(format="webp", lossless=True))
    work = quick(tmp_path, options=options)
    assert shared.submit(work).future.result(30).report.format == "webp"
    with Image.open(work.target) as result:
        assert (result.size, result.format) == ((80, 60), "WEBP")


@pytest.mark.parametrize("name", ["result", "result.jpg", "result.download"])
def test_the_targets_name_says_nothing(shared, tmp_path, name):
    work = Work(picture(tmp_path / "a.png", 20, 20), tmp_path / name)
    assert shared.submit(work).future.result(30).report.format == "png"
    with Image.open(work.target) as result:
        assert result.format == "PNG"


def test_a_broken_picture(shared, tmp_path):
    work = slow(tmp_path, side=100)
    work.source.write_bytes(work.source.read_bytes()[:-2000])
    with pytest.raises(CorruptImage):
        shared.submit(work).future.result(30)
    assert not work.target.exists()


def test_something_else(shared, tmp_path):
    source = tmp_path / "words"
    source.write_text("no picture at all")
    with pytest.raises(UnsupportedFormat):
        shared.submit(Work(source, tmp_path / "result")).future.result(30)


def test_no_file(shared, tmp_path):
    with pytest.raises(InputError):
        shared.submit(Work(tmp_path / "absent", tmp_path / "result")).future.result(30)


def test_too_long_a_side(shared, tmp_path):
    work = quick(tmp_path, max_side=39)
    with pytest.raises(ImageTooLarge, match=r"40 x 30 .* at most 39"):
        shared.submit(work).future.result(30)
    assert shared.submit(quick(tmp_path, max_side=40)).future.result(30)


def test_an_older_target_does_not_outlive_a_failure(shared, tmp_path):
    work = quick(tmp_path, max_side=10)
    work.target.write_bytes(b"older")
    with pytest.raises(ImageTooLarge):
        shared.submit(work).future.result(30)
    assert not work.target.exists()


def test_progress_climbs_to_one(shared, tmp_path):
    seen: list[Progress] = []
    began = time.monotonic()
    shared.submit(slow(tmp_path), on_progress=seen.append).future.result(60)
    took = time.monotonic() - began
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0
    assert fractions[-1] == 1.0
    assert {"upscale", "encode"} <= {progress.stage for progress in seen}
    assert len(seen) <= took * 10 + 3


def test_a_listener_that_fails_hurts_nobody(shared, tmp_path, caplog):
    def listen(progress: Progress) -> None:
        raise ValueError("the listener's own")

    assert shared.submit(quick(tmp_path), on_progress=listen).future.result(30)
    assert "the listener's own" in caplog.text


def test_cancelled_while_it_runs(shared, tmp_path):
    started = threading.Event()
    work = slow(tmp_path, side=1500)
    running = shared.submit(work, on_progress=lambda _: started.set())
    assert started.wait(30)
    running.cancel()
    running.cancel()
    with pytest.raises(Cancelled):
        running.future.result(10)
    assert not work.target.exists()
    until(lambda: shared.state().running == 0)


def test_cancelled_after_its_end(shared, tmp_path):
    work = quick(tmp_path)
    running = shared.submit(work)
    running.future.result(30)
    running.cancel()
    assert running.future.result(0).attempts == 1
    assert is_right(work)


def test_nobody_cancels_the_future_itself(shared, tmp_path):
    running = shared.submit(quick(tmp_path))
    assert not running.future.cancel()  # as asyncio tries when its own is cancelled
    assert running.future.result(30)


def test_deadline_while_it_runs(shared, tmp_path):
    work = slow(tmp_path, side=1500, deadline=0.3)
    with pytest.raises(DeadlineExceeded, match=r"0\.3 seconds"):
        shared.submit(work).future.result(20)
    assert not work.target.exists()


def test_many_at_once(shared, tmp_path):
    works = [quick(tmp_path, f"w{i}", options=UpscaleOptions(scale=2 + i % 3)) for i in range(24)]
    for running in [shared.submit(work) for work in works]:
        running.future.result(60)
    assert all(is_right(work, 2 + i % 3) for i, work in enumerate(works) if i % 3 != 1)


def test_estimates(shared):
    estimate = shared.estimate(300, 200, UpscaleOptions(scale=2), "jpeg").result(30)
    assert (estimate.out_width, estimate.out_height) == (600, 400)
    assert estimate.memory_bytes > 0
    with pytest.raises(ImageTooLarge):
        shared.estimate(70_000, 10, UpscaleOptions()).result(30)
    options = UpscaleOptions(output=OutputOptions(format="webp"))
    with pytest.raises(BadParameter, match="WebP"):
        shared.estimate(8000, 10, options).result(30)


def test_several_run_at_a_time(kind, tmp_path):
    with opened(kind, tmp_path, concurrency=2, queue=4) as executor:
        all_of_them = [executor.submit(slow(tmp_path, f"s{i}", side=1500)) for i in range(3)]
        until(lambda: executor.state().running == 2)
        state = executor.state()
        assert (state.queued, state.workers[0].running) == (1, 2)
        assert state.workers[0].rss_bytes > 10 << 20
        for running in all_of_them:
            running.cancel()
        until(lambda: executor.state().running == 0)


def test_waiting(kind, tmp_path):
    """One slot, two places: cancelled and expired while waiting, and what is too much."""
    with opened(kind, tmp_path, concurrency=1, queue=2) as executor:
        blocking = executor.submit(slow(tmp_path, side=1500))
        until(lambda: executor.state().running == 1)
        begun = threading.Event()
        waiting = executor.submit(quick(tmp_path, "a"), on_progress=lambda _: begun.set())
        hurried = executor.submit(quick(tmp_path, "b", deadline=0.05))
        with pytest.raises(Overloaded) as refused:
            executor.submit(quick(tmp_path, "c"))
        assert refused.value.retry_after >= 1
        with pytest.raises(DeadlineExceeded):
            hurried.future.result(1)
        waiting.cancel()
        with pytest.raises(Cancelled):
            waiting.future.result(0)
        assert executor.state().queued == 0
        last = executor.submit(quick(tmp_path, "d"))
        blocking.cancel()
        with pytest.raises(Cancelled):
            blocking.future.result(20)
        assert last.future.result(20).queue_seconds > 0
        assert not begun.is_set()


def test_no_queue_at_all(kind, tmp_path):
    with opened(kind, tmp_path, concurrency=1, queue=0) as executor:
        until(lambda: executor.state().ready)
        blocking = executor.submit(slow(tmp_path, side=1500))
        with pytest.raises(Overloaded):
            executor.submit(quick(tmp_path))
        blocking.cancel()
        until(lambda: executor.state().running == 0)
        assert executor.submit(quick(tmp_path)).future.result(20)


def test_closing_lets_what_was_taken_end(kind, tmp_path):
    with opened(kind, tmp_path, concurrency=1) as executor:
        works = [slow(tmp_path, f"s{i}", side=300) for i in range(2)]
        all_of_them = [executor.submit(work) for work in works]
        executor.close(drain=60)
        assert all(running.future.done() for running in all_of_them)
        assert all(is_right(work) for work in works)
        assert not executor.state().ready
        with pytest.raises(Overloaded, match="stopping"):
            executor.submit(quick(tmp_path))
        executor.close()


def test_closing_at_once(kind, tmp_path):
    with opened(kind, tmp_path, concurrency=1) as executor:
        works = [slow(tmp_path, f"s{i}", side=1500) for i in range(3)]
        all_of_them = [executor.submit(work) for work in works]
        until(lambda: executor.state().running == 1)
        began = time.monotonic()
        executor.close()
        assert time.monotonic() - began < 8
        for running in all_of_them:
            with pytest.raises(Cancelled):
                running.future.result(0)
        assert not any(work.target.exists() for work in works)


def test_faces_are_looked_for_and_reported(shared, tmp_path, portrait):
    source = tmp_path / "portrait.png"
    source.write_bytes(portrait)
    plain = shared.submit(Work(source, tmp_path / "a.png", UpscaleOptions(scale=2)))
    asked = shared.submit(Work(source, tmp_path / "b.png", UpscaleOptions(scale=2, face=True)))
    assert plain.future.result(60).report.faces == ()
    (found,) = asked.future.result(60).report.faces
    face = found.face
    assert found.tier == "enhanced"
    assert face.x < 72 < face.x + face.width
    assert face.y < 122 < face.y + face.height
    assert 0.865 <= face.score <= 1
