"""The ONNX operators Resize and Pad in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - as everybody calls it


class NotHere(Exception):
    """A form of an operator that is not computed here."""


_PAD_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}


def pad(x: list[Any], a: Mapping[str, Any]) -> Any:
    """``Pad``: the image, how much before and after each axis, the value, the axes."""
    source = x[0]
    given = x[1] if len(x) > 1 and x[1] is not None else a["pads"]
    amounts = np.asarray(given, np.int64).reshape(2, -1)
    axes = np.arange(source.ndim)
    if len(x) > 3 and x[3] is not None:
        axes = np.asarray(x[3], np.int64).reshape(-1) % source.ndim
    full = np.zeros((source.ndim, 2), np.int64)
    full[axes] = amounts.T
    mode = a.get("mode", "constant")
    outer = source.ndim - 2
    if mode == "constant":
        value = x[2] if len(x) > 2 and x[2] is not None else a.get("value", 0.0)
        value = float(np.asarray(value).item())
        return F.pad(source, full[::-1].reshape(-1).tolist(), value=value)
    if source.ndim == 4 and mode in _PAD_MODES and not full[:outer].any() and (full >= 0).all():
        return F.pad(source, full[outer:][::-1].reshape(-1).tolist(), _PAD_MODES[mode])
    for axis, (before, after) in enumerate(full):
        if before or after:
            length = np.arange(source.shape[axis])
            index = np.pad(length, (int(before), int(after)), mode=mode)
            source = source.index_select(axis, positions(index.tolist(), source.device, a))
    return source


KEPT = "kept"
"""An attribute: where a node keeps what it made on the device. It must live as long as the node:
a captured CUDA graph reads it at the same address again, and nothing can be copied there while
one is captured."""


def positions(index: Sequence[int], device: torch.device, a: Mapping[str, Any]) -> Any:
    """Indices on a device."""
    return _kept(
        a,
        ("positions", *index, device),
        lambda: torch.tensor(list(index), dtype=torch.int64, device=device),
    )


def _kept(a: Mapping[str, Any], key: Hashable, make: Callable[[], Any]) -> Any:
    kept = a.get(KEPT, {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


def resize(x: list[Any], a: Mapping[str, Any]) -> Any:
    """``Resize``: the image, a region (not here), scales or sizes."""
    source = x[0]
    if a.get("antialias") or a.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NotHere
    axes = [n % source.ndim for n in a.get("axes", range(source.ndim))]
    scales, sizes = [1.0] * source.ndim, list(source.shape)
    for axis, n in enumerate(axes):
        if len(x) > 3 and x[3] is not None and np.size(x[3]):
            sizes[n] = int(np.asarray(x[3])[axis])
            scales[n] = sizes[n] / source.shape[n]
        else:
            scales[n] = float(np.asarray(x[2])[axis])
            sizes[n] = int(np.floor(source.shape[n] * scales[n]))
    quick = _quick(source, scales, sizes, a)
    if quick is not None:
        return quick()
    for axis, (scale, size) in enumerate(zip(scales, sizes, strict=True)):
        if scale != 1.0:
            weights = _matrix(source, axis, size, scale, a)
            source = (source.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return source


def _quick(
    source: Any, scales: list[float], sizes: list[int], a: Mapping[str, Any]
) -> Callable[[], Any] | None:
    """PyTorch's own function, where it computes the same."""
    if source.ndim != 4 or scales[:2] != [1.0, 1.0]:
        return None
    mode, centres = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    whole = all(scale == int(scale) and scale >= 1 for scale in scales)
    if mode == "nearest":
        rounding = a.get("nearest_mode", "round_prefer_floor")
        flat = centres == "asymmetric" and rounding == "floor"
        # The middle of a pixel, enlarged by a whole number, is never between two.
        middle = centres in ("half_pixel", "pytorch_half_pixel") and rounding in _ROUNDINGS
        if whole and (flat or middle):
            return lambda: F.interpolate(source, size=sizes[2:], mode="nearest")
        return None
    if mode == "cubic" and (a.get("cubic_coeff_a", -0.75) != -0.75 or a.get("exclude_outside")):
        return None
    smooth = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    exact = all(size == source.shape[i] * scales[i] for i, size in enumerate(sizes))
    single = centres == "pytorch_half_pixel" and 1 in sizes[2:]  # PyTorch has no such rule
    if exact and not single and centres in ("half_pixel", "pytorch_half_pixel"):
        return lambda: F.interpolate(source, size=sizes[2:], mode=smooth, align_corners=False)
    if centres == "align_corners":
        return lambda: F.interpolate(source, size=sizes[2:], mode=smooth, align_corners=True)
    return None


_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil")


def _matrix(source: Any, axis: int, size: int, scale: float, a: Mapping[str, Any]) -> Any:
    """:func:`_weights` on the device of ``source``."""
    length, device, dtype = source.shape[axis], source.device, source.dtype

    def make() -> Any:
        weights = _weights(length, size, scale, a).astype(np.float32)
        return torch.from_numpy(weights).to(device, dtype)

    return _kept(a, ("matrix", length, size, scale, device, dtype), make)


def _weights(length: int, size: int, scale: float, a: Mapping[str, Any]) -> NDArray[np.float64]:
    """``(size, length)``: what each input has in each output along one axis.

    After the reference implementation of ONNX (onnx/reference/ops/op_resize.py).
    """
    out = np.arange(size, dtype=np.float64)
    match a.get("coordinate_transformation_mode", "half_pixel"):
        case "half_pixel":
            at = (out + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            at = (out + 0.5) / scale - 0.5 if size > 1 else np.zeros(1)
        case "asymmetric":
            at = out / scale
        case "align_corners":
            at = out * (length - 1) / (size - 1) if size > 1 else np.zeros(1)
        case _:
            raise NotHere
    weights = np.zeros((size, length))
    match a.get("mode", "nearest"):
        case "nearest":
            index = _nearest(at, a.get("nearest_mode", "round_prefer_floor"))
            weights[np.arange(size), np.clip(index, 0, length - 1)] = 1
        case "linear" | "cubic" as mode:
            reach = 1 if mode == "linear" else 2
            base = np.floor(at).astype(np.int64)
            for offset in range(1 - reach, reach + 1):
                index, distance = base + offset, np.abs(at - (base + offset))
                part = _kernel(distance, mode, a.get("cubic_coeff_a", -0.75))
                if a.get("exclude_outside"):
                    part = np.where((index >= 0) & (index < length), part, 0)
                np.add.at(weights, (np.arange(size), np.clip(index, 0, length - 1)), part)
            weights /= weights.sum(1, keepdims=True)
        case _:
            raise NotHere
    return weights


def _nearest(at: NDArray[np.float64], mode: str) -> NDArray[np.int64]:
    rounded = {
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
    }[mode]()
    return rounded.astype(np.int64)


def _kernel(d: NDArray[np.float64], mode: str, a: float) -> NDArray[np.float64]:
    if mode == "linear":
        return np.maximum(0.0, 1 - d)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
