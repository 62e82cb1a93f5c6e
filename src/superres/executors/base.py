"""What an executor is: something that takes an upscale and runs it, later and elsewhere.

An executor knows nothing of who is asking. It reads one file and writes another; what it is
given and what it answers can be pickled, so that it may be another process.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from superres.executors.recipe import Recipe
from superres.pipeline import Estimate, FileReport, UpscaleOptions
from superres.pipeline.reporter import OnProgress


@dataclass(frozen=True)
class Work:
    """One upscale.

    Attributes:
        source: the file to read; it stays the caller's.
        target: the file to write, whole or not at all; its name says nothing of its format.
        options: what to do. ``options.output.format`` None chooses by the input.
        max_side: longest side in pixels that the input may have, if tighter than the
            settings' (ImageTooLarge).
        deadline: seconds from now, waiting included, until it is stopped
            (DeadlineExceeded); None waits for ever.
        request_id: for the log.
        recipe: what to do instead of ``options``, where that hangs on the picture
            (UnsupportedFormat, ImageTooLarge, ImageTooSmall, SourceTooLarge by its rules).
    """

    source: Path
    target: Path
    options: UpscaleOptions = field(default_factory=UpscaleOptions)
    max_side: int | None = None
    deadline: float | None = None
    request_id: str = ""
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Done:
    """What became of a :class:`Work`.

    Attributes:
        report: of the upscale; its ``target`` is the work's.
        queue_seconds: waited before it was begun (the last time, if it was begun twice).
        attempts: 1, or 2 if the first worker died.
    """

    report: FileReport
    queue_seconds: float
    attempts: int = 1


class Running(Protocol):
    """A work handed in, waiting or under way."""

    @property
    def future(self) -> Future[Done]:
        """Ends with Done, or with a SuperresError: InputError, EngineError (WorkerLost too),
        OutputError, DeadlineExceeded, Cancelled. Nothing else escapes.
        """
        ...

    def cancel(self) -> None:
        """Stop it: at once if it waits, between tiles if it runs. The future then ends with
        Cancelled (unless it was done already). Safe to repeat, from any thread.
        """
        ...


@dataclass(frozen=True)
class WorkerState:
    """One worker, for /metrics and /readyz."""

    device: str
    pid: int | None
    ready: bool
    running: int
    restarts: int
    rss_bytes: int


@dataclass(frozen=True)
class ExecutorState:
    """What an executor is doing now."""

    queued: int
    running: int
    workers: tuple[WorkerState, ...]

    @property
    def ready(self) -> bool:
        """Whether some worker takes work now."""
        return any(worker.ready for worker in self.workers)


class Executor(Protocol):
    """Runs works. Thread-safe."""

    def submit(self, work: Work, *, on_progress: OnProgress | None = None) -> Running:
        """Take ``work``.

        Args:
            work: what to do.
            on_progress: called from a thread of the executor's, a few times a second at
                most; must return quickly and not raise. A work begun again starts again
                from 0.

        Raises:
            Overloaded: as many works wait as may; ``retry_after`` says when to come again.
        """
        ...

    def estimate(
        self, width: int, height: int, options: UpscaleOptions, file_format: str = "png"
    ) -> Future[Estimate]:
        """What an upscale of a picture of that size and format would take."""
        ...

    def state(self) -> ExecutorState: ...

    def close(self, drain: float = 0.0) -> None:
        """Refuse new work (Overloaded), give what was taken ``drain`` seconds to end, then
        stop everything; works that did not end fail with Cancelled. Safe to repeat.
        """
        ...
