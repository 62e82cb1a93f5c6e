"""Is a GPU likely here? Asked of the operating system, for importing PyTorch takes seconds."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterable
from ctypes.util import find_library
from pathlib import Path

_NVIDIA = ("dev/nvidia[0-9]*", "dev/dxg")  # the second is Windows' subsystem for Linux
_AMD = ("dev/kfd",)
_DRIVER = Path("proc/driver/nvidia/gpus")


def likely_device(root: Path = Path("/")) -> str | None:
    """The device's name if there seems to be one and PyTorch is installed, else None.

    Args:
        root: of the file system.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else None
    if sys.platform == "win32":
        return "cuda" if find_library("nvcuda") else None
    return "cuda" if any(_found(root, (*_NVIDIA, *_AMD))) else None


def device_signs(root: Path = Path("/")) -> tuple[str, ...]:
    """What changes when another device is put in: models where they can be read, nodes."""
    models = []
    for file in sorted((root / _DRIVER).glob("*/information")):
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        models += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
    return (*models, *(path.name for path in _found(root, (*_NVIDIA, *_AMD))))


def _found(root: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in root.glob(pattern))
