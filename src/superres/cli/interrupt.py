"""Ctrl-C and SIGTERM: a wish to stop, heard between tiles; the second time at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Interrupt:
    """While entered, signals set ``wanted`` instead of ending the process.

    Attributes:
        code: exit code once stopped: 130 for Ctrl-C, 143 for SIGTERM; 0 before.
    """

    def __init__(self, before_exit: Callable[[], object] = lambda: None) -> None:
        """``before_exit`` is called when a second signal ends the process on the spot."""
        self.code = 0
        self._event = threading.Event()
        self._before_exit = before_exit
        self._old: dict[int, Any] = {}

    def wanted(self) -> bool:
        """Whether to stop; cheap and thread-safe."""
        return self._event.is_set()

    def stop(self, code: int) -> None:
        """Ask to stop, from inside."""
        self.code = self.code or code
        self._event.set()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.wanted():
            self._before_exit()
            os._exit(128 + number)
        self.stop(128 + number)

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for name in _SIGNALS:
                number = getattr(signal, name, None)
                # nohup and background jobs ignore some signals on purpose.
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
