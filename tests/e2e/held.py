"""The command ``superres`` with a fake engine whose tiles take as long as a test says.

While the file named by ``SUPERRES_TEST_HOLD`` is there, each tile takes as many seconds as are
written in it. To be run as a script: worker processes are spawned and import their parent's
main script again, so it reaches them too.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

HOLD = "SUPERRES_TEST_HOLD"  # the settings ignore SUPERRES_TEST_...

if __name__ in ("__main__", "__mp_main__"):
    from superres.engines.fake import FakeSession

    _hold = Path(os.environ[HOLD])  # now: a worker forgets its environment when it begins
    _submit = FakeSession.submit

    def _held(self, image):
        begun = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            while time.monotonic() - begun < float(_hold.read_text()):
                time.sleep(0.01)
        return _submit(self, image)

    FakeSession.submit = _held

if __name__ == "__main__":
    from superres.cli import main

    main()
