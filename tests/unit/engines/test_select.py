"""Choosing an engine."""

import importlib.util
import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from superres.engines import fastest as choosing
from superres.engines import presence
from superres.engines import select as selecting
from superres.engines.fake import FakeEngine
from superres.engines.fastest import fastest
from superres.engines.presence import device_signs, likely_device
from superres.engines.select import (
    DEVICES,
    device_names,
    select_engine,
    select_shared_engine,
    worker_devices,
)
from superres.errors import BadParameter, EngineUnavailable
from superres.settings import EngineSettings

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed: make test-tools")


@pytest.mark.parametrize(
    "device", ["gpu9", "cuda:", "cuda:x", "cuda:0,", "cuda:0,cuda:0", "cuda,cuda:0", "auto,cpu", ""]
)
def test_an_unknown_device_is_told_what_there_is(device):
    with pytest.raises(BadParameter, match=f"Unknown device '{device}'") as caught:
        select_engine(EngineSettings(device=device))
    for name in DEVICES:
        assert name in str(caught.value)


def test_names_of_devices():
    for name in DEVICES:
        assert device_names(name) == (name,)
    assert device_names("cuda:12") == ("cuda:12",)
    assert device_names("cuda:0, cuda:1") == ("cuda:0", "cuda:1")
    assert device_names("cpu,torch") == ("cpu", "torch")


def test_a_runtime_that_is_not_there_is_told_how_to_get(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for device in ("auto", "cpu"):
        with pytest.raises(EngineUnavailable, match="pip install openvino"):
            select_engine(EngineSettings(device=device))
    for device in ("torch", "cuda", "cuda:1", "mps", "cpu,torch"):
        with pytest.raises(EngineUnavailable, match="pip install"):
            select_engine(EngineSettings(device=device))


def test_settings_reach_the_engine(tmp_path):
    engine = select_engine(EngineSettings(streams=3, threads=1, cache_dir=tmp_path, device="cpu"))
    assert (engine.name, engine.streams, engine.threads) == ("openvino", 3, 1)
    assert engine._workers._max_workers == 3
    assert select_shared_engine(EngineSettings(device="cpu"))._inner._workers._max_workers > 1


@needs_torch
def test_pytorch_on_the_processor(tmp_path):
    settings = EngineSettings(device="torch", streams=3, threads=1, cache_dir=tmp_path)
    engine = select_engine(settings)
    assert (engine.name, engine.device, engine.streams, engine.threads) == ("torch", "torch", 3, 1)
    assert engine._workers._max_workers == 3
    assert select_shared_engine(settings)._inner._workers._max_workers == 4


@needs_torch
def test_several_devices_are_one_engine(tmp_path):
    engine = select_engine(EngineSettings(device="torch,cpu", cache_dir=tmp_path))
    assert (engine.name, engine.device) == ("several", "torch,cpu")


def test_choosing_the_fake_engine_loads_no_runtime():
    code = (
        "import sys; from superres.engines.select import select_engine;"
        "from superres.settings import EngineSettings;"
        "e = select_engine(EngineSettings(device='fake')); assert e.resamples;"
        "assert 'openvino' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -------------------------------------------------------------------- is there a GPU?


@pytest.fixture
def linux(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    (tmp_path / "dev").mkdir()
    return tmp_path


@pytest.mark.parametrize("node", ["nvidia0", "kfd", "dxg"])
def test_a_gpu_shows(linux, node):
    assert likely_device(linux) is None
    (linux / "dev" / "nvidia-caps").mkdir()  # a driver without a card
    assert likely_device(linux) is None
    (linux / "dev" / node).touch()
    assert likely_device(linux) == "cuda"


def test_without_pytorch_a_gpu_is_of_no_use(linux, monkeypatch):
    (linux / "dev" / "nvidia0").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert likely_device(linux) is None


def test_macs_and_windows(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(sys, "platform", "darwin")
    for machine, device in (("arm64", "mps"), ("x86_64", None)):
        monkeypatch.setattr(presence.platform, "machine", lambda machine=machine: machine)
        assert likely_device(tmp_path) == device
    monkeypatch.setattr(sys, "platform", "win32")
    for library, device in (("nvcuda.dll", "cuda"), (None, None)):
        monkeypatch.setattr(presence, "find_library", lambda name, library=library: library)
        assert likely_device(tmp_path) == device


def test_signs_change_with_the_card(linux):
    (linux / "dev" / "nvidia0").touch()
    bare = device_signs(linux)
    card = linux / "proc" / "driver" / "nvidia" / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t NVIDIA H200\nIRQ: 5\n")
    assert device_signs(linux) == ("NVIDIA H200", *bare)


# ------------------------------------------------------------------- and is it faster?


class Timed(FakeEngine):
    """Takes so long for a tile, and answers this."""

    def __init__(self, seconds, level=128):
        self.seconds = seconds
        self.pixels = np.full((64, 64, 3), level, np.uint8)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A GPU there seems to be; how long a tile takes, and which engines were made."""

    class Machine:
        settings = EngineSettings(cache_dir=tmp_path / "cache")
        seconds = {"cuda": 0.001, "cpu": 0.02}  # noqa: RUF012
        levels = {"cuda": 128, "cpu": 128}  # noqa: RUF012
        made: list = []  # noqa: RUF012

        def choose(self):
            self.made = []
            return fastest(self.settings, self.make)

        def make(self, name):
            self.made.append(name)
            if isinstance(self.seconds[name], Exception):
                raise self.seconds[name]
            return Timed(self.seconds[name], self.levels[name])

    monkeypatch.setattr(choosing, "likely_device", lambda: "cuda")
    monkeypatch.setattr(choosing, "_tried", lambda engine: (engine.seconds, engine.pixels))
    return Machine()


def test_without_a_gpu_nothing_is_measured(machine, monkeypatch):
    monkeypatch.setattr(choosing, "likely_device", lambda: None)
    assert machine.choose() == "cpu"
    assert machine.made == []


@pytest.mark.parametrize(("gpu", "chosen"), [(0.001, "cuda"), (0.5, "cpu")])
def test_the_faster_one_is_chosen_and_remembered(machine, gpu, chosen, caplog):
    machine.seconds = {"cuda": gpu, "cpu": 0.02}
    with caplog.at_level(logging.INFO, "superres.engines"):
        assert machine.choose() == chosen
    assert sorted(machine.made) == ["cpu", "cuda"]
    assert f"--device auto is {chosen}" in caplog.text
    assert machine.choose() == chosen
    assert machine.made == []  # so that PyTorch is not imported when the processor is faster


def test_another_card_or_version_is_measured_anew(machine, monkeypatch):
    machine.choose()
    monkeypatch.setattr(choosing, "device_signs", lambda: ("NVIDIA H200", "nvidia0"))
    assert machine.choose() == "cuda"
    assert machine.made
    (file,) = machine.settings.cache_dir.iterdir()
    keys = json.loads(file.read_text())
    assert len(keys) == 2
    assert any("NVIDIA H200" in key and "openvino 20" in key for key in keys)


def test_a_gpu_that_does_not_work_is_told_and_left_alone(machine, caplog):
    machine.seconds = {"cuda": EngineUnavailable("The driver is too old."), "cpu": 0.02}
    assert machine.choose() == "cpu"
    assert "The GPU is not used: The driver is too old." in caplog.text
    assert not machine.settings.cache_dir.exists()  # it may be mended


@pytest.mark.parametrize(("level", "chosen"), [(129, "cuda"), (131, "cpu"), (0, "cpu")])
def test_a_gpu_that_answers_otherwise_is_not_chosen(machine, level, chosen, caplog):
    machine.levels = {"cuda": level, "cpu": 128}
    assert machine.choose() == chosen
    assert ("The GPU is not used: what it answers" in caplog.text) == (chosen == "cpu")
    assert machine.settings.cache_dir.exists() == (chosen == "cuda")


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', "no json"])
def test_a_damaged_memory_is_written_anew(machine, content):
    machine.settings.cache_dir.mkdir()
    file = machine.settings.cache_dir / "fastest.json"
    file.write_text(content)
    assert machine.choose() == "cuda"
    assert machine.choose() == "cuda"
    assert machine.made == []


def test_a_folder_that_cannot_be_written_only_costs_time(machine):
    machine.settings.cache_dir.write_text("no folder")
    assert machine.choose() == "cuda"
    assert machine.choose() == "cuda"


def test_a_gpu_without_the_cpu_engine_is_taken_at_once(machine, monkeypatch):
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    assert machine.choose() == "cuda"
    assert machine.made == []


@needs_torch
def test_measured_for_real(tmp_path, monkeypatch):
    """PyTorch on the processor plays the GPU: OpenVINO is faster, and is what is given."""
    monkeypatch.setattr(choosing, "likely_device", lambda: "torch")
    monkeypatch.setattr(choosing, "_SIDE", 64)
    settings = EngineSettings(cache_dir=tmp_path)
    engine = select_engine(settings)
    assert engine.name in ("openvino", "torch")
    (answer,) = json.loads((tmp_path / "fastest.json").read_text()).values()
    assert answer == {"openvino": "cpu", "torch": "torch"}[engine.name]
    assert select_engine(settings).name == engine.name


def test_the_server_leaves_the_choice_to_its_worker_where_there_is_one(monkeypatch):
    monkeypatch.setattr(selecting, "likely_device", lambda: None)
    assert worker_devices("auto") == ("cpu",)
    monkeypatch.setattr(selecting, "likely_device", lambda: "cuda")
    assert worker_devices("auto") == ("auto",)
    assert worker_devices("cuda:0,cuda:1") == ("cuda:0", "cuda:1")
    with pytest.raises(BadParameter, match="Unknown device"):
        worker_devices("gpu")


BROKEN = """
import logging, sys
from pathlib import Path
logging.basicConfig()
from superres.engines import fastest, select
from superres.errors import EngineUnavailable
from superres.settings import EngineSettings
fastest.likely_device = lambda: "cuda"
try:
    select.select_engine(EngineSettings(device="cuda", cache_dir=Path(sys.argv[1])))
except EngineUnavailable as exc:
    print("by name:", exc)
print("auto:", select.select_engine(EngineSettings(cache_dir=Path(sys.argv[1]))).name)
"""


@pytest.mark.parametrize(
    "broken",
    [
        "raise ImportError('libcudart.so.12: cannot open shared object file')",
        "raise OSError('libcudart.so.12: cannot open shared object file')",
        "raise AttributeError('_ARRAY_API not found')",
        "raise SystemError('initialization failed')",
    ],
)
def test_a_pytorch_that_does_not_load(tmp_path, broken):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(broken)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, str(tmp_path / "cache")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "by name: PyTorch does not load" in done.stdout
    assert "auto: openvino" in done.stdout
    assert "The GPU is not used: PyTorch does not load" in done.stderr


@needs_torch
def test_a_device_that_fails_in_a_way_of_its_own(tmp_path, monkeypatch):
    from superres.engines import torch_engine

    def fail(*_):
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch_engine, "_memory", fail)
    with pytest.raises(EngineUnavailable, match="not compiled with CUDA"):
        select_engine(EngineSettings(device="torch", cache_dir=tmp_path))
