"""Networks in PyTorch's own files, as engines of PyTorch's load them."""

from __future__ import annotations

import hashlib
import importlib
import io
import sys

import numpy as np
import pytest

from superres.engines import spandrel_networks
from superres.engines.spandrel_import import import_spandrel
from superres.engines.spandrel_networks import (
    cost,
    export,
    interpolated,
    load_checkpoint,
    load_spandrel,
)
from superres.errors import BadParameter, EngineError, EngineUnavailable, WeightsMissing
from tests.unit.engines.thin import have_torch, needs_torch, write_thin
from tests.unit.pipeline.zoo import network, save

pytestmark = needs_torch


def loaded(name, tmp_path, suffix="pth"):
    with save(name, tmp_path / f"{name}.{suffix}").open("rb") as file:
        return load_spandrel(file)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_what_is_told_of_a_network(tmp_path, suffix):
    found = loaded("compact", tmp_path, suffix)
    assert found.architecture.startswith("RealESRGAN Compact")
    assert (found.scale, found.channels, found.multiple, found.minimum) == (4, 3, 1, 1)
    assert found.tiles
    assert found.half


def test_a_checkpoint_for_an_engine(tmp_path):
    torch = have_torch()
    path = save("compact", tmp_path / "c.pth")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    module = load_checkpoint(path, sha256)
    assert not module.training
    image = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        assert torch.allclose(module(image), network("compact")(image), atol=1e-6)
    with pytest.raises(WeightsMissing, match="its SHA-256"):
        load_checkpoint(path, "0" * 64)
    path.unlink()
    with pytest.raises(WeightsMissing, match="gone"):
        load_checkpoint(path, sha256)


def test_a_network_of_one_channel_takes_colours(tmp_path):
    torch = have_torch()
    found = loaded("esrgan-grey", tmp_path)
    assert found.channels == 1
    image = np.random.default_rng(0).random((1, 3, 20, 24), np.float32)
    out = found(image)
    assert out.shape == (1, 3, 80, 96)
    plain = network("esrgan-grey")
    with torch.no_grad():
        for c in range(3):
            one = plain(torch.from_numpy(image[:, c : c + 1])).numpy()
            np.testing.assert_allclose(out[:, c : c + 1], one, atol=1e-5)


def test_what_has_no_onnx_form(tmp_path, capfd):
    with pytest.raises(EngineError, match="no ONNX form"):
        export(loaded("safmn", tmp_path))
    captured = capfd.readouterr()
    assert captured.out == captured.err == "", "the exporter prints its graph"


def test_the_cost_of_a_network(tmp_path):
    found = loaded("compact", tmp_path)
    macs, live = cost(found, 32, 48)
    assert macs == 32 * 48 * 9 * (3 * 24 + 3 * 24 * 24 + 24 * 48)
    assert live >= 2 * 32 * 48 * 24
    assert not any(part._forward_hooks for part in found.module.modules())


def test_networks_that_restore_faces_are_not_taken(tmp_path):
    path = write_thin("RestoreFormer", tmp_path / "r.pth")
    with path.open("rb") as file, pytest.raises(BadParameter, match="restores faces"):
        load_spandrel(file)


def test_too_many_values(tmp_path, monkeypatch):
    monkeypatch.setattr(spandrel_networks, "_MOST_VALUES", 1000)
    with pytest.raises(BadParameter, match="more values than any network"):
        loaded("compact", tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_between_two_files(tmp_path, share):
    torch = have_torch()
    one = save("compact", tmp_path / "a.pth")
    tensors = {name: value * 2 for name, value in network("compact").state_dict().items()}
    torch.save(tensors, tmp_path / "b.pth")
    with one.open("rb") as a, (tmp_path / "b.pth").open("rb") as b:
        data = interpolated(a, b, share)
    from safetensors.torch import load

    for name, value in load(data).items():
        assert torch.allclose(value, tensors[name] * (1 + share) / 2, atol=1e-6)
    other = save("esrgan", tmp_path / "e.pth")
    with (
        one.open("rb") as a,
        other.open("rb") as b,
        pytest.raises(BadParameter, match="different architectures"),
    ):
        interpolated(a, b, 0.5)
    with one.open("rb") as a, pytest.raises(BadParameter, match="no weights"):
        interpolated(a, io.BytesIO(b"nothing"), 0.5)


def test_spandrel_loads_beside_a_torchvision_that_does_not_fit():
    assert import_spandrel() is import_spandrel()
    assert "spandrel" in sys.modules


def test_a_torchvision_that_is_broken_otherwise(monkeypatch):
    def broken(name, package=None):
        raise RuntimeError("libcudart.so.13: cannot open shared object file")

    have_torch()
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(EngineUnavailable, match="install both again"):
        import_spandrel()
