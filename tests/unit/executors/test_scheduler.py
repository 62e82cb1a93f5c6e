"""Who runs what, with a runner that does nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from superres.errors import (
    Cancelled,
    CorruptImage,
    DeadlineExceeded,
    EngineUnavailable,
    Overloaded,
    WorkerLost,
)
from superres.executors.base import Work
from superres.executors.clock import Clock
from superres.executors.scheduler import Scheduler
from superres.executors.ticket import Ticket
from superres.imageio import SourceFacts
from superres.pipeline import FileReport, Progress
from tests.unit.executors.works import until


class Runner:
    """Remembers what it was told."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.begun: list[int] = []
        self.interrupted: list[int] = []
        self.kills = 0

    def begin(self, number: int, work: Work) -> None:
        self.begun.append(number)

    def interrupt(self, number: int) -> None:
        self.interrupted.append(number)

    def kill(self) -> None:
        self.kills += 1


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    clock.close()


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def scheduler(clock, runner) -> Scheduler:
    scheduler = Scheduler(queue=8, clock=clock, hang_timeout=0.2)
    scheduler.add(runner)
    scheduler.ready(runner)
    return scheduler


def work(tmp_path: Path, deadline: float | None = None) -> Work:
    return Work(tmp_path / "source", tmp_path / "target", deadline=deadline)


def report(side: int = 100, seconds: float = 0.0) -> FileReport:
    return FileReport(
        source=None,
        target=None,
        data=None,
        width=side,
        height=side,
        out_width=side,
        out_height=side,
        format="png",
        model="general",
        fidelity=0.5,
        passes=(4,),
        device="fake",
        precision="f32",
        seconds=seconds,
        inference_seconds=seconds,
        peak_memory=0,
        quality=100,
        facts=SourceFacts("png", side, side, orientation=0, quality=100, average=(0, 0, 0)),
    )


def submitted(scheduler: Scheduler, tmp_path: Path, count: int) -> list[Ticket]:
    return [scheduler.submit(work(tmp_path), None) for _ in range(count)]


def test_first_come_first_served(scheduler, runner, tmp_path):
    tickets = submitted(scheduler, tmp_path, 4)
    assert runner.begun == [1, 2]
    scheduler.finished(runner, 2, report())
    assert runner.begun == [1, 2, 3]
    assert tickets[1].future.result(0).attempts == 1
    assert scheduler.queued == 1


def test_errors_are_the_works_own(scheduler, runner, tmp_path):
    ticket = submitted(scheduler, tmp_path, 1)[0]
    ticket.work.target.write_bytes(b"half")
    scheduler.finished(runner, 1, CorruptImage("Broken."))
    assert isinstance(ticket.future.exception(0), CorruptImage)
    assert not ticket.work.target.exists()


def test_after_a_death_suspects_run_alone_and_first(scheduler, runner, tmp_path):
    tickets = submitted(scheduler, tmp_path, 4)
    tickets[0].work.target.write_bytes(b"whole, but nobody was told")
    scheduler.lost(runner, blame=True)
    assert not tickets[0].work.target.exists()
    assert scheduler.queued == 4
    scheduler.ready(runner)
    assert runner.begun == [1, 2, 1]
    scheduler.finished(runner, 1, report())
    assert runner.begun == [1, 2, 1, 2]  # still alone
    scheduler.lost(runner, blame=True)
    assert isinstance(tickets[1].future.exception(0), WorkerLost)
    scheduler.ready(runner)
    assert runner.begun == [1, 2, 1, 2, 3, 4]
    assert tickets[0].future.result(0).attempts == 2
    assert not tickets[2].future.done()


def test_other_workers_go_on_meanwhile(scheduler, runner, tmp_path):
    other = Runner()
    scheduler.add(other)
    scheduler.ready(other)
    submitted(scheduler, tmp_path, 6)
    assert (runner.begun, other.begun) == ([1, 3], [2, 4])  # evenly
    scheduler.lost(runner, blame=True)
    scheduler.finished(other, 2, report())
    assert other.begun == [2, 4, 5]


def test_a_suspect_can_be_cancelled(scheduler, runner, tmp_path):
    tickets = submitted(scheduler, tmp_path, 3)
    scheduler.lost(runner, blame=True)
    tickets[0].cancel()
    tickets[1].cancel()
    assert all(isinstance(t.future.exception(0), Cancelled) for t in tickets[:2])
    scheduler.ready(runner)
    assert runner.begun == [1, 2, 3]


def test_who_was_told_to_stop_is_not_tried_again(scheduler, runner, tmp_path):
    ticket = submitted(scheduler, tmp_path, 1)[0]
    ticket.cancel()
    scheduler.lost(runner, blame=True)
    assert isinstance(ticket.future.exception(0), Cancelled)


def test_a_hung_work_has_its_worker_killed_and_others_are_not_blamed(scheduler, runner, tmp_path):
    hung, other = submitted(scheduler, tmp_path, 2)
    hung.cancel()
    assert runner.interrupted == [1]
    until(lambda: runner.kills == 1, 5)
    assert isinstance(hung.future.exception(1), Cancelled)
    scheduler.lost(runner, blame=False)
    scheduler.ready(runner)
    assert runner.begun == [1, 2, 2]
    scheduler.lost(runner, blame=True)  # now once to blame: one more attempt
    scheduler.ready(runner)
    scheduler.finished(runner, 2, report())
    assert other.future.result(0).attempts == 3


def test_a_hung_work_ends_whatever_killing_its_worker_does(scheduler, runner, tmp_path, caplog):
    def fail() -> None:
        raise AttributeError("None")

    runner.kill = fail
    hung = submitted(scheduler, tmp_path, 1)[0]
    hung.cancel()
    assert isinstance(hung.future.exception(5), Cancelled)
    until(lambda: "An alarm failed" in caplog.text, 5)


def test_a_work_that_stops_in_time_kills_nobody(scheduler, runner, tmp_path):
    ticket = submitted(scheduler, tmp_path, 1)[0]
    ticket.cancel()
    scheduler.finished(runner, 1, Cancelled("Stopped."))
    time.sleep(0.4)
    assert runner.kills == 0
    assert isinstance(ticket.future.exception(0), Cancelled)


def test_a_long_tile_gets_longer(scheduler, runner, tmp_path):
    ticket = submitted(scheduler, tmp_path, 1)[0]
    ticket.cancel()
    scheduler.patience(runner, 1, 0.5)
    time.sleep(0.4)
    assert runner.kills == 0
    until(lambda: runner.kills == 1, 5)


def test_a_result_after_cancel_is_thrown_away(scheduler, runner, tmp_path):
    ticket = submitted(scheduler, tmp_path, 1)[0]
    ticket.cancel()
    ticket.work.target.write_bytes(b"whole")
    scheduler.finished(runner, 1, report())
    assert isinstance(ticket.future.exception(0), Cancelled)
    assert not ticket.work.target.exists()


def test_deadlines(scheduler, runner, tmp_path):
    running = [scheduler.submit(work(tmp_path, 0.05), None) for _ in range(2)]
    waiting = scheduler.submit(work(tmp_path, 0.05), None)
    assert isinstance(waiting.future.exception(5), DeadlineExceeded)
    until(lambda: runner.interrupted == [1, 2], 5)
    running[0].cancel()  # too late to be called that
    scheduler.finished(runner, 1, Cancelled("Stopped."))
    assert isinstance(running[0].future.exception(0), DeadlineExceeded)
    scheduler.finished(runner, 2, report())
    assert isinstance(running[1].future.exception(0), DeadlineExceeded)


def test_the_queue_is_bounded_and_says_when_to_come_again(scheduler, runner, tmp_path):
    submitted(scheduler, tmp_path, 10)
    with pytest.raises(Overloaded) as refused:
        scheduler.submit(work(tmp_path), None)
    assert refused.value.retry_after == pytest.approx(5, abs=0.5)  # 10 works of 1 s, 2 slots
    scheduler.progressed(runner, 1, Progress("upscale", 0.8))
    scheduler.progressed(runner, 2, Progress("upscale", 0.8))
    with pytest.raises(Overloaded) as refused:
        scheduler.submit(work(tmp_path), None)
    assert refused.value.retry_after == pytest.approx(4.2, abs=0.1)


def test_quick_works_make_for_a_short_wait(scheduler, runner, tmp_path):
    submitted(scheduler, tmp_path, 1)
    scheduler.finished(runner, 1, report())
    submitted(scheduler, tmp_path, 10)
    with pytest.raises(Overloaded) as refused:
        scheduler.submit(work(tmp_path), None)
    assert refused.value.retry_after == 1


def test_nothing_starts_where_nothing_can(scheduler, runner, tmp_path):
    scheduler.lost(runner, blame=False)
    waiting = submitted(scheduler, tmp_path, 1)[0]
    scheduler.broken(runner, EngineUnavailable("No engine."))
    assert isinstance(waiting.future.exception(0), EngineUnavailable)
    assert isinstance(submitted(scheduler, tmp_path, 1)[0].future.exception(0), EngineUnavailable)
    scheduler.ready(runner)
    submitted(scheduler, tmp_path, 1)
    assert runner.begun == [3]


def test_a_worker_that_leaves_gets_no_more(scheduler, runner, tmp_path):
    submitted(scheduler, tmp_path, 1)
    scheduler.leaving(runner)
    submitted(scheduler, tmp_path, 1)
    assert runner.begun == [1]
    scheduler.finished(runner, 1, report())
    scheduler.lost(runner, blame=False)
    scheduler.ready(runner)
    assert runner.begun == [1, 2]


def test_closing(scheduler, runner, tmp_path):
    running, _, waiting = submitted(scheduler, tmp_path, 3)
    scheduler.close(drain=0.05)
    assert isinstance(waiting.future.exception(0), Cancelled)
    assert runner.interrupted == [1, 2]
    assert not running.future.done()
    scheduler.abandon()
    assert isinstance(running.future.exception(0), Cancelled)
    with pytest.raises(Overloaded):
        scheduler.submit(work(tmp_path), None)
