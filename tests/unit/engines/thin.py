"""Small files of weights with the real architectures, shapes and form; and PyTorch, if it is here.

The networks' sizes are fixed, but a tensor that repeats one slice takes the room of the slice, in
memory and in a file. The values are random: what comes out is no face.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

MISSING = [name for name in ("torch", "spandrel") if importlib.util.find_spec(name) is None]
REASON = "PyTorch and spandrel are not installed: make test-tools"
needs_torch = pytest.mark.skipif(bool(MISSING), reason=REASON)


def have_torch() -> Any:
    """Import torch, with what spandrel needs of torchvision."""
    if MISSING:
        pytest.skip(REASON)
    import torch

    from superres.engines.spandrel_import import import_spandrel

    import_spandrel()
    return torch


def write_thin(architecture: str, path: Path, seed: int = 0) -> Path:
    """Write weights of ``architecture``; noise strengths, which begin at 0, are not 0."""
    torch = have_torch()
    torch.manual_seed(seed)
    key, more = "params_ema", {}
    package = "spandrel"
    if architecture == "CodeFormer":
        package = "spandrel_extra_arches"
        pytest.importorskip(package, reason=REASON)
    elif architecture == "RestoreFormer":
        # Its shapes are read from the file: this one can be small as a whole.
        key = "params"
        more = {"ch": 32, "n_embed": 16, "embed_dim": 32, "z_channels": 32, "num_res_blocks": 1}
        more["ch_mult"] = (1,) * 6
    module = importlib.import_module(f"{package}.architectures.{architecture}")
    network = getattr(module, architecture)(**more)
    tensors = {name: thin(torch, value) for name, value in network.state_dict().items()}
    if architecture == "GFPGAN":
        noises = [name for name, value in tensors.items() if value.shape == (1,)]
        assert len(noises) == 15
        for name in noises:
            tensors[name] = torch.randn(1)
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    else:
        torch.save({key: tensors}, path)
    return path


def thin(torch: Any, value: Any) -> Any:
    if not value.is_floating_point() or value.numel() <= 4096:
        return value.clone()
    longest = max(range(value.ndim), key=lambda axis: value.shape[axis])
    shape = list(value.shape)
    shape[longest] = 1
    return (torch.randn(shape) * value.std()).expand(value.shape)
