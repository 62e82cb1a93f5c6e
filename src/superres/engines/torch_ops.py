"""ONNX operators in PyTorch: what exported super-resolution networks and tile graphs use.

Semantics after the ONNX operator reference (opsets 11 to 21, https://onnx.ai/onnx/operators);
where an attribute became an input or the other way round, both forms are read. What an
operator can do beyond what is here raises :class:`NotHere` rather than computing something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from superres.engines import torch_layers as layers
from superres.engines.torch_resize import NotHere, pad, positions, resize

Attributes = Mapping[str, Any]
Compute = Callable[[list[Any], Attributes], Any]
"""Inputs (tensors; arrays where the operator wants values; None where left out) to outputs."""


@dataclass(frozen=True)
class Operator:
    """How to compute one kind of node.

    Attributes:
        compute: it.
        values: positions of inputs whose values it needs to know before it runs.
        wide: computed in float32 whatever the network runs in, as PyTorch's autocast does.
    """

    compute: Compute
    values: frozenset[int] = frozenset()
    wide: bool = False


def _numbers(inputs: Sequence[Any], position: int, given: Any = None) -> list[int] | None:
    """The whole numbers of an input, or else of an attribute."""
    if len(inputs) > position and inputs[position] is not None:
        return [int(n) for n in np.asarray(inputs[position]).reshape(-1)]
    return None if given is None else [int(n) for n in np.asarray(given).reshape(-1)]


def _one(function: Callable[..., Any], **fixed: Any) -> Compute:
    return lambda x, _: function(x[0], **fixed)


def _two(function: Callable[[Any, Any], Any]) -> Compute:
    return lambda x, _: function(x[0], x[1])


def _several(function: Callable[[Any, Any], Any]) -> Compute:
    def compute(x: list[Any], _: Attributes) -> Any:
        result = x[0]
        for other in x[1:]:
            result = function(result, other)
        return result

    return compute


def _div(x: list[Any], _: Attributes) -> Any:
    if x[0].is_floating_point():
        return x[0] / x[1]
    return torch.div(x[0], x[1], rounding_mode="trunc")


def _mod(x: list[Any], a: Attributes) -> Any:
    return torch.fmod(x[0], x[1]) if a.get("fmod") else torch.remainder(x[0], x[1])


def _clip(x: list[Any], a: Attributes) -> Any:
    low = x[1] if len(x) > 1 else a.get("min")
    high = x[2] if len(x) > 2 else a.get("max")
    if low is None and high is None:
        return x[0]
    return torch.clamp(x[0], low, high)


def _prelu(x: list[Any], _: Attributes) -> Any:
    source, slope = x
    if slope.numel() == 1 or (
        source.ndim > 2 and slope.shape == (source.shape[1], *[1] * (source.ndim - 2))
    ):
        return F.prelu(source, slope.reshape(-1))
    return torch.where(source < 0, source * slope, source)


def _softmax(x: list[Any], a: Attributes) -> Any:
    return torch.softmax(x[0], int(a.get("axis", -1)))


def _gelu(x: list[Any], a: Attributes) -> Any:
    return F.gelu(x[0], approximate=a.get("approximate", "none"))


def _hard_sigmoid(x: list[Any], a: Attributes) -> Any:
    return torch.clamp(a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5), 0, 1)


# ------------------------------------------------------------------ shapes and indices


def _reshape(x: list[Any], a: Attributes) -> Any:
    shape = _numbers(x, 1) or []
    if not a.get("allowzero"):
        shape = [x[0].shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x[0].reshape(shape)


def _flatten(x: list[Any], a: Attributes) -> Any:
    axis = int(a.get("axis", 1))
    return x[0].reshape(math.prod(x[0].shape[: axis if axis >= 0 else axis + x[0].ndim]), -1)


def _transpose(x: list[Any], a: Attributes) -> Any:
    return x[0].permute(*a.get("perm", tuple(reversed(range(x[0].ndim)))))


def _squeeze(x: list[Any], a: Attributes) -> Any:
    axes = _numbers(x, 1, a.get("axes"))
    return x[0].squeeze() if axes is None else x[0].squeeze(tuple(axes))


def _unsqueeze(x: list[Any], a: Attributes) -> Any:
    axes = _numbers(x, 1, a.get("axes")) or []
    rank = x[0].ndim + len(axes)
    for axis in sorted(n % rank for n in axes):
        x[0] = x[0].unsqueeze(axis)
    return x[0]


def _split(x: list[Any], a: Attributes) -> Any:
    axis = int(a.get("axis", 0))
    sizes = _numbers(x, 1, a.get("split"))
    if sizes is not None:
        return torch.split(x[0], sizes, axis)
    count = int(a.get("num_outputs", a["outputs"]))
    return torch.split(x[0], -(-x[0].shape[axis] // count), axis)


def _slice(x: list[Any], a: Attributes) -> Any:
    source = x[0]
    starts, ends = _numbers(x, 1, a.get("starts")) or [], _numbers(x, 2, a.get("ends")) or []
    axes = _numbers(x, 3, a.get("axes")) or list(range(len(starts)))
    steps = _numbers(x, 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = source.shape[axis]
        chosen = range(size)[start:end:step]
        if step > 0:
            index = [slice(None)] * source.ndim
            index[axis] = slice(chosen.start, max(chosen.start, chosen.stop), step)
            source = source[tuple(index)]
        else:
            source = source.index_select(axis, positions(chosen, source.device, a))
    return source


def _from_end(index: Any, size: int) -> Any:
    return torch.where(index < 0, index + size, index)


def _gather(x: list[Any], a: Attributes) -> Any:
    source, index = x[0], x[1]
    axis = int(a.get("axis", 0)) % source.ndim
    index = _from_end(index, source.shape[axis])
    found = source.index_select(axis, index.reshape(-1))
    return found.reshape([*source.shape[:axis], *index.shape, *source.shape[axis + 1 :]])


def _gather_elements(x: list[Any], a: Attributes) -> Any:
    axis = int(a.get("axis", 0))
    return torch.gather(x[0], axis, _from_end(x[1], x[0].shape[axis]))


def _gather_nd(x: list[Any], a: Attributes) -> Any:
    if a.get("batch_dims"):
        raise NotHere
    return x[0][tuple(x[1].unbind(-1))]


def _scatter_nd(x: list[Any], a: Attributes) -> Any:
    if a.get("reduction", "none") != "none":
        raise NotHere
    result = x[0].clone()
    result[tuple(x[1].unbind(-1))] = x[2]
    return result


def _expand(x: list[Any], _: Attributes) -> Any:
    return x[0].expand(torch.broadcast_shapes(x[0].shape, tuple(_numbers(x, 1) or ())))


def _tile(x: list[Any], _: Attributes) -> Any:
    return x[0].repeat(*(_numbers(x, 1) or ()))


def _constant(_: list[Any], a: Attributes) -> Any:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in a:
            whole = np.int64 if "int" in name else np.float32
            value = a[name] if name == "value" else np.array(a[name], whole)
            return torch.from_numpy(np.array(value))
    raise NotHere


def _constant_of_shape(x: list[Any], a: Attributes) -> Any:
    value = np.asarray(a.get("value", np.zeros(1, np.float32)))
    return torch.from_numpy(np.full(_numbers(x, 0) or (), value.reshape(-1)[0], value.dtype))


def _range(x: list[Any], _: Attributes) -> Any:
    start, limit, step = (np.asarray(each).reshape(()) for each in x)
    found = np.arange(start.item(), limit.item(), step.item())
    return torch.from_numpy(found.astype(start.dtype))


def _depth_to_space(x: list[Any], a: Attributes) -> Any:
    size = int(a["blocksize"])
    if a.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x[0], size)
    n, c, h, w = x[0].shape
    blocks = x[0].reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // size**2, h * size, w * size)


def _space_to_depth(x: list[Any], a: Attributes) -> Any:
    size = int(a["blocksize"])
    n, c, h, w = x[0].shape
    blocks = x[0].reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * size**2, h // size, w // size)


def _trilu(x: list[Any], a: Attributes) -> Any:
    diagonal = (_numbers(x, 1) or [0])[0]
    return torch.triu(x[0], diagonal) if a.get("upper", 1) else torch.tril(x[0], diagonal)


# ------------------------------------------------------------- means, products, norms


def _reduced(function: Callable[[Any, list[int], bool], Any]) -> Compute:
    def compute(x: list[Any], a: Attributes) -> Any:
        axes = _numbers(x, 1, a.get("axes"))
        if not axes:
            if a.get("noop_with_empty_axes"):
                return x[0]
            axes = list(range(x[0].ndim))
        return function(x[0], axes, bool(a.get("keepdims", 1)))

    return compute


def _product(source: Any, axes: list[int], keep: bool) -> Any:
    for axis in sorted((n % source.ndim for n in axes), reverse=True):
        source = source.prod(axis, keepdim=keep)
    return source


def _arg_max(x: list[Any], a: Attributes) -> Any:
    if a.get("select_last_index"):
        raise NotHere
    return torch.argmax(x[0], int(a.get("axis", 0)), bool(a.get("keepdims", 1)))


def _cumulated(x: list[Any], a: Attributes) -> Any:
    if a.get("exclusive") or a.get("reverse"):
        raise NotHere
    return torch.cumsum(x[0], (_numbers(x, 1) or [0])[0])


def _gemm(x: list[Any], a: Attributes) -> Any:
    left = x[0].T if a.get("transA") else x[0]
    right = x[1].T if a.get("transB") else x[1]
    result = a.get("alpha", 1.0) * (left @ right)
    return result if len(x) < 3 else result + a.get("beta", 1.0) * x[2]


def _lp_norm(x: list[Any], a: Attributes) -> Any:
    axis = int(a.get("axis", -1))
    return x[0] / torch.linalg.vector_norm(x[0], a.get("p", 2), axis, keepdim=True)


def _grid_sample(x: list[Any], a: Attributes) -> Any:
    mode: Any = a.get("mode", "linear")
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    if x[0].ndim != 4:
        raise NotHere
    where = a.get("padding_mode", "zeros")
    return F.grid_sample(x[0], x[1], mode, where, bool(a.get("align_corners", 0)))


def shape_of(source: Any, a: Attributes) -> NDArray[np.int64]:
    """What ``Shape`` answers of a tensor."""
    return np.array(list(source.shape)[a.get("start", 0) : a.get("end")], np.int64)


_PLAIN: dict[str, Compute] = {
    "Abs": _one(torch.abs),
    "Add": _two(torch.add),
    "And": _two(torch.logical_and),
    "ArgMax": _arg_max,
    "AveragePool": layers.average_pool,
    "BatchNormalization": layers.batch_norm,
    "Ceil": _one(torch.ceil),
    "Clip": _clip,
    "Concat": lambda x, a: torch.cat(x, int(a["axis"])),
    "Constant": _constant,
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "Cos": _one(torch.cos),
    "DepthToSpace": _depth_to_space,
    "Div": _div,
    "Dropout": _one(lambda x: x),
    "Einsum": lambda x, a: torch.einsum(a["equation"], *x),
    "Elu": lambda x, a: F.elu(x[0], a.get("alpha", 1.0)),
    "Equal": _two(torch.eq),
    "Erf": _one(torch.erf),
    "Flatten": _flatten,
    "Floor": _one(torch.floor),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _one(lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True)),
    "GlobalMaxPool": _one(lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True)),
    "Greater": _two(torch.gt),
    "GreaterOrEqual": _two(torch.ge),
    "GridSample": _grid_sample,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _one(F.hardswish),
    "Identity": _one(lambda x: x),
    "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "Less": _two(torch.lt),
    "LessOrEqual": _two(torch.le),
    "MatMul": _two(torch.matmul),
    "Max": _several(torch.maximum),
    "MaxPool": layers.max_pool,
    "Min": _several(torch.minimum),
    "Mish": _one(F.mish),
    "Mod": _mod,
    "Mul": _two(torch.mul),
    "Neg": _one(torch.neg),
    "Not": _one(torch.logical_not),
    "Or": _two(torch.logical_or),
    "PRelu": _prelu,
    "Relu": _one(torch.relu),
    "Round": _one(torch.round),
    "ScatterND": _scatter_nd,
    "Sigmoid": _one(torch.sigmoid),
    "Sign": _one(torch.sign),
    "Sin": _one(torch.sin),
    "SpaceToDepth": _space_to_depth,
    "Sub": _two(torch.sub),
    "Sum": _several(torch.add),
    "Tanh": _one(torch.tanh),
    "Transpose": _transpose,
    "Where": lambda x, _: torch.where(x[0], x[1], x[2]),
    "Xor": _two(torch.logical_xor),
}

_WIDE: dict[str, Compute] = {
    "Exp": _one(torch.exp),
    "GroupNormalization": layers.group_norm,
    "InstanceNormalization": layers.instance_norm,
    "LayerNormalization": layers.layer_norm,
    "Log": _one(torch.log),
    "LogSoftmax": lambda x, a: torch.log_softmax(x[0], int(a.get("axis", -1))),
    "LpNormalization": _lp_norm,
    "Pow": _two(torch.pow),
    "Reciprocal": _one(torch.reciprocal),
    "Softmax": _softmax,
    "Softplus": _one(F.softplus),
    "Sqrt": _one(torch.sqrt),
}

_KNOWING: dict[str, tuple[Compute, set[int], bool]] = {
    "ConstantOfShape": (_constant_of_shape, {0}, False),
    "CumSum": (_cumulated, {1}, True),
    "Expand": (_expand, {1}, False),
    "Pad": (pad, {1, 2, 3}, False),
    "Range": (_range, {0, 1, 2}, False),
    "ReduceL1": (_reduced(lambda x, n, k: x.abs().sum(n, keepdim=k)), {1}, True),
    "ReduceL2": (_reduced(lambda x, n, k: x.square().sum(n, keepdim=k).sqrt()), {1}, True),
    "ReduceMax": (_reduced(lambda x, n, k: x.amax(n, keepdim=k)), {1}, False),
    "ReduceMean": (_reduced(lambda x, n, k: x.mean(n, keepdim=k)), {1}, True),
    "ReduceMin": (_reduced(lambda x, n, k: x.amin(n, keepdim=k)), {1}, False),
    "ReduceProd": (_reduced(_product), {1}, True),
    "ReduceSum": (_reduced(lambda x, n, k: x.sum(n, keepdim=k)), {1}, True),
    "ReduceSumSquare": (_reduced(lambda x, n, k: x.square().sum(n, keepdim=k)), {1}, True),
    "Reshape": (_reshape, {1}, False),
    "Resize": (resize, {1, 2, 3}, False),
    "Slice": (_slice, {1, 2, 3, 4}, False),
    "Split": (_split, {1}, False),
    "Squeeze": (_squeeze, {1}, False),
    "Tile": (_tile, {1}, False),
    "Trilu": (_trilu, {1}, False),
    "Unsqueeze": (_unsqueeze, {1}, False),
}

OPERATORS: dict[str, Operator] = {
    **{kind: Operator(compute) for kind, compute in _PLAIN.items()},
    **{kind: Operator(compute, wide=True) for kind, compute in _WIDE.items()},
    **{kind: Operator(each[0], frozenset(each[1]), each[2]) for kind, each in _KNOWING.items()},
}
"""By kind. ``Cast``, ``Shape``, ``Size`` and weights that only PyTorch runs are the graph's own."""
