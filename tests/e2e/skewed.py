"""As ``held.py``, on a machine whose clock is set while it runs.

The file beside the one that holds tiles, with the ending ``.clock``, says by how many seconds.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from types import SimpleNamespace

SUFFIX = ".clock"

if __name__ in ("__main__", "__mp_main__"):
    from superres.database import clock

    _offset = Path(os.environ["SUPERRES_TEST_HOLD"]).with_suffix(SUFFIX)

    def _time():
        with contextlib.suppress(OSError, ValueError):
            return time.time() + float(_offset.read_text())
        return time.time()

    clock.time = SimpleNamespace(time=_time)
    # Here and not imported: worker processes run their parent's main script again, this one.
    exec(Path(__file__).with_name("held.py").read_text())
