"""Who runs what, and when: the queue, deadlines, cancelling, and what a worker's death means.

Knows neither processes nor threads: whatever runs works is a :class:`Runner`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from superres.errors import Cancelled, DeadlineExceeded, Overloaded, SuperresError, WorkerLost
from superres.executors.base import Work
from superres.executors.clock import Clock
from superres.executors.pace import Pace
from superres.executors.ticket import Ticket
from superres.pipeline import FileReport, Progress
from superres.pipeline.reporter import OnProgress

_STOPPING_RETRY = 5.0
"""Seconds after which a client may try again if it met a server that was stopping."""


class Runner(Protocol):
    """Runs works for a scheduler. No method may block: the scheduler's lock is held."""

    @property
    def slots(self) -> int:
        """Works it runs at a time."""
        ...

    def begin(self, number: int, work: Work) -> None:
        """Start ``work``; its end is told to the scheduler under ``number``."""
        ...

    def interrupt(self, number: int) -> None:
        """Stop a work between tiles."""
        ...

    def kill(self) -> None:
        """Stop everything by force, innocents too; the scheduler then hears ``lost``."""
        ...


@dataclass
class _Place:
    """A runner and what the scheduler knows of it."""

    runner: Runner
    ready: bool = False
    running: dict[int, Ticket] = field(default_factory=dict)
    suspects: deque[Ticket] = field(default_factory=deque)
    broken: SuperresError | None = None

    @property
    def room(self) -> bool:
        """Whether it takes an ordinary work now."""
        alone = self.suspects or any(ticket.deaths for ticket in self.running.values())
        return self.ready and not alone and len(self.running) < self.runner.slots


class Scheduler:
    """Gives works to runners, first come, first served. Thread-safe.

    When a worker dies, any of the works it was running may be the cause. Each is tried once
    more, alone on that worker and before other works go there, so that the cause's second
    death hits only itself.

    Args:
        queue: works that may wait.
        clock: for deadlines.
        hang_timeout: seconds that a work told to stop may take before its runner is killed;
            None never kills.
    """

    def __init__(self, queue: int, clock: Clock, hang_timeout: float | None) -> None:
        self._queue, self._clock, self._hang_timeout = queue, clock, hang_timeout
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._places: dict[Runner, _Place] = {}
        self._waiting: deque[Ticket] = deque()
        self._numbers = itertools.count(1)
        self._pace = Pace()
        self._closed = False

    def add(self, runner: Runner) -> None:
        """Make ``runner`` known; it gets nothing before :meth:`ready`."""
        self._places[runner] = _Place(runner)

    # --- from those who hand in works -------------------------------------------------

    def submit(self, work: Work, on_progress: OnProgress | None) -> Ticket:
        """Take ``work``, or raise Overloaded."""
        ticket = Ticket(next(self._numbers), work, on_progress, self.stop)
        with self._lock:
            if self._closed:
                raise Overloaded(
                    "The server is stopping and takes no new pictures; try again in a moment.",
                    _STOPPING_RETRY,
                )
            broken = self._broken()
            if broken is None:
                if len(self._waiting) >= self._queue and not self._has_room():
                    raise Overloaded(
                        "Too many pictures are waiting already; try again later.",
                        self._retry_after(),
                    )
                self._waiting.append(ticket)
                if work.deadline is not None:
                    alarm = self._clock.after(work.deadline, lambda: self._expire(ticket))
                    ticket.alarms.append(alarm)
                self._dispatch()
        if broken is not None:
            ticket.fail(broken)
        return ticket

    def stop(self, ticket: Ticket, error: SuperresError) -> None:
        """End ``ticket`` with ``error``: now if it waits, between tiles if it runs."""
        with self._lock:
            if ticket.stopping is not None or ticket.future.done():
                return
            place = self._running_at(ticket)
            if place is None and not self._forget(ticket):
                return  # ending this very moment
            ticket.stopping = error
            if place is not None:
                place.runner.interrupt(ticket.number)
                self._watch(ticket, self._hang_timeout)
                return
            self._dispatch()
        self._end(ticket, error)

    def counts(self, runner: Runner) -> int:
        """How many works ``runner`` runs."""
        with self._lock:
            return len(self._places[runner].running)

    @property
    def queued(self) -> int:
        """How many works wait."""
        with self._lock:
            return len(self._waiting) + sum(len(p.suspects) for p in self._places.values())

    # --- from runners -----------------------------------------------------------------

    def ready(self, runner: Runner) -> None:
        """``runner`` takes works from now on."""
        with self._lock:
            place = self._places[runner]
            place.ready, place.broken = True, None
            self._dispatch()

    def leaving(self, runner: Runner) -> None:
        """``runner`` finishes what it has and takes no more."""
        with self._lock:
            self._places[runner].ready = False

    def broken(self, runner: Runner, error: SuperresError) -> None:
        """``runner`` cannot start; if none can, works end with ``error`` until one does."""
        ended: list[Ticket] = []
        with self._lock:
            place = self._places[runner]
            place.ready, place.broken = False, error
            ended += place.suspects
            place.suspects.clear()
            if self._broken() is not None:
                ended += self._waiting
                self._waiting.clear()
        for ticket in ended:
            self._end(ticket, error)

    def progressed(self, runner: Runner, number: int, progress: Progress) -> None:
        """A running work has come this far."""
        ticket = self._places[runner].running.get(number)
        if ticket is not None and ticket.stopping is None:
            ticket.progressed(progress)

    def patience(self, runner: Runner, number: int, seconds: float) -> None:
        """A work that was told to stop honestly needs ``seconds`` more: its tile is long."""
        with self._lock:
            ticket = self._places[runner].running.get(number)
            if ticket is not None and ticket.stopping is not None and self._hang_timeout:
                self._watch(ticket, self._hang_timeout + seconds)

    def finished(self, runner: Runner, number: int, outcome: FileReport | SuperresError) -> None:
        """A running work has ended."""
        with self._lock:
            ticket = self._places[runner].running.pop(number, None)
            if ticket is None:
                return  # given up before
            if isinstance(outcome, FileReport):
                megapixels = outcome.width * outcome.height / 1e6
                self._pace.note(megapixels, time.monotonic() - ticket.begun)
            self._dispatch()
        self._end(ticket, ticket.stopping or outcome)

    def lost(self, runner: Runner, *, blame: bool) -> None:
        """``runner`` is gone and with it what it ran.

        Args:
            runner: which one.
            blame: one of its works may be the cause. False: it was killed on purpose.
        """
        ended: list[tuple[Ticket, SuperresError]] = []
        with self._lock:
            place = self._places[runner]
            place.ready = False
            tickets, place.running = list(place.running.values()), {}
            for ticket in reversed(tickets):
                ticket.deaths += blame
                if ticket.stopping is not None:
                    ended.append((ticket, ticket.stopping))
                elif ticket.deaths > 1:
                    ended.append((ticket, WorkerLost(_LOST)))
                else:
                    with suppress(OSError):  # it may have been written, and the word lost
                        ticket.work.target.unlink(missing_ok=True)
                    ticket.fraction = 0.0
                    (place.suspects if blame else self._waiting).appendleft(ticket)
            self._dispatch()
        for ticket, error in ended:
            self._end(ticket, error)

    # --- the end ----------------------------------------------------------------------

    def close(self, drain: float) -> None:
        """Take nothing new, wait ``drain`` seconds for what was taken, cancel the rest."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(self._is_idle, min(drain, threading.TIMEOUT_MAX))
            left = self._all()
        for ticket in left:
            self.stop(ticket, Cancelled("The server is stopping; nothing was written."))

    def abandon(self) -> None:
        """End whatever is left, wherever it is."""
        with self._lock:
            left = self._all()
            self._waiting.clear()
            for place in self._places.values():
                place.running.clear()
                place.suspects.clear()
        for ticket in left:
            cancelled = Cancelled("The server is stopping; nothing was written.")
            self._end(ticket, ticket.stopping or cancelled)

    @property
    def closed(self) -> bool:
        """Whether nothing new is taken."""
        return self._closed

    # --- inside; the lock is held -----------------------------------------------------

    def _dispatch(self) -> None:
        for place in self._places.values():
            if place.ready and place.suspects and not place.running:
                self._begin(place, place.suspects.popleft())
        while self._waiting:
            places = [place for place in self._places.values() if place.room]
            if not places:
                return
            self._begin(min(places, key=lambda p: len(p.running)), self._waiting.popleft())

    def _begin(self, place: _Place, ticket: Ticket) -> None:
        ticket.begun = time.monotonic()
        ticket.attempts += 1
        place.running[ticket.number] = ticket
        place.runner.begin(ticket.number, ticket.work)

    def _has_room(self) -> bool:
        return any(place.room for place in self._places.values())

    def _broken(self) -> SuperresError | None:
        """Why no runner can work, if none can."""
        errors = [place.broken for place in self._places.values()]
        return errors[0] if all(errors) else None

    def _all(self) -> list[Ticket]:
        places = self._places.values()
        running = (ticket for place in places for ticket in place.running.values())
        suspects = (ticket for place in places for ticket in place.suspects)
        return [*running, *suspects, *self._waiting]

    def _is_idle(self) -> bool:
        return not self._all()

    def _running_at(self, ticket: Ticket) -> _Place | None:
        for place in self._places.values():
            if ticket.number in place.running:
                return place
        return None

    def _forget(self, ticket: Ticket) -> bool:
        for line in (self._waiting, *(place.suspects for place in self._places.values())):
            if ticket in line:
                line.remove(ticket)
                return True
        return False

    def _retry_after(self) -> float:
        slots = sum(place.runner.slots for place in self._places.values())
        running = [t for place in self._places.values() for t in place.running.values()]
        ahead = len(self._waiting) + sum(1 - ticket.fraction for ticket in running)
        return max(1.0, self._pace.seconds(ahead) / max(1, slots))

    def _watch(self, ticket: Ticket, seconds: float | None) -> None:
        """See that ``ticket``, told to stop, does so within ``seconds``."""
        if seconds is None:
            return
        for alarm in ticket.alarms:
            self._clock.cancel(alarm)
        ticket.alarms = [self._clock.after(seconds, lambda: self._hung(ticket))]

    # --- inside; the lock is not held -------------------------------------------------

    def _expire(self, ticket: Ticket) -> None:
        assert ticket.work.deadline is not None
        self.stop(
            ticket,
            DeadlineExceeded(
                f"The picture was not done within {ticket.work.deadline:g} seconds; "
                "try a smaller one or a faster model."
            ),
        )

    def _hung(self, ticket: Ticket) -> None:
        assert ticket.stopping is not None
        place = None
        try:
            with self._lock:
                place = self._running_at(ticket)
                if place is not None:
                    del place.running[ticket.number]
                    place.ready = False
                    place.runner.kill()
        finally:
            if place is not None:  # nobody else knows of it any more
                self._end(ticket, ticket.stopping)

    def _end(self, ticket: Ticket, outcome: FileReport | SuperresError) -> None:
        for alarm in ticket.alarms:
            self._clock.cancel(alarm)
        if isinstance(outcome, FileReport):
            ticket.succeed(outcome)
        else:
            ticket.fail(outcome)
        with self._lock:
            if self._is_idle():
                self._idle.notify_all()


_LOST = (
    "The process that worked on the picture died, and again when it was tried anew; "
    "the picture may be too large for this machine's memory, so try a smaller one."
)
