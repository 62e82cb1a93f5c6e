"""The command and the server on another device than the processor's own engine; the GPU bench."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image

from superres.executors.base import Work
from superres.executors.pool import WorkerPool
from superres.pipeline import UpscaleOptions
from superres.settings import EngineSettings, ModelsSettings, Settings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed: make test-tools"
)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.png"
    Image.fromarray(skimage.data.astronaut()[50:110, 150:230]).save(path)
    return path


def command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "superres", "upscale", *map(str, words), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_command_by_pytorch_makes_the_same_picture(source, tmp_path):
    pictures = {}
    for device in ("torch", "cpu"):
        target = tmp_path / f"{device}.png"
        words = (source, "-o", target, "-s", 2, "-m", "faithful", "--precision", "f32")
        done, (about,) = command(*words, "--device", device)
        assert done.returncode == 0, done.stderr
        assert (about["device"], about["precision"]) == (device, "f32")
        pictures[device] = np.asarray(Image.open(target)).astype(int)
    difference = pictures["torch"] - pictures["cpu"]
    assert np.abs(difference).max() <= 1
    assert np.square(difference).mean() < 255**2 / 1e6  # 60 dB


def test_a_device_that_is_not_there_is_an_error_that_helps(source, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done, _ = command(source, "-o", tmp_path / "x.png", "--device", "cuda:1")
    assert done.returncode != 0
    assert "--device cpu" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_the_server_has_a_worker_for_each_device(source, tmp_path):
    chosen = Settings(
        engine=EngineSettings(device="torch,cpu", cache_dir=tmp_path / "cache", threads=1),
        models=ModelsSettings(default="faithful"),
    )
    pool = WorkerPool(chosen)
    try:
        assert [worker.device for worker in pool.state().workers] == ["torch", "cpu"]
        works = [
            Work(
                source=source,
                target=tmp_path / f"{n}.png",
                options=UpscaleOptions(scale=2, model="faithful"),
                request_id=str(n),
            )
            for n in range(6)
        ]
        tickets = [pool.submit(work) for work in works]
        devices = {ticket.future.result(200).report.device for ticket in tickets}
    finally:
        pool.close()
    assert devices <= {"torch", "cpu"}
    assert "torch" in devices or len(devices) == 1


@pytest.mark.slow
def test_the_gpu_bench_runs_on_a_machine_without_one(tmp_path):
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--quick", "--json", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert [table["title"].split(" ")[0] for table in found["tables"]] == [
        "Convolution",
        "Tiles",
        "Agreement",
        "64²",
    ]
    goals = {goal["what"]: goal["met"] for goal in found["goals"]}
    assert goals["photo f32"] is True
    assert goals["general f32"] is True
    assert goals["photo against plain PyTorch"] is None
    assert min(found["figures"]["ceiling"].values()) > 0
