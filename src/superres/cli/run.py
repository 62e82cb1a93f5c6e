"""Do the tasks of a plan: threads that work, one that tells."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from superres.cli.console import shown
from superres.cli.edge import unexpected
from superres.cli.interrupt import Interrupt
from superres.cli.plan import Failure, Task, exists
from superres.cli.progress import Display, State
from superres.errors import Cancelled, OutputError, SuperresError

if TYPE_CHECKING:
    from superres.pipeline import FileReport, UpscaleOptions, Upscaler

_TICK = 0.1


class Listener(Protocol):
    """Is told of results as they come, always on the thread that runs."""

    def finished(self, task: Task, report: FileReport) -> None:
        """A picture is done."""

    def failed(self, failure: Failure) -> None:
        """A picture could not be done."""

    def stopping(self) -> None:
        """Somebody asked to stop."""


@dataclass
class Outcome:
    """What came of a run."""

    reports: list[FileReport] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unfinished: int = 0
    pixels: int = 0
    seconds: float = 0.0


class Unforeseen(SuperresError):
    """An error that is a bug in superres; ``__cause__`` is the error itself."""

    code = "internal_error"


def run(
    tasks: Sequence[Task],
    upscaler: Upscaler,
    options: UpscaleOptions,
    *,
    jobs: int,
    interrupt: Interrupt,
    state: State,
    display: Display,
    listener: Listener,
    debug: bool = False,
) -> Outcome:
    """Enlarge every task's picture, ``jobs`` at a time; one that fails does not stop the rest."""
    waiting = deque(tasks)
    results: queue.SimpleQueue[tuple[Task, FileReport | Exception]] = queue.SimpleQueue()

    def work() -> None:
        while not interrupt.wanted():
            try:
                task = waiting.popleft()
            except IndexError:
                return
            state.began(task)
            try:
                results.put((task, _upscale(task, upscaler, options, state, interrupt.wanted)))
            except Exception as exc:  # noqa: BLE001 -- told on the other side of the queue
                results.put((task, exc))

    workers = [threading.Thread(target=work, name=f"upscale-{n}") for n in range(jobs)]
    outcome = Outcome()
    began = time.monotonic()
    told = False
    try:
        for worker in workers:
            worker.start()
        while True:
            # Asked before the queue is emptied: what a worker leaves there last is still seen.
            working = any(worker.is_alive() for worker in workers)
            with contextlib.suppress(queue.Empty):
                while True:
                    task, result = results.get(timeout=_TICK if working else 0.0)
                    state.ended(task)
                    _settle(task, result, outcome, listener, debug)
                    working = working and any(worker.is_alive() for worker in workers)
                    display.show()
            if interrupt.wanted() and not told:
                told = True
                listener.stopping()
            display.show()
            if not working and results.empty():
                break
    except BrokenPipeError:
        interrupt.stop(141)
        _forget_stdout()
    finally:
        # Whatever ended the loop, no thread outlives the run.
        if any(worker.is_alive() for worker in workers):
            interrupt.stop(1)
        for worker in workers:
            if worker.ident is not None:
                worker.join()
        display.close()
    outcome.unfinished = len(tasks) - len(outcome.reports) - len(outcome.failures)
    outcome.seconds = time.monotonic() - began
    return outcome


def _upscale(
    task: Task,
    upscaler: Upscaler,
    options: UpscaleOptions,
    state: State,
    cancelled: Callable[[], bool],
) -> FileReport:
    source = task.source.path if task.data is None else task.data
    if source is None:
        raise AssertionError("a task has a file or bytes")
    if task.target is not None:
        _prepare(task)
    return upscaler.upscale_file(
        source,
        task.target,
        options,
        on_progress=lambda progress: state.moved(task, progress),
        cancelled=cancelled,
    )


def _prepare(task: Task) -> None:
    """Find out that a result cannot be written before it is made, not after."""
    target = task.target
    if target is None:
        return
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(f"The folder {shown(folder)} cannot be made: {exc.strerror}.") from exc
    if not os.access(folder, os.W_OK):
        raise OutputError(f"The folder {shown(folder)} cannot be written to.")
    if not task.replace and os.path.lexists(target):
        raise OutputError(exists(target))


def _settle(
    task: Task,
    result: FileReport | Exception,
    outcome: Outcome,
    listener: Listener,
    debug: bool,
) -> None:
    if not isinstance(result, Exception):
        outcome.reports.append(result)
        outcome.pixels += task.pixels
        listener.finished(task, result)
        return
    if isinstance(result, Cancelled):
        return
    if debug:
        traceback.print_exception(result, file=sys.stderr)
    error = result
    if not isinstance(error, SuperresError):
        error = Unforeseen(unexpected(result))
    failure = Failure(task.source.word, error)
    outcome.failures.append(failure)
    listener.failed(failure)


def _forget_stdout() -> None:
    """Nobody reads standard output any more: what is left in its buffer goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
