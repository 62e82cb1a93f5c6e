"""How much time a fetch or a post has left, and whether anyone still wants it."""

from __future__ import annotations

import time
from collections.abc import Callable

from superres.errors import Cancelled, SourceUnreachable

_GLANCE = 0.25


class Watch:
    """One deadline over everything a fetch or a post does.

    Args:
        seconds: for the whole of it.
        cancelled: asked again and again; True stops it.
        late: the sentence that is said when there is no time left; of a fetch by default.
    """

    def __init__(
        self,
        seconds: float,
        cancelled: Callable[[], bool] | None = None,
        *,
        late: str | None = None,
    ) -> None:
        self._late = late or (
            f"The picture was not fetched within {seconds:g} s; try again, or allow more with "
            "[sources] timeout."
        )
        self._end = time.monotonic() + seconds
        self._cancelled = cancelled

    def remaining(self) -> float:
        """Return the seconds left, more than zero.

        Raises:
            Cancelled: nobody wants it any more.
            SourceUnreachable: there are none left.
        """
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("Stopped while a picture was being fetched.")
        left = self._end - time.monotonic()
        if left <= 0:
            raise SourceUnreachable(self._late)
        return left

    def glance(self) -> float:
        """Return how long to wait at most before asking ``remaining`` again, in seconds."""
        return min(_GLANCE, self.remaining())
