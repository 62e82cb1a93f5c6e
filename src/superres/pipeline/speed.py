"""Remember how fast this machine is, for estimates before the work starts."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

_FILE = "speed.json"
_WEIGHT = 0.3
_LEAST_SECONDS = 1.0
"""Shorter runs say more about loading than about the machine."""


class Speed:
    """Million multiply-accumulates per second by device and model, smoothed over runs.

    Args:
        folder: where the figures are kept; trouble with the file is ignored.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def seconds(self, key: str, work: float) -> float:
        """Expected time for ``work`` million multiply-accumulates; 0 if nothing is known."""
        rate = self._read().get(key, 0.0)
        return work / rate if rate > 0 else 0.0

    def record(self, key: str, work: float, seconds: float) -> None:
        """Take note of a finished run."""
        if seconds < _LEAST_SECONDS:
            return
        rates = self._read()
        rate = work / seconds
        rates[key] = rate if key not in rates else rates[key] + _WEIGHT * (rate - rates[key])
        temporary = self._path.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(rates), "utf-8")
            temporary.replace(self._path)

    def _read(self) -> dict[str, float]:
        try:
            data = json.loads(self._path.read_text("utf-8"))
            rates = {str(key): float(rate) for key, rate in data.items()}
        except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            return {}
        return {key: rate for key, rate in rates.items() if 0 < rate < math.inf}
