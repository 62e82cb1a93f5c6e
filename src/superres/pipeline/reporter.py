"""Progress out, cancellation in."""

from __future__ import annotations

from collections.abc import Callable

from superres.errors import Cancelled
from superres.pipeline.options import Progress

OnProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]


class Reporter:
    """Passes progress on and stops the work when asked to. What is done again, because memory was
    short, is not taken back.
    """

    def __init__(self, on_progress: OnProgress | None, cancelled: IsCancelled | None) -> None:
        self._on_progress, self._cancelled = on_progress, cancelled
        self._most = 0.0

    def check(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("Stopped on request; nothing was written.")

    def __call__(self, stage: str, fraction: float) -> None:
        self.check()
        self._most = max(self._most, fraction)
        if self._on_progress is not None:
            self._on_progress(Progress(stage, self._most))
