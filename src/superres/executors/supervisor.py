"""One worker process at a time on one device: started, listened to, buried, started again."""

from __future__ import annotations

import logging
import multiprocessing
import queue
import signal
import threading
import time
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import psutil

from superres.errors import EngineUnavailable, SuperresError
from superres.executors import worker
from superres.executors.base import Work, WorkerState
from superres.executors.clock import Clock
from superres.executors.questions import Questions
from superres.executors.restarts import Restarts
from superres.executors.scheduler import Scheduler
from superres.executors.wire import (
    Advanced,
    Answer,
    Begin,
    Ended,
    Interrupt,
    Leave,
    Leaving,
    Patience,
    Ready,
    Unable,
)
from superres.settings import Settings

_log = logging.getLogger("superres.executors")

_START_SECONDS = 300.0
"""A worker that is not ready by then is taken to hang; compiling a large model takes a while."""

_EXIT_SECONDS = 1.0
"""From the end of the pipe to the end of the process."""

_DEATHS_AT_START = 3
"""So many in a row, and works are told that there is no worker."""


class Supervisor:
    """A :class:`superres.executors.scheduler.Runner` that is a process.

    Args:
        settings: the worker's; ``engine.device`` is its device.
        scheduler: hears what becomes of works.
        clock: for a start that takes too long.
    """

    def __init__(self, settings: Settings, scheduler: Scheduler, clock: Clock) -> None:
        self.slots = settings.workers.concurrency
        self.questions = Questions(clock)
        self._settings, self._scheduler, self._clock = settings, scheduler, clock
        self._device = settings.engine.device
        self._outbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._ready = self._killed = False
        self._starts = 0
        self._unable: SuperresError | None = None
        self._how = ""
        # The thread that starts a worker must live as long as it (see worker._protect).
        self._thread = threading.Thread(
            target=self._run, name=f"superres-worker-{self._device}", daemon=True
        )

    def start(self) -> None:
        """Start the worker; returns at once."""
        self._thread.start()

    def begin(self, number: int, work: Work) -> None:
        """See :class:`superres.executors.scheduler.Runner`."""
        self._outbox.put(Begin(number, work))

    def interrupt(self, number: int) -> None:
        """See :class:`superres.executors.scheduler.Runner`."""
        self._outbox.put(Interrupt(number))

    def kill(self) -> None:
        """See :class:`superres.executors.scheduler.Runner`."""
        self._killed = True
        process = self._process  # it may be buried at this moment
        if process is not None:
            process.kill()

    def close(self, grace: float) -> None:
        """End the worker: in peace if it does so within ``grace`` seconds."""
        with self._changing:
            self._stopping.set()
            if self._ready:
                self._outbox.put(Leave())
            else:
                self.kill()
        if self._thread.is_alive():
            self._thread.join(grace)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(grace)

    def state(self) -> WorkerState:
        """What it is doing now."""
        process = self._process
        pid = process.pid if process is not None else None
        return WorkerState(
            device=self._device,
            pid=pid,
            ready=self._ready,
            running=self._scheduler.counts(self),
            restarts=max(0, self._starts - 1),
            rss_bytes=_resident(pid),
        )

    def _run(self) -> None:
        _block_interrupts()
        restarts = Restarts()
        pause = 0.0
        while not self._stopping.wait(pause):
            self._unable = lived = None
            try:
                lived = self._live()
            except (OSError, RuntimeError) as exc:  # no process, or no thread, to be had
                _log.exception("Worker %s cannot be started", self._device)
                self._how = type(exc).__name__
            pause = restarts.pause(lived)
            if restarts.at_start >= _DEATHS_AT_START and not self._stopping.is_set():
                self._give_up()
        gone = EngineUnavailable("The server is stopping.")
        self.questions.fail(gone)

    def _give_up(self) -> None:
        """Tell who waits that there is no worker. It is tried again all the same."""
        error = self._unable or EngineUnavailable(
            f"The worker on {self._device} dies when it starts ({self._how}); "
            "the server's log says more."
        )
        self._scheduler.broken(self, error)
        self.questions.fail(error)

    def _live(self) -> float | None:
        """One worker from its start to its end; returns for how long it was ready, if ever."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        outbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        process = context.Process(
            target=worker.main,
            args=(theirs, self._settings),
            name=f"superres-worker-{self._device}",
            daemon=True,
        )
        post = threading.Thread(
            target=_post, args=(outbox, ours), name=f"superres-post-{self._device}", daemon=True
        )
        with self._changing:
            if self._stopping.is_set():
                return None
            self._killed, self._outbox = False, outbox
            post.start()
            try:
                process.start()
            except BaseException:
                outbox.put(None)
                raise
            self._process = process
            self._starts += 1
        theirs.close()
        _log.info("Worker %s started (pid %s)", self._device, process.pid)
        alarm = self._clock.after(_START_SECONDS, self.kill)
        ready = None
        try:
            while True:
                message = ours.recv()
                if isinstance(message, Ready):
                    self._clock.cancel(alarm)
                    ready = time.monotonic()
                self._take(message)
        except (EOFError, OSError):
            pass
        except Exception:  # noqa: BLE001 - a worker's madness stays its own
            _log.exception("Worker %s said what is not understood", self._device)
            self.kill()
        finally:
            self._clock.cancel(alarm)
            self._bury(process)
            outbox.put(None)
            post.join()
            ours.close()
        return None if ready is None else time.monotonic() - ready

    def _take(self, message: object) -> None:
        match message:
            case Advanced(number, progress):
                self._scheduler.progressed(self, number, progress)
            case Ended(number, outcome, details):
                if details:
                    _log.error("A worker met an unexpected error. %s", details)
                self._scheduler.finished(self, number, outcome)
            case Patience(number, seconds):
                self._scheduler.patience(self, number, seconds)
            case Answer():
                self.questions.answered(message)
            case Ready():
                _log.info("Worker %s is ready", self._device)
                self._ready = True
                self.questions.connect(self._outbox.put)
                self._scheduler.ready(self)
            case Leaving() if not self._scheduler.closed:
                self._scheduler.leaving(self)
                self._ready = False
                self._outbox.put(Leave())
            case Unable(error, details):
                _log.error("Worker %s cannot start: %s %s", self._device, error, details)
                self._unable = error
                self._scheduler.broken(self, error)
                self.questions.fail(error)

    def _bury(self, process: multiprocessing.process.BaseProcess) -> None:
        """Take note of a worker's end."""
        with self._changing:
            self._ready = False
            self.questions.connect(None)
        process.join(_EXIT_SECONDS)
        if process.exitcode is None:
            process.kill()  # it has closed the pipe, so it does nothing useful any more
            process.join()
        self._process = None
        code = process.exitcode or 0
        self._how = how = f"signal {_signal(-code)}" if code < 0 else f"exit code {code}"
        level = logging.INFO if self._stopping.is_set() or code == 0 else logging.WARNING
        running = self._scheduler.counts(self)
        _log.log(level, "Worker %s ended (%s) with %d in hand", self._device, how, running)
        self._scheduler.lost(self, blame=not self._killed and code != 0)


def _post(outbox: queue.SimpleQueue[object], connection: Connection) -> None:
    """Send what is in the outbox: whoever puts it there must not wait for a stuck worker."""
    for message in iter(outbox.get, None):
        try:
            connection.send(message)
        except OSError:
            return


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has none
        return str(number)


def _block_interrupts() -> None:
    """Let workers be born deaf to Ctrl-C; they inherit this thread's mask."""
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # which would undo it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _resident(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
