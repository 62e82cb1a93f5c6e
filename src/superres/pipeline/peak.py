"""How much memory this process has had."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory() -> int:
    """Largest resident size of this process, bytes.

    On Linux of the program alone: what ``getrusage`` says includes the parent's before exec.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
