"""Put networks and the arithmetic around them into one graph that an engine runs per tile.

A tile's way from pixels to pixels is: each network of the recipe, brought to the pass's
scale by exact area reduction; the weighted mean of the networks (*fidelity*); the *colour
lock*; quantisation. All of it is ordinary ONNX, so that every
engine computes the same thing, in its own threads, next to the network, and nothing but
finished pixels crosses back into Python.

Beside the pixels the graph returns how far each network, reduced to the input's size, is
from the input. Where that says a network ran away, the tile is computed again by the
*guarded* form of the same graph, which replaces what is implausible by plain resampling.
Ordinary pictures never pay for the guard and are never touched by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

LOCK_SIGMA = 1.5
"""Standard deviation of the colour lock's low-pass, in input pixels. Large enough that
the noise a network removed is not put back, small enough that no colour drifts."""

LOCK_RADIUS = 5
"""Where the Gaussian is cut off, in input pixels (over 3 σ)."""

ROUGHNESS = {2: 0.12, 3: 0.18, 4: 0.26}
"""Weight of roughness in a network's local error, by scale. Chosen so that clean pictures
have the same largest value in both parts."""


@dataclass(frozen=True)
class Guard:
    """When to distrust a network: see :func:`_guarded`.

    Attributes:
        start: mean local error (0…1) at which plain resampling begins to be mixed in.
        full: error from which on only plain resampling is left.
    """

    start: float
    full: float


@dataclass(frozen=True)
class Branch:
    """One network of a recipe.

    Attributes:
        network: ONNX model, input ``(1, 3, h, w)`` in [0, 1], output ``scale`` times larger.
        scale: the network's own scale, a multiple of the recipe's.
        weight: share in the mean, 0…1.
        guard: thresholds of its plausibility guard.
    """

    network: onnx.ModelProto
    scale: int
    weight: float
    guard: Guard


@dataclass(frozen=True)
class Head:
    """What happens around the networks.

    Attributes:
        scale: of the pass: output side = input side × scale.
        colour_lock: whether to hold low-frequency colour to the input's.
        grey: return one channel (the mean of the three) instead of three.
        quantise: return uint8 (0…255) instead of float32 (nominally 0…1, not clipped).
    """

    scale: int
    colour_lock: bool = True
    grey: bool = False
    quantise: bool = True


class _Graph:
    """Nodes and constants under construction; every method returns the new tensor's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def _name(self, hint: str) -> str:
        self._count += 1
        return f"head.{hint}.{self._count}"

    def constant(self, value: NDArray[np.generic]) -> str:
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = self._name(kind)
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x: str, kernel: NDArray[np.float32], *, edge: bool = True) -> str:
        """Convolution of ``(1, c, h, w)`` with ``(out, c, kh, kw)``, same size.

        Outside, the edge's values go on, or zeros if not ``edge`` (one pass over ``x`` less).
        """
        pads = [kernel.shape[2] // 2, kernel.shape[3] // 2] * 2
        if edge:
            whole = self.constant(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64))
            x, pads = self.op("Pad", x, whole, mode="edge"), [0] * 4
        return self.op(
            "Conv", x, self.constant(kernel), kernel_shape=list(kernel.shape[2:]), pads=pads
        )

    def area(self, x: str, factor: int) -> str:
        """Mean over ``factor × factor`` blocks: exact area reduction."""
        if factor == 1:
            return x
        return self.op("AveragePool", x, kernel_shape=[factor] * 2, strides=[factor] * 2)

    def box(self, x: str, size: int) -> str:
        """Running mean over ``size × size``."""
        return self.op(
            "AveragePool",
            x,
            kernel_shape=[size] * 2,
            strides=[1, 1],
            pads=[size // 2] * 4,
            count_include_pad=0,
        )

    def dilate(self, x: str, size: int) -> str:
        """Running maximum over ``size × size``."""
        return self.op("MaxPool", x, kernel_shape=[size] * 2, strides=[1, 1], pads=[size // 2] * 4)

    def enlarge(self, x: str, taps: NDArray[np.float64]) -> str:
        """Polyphase interpolation by the ``(scale, size)`` taps from :func:`cubic_taps`."""
        scale, size = taps.shape
        if scale == 1:
            return x
        kernel = np.zeros((3, scale, scale, 3, size, size), np.float32)
        for c in range(3):
            kernel[c, :, :, c] = np.einsum("ai,bj->abij", taps, taps)
        mixed = self.conv(x, kernel.reshape(3 * scale * scale, 3, size, size))
        return self.op("DepthToSpace", mixed, blocksize=scale, mode="CRD")


def cubic_taps(scale: int, a: float = -0.5) -> NDArray[np.float64]:
    """Weights of bicubic interpolation (Keys 1981, a = −½) by a whole factor.

    Returns:
        ``(scale, 5)``: for each of the ``scale`` output phases the weights of the input
        pixels −2…+2 around the one it lies in (half-pixel centres).
    """
    phase = (np.arange(scale) + 0.5) / scale - 0.5
    d = np.abs(phase[:, None] - np.arange(-2, 3)[None, :])
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def linear_taps(scale: int) -> NDArray[np.float64]:
    """Weights of linear interpolation by a whole factor, ``(scale, 3)``."""
    phase = (np.arange(scale) + 0.5) / scale - 0.5
    return np.asarray(np.maximum(0.0, 1 - np.abs(phase[:, None] - np.arange(-1, 2)[None, :])))


def _gaussian(sigma: float, radius: int) -> NDArray[np.float32]:
    x = np.arange(-radius, radius + 1)
    g = np.exp(-(x**2) / (2 * sigma**2))
    return np.asarray(g / g.sum(), np.float32)


def _local_error(g: _Graph, out: str, scale: int, dropped: str | None = None) -> str:
    """How implausible ``out`` is around each input pixel, 0 = not at all: ``(1, 1, h, w)``.

    The larger of two means over 5 × 5 input pixels. The first is the difference between the
    input and ``out`` reduced to its size (plus ``dropped``): a good answer, reduced again, is
    the input. The second is the roughness of ``out``, the absolute Laplacian, brought to the
    same scale by ``ROUGHNESS``: a good answer has no structure finer than its own grid.

    Measured with SPAN: at most 0.08 on clean photographs and on Set14 (0.06 but for one slide
    of text); 0.2 … 50 on small rendered text, around which it sets dots, on checkerboards,
    stripes, dither, halftone, fax and heavy noise (and NaN in half precision).
    """
    channels = g.constant(np.array([1], np.int64))
    reduced = g.area(out, scale)
    if dropped is not None:
        reduced = g.op("Add", reduced, g.area(dropped, scale))
    error = g.op("Abs", g.op("Sub", reduced, "image"))
    error = g.box(g.op("ReduceMean", error, channels, keepdims=1), 5)
    if scale not in ROUGHNESS:
        return error
    grey = g.op("ReduceMean", out, channels, keepdims=1)
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], np.float32) * ROUGHNESS[scale]
    rough = g.box(g.area(g.op("Abs", g.conv(grey, kernel[None, None], edge=False)), scale), 5)
    return g.op("Max", error, rough)


def _guarded(g: _Graph, out: str, plain: str, instead: str, scale: int, guard: Guard) -> str:
    """Replace implausible regions of ``out`` by ``instead``.

    Values more than 1 away from ``plain``, a bicubic enlargement, are dropped singly first
    and count as an error of 1. The comparison is false for NaN, so this removes NaN too.
    """
    distance = g.op("Abs", g.op("Sub", out, plain))
    sane = g.op("LessOrEqual", distance, g.scalar(1.0))
    out = g.op("Where", sane, out, plain)
    dropped = g.op("Sub", g.scalar(1.0), g.op("Cast", sane, to=TensorProto.FLOAT))
    error = _local_error(g, out, scale, dropped)
    span = guard.full - guard.start
    ramp = g.op("Mul", g.op("Sub", g.dilate(error, 9), g.scalar(guard.start)), g.scalar(1 / span))
    mask = g.box(g.op("Clip", ramp, g.scalar(0.0), g.scalar(1.0)), 5)
    if scale > 1:
        scales = g.constant(np.array([1, 1, scale, scale], np.float32))
        mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        mask = g.op("Resize", mask, "", scales, **mode)
    return g.op("Add", out, g.op("Mul", g.op("Sub", instead, out), mask))


def _locked(g: _Graph, out: str, scale: int) -> str:
    """Colour lock: remove the low-frequency difference between ``out``, reduced, and the input."""
    drift = g.op("Sub", g.area(out, scale), "image")
    kernel = _gaussian(LOCK_SIGMA, LOCK_RADIUS)
    eye = np.eye(3, dtype=np.float32)[:, :, None, None]
    drift = g.conv(drift, eye * kernel[None, None, :, None])
    drift = g.conv(drift, eye * kernel[None, None, None, :])
    return g.op("Sub", out, g.enlarge(drift, linear_taps(scale)))


def compose_tile_graph(
    branches: Sequence[Branch], head: Head, height: int, width: int, *, guarded: bool = False
) -> onnx.ModelProto:
    """Build the graph that turns one tile into finished pixels.

    Args:
        branches: networks to mix; their weights add up to 1.
        head: what to do around them.
        height, width: of the tile with its context, in input pixels.
        guarded: apply the plausibility guard.

    Returns:
        A model with the input ``image``, float32 ``(1, 3, height, width)``, RGB in [0, 1],
        and the outputs

        - ``pixels``, ``(1, height·scale, width·scale, c)`` with c = 1 or 3, uint8 or float32;
        - ``reduced``, float32 ``(1, 3, height, width)``: the result before quantisation,
          area-reduced to the input's size, for plausibility checks;
        - unless guarded, ``errors``, float32 ``(1, n, height, width)``: for each network the
          local mean error that :class:`Guard` is about.
    """
    g = _Graph()
    models: list[onnx.ModelProto] = []
    plain: str | None = None
    trusted: str | None = None
    mixed: str | None = None
    errors: list[str] = []
    for index, branch in enumerate(branches):
        prefix = f"net{index}."
        models.append(compose.add_prefix(branch.network, prefix))
        out = g.area(prefix + "output", branch.scale // head.scale)
        if guarded:
            plain = plain or g.enlarge("image", cubic_taps(head.scale))
            # Where a later network is not to be trusted, the one before it takes over.
            out = trusted = _guarded(g, out, plain, trusted or plain, head.scale, branch.guard)
        else:
            errors.append(_local_error(g, out, head.scale))
        if branch.weight != 1.0:
            out = g.op("Mul", out, g.scalar(branch.weight))
        mixed = out if mixed is None else g.op("Add", mixed, out)
    assert mixed is not None
    if head.colour_lock:
        mixed = _locked(g, mixed, head.scale)
    out_h, out_w = height * head.scale, width * head.scale
    reduced = g.area(mixed, head.scale)  # not clipped: values far outside betray a runaway
    g.nodes.append(helper.make_node("Identity", [reduced], ["reduced"]))
    if head.grey:
        mixed = g.op("ReduceMean", mixed, g.constant(np.array([1], np.int64)), keepdims=1)
    if head.quantise:
        mixed = g.op("Mul", mixed, g.scalar(255.0))
        mixed = g.op("Round", g.op("Clip", mixed, g.scalar(0.0), g.scalar(255.0)))
        mixed = g.op("Cast", mixed, to=TensorProto.UINT8)
    g.nodes.append(helper.make_node("Transpose", [mixed], ["pixels"], perm=[0, 2, 3, 1]))
    nodes: list[onnx.NodeProto] = []
    for index, model in enumerate(models):
        nodes.append(helper.make_node("Identity", ["image"], [f"net{index}.input"]))
        nodes.extend(model.graph.node)
    outputs = ["pixels", "reduced"]
    if errors:
        g.nodes.append(helper.make_node("Concat", errors, ["errors"], axis=1))
        outputs.append("errors")
    channels = 1 if head.grey else 3
    kind = TensorProto.UINT8 if head.quantise else TensorProto.FLOAT
    infos = [
        helper.make_tensor_value_info("pixels", kind, [1, out_h, out_w, channels]),
        helper.make_tensor_value_info("reduced", TensorProto.FLOAT, [1, 3, height, width]),
        helper.make_tensor_value_info("errors", TensorProto.FLOAT, [1, len(models), height, width]),
    ]
    graph = helper.make_graph(
        nodes + g.nodes,
        "tile",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [info for info in infos if info.name in outputs],
        [t for model in models for t in model.graph.initializer] + g.constants,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="superres", ir_version=9
    )
