"""Operators of arithmetic on shapes, on arrays: a hundred times faster than ONNX' own reference.

An exported network of window attention has tens of thousands of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Operator = Callable[[Sequence[Array], Mapping[str, Any]], Array]


class TooLarge(ValueError):
    """What would come out is larger than any network needs."""


def compute(kind: str, inputs: Sequence[Array], options: Mapping[str, Any], most: int) -> Array:
    """Compute an operator of :data:`OPERATORS`.

    Args:
        kind: the operator's name.
        inputs: in its order.
        options: its attributes.
        most: values that may come out.

    Raises:
        TooLarge: more would come out.
        ValueError, IndexError, TypeError, KeyError, ZeroDivisionError: they do not fit.
    """
    if kind in _SIZE:
        _SIZE[kind](inputs, most)
    if kind == "Gather":
        inner = inputs[0].size // max(1, inputs[0].shape[options.get("axis", 0)])
        if inputs[1].size * inner > most:
            raise TooLarge("a constant that is too large")
    with np.errstate(all="ignore"):
        return np.asarray(OPERATORS[kind](inputs, options))


def _joined(inputs: Sequence[Array], most: int) -> None:
    if sum(each.size for each in inputs) > most:
        raise TooLarge("a constant that is too large")


def _together(inputs: Sequence[Array], most: int) -> None:
    if math.prod(np.broadcast_shapes(*(each.shape for each in inputs))) > most:
        raise TooLarge("a constant that is too large")


def _of_shape(inputs: Sequence[Array], most: int) -> None:
    shape = [int(n) for n in inputs[-1].reshape(-1)]
    if len(inputs) > 1:  # Expand
        shape = list(np.broadcast_shapes(inputs[0].shape, tuple(shape)))
    if math.prod(shape) > most:
        raise TooLarge("a constant that is too large")


def _of_range(inputs: Sequence[Array], most: int) -> None:
    start, limit, step = (each.item() for each in inputs)
    if not step or not (limit - start) / step <= most:
        raise TooLarge("a constant that is too large")


_SIZE = {
    "Concat": _joined,
    "ConstantOfShape": _of_shape,
    "Expand": _of_shape,
    "Range": _of_range,
    **dict.fromkeys(("Add", "Div", "Equal", "Mod", "Mul", "Sub", "Where"), _together),
}
"""Of those that can make more than they are given."""


def _gather(inputs: Sequence[Array], options: Mapping[str, Any]) -> Array:
    return np.asarray(np.take(inputs[0], inputs[1], axis=options.get("axis", 0)))


def _slice(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    data, starts, ends = inputs[0], inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 else list(range(len(starts)))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    cut = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        length = data.shape[axis]
        stop = None if step < 0 and end < -length else end
        cut[axis] = slice(start, stop, step)
    return data[tuple(cut)]


def _unsqueeze(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    return np.expand_dims(inputs[0], tuple(inputs[1].reshape(-1).tolist()))


def _squeeze(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    axes = tuple(inputs[1].reshape(-1).tolist()) if len(inputs) > 1 else None
    return np.squeeze(inputs[0], axes)


def _reshape(inputs: Sequence[Array], options: Mapping[str, Any]) -> Array:
    data, shape = inputs[0], inputs[1].tolist()
    if not options.get("allowzero"):
        shape = [data.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return data.reshape(shape)


def _divide(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    a, b = inputs
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    # Whole numbers are cut towards zero.
    if (b == 0).any():
        raise ZeroDivisionError("division by zero")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _modulo(inputs: Sequence[Array], options: Mapping[str, Any]) -> Array:
    return np.asarray((np.fmod if options.get("fmod") else np.mod)(*inputs))


def _constant_of_shape(inputs: Sequence[Array], options: Mapping[str, Any]) -> Array:
    value = options.get("value", np.zeros(1, np.float32))
    return np.full(tuple(inputs[0].tolist()), value.reshape(-1)[0], value.dtype)


def _expand(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].tolist()))
    return np.broadcast_to(inputs[0], shape)


def _range(inputs: Sequence[Array], _: Mapping[str, Any]) -> Array:
    # PyTorch's exporter writes vectors of one number where ONNX wants the number.
    start, limit, step = (each.item() for each in inputs)
    return np.arange(start, limit, step, dtype=inputs[0].dtype)


def _scatter(inputs: Sequence[Array], options: Mapping[str, Any]) -> Array:
    data, indices, updates = inputs
    if options.get("reduction", b"none") not in (b"none", "none"):
        raise KeyError("reduction")
    result = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


OPERATORS: dict[str, Operator] = {
    "Add": lambda x, _: np.asarray(x[0] + x[1]),
    "Cast": lambda x, o: x[0].astype(o["to"]),
    "Concat": lambda x, o: np.concatenate(x, o["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": lambda x, _: np.asarray(x[0] == x[1]),
    "Expand": _expand,
    "Gather": _gather,
    "Identity": lambda x, _: x[0],
    "Mod": _modulo,
    "Mul": lambda x, _: np.asarray(x[0] * x[1]),
    "Not": lambda x, _: np.logical_not(x[0]),
    "Range": _range,
    "Reshape": _reshape,
    "ScatterND": _scatter,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": lambda x, _: np.asarray(x[0] - x[1]),
    "Transpose": lambda x, o: np.transpose(x[0], o.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": lambda x, _: np.where(x[0], x[1], x[2]),
}
"""Those that are computed here; others are left to ONNX' reference."""
