"""Memory of the command with faces on; ``bench/memory.py`` measures it up to 4096²."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SIDE = 1536
CEILING = 5 << 28
"""Bytes; 0.84 GiB were measured. The result has 0.11 GB of pixels, 0.45 as floats."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process does not know its peak there")
def test_a_crowd_fits_in_the_memory_that_a_picture_has(photos, tmp_path):
    """Nine copies of a photograph, every other row upside down; faces in noise are cleaned."""
    size = [(0, SIDE - 512), (0, SIDE - 512), (0, 0)]
    crowd = np.pad(photos["astronaut"], size, "symmetric").astype(np.float32)
    crowd += np.random.default_rng(0).normal(0, 5, crowd.shape)
    Image.fromarray(np.clip(crowd, 0, 255).astype(np.uint8)).save(tmp_path / "crowd.png")
    call = [sys.executable, "-m", "superres", "upscale", "crowd.png", "--face", "--json"]
    done = subprocess.run(call, cwd=tmp_path, stdout=subprocess.PIPE, check=True, timeout=250)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["out_width"] == 4 * SIDE
    tiers = [face["tier"] for face in report["faces"]]
    assert len(tiers) >= 4
    assert set(tiers) == {"enhanced"}
    # Not what wait4 says of the child: that includes what this process has had.
    peak = report["peak_memory"]
    print(f"{peak / 2**30:.2f} GiB")
    assert peak < CEILING
