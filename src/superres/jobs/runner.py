"""Doing jobs: one runner for each process, over DBOS Transact."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine

from superres.access import Access
from superres.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    Overloaded,
    StorageError,
    SuperresError,
)
from superres.executors.base import Executor
from superres.jobs import flows
from superres.jobs.deliveries import Deliveries, Tell
from superres.jobs.gate import Closed, Gate, Impatient
from superres.jobs.ledger import Ledger, Ticket
from superres.jobs.pace import Pace, work_of
from superres.jobs.perform import Errand, Performer
from superres.jobs.queue import JobQueue, item_id, priority_of, tell_id
from superres.jobs.request import FromBlob
from superres.jobs.slots import Slots
from superres.jobs.sweeper import Sweeper
from superres.settings import Settings
from superres.sources import Sources
from superres.storage.blobs import Blobs

_log = logging.getLogger("superres.jobs")
T = TypeVar("T")

_BEAT_S = 1.0
# So long they may be, before others get a chance to take them.
_PATIENCE_S = 2.0
_LONGEST_PAUSE_S = 10.0
# Works that were cancelled get this long to stop between tiles.
_STOP_S = 5.0
# Besides what it may take a picture gets this long to be stopped, in seconds.
_GRACE_S = 30.0
_MOST_GAVE_WAY = 10_000


class JobRunner:
    """Takes waiting pictures of jobs and does them, sweeps, and tells those who want to know.

    Of one process only one can be started at a time (DBOS is one for a process).

    Args:
        settings: see ``superres.settings``.
        database: from :func:`superres.database.open_database`.
        access: signs what is told.
        queue: from the same database.
        executor: enlarges.
        sources: fetches.
        blobs: keeps files.
        folder: for the files of pictures being done.
        also_sweep: what to do beside sweeping jobs.
    """

    def __init__(
        self,
        settings: Settings,
        database: Engine,
        access: Access,
        queue: JobQueue,
        executor: Executor,
        sources: Sources,
        blobs: Blobs,
        folder: Path,
        *,
        also_sweep: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._settings, self._database = settings.jobs, database
        self._also_sweep = also_sweep
        self._queue, self._blobs = queue, blobs
        self._performer = Performer(executor, sources, blobs, folder)
        self._slots = Slots(database, settings.jobs.slot_timeout)
        self._pace = Pace()
        self._gate = Gate(settings.jobs.concurrency)
        self._tellers: dict[str, Tell] = {}
        self._deliveries = Deliveries(
            settings.jobs, database, access, sources, self._tellers, queue
        )
        self._lock = threading.Lock()
        self._errands: dict[tuple[str, int, int], Errand] = {}
        self._closing, self._closed = threading.Event(), threading.Event()
        # What DBOS has this process do now, and what it was said to do and did not.
        self._active: Counter[str] = Counter()
        self._idle_claims: set[str] = set()
        self._gave_way: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._slot = ""
        self._skew = 0.0
        self._ledger: Ledger | None = None

    def start(self) -> None:
        """Begin. With ``[jobs] concurrency`` 0 this process only sweeps.

        Raises:
            BadParameter: another runner of this process does jobs.
            StorageError: the database cannot be used.
        """
        if self._settings.concurrency:
            flows.claim(self)
        try:
            self._start()
        except BaseException:
            self.close()
            flows.release(self)
            raise

    def _start(self) -> None:
        self._slot = self._slots.take(self._settings.concurrency)
        self._ledger = Ledger(self._database, self._queue, self._slot, self._settings.attempts)
        sweeper = Sweeper(
            self._settings,
            self._database,
            self._queue,
            self._slots,
            self._blobs,
            self._slot,
            also=self._also_sweep,
            rarely=[self._deliveries.reconcile],
        )
        for work in (self._beat, lambda: self._sweep(sweeper)):
            thread = threading.Thread(target=work, name="superres-jobs", daemon=True)
            thread.start()
            self._threads.append(thread)
        if self._settings.concurrency:
            flows.launch(self._database, self._slot, self._settings, lambda: bool(self._errands))

    def close(self, drain: float = 0.0) -> None:
        """Take no more, give what runs ``drain`` seconds, then stop; what did not end waits
        again. Safe to repeat, and without :meth:`start`.
        """
        if not self._slot or self._closing.is_set():
            return
        self._closing.set()
        self._gate.close()
        if self._settings.concurrency:
            # In whole seconds; it waits for one at least.
            flows.destroy(math.ceil(drain) if self._errands else 0)
        for errand in self._running():
            errand.stop()
        until = time.monotonic() + _STOP_S
        while self._running() and time.monotonic() < until:
            time.sleep(0.02)
        # What hangs is left to the executor, which can end the process that it hangs in.
        self._closed.set()
        for thread in self._threads:
            thread.join(_STOP_S)
        try:
            self._slots.release(self._slot, died=False)
            self._queue.give_back(self._slot)
            self._slots.forget(self._slot)
        except (StorageError, Overloaded) as exc:
            _log.warning("Others will find what was left over: %s", exc.public_message)
        flows.release(self)

    def tell_with(self, tellers: Mapping[str, Tell]) -> None:
        """Which door says it how, by the door's name."""
        self._tellers.update(tellers)

    def hangs(self, patience: float = _STOP_S) -> bool:
        """Whether, ``patience`` seconds after :meth:`close`, something still does not end.

        Such as a word to a database that is away. It would keep the process from its end; what it
        was about is found by others.
        """
        if alive := flows.left_over(patience):
            _log.warning("%d threads do not end; what they did waits again", alive)
        return alive > 0

    @property
    def busy(self) -> int:
        """Pictures being done."""
        return len(self._errands)

    # --- called by DBOS, in threads of its own -------------------------------------------

    def do_item(self, job_id: str, position: int, urgency: int, created_at: float) -> None:
        """Do a picture, or find that there is nothing to do."""
        with self._at_work(item_id(job_id, position)) as flow:
            try:
                with self._gate.inside((urgency, created_at, position), _PATIENCE_S):
                    if self._gives_way(flow, urgency):
                        raise Impatient
                    self._begin(job_id, position)
            except Closed:
                raise flows.Dropped from None
            except Impatient:
                # Somebody else may have nothing to do.
                self._insist(lambda: self._queue.put_back(self._slot, flow))
                raise flows.Dropped from None

    def tell(self, job_id: str, attempt: int) -> None:
        """Try once to tell that a job has ended."""
        with self._at_work(tell_id(job_id, attempt)):
            self._deliveries.attempt(job_id, attempt, self._insist)

    @contextmanager
    def _at_work(self, flow: str) -> Iterator[str]:
        """While the block runs this process does what it has claimed."""
        with self._lock:
            self._active[flow] += 1
        try:
            yield flow
            # Where another has it by now, or it was cancelled, DBOS would keep this thread until
            # somebody writes its end.
            if not self._insist(lambda: self._queue.holds(self._slot, flow)):
                raise flows.Dropped
        finally:
            with self._lock:
                self._active[flow] -= 1
                self._active += Counter()  # drops what is 0

    def _gives_way(self, flow: str, urgency: int) -> bool:
        """Whether what was claimed ahead lets something more urgent that came since go first.

        Once only: should that be out of everybody's reach, the others do not wait for it.
        """
        ledger = self._ledger
        assert ledger is not None
        if flow in self._gave_way:
            self._gave_way.discard(flow)
            return False
        if urgency == 1 or not self._insist(lambda: ledger.more_urgent_waits(priority_of(urgency))):
            return False
        if len(self._gave_way) > _MOST_GAVE_WAY:
            self._gave_way.clear()  # others do them by now
        self._gave_way.add(flow)
        return True

    def _begin(self, job_id: str, position: int) -> None:
        ledger = self._ledger
        assert ledger is not None
        ticket = self._insist(lambda: ledger.begin(job_id, position))
        if ticket is not None:
            self._do(ledger, ticket)
        elif not self._insist(lambda: ledger.is_over(job_id, position)):
            raise flows.Dropped  # another does it; should that one die, it waits again

    def _do(self, ledger: Ledger, ticket: Ticket) -> None:
        errand = Errand(ticket)
        key = (*ticket.key, ticket.attempt)
        with self._lock:
            self._errands[key] = errand
        self._pace.begun()
        work = 0.0
        try:
            try:
                result, model = self._performer.do(errand)
            except Cancelled:
                # Closed by its owner, taken over by others, or this process is stopping.
                raise flows.Dropped from None
            except SuperresError as exc:
                error = exc
            except Exception as exc:  # noqa: BLE001 - is told of the picture
                _log.exception("Picture %d of job %s failed unexpectedly", *reversed(ticket.key))
                error = EngineError(
                    f"The picture failed unexpectedly ({type(exc).__name__}); the server's log "
                    "says more."
                )
            else:
                work = work_of(result.width, result.height, model)
                if not self._insist(lambda: ledger.done(ticket, result, work)):
                    self._blobs.delete(result.blob_id)
                    raise flows.Dropped
                self._drop_input(ticket)
                return
            if not self._insist(lambda: ledger.failed(ticket, error)):
                raise flows.Dropped
            self._drop_input(ticket)
        finally:
            self._pace.ended(work)
            with self._lock:
                del self._errands[key]

    def _drop_input(self, ticket: Ticket) -> None:
        """What was read is not needed any more; if this fails it expires."""
        if isinstance(ticket.source, FromBlob):
            try:
                self._blobs.delete(ticket.source.blob_id)
            except SuperresError as exc:
                _log.warning("An input stays until it expires: %s", exc.public_message)

    def _insist(self, ask: Callable[[], T]) -> T:
        """Ask the database until it answers: what was done must not be lost for its sake."""
        pause = 0.1
        while True:
            try:
                return ask()
            except (StorageError, Overloaded) as exc:
                _log.warning("Trying again in %.1f s: %s", pause, exc.public_message)
                if self._closing.wait(pause):
                    raise flows.Dropped from None
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    # --- threads of this runner ----------------------------------------------------------

    def _beat(self) -> None:
        """Say that this process lives, tell how far it is, and stop what is not its own."""
        told: dict[tuple[str, int], tuple[str, float]] = {}
        while True:
            stopping = self._closing.wait(_BEAT_S)
            if self._closed.is_set() or (stopping and not self._errands):
                return
            if stopping:
                self._closed.wait(_BEAT_S)
            try:
                moment = self._slots.beat(self._slot, self._settings.concurrency, self._pace.value)
                self._skew = moment - time.monotonic()
                told = self._tell_progress(told)
            except (StorageError, Overloaded) as exc:
                _log.warning("This process could not say that it lives: %s", exc.public_message)
            except Exception:  # noqa: BLE001 - the next beat may do better
                _log.exception("This process could not say that it lives")

    def _tell_progress(
        self, before: dict[tuple[str, int], tuple[str, float]]
    ) -> dict[tuple[str, int], tuple[str, float]]:
        errands = self._running()
        if not errands or self._ledger is None:
            return {}
        mine = self._ledger.mine()
        now: dict[tuple[str, int], tuple[str, float]] = {}
        for errand in errands:
            ticket = errand.ticket
            if errand.left < -_GRACE_S and not errand.stopped:
                # The executor has not ended it: it hangs before or behind.
                self._ledger.failed(
                    ticket,
                    DeadlineExceeded(
                        f"The picture took longer than it may ({ticket.max_run:g} s)."
                    ),
                )
                errand.stop()
            elif mine.get(ticket.key) == ticket.attempt:
                now[ticket.key] = errand.told
            elif errand in self._running():
                errand.stop()
        changed = {key: value for key, value in now.items() if before.get(key) != value}
        if changed:
            self._ledger.progress(changed)
        return now

    def _sweep(self, sweeper: Sweeper) -> None:
        """Sweep if this process is the one that does.

        A silence of its own (the database was away, the machine slept, the clock was set) is
        one of everybody's: then nobody is taken for dead before all had time to speak.
        """
        timeout = self._settings.slot_timeout
        pause = max(0.2, min(5.0, timeout / 3))
        steady = last = skew = 0.0
        while not self._closing.wait(pause):
            now = time.monotonic()
            try:
                self._recall()
                if not self._slots.lead(self._slot):
                    steady = 0.0
                    continue
                if now - last > timeout / 2 + pause or abs(self._skew - skew) > timeout / 2:
                    steady = now
                last, skew = now, self._skew
                sweeper.sweep(trust_silence=steady > 0 and now - steady > timeout)
            except (StorageError, Overloaded) as exc:
                _log.warning("Could not sweep: %s", exc.public_message)
            except Exception:  # noqa: BLE001 - the next sweep may do better
                _log.exception("Could not sweep")

    def _recall(self) -> None:
        """Put back what is claimed for this process and not done by it.

        The answer to a claim may be lost, and so may who gives away the work of a process that
        lives. Looked at twice: what was claimed just now is about to be begun.
        """
        held = self._queue.held_by(self._slot)
        with self._lock:
            idle = {flow for flow in held if flow not in self._active}
        for flow in idle & self._idle_claims:
            _log.warning("%s was claimed and not begun; anybody may do it", flow)
            self._queue.put_back(self._slot, flow, held[flow])
        self._idle_claims = idle

    def _running(self) -> list[Errand]:
        with self._lock:
            return list(self._errands.values())
