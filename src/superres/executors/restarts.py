"""When a worker that ended is started again."""

from __future__ import annotations

_FIRST_PAUSE = 0.5
"""Seconds; doubled each time."""

_LONGEST_PAUSE = 30.0
"""For one that dies at its start."""

_STEADY_SECONDS = 10.0
"""A worker that was ready for so long did not end because of its start."""

_AT_ONCE, _LONGEST_PAUSE_AT_WORK = 3, 5.0
"""So many in a row that were ready, but not for long, are replaced at once: a picture may have
killed them, and each picture gets two. The pauses after that are short, for others wait."""


class Restarts:
    """Counts ends in a row. Not thread-safe.

    Attributes:
        at_start: how many in a row were never ready.
    """

    def __init__(self) -> None:
        self.at_start = 0
        self._at_work = 0

    def pause(self, ready_seconds: float | None) -> float:
        """Take note of an end; returns the seconds to wait before the next start.

        Args:
            ready_seconds: how long the worker was ready; None if it never was.
        """
        if ready_seconds is None:
            self.at_start += 1
            return _doubled(self.at_start, _LONGEST_PAUSE)
        self.at_start = 0
        self._at_work = 0 if ready_seconds >= _STEADY_SECONDS else self._at_work + 1
        return _doubled(self._at_work - _AT_ONCE, _LONGEST_PAUSE_AT_WORK)


def _doubled(times: int, longest: float) -> float:
    return min(longest, _FIRST_PAUSE * 2.0 ** min(times - 1, 16)) if times > 0 else 0.0
