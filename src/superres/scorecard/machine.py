"""What a scorecard was measured on, in words."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("superres", "openvino", "torch", "onnxruntime", "ncnn", "numpy", "pyvips-binary")
_KNOWN = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16", "fphp")


def machine() -> dict[str, str]:
    """Processor, memory, load, system and the versions of what computes."""
    about = {"processor": platform.processor() or platform.machine()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        pairs = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        told = {key.strip(): value.strip() for key, value in pairs}
        about["processor"] = told.get("model name", about["processor"])
        flags = set(told.get("flags", told.get("Features", "")).split())
        about["instructions"] = " ".join(f for f in _KNOWN if f in flags) or "none of note"
    affinity = getattr(os, "sched_getaffinity", None)
    about["cores"] = str(len(affinity(0)) if affinity else os.cpu_count())
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        about["memory"] = f"{size / 2**30:.0f} GiB"
    if hasattr(os, "getloadavg"):
        about["load"] = f"{os.getloadavg()[0]:.1f} processes that wanted to run, last minute"
    about["system"] = f"{platform.system()} {platform.release()}"
    about["python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            about[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            about[name] = "not installed"
    return about
