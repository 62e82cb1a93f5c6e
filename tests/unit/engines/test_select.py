"""Choosing an engine."""

import importlib.util
import subprocess
import sys

import pytest

from superres.engines.select import DEVICES, select_engine
from superres.errors import BadParameter, EngineUnavailable
from superres.settings import EngineSettings


def test_an_unknown_device_is_told_what_there_is():
    with pytest.raises(BadParameter, match="Unknown device 'gpu9'") as caught:
        select_engine(EngineSettings(device="gpu9"))
    for device in DEVICES:
        assert device in str(caught.value)


def test_a_runtime_that_is_not_there_is_told_how_to_get(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="pip install openvino"):
        select_engine(EngineSettings())


def test_settings_reach_the_engine(tmp_path):
    engine = select_engine(EngineSettings(streams=3, threads=1, cache_dir=tmp_path))
    assert (engine.name, engine.streams, engine.threads) == ("openvino", 3, 1)


def test_choosing_the_fake_engine_loads_no_runtime():
    code = (
        "import sys; from superres.engines.select import select_engine;"
        "from superres.settings import EngineSettings;"
        "e = select_engine(EngineSettings(device='fake')); assert e.resamples;"
        "assert 'openvino' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
