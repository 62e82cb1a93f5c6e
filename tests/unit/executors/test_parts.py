"""The small parts: alarms, pace, questions, errors on their way between processes."""

from __future__ import annotations

import pickle
import threading
import time

import pytest

from superres import errors
from superres.errors import DeadlineExceeded, EngineError, OutOfMemory, Overloaded, SuperresError
from superres.executors import memory, perform, questions
from superres.executors.clock import Clock
from superres.executors.pace import Pace
from superres.executors.questions import Questions
from superres.executors.restarts import Restarts
from superres.executors.wire import Answer, Ended, Question
from superres.pipeline import UpscaleOptions
from tests.unit.executors.works import until


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.close()


def test_alarms_ring_in_order(clock):
    rung: list[int] = []
    alarms = [
        clock.after(delay, lambda n=n: rung.append(n))
        for n, delay in enumerate((0.15, 0.05, 0.1, 1e9))
    ]
    clock.cancel(alarms[2])
    until(lambda: len(rung) == 2, 5)
    assert rung == [1, 0]


def test_a_failing_alarm_does_not_stop_the_clock(clock, caplog):
    rung = threading.Event()
    clock.after(0, lambda: 1 / 0)
    clock.after(0.05, rung.set)
    assert rung.wait(5)
    assert "ZeroDivisionError" in caplog.text


def test_a_closed_clock_is_silent():
    clock = Clock()
    rung = threading.Event()
    clock.after(0.05, rung.set)
    clock.close()
    clock.close()
    assert not rung.wait(0.15)


def test_pace_is_a_second_until_known_and_then_follows():
    pace = Pace()
    assert pace.seconds(3) == 3
    pace.note(2.0, 4.0)
    assert pace.seconds(1) == pytest.approx(4)
    for _ in range(60):
        pace.note(1.0, 1.0)
    assert pace.seconds(2) == pytest.approx(2, rel=0.05)


def test_a_thumbnail_hardly_changes_the_rate():
    pace = Pace()
    pace.note(10.0, 10.0)
    pace.note(0.001, 1.0)  # a thousand seconds per megapixel, on the face of it
    assert pace.seconds(1) < 12


@pytest.mark.parametrize(
    "kind",
    [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, SuperresError)],
)
def test_every_error_travels_as_itself(kind):
    sent = Ended(7, kind("What to do."), "details")
    got = pickle.loads(pickle.dumps(sent))
    assert type(got.outcome) is kind
    assert got.outcome.public_message == "What to do."
    if hasattr(sent.outcome, "retry_after"):
        assert got.outcome.retry_after == sent.outcome.retry_after


def test_what_nobody_expected_is_shown_without_its_secrets():
    error = perform.expected(ValueError("/home/secret/path"))
    assert type(error) is EngineError
    assert "secret" not in str(error)
    assert "ValueError" in str(error)
    assert isinstance(perform.expected(MemoryError()), OutOfMemory)


def test_questions_wait_for_a_worker_and_are_asked_again(clock):
    asked: list[Question] = []
    open_ = Questions(clock)
    future = open_.ask(10, 20, UpscaleOptions(), "png")
    open_.connect(asked.append)
    open_.connect(None)  # it died
    assert not future.done()
    open_.connect(asked.append)
    assert [q.number for q in asked] == [1, 1]
    open_.answered(Answer(1, DeadlineExceeded("…")))
    open_.answered(Answer(1, DeadlineExceeded("twice")))
    assert str(future.exception(0)) == "…"


def test_questions_are_bounded_in_number_and_time(clock, monkeypatch):
    monkeypatch.setattr(questions, "_MOST", 1)
    monkeypatch.setattr(questions, "_SECONDS", 0.05)
    open_ = Questions(clock)
    first, second = (open_.ask(1, 1, UpscaleOptions(), "png") for _ in range(2))
    assert isinstance(second.exception(0), Overloaded)
    assert isinstance(first.exception(5), DeadlineExceeded)


def test_a_worker_that_never_gets_ready_is_started_ever_less_often():
    restarts = Restarts()
    assert [restarts.pause(None) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert restarts.at_start == 8
    for _ in range(5000):
        assert restarts.pause(None) == 30
    assert restarts.pause(60) == restarts.at_start == 0
    assert restarts.pause(None) == 0.5


def test_a_worker_that_dies_once_ready_is_replaced_at_once_but_not_for_ever():
    restarts = Restarts()
    assert [restarts.pause(0.1) for _ in range(8)] == [0, 0, 0, 0.5, 1, 2, 4, 5]
    assert restarts.at_start == 0
    restarts.pause(None)
    assert restarts.pause(0.1) == 5  # neither ready nor steady: no new beginning
    assert restarts.pause(11) == 0
    assert [restarts.pause(0.1) for _ in range(4)] == [0, 0, 0, 0.5]


def test_memory_can_be_given_back():
    memory.limit_arenas()
    memory.give_back()


def test_progress_is_rationed():
    from superres.pipeline import Progress

    seen: list[float] = []
    report = perform._throttled(lambda progress: seen.append(progress.fraction))
    end = time.monotonic() + 0.35
    while time.monotonic() < end:
        report(Progress("upscale", 0.5))
    report(Progress("encode", 1.0))
    assert 3 <= len(seen) <= 6
    assert seen[-1] == 1.0
