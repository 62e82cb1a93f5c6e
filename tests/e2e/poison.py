"""As ``held.py``, and some pictures kill the process that computes them.

A picture of nothing but ``KILLS_WORKER`` ends the worker process that has it in hand, as a
crash in native code would; one of ``KILLS_PARENT`` takes the whole service with it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

KILLS_WORKER, KILLS_PARENT = (250, 5, 250), (5, 250, 5)

if __name__ in ("__main__", "__mp_main__"):
    from superres.engines.fake import FakeSession

    _compute = FakeSession.submit

    def _poisoned(self, image):
        first = tuple(np.rint(image[:, 0, 0] * 255).astype(int))
        if first == KILLS_PARENT:
            os.kill(os.getppid(), signal.SIGKILL)
        if first in (KILLS_WORKER, KILLS_PARENT):
            os.kill(os.getpid(), signal.SIGKILL)
        return _compute(self, image)

    FakeSession.submit = _poisoned
    # Here and not imported: worker processes run their parent's main script again, this one.
    exec(Path(__file__).with_name("held.py").read_text())
