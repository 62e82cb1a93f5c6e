"""Learned measures: the known value of ST-LPIPS, and LPIPS's shape with weights of our own."""

from __future__ import annotations

import numpy as np
import pytest

from superres.engines import perceptual
from superres.scorecard.resample import resample

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-tools")


@pytest.fixture(scope="module")
def pair(photos):
    truth = photos["astronaut"][:384, :384]
    return resample(resample(truth, 96, 96), 384, 384), truth


def test_st_lpips_is_what_its_authors_code_says(pair) -> None:
    """0.3213042616844177 is what stlpips_pytorch.LPIPS(net="alex") gives for this pair."""
    found = perceptual.find_measure()
    if found is None or found[0] != "ST-LPIPS":
        pytest.skip("stlpips-pytorch is not installed: make test-tools")
    _, measure = found
    assert measure(*pair) == pytest.approx(0.3213042616844177, abs=2e-5)
    assert measure(pair[1], pair[1]) == 0
    better = resample(resample(pair[1], 192, 192), 384, 384)
    assert measure(better, pair[1]) < measure(*pair) / 2


def alexnet(seed: int):
    """AlexNet's convolutions as torchvision lays them out, random."""
    torch.manual_seed(seed)
    nn = torch.nn
    pool = nn.MaxPool2d(3, 2)
    layers = [
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), pool),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), pool),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]
    return nn.Sequential(*layers).eval()


def test_lpips_by_its_definition(pair, tmp_path) -> None:
    """Against the formula of the paper over torchvision's layout, with random weights."""
    network = alexnet(3)
    trunk = {f"features.{name}": value for name, value in network.state_dict().items()}
    torch.save(trunk, tmp_path / "trunk.pth")
    sizes = (64, 192, 384, 256, 256)
    heads = [torch.rand(1, size, 1, 1) for size in sizes]
    torch.save(
        {f"lin{n}.model.1.weight": head for n, head in enumerate(heads)}, tmp_path / "heads.pth"
    )
    measure = perceptual.lpips(tmp_path / "trunk.pth", tmp_path / "heads.pth")

    def features(photo):
        planes = torch.from_numpy(photo.transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
        shift = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]
        scale = torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]
        x, found = (planes - shift) / scale, []
        for layer in network:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return found

    with torch.no_grad():
        pairs = zip(features(pair[0]), features(pair[1]), heads, strict=True)
        expected = sum(float((((a - b) ** 2) * head).sum(1).mean()) for a, b, head in pairs)
    assert measure(*pair) == pytest.approx(expected, rel=1e-4)


def test_without_weights_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(perceptual, "_file", lambda package, path: None)
    assert perceptual.find_measure() is None


def test_lpips_is_taken_where_both_halves_are(monkeypatch, tmp_path) -> None:
    (tmp_path / "checkpoints").mkdir()
    network = alexnet(1)
    trunk = {f"features.{name}": value for name, value in network.state_dict().items()}
    torch.save(trunk, tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth")
    heads = tmp_path / "alex.pth"
    sizes = enumerate((64, 192, 384, 256, 256))
    torch.save({f"lin{n}.model.1.weight": torch.rand(1, s, 1, 1) for n, s in sizes}, heads)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        perceptual, "_file", lambda package, path: heads if package == "lpips" else None
    )
    found = perceptual.find_measure()
    assert found is not None
    assert found[0] == "LPIPS"
    black = np.zeros((64, 64, 3), np.uint8)
    assert found[1](black, black) == 0
