"""A tile graph in PyTorch: the same ONNX operators, in the same order, as every other engine's.

Translated once for one window: what does not hang on the picture is computed while translating,
constants are cast and moved once, and shapes are followed through the graph on PyTorch's "meta"
device, which computes nothing. What is left is a list of steps to call, and how much memory it
takes. (The library onnx2torch was looked at: it knows no opset 18, warns where it computes
something else, and leaves precision to the whole model.)
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from superres.engines.torch_ops import OPERATORS, Attributes, Operator, shape_of
from superres.engines.torch_resize import KEPT, NotHere
from superres.errors import EngineUnavailable, SuperresError
from superres.models.listing import Listing, Node

CHECKPOINT = "superres::Checkpoint"
"""A network that has no ONNX form: weights that PyTorch loads."""

_NETWORK = re.compile(r"net\d+\.")
"""What values of a network are called in a tile graph; all others are the head's."""

_FRESH = frozenset({"Conv", "ConvTranspose"})
"""Operators whose result shares no memory with anything, so that it may be written over."""


@dataclass
class _Step:
    """One call: ``arguments`` are names of values, or what is known of them."""

    kind: str
    compute: Callable[[list[Any], Attributes], Any]
    arguments: list[Any]
    attributes: Attributes
    outputs: tuple[str, ...]
    done_with: list[str] = field(default_factory=list)


class TorchGraph:
    """A tile graph, ready to be computed. Thread-safe.

    Args:
        listing: of the graph; its one input is an image ``(1, 3, h, w)``.
        window: h and w.
        device: where to compute.
        dtype: of the networks; what is around them is float32.
        channels_last: memory format of images.

    Attributes:
        names: of what comes out.
        results: the same as tensors without content, for their shapes and dtypes.
        working_bytes: that values take at most at a time, constants not counted.

    Raises:
        EngineUnavailable: an operator, or a form of one, that is not computed here.
        WeightsMissing: from the weights of a network without ONNX form.
    """

    def __init__(
        self,
        listing: Listing,
        window: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
        *,
        channels_last: bool,
    ) -> None:
        self._device, self._dtype, self._last = device, dtype, channels_last
        self.names = listing.outputs
        self._image = listing.inputs[0]
        self._steps: list[_Step] = []
        self._known: dict[str, Any] = {
            name: torch.from_numpy(np.array(value)) for name, value in listing.constants.items()
        }
        self._bound: dict[tuple[str, torch.dtype], torch.Tensor] = {}
        self._shapes: dict[str, torch.Tensor] = {
            self._image: torch.empty((1, 3, *window), device="meta")
        }
        for node in listing.nodes:
            try:
                self._translate(node)
            except SuperresError:
                raise
            except NotHere as exc:
                raise _refused(node.kind) from exc
            except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as exc:
                raise EngineUnavailable(
                    f"The network's operator {node.kind} does not fit its input ({exc}); "
                    "use --device cpu."
                ) from exc
        del self._known
        self._fuse()
        self.working_bytes = self._plan_memory()
        self.results = {name: self._shapes[name] for name in self.names}
        del self._shapes, self._bound

    def __call__(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute one tile; call it in inference mode.

        Args:
            image: float32 ``(1, 3, h, w)`` on the device.

        Returns:
            The graph's outputs, on the device.
        """
        if self._last:
            image = image.contiguous(memory_format=torch.channels_last)
        values: dict[str, Any] = {self._image: image}
        for step in self._steps:
            arguments = [values[a] if type(a) is str else a for a in step.arguments]
            result = step.compute(arguments, step.attributes)
            del arguments  # holds on to what may be freed
            if len(step.outputs) == 1:
                values[step.outputs[0]] = result
            else:
                values.update(zip(step.outputs, result, strict=False))
            del result
            for name in step.done_with:
                del values[name]
        return {name: values[name] for name in self.names}

    # ------------------------------------------------------------------ translating

    def _translate(self, node: Node) -> None:
        names = [name for name in node.inputs if name]
        if node.kind == CHECKPOINT:
            self._checkpoint(node)
            return
        if node.kind in ("Shape", "Size"):
            source = self._shapes.get(names[0], self._known.get(names[0]))
            shape = shape_of(source, node.attributes if node.kind == "Shape" else {})
            value = shape if node.kind == "Shape" else np.array(shape.prod(), np.int64)
            self._known[node.outputs[0]] = torch.from_numpy(value)
            return
        if node.kind == "Cast":
            operator = Operator(_cast)
        elif node.kind in OPERATORS:
            operator = OPERATORS[node.kind]
        else:
            raise _refused(node.kind)
        outputs = sum(1 for name in node.outputs if name)
        attributes = {**node.attributes, "outputs": outputs, KEPT: {}}
        if all(name in self._known for name in names):
            self._fold(node, operator, attributes)
            return
        inside = _NETWORK.match(node.outputs[0]) is not None
        dtype = self._dtype if inside and not operator.wide else torch.float32
        if node.kind == "Cast":
            wanted = _torch_dtype(attributes["to"])
            attributes["to"] = dtype if wanted.is_floating_point else wanted
        arguments: list[Any] = []
        for position, name in enumerate(node.inputs):
            if not name:
                arguments.append(None)
            elif position in operator.values:
                if name not in self._known:
                    raise NotHere  # a shape that hangs on the picture
                arguments.append(self._known[name].numpy())
            elif name in self._known:
                arguments.append(self._constant(name, dtype, node.kind))
            else:
                arguments.append(name if node.kind == "Cast" else self._as(name, dtype))
        self._add(_Step(node.kind, operator.compute, arguments, attributes, node.outputs))

    def _fold(self, node: Node, operator: Operator, attributes: Attributes) -> None:
        """Compute what hangs on constants alone, in the precision that they have."""
        if node.kind == "Cast":
            attributes = {"to": _torch_dtype(attributes["to"])}
        values = [
            None
            if not name
            else self._known[name].numpy()
            if position in operator.values
            else self._known[name]
            for position, name in enumerate(node.inputs)
        ]
        result = operator.compute(values, attributes)
        results = result if isinstance(result, tuple | list) else (result,)
        self._known.update(zip(node.outputs, results, strict=False))

    def _constant(self, name: str, dtype: torch.dtype, kind: str) -> torch.Tensor:
        value = self._known[name]
        key = name, dtype if value.is_floating_point() else value.dtype
        if key not in self._bound:
            # All is done before it goes to the device: what would run there, in the default
            # stream, is waited for by nobody.
            made = value.to(key[1])
            if self._last and kind in _FRESH and made.ndim == 4:
                made = made.contiguous(memory_format=torch.channels_last)
            self._bound[key] = made.to(self._device)
        return self._bound[key]

    def _as(self, name: str, dtype: torch.dtype) -> str:
        """``name``, or what it is called in ``dtype`` if it has another."""
        shape = self._shapes[name]
        if not shape.is_floating_point() or shape.dtype == dtype:
            return name
        cast = f"{name}|{dtype}"
        if cast not in self._shapes:
            self._add(_Step("Cast", _cast, [name], {"to": dtype}, (cast,)))
        return cast

    def _checkpoint(self, node: Node) -> None:
        scale = int(node.attributes["scale"])
        module = _module(node.attributes["path"], node.attributes["sha256"], self._device)
        compute = partial(_in_module, module=module, device=self._device.type, dtype=self._dtype)
        source = self._as(node.inputs[0], torch.float32)
        n, c, h, w = self._shapes[source].shape
        self._shapes[node.outputs[0]] = torch.empty((n, c, h * scale, w * scale), device="meta")
        self._steps.append(_Step(node.kind, compute, [source], {}, node.outputs))

    def _add(self, step: _Step) -> None:
        """Follow the shapes through ``step``, and keep it."""
        arguments = [
            self._shapes[a] if isinstance(a, str) else a.to("meta") if torch.is_tensor(a) else a
            for a in step.arguments
        ]
        result = step.compute(arguments, step.attributes)
        results = result if isinstance(result, tuple | list) else (result,)
        if len(step.outputs) == 1 and isinstance(result, tuple | list):  # a split into one
            inner = step.compute
            step.compute = lambda x, a: inner(x, a)[0]
        self._shapes.update(zip(step.outputs, results, strict=False))
        self._steps.append(step)

    # -------------------------------------------------------------------- finishing

    def _fuse(self) -> None:
        """Write activations over the convolutions they follow; add scaled values in one go."""
        users: dict[str, int] = dict.fromkeys(self.names, 2)
        makers: dict[str, _Step] = {}
        for step in self._steps:
            makers.update(dict.fromkeys(step.outputs, step))
            for name in {a for a in step.arguments if isinstance(a, str)}:
                users[name] = users.get(name, 0) + 1
        gone: set[int] = set()
        for step in self._steps:
            made = [makers.get(a) if isinstance(a, str) else None for a in step.arguments]
            alone = [isinstance(a, str) and users[a] == 1 for a in step.arguments]
            if step.kind in ("LeakyRelu", "Relu") and made[0] and alone[0]:
                if made[0].kind in _FRESH:
                    slope = step.attributes.get("alpha", 0.01) if step.kind == "LeakyRelu" else 0.0
                    step.compute = partial(_activate, slope=slope)
            elif step.kind == "Add" and (made[0] or made[1]) and made[0] is not made[1]:
                for i, scaled in enumerate(made):
                    factor = _factor(scaled)
                    if scaled is None or factor is None or not alone[i]:
                        continue
                    step.arguments = [step.arguments[1 - i], scaled.arguments[0]]
                    step.compute = partial(_add_scaled, factor=factor)
                    gone.add(id(scaled))
                    break
        self._steps = [step for step in self._steps if id(step) not in gone]

    def _plan_memory(self) -> int:
        """Say when values are needed no more; the most bytes that live at a time."""
        last: dict[str, int] = {}
        for index, step in enumerate(self._steps):
            for name in (*step.outputs, *(a for a in step.arguments if isinstance(a, str))):
                last[name] = index
        most = now = _size(self._shapes[self._image])
        for index, step in enumerate(self._steps):
            now += sum(_size(self._shapes[name]) for name in step.outputs)
            most = max(most, now)
            named = {*step.outputs, *(a for a in step.arguments if isinstance(a, str))}
            step.done_with = sorted(n for n in named if last[n] == index and n not in self.names)
            now -= sum(_size(self._shapes[name]) for name in step.done_with)
        return most


_MODULES: WeakValueDictionary[tuple[str, str, str], Any] = WeakValueDictionary()
"""Networks in use: every window, guarded and not, has a graph, and all share the weights."""


def _module(path: str, sha256: str, device: torch.device) -> Any:
    """The network in a file of weights, on ``device``."""
    from superres.engines.spandrel_networks import load_checkpoint

    key = path, sha256, str(device)
    module = _MODULES.get(key)
    if module is None:
        module = _MODULES[key] = load_checkpoint(Path(path), sha256).to(device)
    return module


def _cast(x: list[Any], a: Attributes) -> Any:
    return x[0].to(a["to"])


def _activate(x: list[Any], _: Attributes, *, slope: float) -> Any:
    return F.leaky_relu_(x[0], slope) if slope else F.relu_(x[0])


def _add_scaled(x: list[Any], _: Attributes, *, factor: float) -> Any:
    return torch.add(x[0], x[1], alpha=factor)


def _in_module(x: list[Any], _: Attributes, *, module: Any, device: str, dtype: torch.dtype) -> Any:
    """A network of others, which says itself (by autocast's rules) what needs float32."""
    half = torch.autocast(device, dtype) if dtype != torch.float32 else contextlib.nullcontext()
    with half:
        return module(x[0]).float()


def _factor(step: _Step | None) -> float | None:
    """The number that ``step`` multiplies one value by, if that is all it does."""
    if step is None or step.kind != "Mul" or not isinstance(step.arguments[0], str):
        return None
    second = step.arguments[1]
    if not torch.is_tensor(second) or second.numel() != 1 or second.ndim > 1:
        return None
    if not second.is_floating_point():
        return None
    return float(second)


def _size(shape: torch.Tensor) -> int:
    return int(shape.numel()) * int(shape.element_size())


def _torch_dtype(dtype: Any) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    return torch.from_numpy(np.zeros(0, dtype)).dtype


def _refused(kind: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The network uses the operator {kind} in a form that PyTorch is not told of here; "
        "use --device cpu."
    )
