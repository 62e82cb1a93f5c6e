"""Learned measures of how different two pictures look, where their weights are installed.

LPIPS (Zhang, Isola, Efros, Shechtman, Wang, CVPR 2018) on AlexNet: differences of normalised
features, weighed by what people said. Needs the linear weights of the package ``lpips`` and
torchvision's AlexNet where ``torch.hub`` keeps downloads; nothing is downloaded here.
ST-LPIPS (Ghildyal, Liu, ECCV 2022) is the same, trained to bear shifts of a pixel, with smoothing
before every reduction; the package ``stlpips-pytorch`` carries all its weights. Of both packages
only the files with weights are read. PyTorch computes, on the processor.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]
Measure = Callable[[Photo, Photo], float]

_ALEXNET = "alexnet-owt-7be5be79.pth"
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_PLACES = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
_TORCHVISION = (0, 3, 6, 8, 10)


def find_measure() -> tuple[str, Measure] | None:
    """The name and the function of a measure that can be had here; None if there is none.

    The function takes two photos of the same size, uint8 ``(h, w, 3)``, the truth second, and
    returns how far apart they look: 0 is equal.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        import torch
    except (ImportError, OSError):  # there, but not for this machine
        return None

    heads = _file("lpips", "weights/v0.1/alex.pth")
    trunk = Path(torch.hub.get_dir()) / "checkpoints" / _ALEXNET
    if heads is not None and trunk.is_file():
        return "LPIPS", lpips(trunk, heads)
    whole = _file("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth")
    return None if whole is None else ("ST-LPIPS", shift_tolerant(whole))


def lpips(trunk: Path, heads: Path) -> Measure:
    """LPIPS on AlexNet, version 0.1.

    Args:
        trunk: torchvision's weights of AlexNet.
        heads: the linear weights, one per layer.
    """
    known, weights = _read(trunk), _read(heads)
    layers = [(known[f"features.{n}.weight"], known[f"features.{n}.bias"]) for n in _TORCHVISION]
    return _measure(layers, [weights[f"lin{n}.model.1.weight"] for n in range(5)], smooth=False)


def shift_tolerant(file: Path) -> Measure:
    """ST-LPIPS on AlexNet; ``file`` holds all its weights."""
    weights = _read(file)
    layers = [(weights[f"net.{n}.weight"], weights[f"net.{n}.bias"]) for n in _PLACES]
    return _measure(layers, [weights[f"lin{n}.model.1.weight"] for n in range(5)], smooth=True)


def _file(package: str, path: str) -> Path | None:
    # find_spec does not import the package: of it only data is wanted.
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (found := Path(folder) / path).is_file():
            return found
    return None


def _read(path: Path) -> dict[str, Any]:
    import torch

    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.float() for name, value in found.items()}


def _measure(layers: list[tuple[Any, Any]], heads: list[Any], *, smooth: bool) -> Measure:
    import torch
    from torch.nn import functional

    shift = torch.tensor(_SHIFT)[None, :, None, None]
    scale = torch.tensor(_SCALE)[None, :, None, None]
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = torch.outer(kernel, kernel) / 16
    last: list[Any] = [None, None]

    def smoothed(x: Any) -> Any:
        channels = x.shape[1]
        wide = functional.pad(x, (2, 2, 2, 2), mode="reflect")
        filters = kernel.expand(channels, 1, 3, 3)
        return functional.conv2d(wide, filters, stride=2, groups=channels)

    def features(photo: Photo) -> list[Any]:
        planes = torch.from_numpy(np.array(photo.transpose(2, 0, 1)))[None].float()
        x = (planes / 127.5 - 1 - shift) / scale
        x = x.contiguous(memory_format=torch.channels_last)  # half as long
        found = []
        for index, (weight, bias) in enumerate(layers):
            if index in (1, 2):
                pooled = functional.max_pool2d(x, 3, 1 if smooth else 2)
                x = smoothed(pooled) if smooth else pooled
            stride = 4 if index == 0 and not smooth else 1
            padding = (2, 2, 1, 1, 1)[index]
            x = functional.conv2d(x, weight, bias, stride=stride, padding=padding)
            if index == 0 and smooth:
                x = smoothed(x)
            x = functional.relu(x)
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def measure(result: Photo, truth: Photo) -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more take five times the processor's time, beside others
        try:
            return compared(result, truth)
        finally:
            torch.set_num_threads(threads)

    def compared(result: Photo, truth: Photo) -> float:
        with torch.inference_mode():
            if last[0] is None or not np.array_equal(last[0], truth):
                last[:] = [truth.copy(), features(truth)]  # one truth, many results
            pairs = zip(features(result), last[1], heads, strict=True)
            parts = [functional.conv2d((a - b).square(), head).mean() for a, b, head in pairs]
            return float(sum(parts))

    return measure
