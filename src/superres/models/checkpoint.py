"""What a file of weights holds, told without running anything that is in it, and without torch.

PyTorch's files are zip archives around a pickle, and a pickle is a program: unpickled without
care it does what its author pleases. Here it is only read. Files of safetensors hold none.
"""

from __future__ import annotations

import json
import pickletools
import re
import struct
import zipfile
from pathlib import Path

from superres.errors import BadParameter

_MOST_HEADER = 64 << 20
"""Bytes of names and shapes; those of the networks here need less than 1 MB."""

_MAKERS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch [A-Z]\w*Storage"
)
"""All that a pickle of tensors calls; what else is called is refused when it is loaded, too."""

_STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING"}
)
_CALLS = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"})
"""Other ways to name what is called; no file of PyTorch's own goes them."""

_PREFIXES = ("module.", "netG.")

_SIGNS = {
    "GFPGAN": {"toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"},
    "CodeFormer": {"position_emb", "idx_pred_layer.1.weight", "encoder.blocks.0.weight"},
    "RestoreFormer": {"quantize.embedding.weight", "encoder.conv_in.weight", "quant_conv.weight"},
}
"""Tensors by which a network is known, as spandrel knows it."""


def restorer_in(path: Path) -> str | None:
    """Which network that restores faces the weights in ``path`` are for; None if for another.

    Raises:
        BadParameter: no file of weights, or one that holds more than tensors.
        OSError: it cannot be read.
    """
    names = tensor_names(path)
    for architecture, signs in _SIGNS.items():
        for prefix in ("", *_PREFIXES):
            if {prefix + sign for sign in signs} <= names:
                return architecture
    return None


def architecture_of(path: Path) -> str:
    """Which network the weights in ``path`` are for: "GFPGAN", "RestoreFormer" or "CodeFormer".

    Raises:
        BadParameter: none of these, no file of weights, or one that holds more than tensors.
        OSError: it cannot be read.
    """
    found = restorer_in(path)
    if found is None:
        raise BadParameter(
            "These are not weights of a network that restores faces and is known here: GFPGAN, "
            "RestoreFormer or CodeFormer."
        )
    return found


def tensor_names(path: Path) -> frozenset[str]:
    """The names in a file of weights, those of tensors among them.

    Args:
        path: a file of PyTorch's (``.pth``, since version 1.6) or of safetensors.

    Raises:
        BadParameter: it is neither, or holds more than tensors.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if not start.startswith(b"PK"):
            return _in_safetensors(start, file.read(_MOST_HEADER))
    return _in_archive(path)


def _in_archive(path: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            (entry,) = [
                e for e in archive.infolist() if re.fullmatch(r"[^/]+/data\.pkl", e.filename)
            ]
            # PyTorch compresses nothing: what claims to be more than the file is no file of its.
            claimed = sum(e.file_size for e in archive.infolist())
            if entry.file_size > _MOST_HEADER or claimed > path.stat().st_size:
                raise _unknown()
            data = archive.read(entry)
    except BadParameter:
        raise
    except Exception as exc:  # what a damaged archive can make of zipfile and of zlib
        raise _unknown() from exc
    names = set()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _STRINGS:
                names.add(str(argument))
            elif opcode.name in _CALLS or (
                opcode.name == "GLOBAL" and not _MAKERS.fullmatch(str(argument))
            ):
                raise BadParameter(
                    "The file holds more than weights (something in it wants to be run when it is "
                    "loaded), so it is not taken; get it from its authors."
                )
    except BadParameter:
        raise
    except Exception as exc:  # genops documents no errors; all mean the same
        raise _unknown() from exc
    return frozenset(names)


def _in_safetensors(start: bytes, rest: bytes) -> frozenset[str]:
    if len(start) < 8:
        raise _unknown()
    (length,) = struct.unpack("<Q", start)
    if not 2 <= length <= len(rest):
        raise _unknown()
    try:
        header = json.loads(rest[:length])
    except (ValueError, RecursionError) as exc:
        raise _unknown() from exc
    if not isinstance(header, dict):
        raise _unknown()
    return frozenset(header) - {"__metadata__"}


def _unknown() -> BadParameter:
    return BadParameter(
        "This is no file of weights: neither PyTorch's (.pth, as version 1.6 and later write it) "
        "nor one of safetensors."
    )
