"""Networks in PyTorch's own files: any architecture that spandrel knows, from picture to picture.

spandrel tells the architecture from names and shapes of the tensors, and builds it. Files are read
as tensors only: no pickle runs anything. torch and spandrel are imported when a file is loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from superres.engines.spandrel_import import (
    add_extra_architectures,
    check_installed,
    import_spandrel,
    read_tensors,
)
from superres.errors import (
    BadParameter,
    EngineError,
    OutOfMemory,
    WeightsMissing,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

OPSET = 18
"""ONNX operator set that is exported."""

_MOST_VALUES = 1 << 28
"""Shapes make the network, and a small file can claim large ones: 268 million values are 1 GB."""

_TRACED = 64
"""Side of the picture that an export follows through the network."""


@dataclass(frozen=True)
class SpandrelNetwork:
    """A loaded network.

    Attributes:
        module: ``(1, 3, h, w)`` float32 RGB in [0, 1] to the same, ``scale`` times larger; in
            evaluation mode, on the processor.
        architecture: its name and what spandrel says of its size.
        scale: how many times it enlarges.
        channels: of the network itself; one of 1 is run on each colour.
        multiple, minimum: that sides of a picture must be multiples of, and have.
        tiles: whether pictures may be cut into tiles.
        half: whether it is made for half precision.
    """

    module: Module
    architecture: str
    scale: int
    channels: int
    multiple: int
    minimum: int
    tiles: bool
    half: bool

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute once; blocks.

        Args:
            image: ``(1, 3, h, w)`` RGB in [0, 1].

        Raises:
            OutOfMemory: it does not fit.
            EngineError: the network does not take that size, or fails.
        """
        import torch

        try:
            with torch.inference_mode():
                result: NDArray[np.float32] = self.module(torch.from_numpy(image)).numpy()
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, MemoryError) as e:
            raise _translated(e) from e
        return result


def check_runtime() -> None:
    """See that what reads PyTorch's files is installed, without importing it.

    Raises:
        EngineUnavailable: it is not; the sentence says how to install it.
    """
    check_installed("Files of PyTorch's need")


def load_spandrel(file: BinaryIO) -> SpandrelNetwork:
    """Load a network that enlarges or repairs pictures.

    Args:
        file: of PyTorch's or safetensors' form, at its start.

    Raises:
        EngineUnavailable: PyTorch or spandrel cannot be had.
        BadParameter: no architecture that is known, or one that cannot be used; the sentence says
            why.
        OutOfMemory: it does not fit.
    """
    check_runtime()
    spandrel = import_spandrel()
    add_extra_architectures()
    try:
        tensors = spandrel.canonicalize_state_dict(read_tensors(file))
        numbers = [each for each in tensors.values() if hasattr(each, "numel")]
        if not numbers or sum(tensor.numel() for tensor in numbers) > _MOST_VALUES:
            raise ValueError("no tensors, or more values than any network here has")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = spandrel.ModelLoader("cpu").load_from_state_dict(tensors)
    except MemoryError as exc:
        raise _translated(exc) from exc
    except spandrel.UnsupportedModelError as exc:
        raise BadParameter(
            "These are weights of a network that nobody here knows: spandrel tells none of its "
            "architectures from their names."
        ) from exc
    except Exception as exc:  # whatever a file can make of two foreign libraries
        raise BadParameter(
            f"The file holds no weights that load ({type(exc).__name__}: "
            f"{str(exc).strip()[:120]}); get it again, from its authors."
        ) from exc
    _check_usable(spandrel, found)
    return _wrapped(spandrel, found)


def interpolated(a: BinaryIO, b: BinaryIO, share: float) -> bytes:
    """The weighted mean of two files of weights of one architecture.

    Args:
        a, b: of PyTorch's or safetensors' form, at their start.
        share: of ``b``, 0…1.

    Returns:
        A file of safetensors.

    Raises:
        EngineUnavailable: PyTorch or spandrel cannot be had.
        BadParameter: they hold different networks, or none.
    """
    check_runtime()
    spandrel = import_spandrel()
    from safetensors.torch import save

    try:
        first, second = (spandrel.canonicalize_state_dict(read_tensors(file)) for file in (a, b))
        shapes = [{name: tuple(t.shape) for name, t in each.items()} for each in (first, second)]
    except Exception as exc:  # whatever a file can make of two foreign libraries
        raise BadParameter("The files hold no weights that load; get them again.") from exc
    if shapes[0] != shapes[1]:
        raise BadParameter(
            "The two files are of different architectures, so there is nothing between them; blend "
            "two sets of weights of the same."
        )
    mixed = {}
    for name, one in first.items():
        if one.is_floating_point():
            one = ((1 - share) * one.double() + share * second[name].double()).float()
        mixed[name] = one.contiguous().clone()
    data: bytes = save(mixed)
    return data


def load_checkpoint(path: Path, sha256: str) -> Module:
    """Load the network in ``path`` for an engine of PyTorch's.

    Args:
        path: a file that ``superres models add`` kept.
        sha256: hex digest that it must have.

    Returns:
        ``(1, 3, h, w)`` float32 RGB in [0, 1] to the same enlarged; in evaluation mode, on the
        processor.

    Raises:
        EngineUnavailable: PyTorch or spandrel cannot be had.
        WeightsMissing: the file is gone, another one, or does not load.
        OutOfMemory: it does not fit.
    """
    again = "run superres models add again, or choose another model."
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise WeightsMissing(f"The file of the model that was added is gone; {again}") from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsMissing(
            "The file of the model that was added is not the one that was (its SHA-256 is "
            f"another), so it is not loaded; {again}"
        )
    try:
        return load_spandrel(io.BytesIO(data)).module
    except BadParameter as exc:
        raise WeightsMissing(f"The model that was added does not load; {again}") from exc


def export(network: SpandrelNetwork) -> bytes:
    """Write a network as ONNX, for any height and width.

    PyTorch's exporter follows one picture through it. What a network decides by Python's own
    arithmetic on its input's size is then fixed: the caller compares at other sizes.

    Returns:
        A serialised model with the input ``input`` and the output ``output``.

    Raises:
        EngineError: it has no ONNX form.
        OutOfMemory: it does not fit.
    """
    import torch

    side = max(_TRACED, network.minimum)
    side = -(-side // network.multiple) * network.multiple
    out = io.BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings(), _quiet(torch):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.module,
                (torch.rand(1, 3, side, side),),
                out,
                dynamo=False,
                verbose=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": {2: "h", 3: "w"}, "output": {2: "H", 3: "W"}},
            )
    except MemoryError as exc:
        raise _translated(exc) from exc
    except Exception as exc:  # the exporter's are of many kinds
        raise EngineError(
            f"The network has no ONNX form ({type(exc).__name__}); it is run by PyTorch."
        ) from exc
    return out.getvalue()


@contextlib.contextmanager
def _quiet(torch: Any) -> Iterator[None]:
    """Have the exporter not print its graph where it fails.

    PyTorch 2.13 takes the function that tells whether it should for the answer, which is then yes.
    """
    asked = getattr(torch._C, "_jit_is_onnx_log_enabled", None)
    if asked is None:
        yield
        return
    torch._C._jit_is_onnx_log_enabled = False
    try:
        yield
    finally:
        torch._C._jit_is_onnx_log_enabled = asked


def cost(network: SpandrelNetwork, height: int, width: int) -> tuple[float, int]:
    """Multiply-accumulates, and values alive at a time, of one run on ``height × width``.

    The second is a guess: twice what the largest module takes in and gives out.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    most = 0

    def seen(_: Any, given: Any, made: Any) -> None:
        nonlocal most
        tensors = [each for each in (*given, made) if isinstance(each, torch.Tensor)]
        most = max(most, sum(each.numel() for each in tensors))

    leaves = [part for part in network.module.modules() if not any(part.children())]
    hooks = [part.register_forward_hook(seen) for part in leaves]
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            network.module(torch.rand(1, 3, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return counter.get_total_flops() / 2, 2 * most


def _check_usable(spandrel: Any, found: Any) -> None:
    name = found.architecture.name
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise BadParameter(
            f"{name} fills holes in pictures (it wants a mask beside each), and is not used here."
        )
    if found.purpose == "FaceSR":
        raise BadParameter(f"{name} restores faces, and is not one that can be used for that here.")
    channels = found.input_channels, found.output_channels
    if channels not in ((3, 3), (1, 1)):
        raise BadParameter(
            f"This {name} takes {channels[0]} channels and gives {channels[1]}; 3 and 3 (or 1 and "
            "1) is what can be used."
        )
    if found.size_requirements.square:
        raise BadParameter(f"{name} takes square pictures only, and is not used here.")


def _wrapped(spandrel: Any, found: Any) -> SpandrelNetwork:
    import torch

    call, inner, single = found._call_fn, found.model.float().eval(), found.input_channels == 1

    class Colour(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """RGB in and out, as spandrel calls the network, but for the clipping at the end."""

        def __init__(self) -> None:
            super().__init__()
            self.network = inner

        def forward(self, image: Tensor) -> Tensor:
            result: Tensor
            if single:
                parts = [call(self.network, image[:, i : i + 1]) for i in range(3)]
                result = torch.cat(parts, 1)
            else:
                result = call(self.network, image)
            return result

    for parameter in inner.parameters():
        parameter.requires_grad_(False)
    size = found.size_requirements
    told = ", ".join([found.architecture.name, *found.tags])
    return SpandrelNetwork(
        module=Colour().eval(),
        architecture=told[:80],
        scale=found.scale,
        channels=found.input_channels,
        multiple=size.multiple_of,
        minimum=max(1, size.minimum),
        tiles=found.tiling is not spandrel.ModelTiling.INTERNAL,
        half=found.supports_half,
    )


def _translated(exc: BaseException) -> EngineError:
    text = str(exc)
    if isinstance(exc, MemoryError) or "allocate memory" in text or "enough memory" in text:
        return OutOfMemory("The network does not fit in memory.")
    return EngineError(f"The network failed ({type(exc).__name__}: {text.strip()[:160]}).")
