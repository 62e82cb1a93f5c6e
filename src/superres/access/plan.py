"""How fast and how often a credential may ask: a usage plan, as AWS API Gateway has them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any

from superres.errors import BadParameter

# Every request of a burst is remembered until it leaves the window.
MAX_BURST = 100_000
MIN_RATE = 1e-6
MAX_RATE = 1e6
MAX_QUOTA = 10**15


@dataclass(frozen=True)
class Quota:
    """Requests per calendar day, ISO week (from Monday) and calendar month, all in UTC."""

    day: int | None = None
    week: int | None = None
    month: int | None = None

    def __post_init__(self) -> None:
        for period, limit in self.limits().items():
            if not _is_whole(limit) or not 1 <= limit <= MAX_QUOTA:
                raise BadParameter(
                    f"The quota per {period} must be a whole number, 1 or more, not {limit!r}."
                )

    def limits(self) -> dict[str, int]:
        """The periods that are limited, and their limits."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}


@dataclass(frozen=True)
class Plan:
    """The limits of one credential; a limit that is None does not limit.

    Attributes:
        rate: requests per second, on average.
        burst: requests that may come at once; None is one second's worth, at least 1. A burst
            without a rate is an error.
        quota: requests per day, week and month.
    """

    rate: float | None = None
    burst: int | None = None
    quota: Quota = field(default_factory=Quota)

    def __post_init__(self) -> None:
        if self.burst is not None and self.rate is None:
            raise BadParameter("A plan with a burst needs a rate as well.")
        if self.rate is not None:
            if not _is_number(self.rate) or not MIN_RATE <= self.rate <= MAX_RATE:
                raise BadParameter(
                    f"The rate must be a number of requests per second from {MIN_RATE:g} to "
                    f"{MAX_RATE:g}, not {self.rate!r}."
                )
            burst = self.effective_burst
            if not _is_whole(burst) or not 1 <= burst <= MAX_BURST:
                raise BadParameter(
                    f"The burst must be a whole number from 1 to {MAX_BURST}, not {burst!r}."
                )

    @property
    def effective_burst(self) -> int:
        """``burst``, or what stands for None."""
        if self.burst is not None:
            return self.burst
        return min(MAX_BURST, max(1, math.ceil(self.rate or 0)))

    def as_record(self) -> dict[str, Any]:
        """The JSON form: ``{"rate": 5, "burst": 10, "quota": {"day": 1000, …}}``."""
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.as_record(), separators=(",", ":"))

    @staticmethod
    @lru_cache(maxsize=1024)
    def from_json(text: str) -> Plan:
        """Read what :meth:`to_json` wrote."""
        record = json.loads(text)
        known = {f.name for f in fields(Plan)}
        if not isinstance(record, dict) or not record.keys() <= known:
            raise BadParameter(f"A plan has the fields {', '.join(sorted(known))}.")
        return Plan(**{**record, "quota": Quota(**record.get("quota", {}))})


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
