"""Redis as ``limits`` speaks to it, with windows that are not whole seconds."""

from __future__ import annotations

import math
import time

from limits.storage import RedisStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

_TIMEOUT_S = 1.0


class MillisecondRedis(RedisStorage):
    """Keeps moments in milliseconds.

    Redis' EXPIRE takes whole numbers, so windows of the library's own class are whole seconds;
    20 requests at 100 a second want one of 0.2 s. Its scripts only compare and add, so they
    work with any unit. EXPIRE still counts in seconds: a key that is not used any more is
    forgotten after 1,000 windows instead of one.
    """

    STORAGE_SCHEME = []  # noqa: RUF012 -- found by no URL

    def __init__(self, url: str) -> None:
        super().__init__(
            url,
            key_prefix="superres",
            wrap_exceptions=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            # Once more for a connection that Redis closed meanwhile, and no patience beyond.
            retry=Retry(NoBackoff(), 1),  # type: ignore[arg-type]
        )

    def acquire_entry(self, key: str, limit: int, expiry: float, amount: int = 1) -> bool:
        """Take ``amount`` of ``limit`` entries in ``expiry`` seconds; False if it cannot be."""
        now, window = time.time() * 1000, math.ceil(expiry * 1000)
        answer = self.lua_acquire_moving_window(
            [self.prefixed_key(key)], [now, limit, window, amount]
        )
        return bool(answer)

    def get_moving_window(self, key: str, limit: int, expiry: float) -> tuple[float, int]:
        """When the oldest entry of the window was taken (Unix time), and how many there are."""
        now, window = time.time() * 1000, math.ceil(expiry * 1000)
        found = self.lua_moving_window([self.prefixed_key(key)], [now - window, limit])
        return (float(found[0]) / 1000, int(found[1])) if found else (now / 1000, 0)
