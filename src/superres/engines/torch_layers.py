"""ONNX's convolutions, pools and norms in PyTorch; what they cannot do here raises NotHere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from superres.engines.torch_resize import NotHere

Attributes = Mapping[str, Any]


def _padded(
    source: Any, a: Attributes, kernel: Sequence[int], value: float = 0.0
) -> tuple[Any, list[int]]:
    """The source, and the padding that the operator itself still has to do, by axis."""
    rank = len(kernel)
    pads = [int(n) for n in a.get("pads", [0] * 2 * rank)]
    automatic = a.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
        before, after = [], []
        for axis in range(rank):
            size = source.shape[2 + axis]
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            total = max(0, (-(-size // strides[axis]) - 1) * strides[axis] + reach - size)
            small, large = total // 2, total - total // 2
            before.append(small if automatic == "SAME_UPPER" else large)
            after.append(large if automatic == "SAME_UPPER" else small)
        pads = before + after
    elif automatic == "VALID":
        pads = [0] * 2 * rank
    if pads[:rank] == pads[rank:]:
        return source, pads[:rank]
    flat = [n for axis in reversed(range(rank)) for n in (pads[axis], pads[rank + axis])]
    return F.pad(source, flat, value=value), [0] * rank


def conv(x: list[Any], a: Attributes) -> Any:
    """``Conv``, in one to three dimensions."""
    kernel = x[1].shape[2:]
    rank = len(kernel)
    source, padding = _padded(x[0], a, kernel)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    return convolve(
        source,
        x[1],
        x[2] if len(x) > 2 else None,
        list(a.get("strides", [1] * rank)),
        padding,
        list(a.get("dilations", [1] * rank)),
        int(a.get("group", 1)),
    )


def conv_transpose(x: list[Any], a: Attributes) -> Any:
    """``ConvTranspose``, padded alike on both sides."""
    rank = x[1].ndim - 2
    pads = list(a.get("pads", [0] * 2 * rank))
    if pads[:rank] != pads[rank:] or a.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in a:
        raise NotHere
    convolve = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[rank]
    return convolve(
        x[0],
        x[1],
        x[2] if len(x) > 2 else None,
        list(a.get("strides", [1] * rank)),
        pads[:rank],
        list(a.get("output_padding", [0] * rank)),
        int(a.get("group", 1)),
        list(a.get("dilations", [1] * rank)),
    )


def average_pool(x: list[Any], a: Attributes) -> Any:
    """``AveragePool`` of pictures."""
    kernel = list(a["kernel_shape"])
    source, padding = _padded(x[0], a, kernel)
    inside = bool(a.get("count_include_pad", 0))
    dilated = any(n != 1 for n in a.get("dilations", ()))
    ceil = bool(a.get("ceil_mode", 0))
    uneven = source is not x[0]
    if len(kernel) != 2 or dilated or (uneven and not inside):
        raise NotHere
    if ceil and inside and (uneven or any(padding)):  # windows that end beyond what is padded
        raise NotHere
    return F.avg_pool2d(source, kernel, list(a.get("strides", [1, 1])), padding, ceil, inside)


def max_pool(x: list[Any], a: Attributes) -> Any:
    """``MaxPool`` of pictures, without indices."""
    kernel = list(a["kernel_shape"])
    if len(kernel) != 2 or a["outputs"] > 1:
        raise NotHere
    source, padding = _padded(x[0], a, kernel, -math.inf)
    ceil = bool(a.get("ceil_mode", 0))
    if ceil and source is not x[0]:  # windows that begin in the padding do not count
        raise NotHere
    strides, dilations = list(a.get("strides", [1, 1])), list(a.get("dilations", [1, 1]))
    return F.max_pool2d(source, kernel, strides, padding, dilations, ceil)


def layer_norm(x: list[Any], a: Attributes) -> Any:
    """``LayerNormalization``, its first output."""
    if a["outputs"] > 1:
        raise NotHere
    shape = x[0].shape[int(a.get("axis", -1)) % x[0].ndim :]
    bias = x[2].expand(shape) if len(x) > 2 and x[2] is not None else None
    return F.layer_norm(x[0], shape, x[1].expand(shape), bias, a.get("epsilon", 1e-5))


def batch_norm(x: list[Any], a: Attributes) -> Any:
    """``BatchNormalization``, as trained."""
    if a.get("training_mode"):
        raise NotHere
    return F.batch_norm(x[0], x[3], x[4], x[1], x[2], False, 0.0, a.get("epsilon", 1e-5))


def instance_norm(x: list[Any], a: Attributes) -> Any:
    """``InstanceNormalization``."""
    return F.instance_norm(x[0], None, None, x[1], x[2], eps=a.get("epsilon", 1e-5))


def group_norm(x: list[Any], a: Attributes) -> Any:
    """``GroupNormalization``."""
    groups = int(a["num_groups"])
    weight, bias = x[1], x[2]
    if weight.shape[0] == groups != x[0].shape[1]:  # before opset 21: one value a group
        each = x[0].shape[1] // groups
        weight, bias = weight.repeat_interleave(each), bias.repeat_interleave(each)
    return F.group_norm(x[0], groups, weight, bias, a.get("epsilon", 1e-5))
