"""Networks of real architectures, small, whose weights are made so that they enlarge pictures.

Random weights would give another picture, which no check lets pass. Here the first three features
are the colours, the body adds a little of what random weights make of them, and the way out
enlarges the colours and sharpens them.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.engines.thin import have_torch

_ROOT = "spandrel.architectures."


def save(name: str, path: Path) -> Path:
    """Write the network ``name`` of :data:`ZOO` as people get it."""
    torch = have_torch()
    tensors = network(name).state_dict()
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    else:
        torch.save({"params_ema": tensors}, path)
    return path


def network(name: str) -> Any:
    """The module itself."""
    torch = have_torch()
    torch.manual_seed(0)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the architectures' own code
        made = ZOO[name]()
    return made.eval()


def _made(module: str, kind: str, **options: Any) -> Any:
    return getattr(importlib.import_module(_ROOT + module), kind)(**options)


def _colours(conv: Any, sharp: float = 0.0, scale: int = 1, channels: int = 3) -> None:
    """Have ``conv`` hand on the first channels, ``scale``² times each, and sharpen them."""
    weight = np.zeros(conv.weight.shape, np.float32)
    middle = conv.weight.shape[2] // 2
    for c in range(channels):
        for k in range(scale * scale):
            out = weight[c * scale * scale + k, c]
            out[middle, middle] = 1 + 4 * sharp
            if sharp:
                for y, x in ((0, 1), (1, 0), (1, 2), (2, 1)):
                    out[y, x] = -sharp
    conv.weight.copy_(have_torch().from_numpy(weight))
    if conv.bias is not None:
        conv.bias.zero_()


def _little(conv: Any, share: float = 0.02) -> None:
    conv.weight.mul_(share)
    if conv.bias is not None:
        conv.bias.zero_()


def _esrgan(channels: int = 3, scale: int = 4) -> Any:
    net = _made("ESRGAN", "ESRGAN", num_filters=16, num_blocks=1, scale=scale, in_nc=channels,
                out_nc=channels)  # fmt: skip
    convs = [part for part in net.model if hasattr(part, "weight")]
    first, *middle, last = convs
    _colours(first, channels=channels)
    _little(net.model[1].sub[-1])
    for conv in middle[:-1]:
        _colours(conv, channels=channels)
    _colours(middle[-1], sharp=0.1, channels=channels)
    _colours(last, channels=channels)
    return net


def _compact(scale: int, channels: int = 3) -> Any:
    kind = "spandrel.architectures.Compact.__arch.SRVGG"
    made = importlib.import_module(kind).SRVGGNetCompact
    net = made(num_in_ch=channels, num_out_ch=channels, num_feat=24, num_conv=3, upscale=scale)
    _little(net.body[-1], 2.0)  # beside the picture repeated, which it adds itself
    return net


def _span() -> Any:
    net = _made(
        "SPAN", "SPAN", num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2, norm=True
    )
    for conv in net.conv_1.conv:
        _little(conv)
    _colours(net.conv_1.sk)
    _colours(net.conv_cat)
    net.conv_cat.weight[:3, 16:].normal_(std=1e-6)
    _colours(net.upsampler[0], sharp=0.1, scale=2)
    net.upsampler[0].weight.mul_(1 / net.img_range)
    net.upsampler[0].bias.copy_(net.mean.flatten().repeat_interleave(4))
    return net


def _transformer(module: str, **options: Any) -> Any:
    net = _made(module, module, **options)
    _colours(net.conv_first)
    _little(net.conv_after_body)
    if hasattr(net, "conv_before_upsample"):
        _colours(net.conv_before_upsample[0])
        _colours(net.upsample[0], sharp=0.1, scale=2)
        _colours(net.conv_last)
    else:
        _colours(net.upsample[0], sharp=0.1, scale=2)
    return net


def _swinir() -> Any:
    return _transformer("SwinIR", img_size=32, window_size=8, depths=[2, 2], embed_dim=24,
                        num_heads=[2, 2], mlp_ratio=2, upscale=2,
                        upsampler="pixelshuffledirect")  # fmt: skip


def _hat() -> Any:
    return _transformer("HAT", img_size=32, window_size=8, depths=[2], embed_dim=24, num_heads=[2],
                        mlp_ratio=2, upscale=2, upsampler="pixelshuffle", compress_ratio=3,
                        squeeze_factor=6)  # fmt: skip


def _dat() -> Any:
    return _transformer("DAT", img_size=64, split_size=[8, 8], depth=[2], embed_dim=32,
                        num_heads=[2], expansion_factor=2, upscale=2,
                        upsampler="pixelshuffledirect")  # fmt: skip


def _nafnet() -> Any:
    net = _made("NAFNet", "NAFNet", width=8, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    _little(net.ending, 0.3)
    return net


def _safmn() -> Any:
    """PyTorch's exporter refuses its pooling: there is no ONNX form."""
    net = _made("SAFMN", "SAFMN", dim=16, n_blocks=1, ffn_scale=2.0, upscaling_factor=2)
    _colours(net.to_feat)
    for block in net.feats:
        _little(block.safm.aggr)
        _little(block.ccm.ccm[2])
    _colours(net.to_img[0], sharp=0.1, scale=2)
    net.to_img[0].weight.mul_(0.5)  # the features go round once, and come back beside themselves
    return net


ZOO: dict[str, Callable[[], Any]] = {
    "esrgan": _esrgan,
    "esrgan-grey": lambda: _esrgan(channels=1),
    "esrgan-four": lambda: _esrgan(channels=4),
    "compact": lambda: _compact(4),
    "compact-x1": lambda: _compact(1),
    "compact-x3": lambda: _compact(3),
    "compact-x8": lambda: _compact(8),
    "span": _span,
    "swinir": _swinir,
    "hat": _hat,
    "dat": _dat,
    "nafnet": _nafnet,
    "safmn": _safmn,
}
