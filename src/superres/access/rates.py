"""Rates: how many requests a second, counted by the library ``limits``.

A plan of ``rate`` requests per second with bursts of ``burst`` is a window that moves along
with time and holds at most ``burst`` requests in any ``burst / rate`` seconds. Of the
library's strategies that is the one that is exact: fixed windows let twice the burst through
around their border, and the sliding counter estimates. Like a token bucket of that size it
admits ``burst`` at once and ``rate`` on average; unlike one, it gives room back when the
requests of the burst leave the window, not evenly.

Counted in this process (``memory://``), or in Redis for several together. If Redis cannot be
reached while the service runs, requests are let through (quotas still count, the queue still
has its bound) and the log says so: a rate is there for fairness, and a failing counter must
not stop everybody. A start without it is refused, see :meth:`Rates.check`.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import threading
import time
from typing import Any

from superres.access.plan import Plan
from superres.errors import BadParameter, RateLimited, StorageError

_MEMORY = "memory://"
_REDIS = ("redis://", "rediss://", "redis+unix://")
# After Redis failed it is left alone this long, so that not every request waits for it.
_PAUSE_S = 5.0
_log = logging.getLogger(__name__)


class Rates:
    """Counts requests against rates. Thread-safe.

    Args:
        url: ``memory://``, or ``redis://…`` (``rediss://`` is encrypted, ``redis+unix://`` a
            socket). Nothing is imported or contacted before the first request with a rate.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._storage: Any = None
        self._paused_until = 0.0

    def check(self) -> None:
        """Make sure that requests can be counted.

        Raises:
            BadParameter: the URL is none of those above, or the package for it is missing.
            StorageError: Redis does not answer.
        """
        if not self._open().check():
            raise StorageError(
                "The Redis server of access.rate_limit_url does not answer; start it, or count "
                "rates in this process with memory://."
            )

    def admit(self, credential_id: str, plan: Plan) -> None:
        """Count one request.

        Raises:
            RateLimited: too many of late; ``retry_after`` is until the next has room.
            BadParameter: as for :meth:`check`.
        """
        if plan.rate is None or time.monotonic() < self._paused_until:
            return
        from limits.errors import StorageError as CounterFailed

        burst = plan.effective_burst
        window = burst / plan.rate
        key = f"rate/{credential_id}/{burst}/{plan.rate:g}"
        storage = self._open()
        try:
            if self._acquire(storage, key, burst, window):
                return
            since, _ = storage.get_moving_window(key, burst, window)
        except CounterFailed as exc:
            self._paused_until = time.monotonic() + _PAUSE_S
            _log.warning(
                "Rates cannot be counted for now, requests are let through: %s", type(exc).__name__
            )
            return
        # At least a moment: the room may have come while asking.
        wait = min(max(since + window - time.time(), 0.001), window)
        raise RateLimited(
            f"More than {plan.rate:g} requests per second, or {burst} at once; try again in "
            f"{math.ceil(wait * 10) / 10:g} s.",
            wait,
        )

    def _acquire(self, storage: Any, key: str, burst: int, window: float) -> bool:
        if self._url == _MEMORY:
            # The library drops a key's own lock while others wait for it.
            with self._lock:
                return bool(storage.acquire_entry(key, burst, window))
        return bool(storage.acquire_entry(key, burst, window))

    def _open(self) -> Any:
        with self._lock:
            if self._storage is None:
                self._storage = _open(self._url)
            return self._storage


def _open(url: str) -> Any:
    if url == _MEMORY:
        from limits.storage import MemoryStorage

        return MemoryStorage(url, wrap_exceptions=True)
    if not url.startswith(_REDIS):
        raise BadParameter(
            "access.rate_limit_url must be memory://, or like redis://host:6379/0 (rediss:// if "
            "encrypted)."
        )
    if importlib.util.find_spec("redis") is None:
        raise BadParameter(
            "Counting rates in Redis needs the package redis; install it with: "
            'pip install "superres[redis]"'
        )
    from superres.access.counters import MillisecondRedis

    try:
        return MillisecondRedis(url)
    except ValueError:  # not repeated: the URL may hold a password
        raise BadParameter("access.rate_limit_url is not a Redis URL that can be read.") from None
