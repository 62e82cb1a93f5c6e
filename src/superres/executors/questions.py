"""Estimates: asked of a worker, which knows its device; answered beside its works."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future

from superres.errors import DeadlineExceeded, Overloaded, SuperresError
from superres.executors.clock import Alarm, Clock
from superres.executors.wire import Answer, Question
from superres.pipeline import Estimate, UpscaleOptions

_MOST, _SECONDS = 256, 30.0
"""Questions that may be open, and how long each may be."""


class Questions:
    """Open questions to one worker. They outlive it: the next one is asked again.

    Thread-safe.

    Args:
        clock: for those that nobody answers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Question, Future[Estimate], Alarm]] = {}
        self._numbers = itertools.count(1)
        self._send: Callable[[Question], None] | None = None

    def ask(
        self, width: int, height: int, options: UpscaleOptions, file_format: str
    ) -> Future[Estimate]:
        """Ask, now or as soon as there is a worker."""
        future: Future[Estimate] = Future()
        future.set_running_or_notify_cancel()
        number = next(self._numbers)
        question = Question(number, width, height, options, file_format)
        with self._lock:
            full = len(self._open) >= _MOST
            if not full:
                alarm = self._clock.after(_SECONDS, lambda: self._expire(number))
                self._open[number] = (question, future, alarm)
                if self._send is not None:
                    self._send(question)
        if full:
            future.set_exception(Overloaded("Too many estimates are asked for; try again soon."))
        return future

    def connect(self, send: Callable[[Question], None] | None) -> None:
        """A worker is there, and hears what is open; or (None) it is not there any more."""
        with self._lock:
            self._send = send
            if send is not None:
                for question, _, _ in self._open.values():
                    send(question)

    def answered(self, message: Answer) -> None:
        """An answer has come."""
        self._end(message.number, message.answer)

    def fail(self, error: SuperresError) -> None:
        """Nobody will answer what is open now."""
        with self._lock:
            numbers = list(self._open)
        for number in numbers:
            self._end(number, error)

    def _expire(self, number: int) -> None:
        self._end(number, DeadlineExceeded("No worker answered in time; try again later."))

    def _end(self, number: int, answer: Estimate | SuperresError) -> None:
        with self._lock:
            entry = self._open.pop(number, None)
        if entry is None:
            return
        _, future, alarm = entry
        self._clock.cancel(alarm)
        if isinstance(answer, SuperresError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
