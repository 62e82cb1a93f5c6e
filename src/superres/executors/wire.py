"""What the server and a worker say to each other, over one pipe."""

from __future__ import annotations

from dataclasses import dataclass

from superres.errors import SuperresError
from superres.executors.base import Work
from superres.pipeline import Estimate, FileReport, Progress, UpscaleOptions

# --- to the worker --------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """Do this."""

    number: int
    work: Work


@dataclass(frozen=True)
class Interrupt:
    """Stop that work between tiles."""

    number: int


@dataclass(frozen=True)
class Question:
    """What would this take?"""

    number: int
    width: int
    height: int
    options: UpscaleOptions
    file_format: str


@dataclass(frozen=True)
class Leave:
    """Finish what was begun and end; nothing new will come."""


# --- from the worker ------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True)
class Unable:
    """The engine cannot be had; the worker ends. ``details`` is for the log."""

    error: SuperresError
    details: str = ""


@dataclass(frozen=True)
class Advanced:
    """A work has come this far."""

    number: int
    progress: Progress


@dataclass(frozen=True)
class Patience:
    """An interrupted work has a tile on the device that may take so many seconds yet."""

    number: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    """A work has ended. ``details`` is a traceback for the log, if nobody expected it."""

    number: int
    outcome: FileReport | SuperresError
    details: str = ""


@dataclass(frozen=True)
class Answer:
    """To a question."""

    number: int
    answer: Estimate | SuperresError


@dataclass(frozen=True)
class Leaving:
    """Somebody asked the worker itself to end (SIGTERM); it waits for :class:`Leave`."""
