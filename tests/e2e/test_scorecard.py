"""``superres bench --scorecard`` as a process: Ctrl-C, and the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals of Unix"),
    pytest.mark.slow,
]

DEGRADATIONS = [f"noise-{n}" for n in range(1, 21)]


def command(folder: Path, out: Path) -> list[str]:
    words = [sys.executable, "-m", "superres", "bench", "--scorecard", str(folder)]
    words += ["--out", str(out), "-m", "general", "--no-speed", "-s", "4", "--fidelity", "0"]
    for name in DEGRADATIONS:
        words += ["--degradation", name]
    return words


def test_ctrl_c_and_the_same_command_again(tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(noise).save(folder / "a.png")
    environment = os.environ | {"SUPERRES_ENGINE__DEVICE": "fake"}
    process = subprocess.Popen(
        command(folder, out), env=environment, stderr=subprocess.PIPE, text=True
    )
    record = out / "unfinished.jsonl"
    end = time.monotonic() + 60
    while not record.exists() or len(record.read_text().splitlines()) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped" in told
    assert "Traceback" not in told
    kept = record.read_text().splitlines()[1:]
    assert 4 <= len(kept) < 3 * len(DEGRADATIONS)
    done = subprocess.run(
        command(folder, out), env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in out.iterdir()) == [
        "scorecard.jpg",
        "scorecard.json",
        "scorecard.md",
    ]
    card = json.loads((out / "scorecard.json").read_text("utf-8"))
    assert len(card["rows"]) == 3 * len(DEGRADATIONS)
    first = json.loads(kept[0])
    assert card["rows"][0][: len(card["columns"])][:3] == [
        first["picture"],
        first["scale"],
        first["degradation"],
    ]
