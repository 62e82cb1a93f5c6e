"""Memory of the command with faces on; ``bench/memory.py`` measures it up to 4096²."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SIDE = 1536
CEILING = 5 << 28
"""Bytes; 0.84 GiB were measured. The result has 0.11 GB of pixels, 0.45 as floats."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="a child's own peak needs wait4")
def test_a_crowd_fits_in_the_memory_that_a_picture_has(photos, tmp_path):
    """Nine copies of a photograph, every other row upside down; faces in noise are cleaned."""
    size = [(0, SIDE - 512), (0, SIDE - 512), (0, 0)]
    crowd = np.pad(photos["astronaut"], size, "symmetric").astype(np.float32)
    crowd += np.random.default_rng(0).normal(0, 5, crowd.shape)
    Image.fromarray(np.clip(crowd, 0, 255).astype(np.uint8)).save(tmp_path / "crowd.png")
    call = [sys.executable, "-m", "superres", "upscale", "crowd.png", "--face", "--json"]
    with (tmp_path / "report.json").open("wb") as output:
        process = subprocess.Popen(call, cwd=tmp_path, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text("utf-8").splitlines()[-1])
    assert report["out_width"] == 4 * SIDE
    tiers = [face["tier"] for face in report["faces"]]
    assert len(tiers) >= 4
    assert set(tiers) == {"enhanced"}
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{peak / 2**30:.2f} GiB")
    assert peak < CEILING
