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
    """Work per second by device and model, smoothed over runs.

    Work is whatever grows with time: million multiply-accumulates of a network, pixels that are
    looked at for faces, faces that are restored.

    Args:
        folder: where the figures are kept; trouble with the file is ignored.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def seconds(self, key: str, work: float) -> float:
        """Expected time for ``work``; 0 if nothing is known."""
        rate = self._read().get(key, 0.0)
        return work / rate if rate > 0 else 0.0

    def record(self, key: str, work: float, seconds: float, least: float | None = None) -> None:
        """Take note of a finished run, unless it took less than ``least`` seconds, 1 if None."""
        if seconds < (_LEAST_SECONDS if least is None else least):
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
