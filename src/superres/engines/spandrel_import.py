"""spandrel, imported where torchvision does not fit torch too; and files of weights as tensors."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO

from superres.errors import EngineUnavailable


def import_spandrel() -> Any:
    """Import spandrel, also where torchvision's compiled part does not fit torch.

    spandrel takes two functions of torchvision's that are Python. Its import only stumbles over
    operators that nobody declared, where torch was built for other devices.

    Raises:
        EngineUnavailable: it does not load.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, about theirs
            _fit_torchvision()
            import spandrel
    except (ImportError, RuntimeError, OSError, AttributeError) as exc:
        # Most often torch and torchvision that were built for different devices.
        raise EngineUnavailable(
            f"PyTorch or spandrel does not load ({type(exc).__name__}: {str(exc)[:200]}); torch "
            "and torchvision must be of one release and from one source: install both again."
        ) from exc
    return spandrel


def check_installed(what: str) -> None:
    """See that torch and spandrel are installed, without importing them.

    Args:
        what: begins the sentence: what they are needed for, and a verb.

    Raises:
        EngineUnavailable: one is not; the sentence says how to install it.
    """
    for module in ("torch", "spandrel"):
        if importlib.util.find_spec(module) is None:
            raise EngineUnavailable(
                f'{what} PyTorch and spandrel ({module} is missing): pip install "superres[torch]"'
            )


def add_extra_architectures() -> None:
    """Those whose licence forbids commercial use, if somebody installed them on purpose."""
    if importlib.util.find_spec("spandrel_extra_arches") is None:
        return
    with contextlib.suppress(ImportError, RuntimeError, OSError, AttributeError):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spandrel_extra_arches
        spandrel_extra_arches.install(ignore_duplicates=True)


def _fit_torchvision() -> None:
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError as exc:
        if "torchvision::nms" not in str(exc):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", schema)


def read_tensors(file: BinaryIO) -> Mapping[str, Any]:
    """The tensors of a file of PyTorch's or safetensors' form; nothing in it is run."""
    import torch

    start = file.read(4)
    file.seek(0)
    if start.startswith(b"PK"):
        # weights_only: a pickle could do anything else.
        loaded: Mapping[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return loaded
    from safetensors.torch import load

    tensors: Mapping[str, Any] = load(file.read())
    return tensors
