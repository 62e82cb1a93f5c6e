"""Models that people added: what is known and was measured of each, as the list of weights has it.

How they come about is told in ``superres.pipeline.adding``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from superres.models.descriptor import ModelDescriptor, WeightsFile

UNKNOWN_LICENCE = "unknown: ask its authors"
"""What is told where nobody said a licence."""

SCALES = (1, 2, 3, 4, 8, 16)
"""Native scales that a model may have."""

GUARD = (0.24, 0.34)
"""As of ``general``: for networks nobody knows, see ``superres.models.graph``."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class AddedModel:
    """One model.

    Attributes:
        name: what people type.
        title: the name of the file it came in.
        architecture: of the network, as far as it can be told.
        runtime: "onnx", or "torch" for a checkpoint that only PyTorch can run.
        scale: how many times it enlarges.
        channels: 3, or 1 for a network that takes colours one by one.
        context, ramp, tile_area, multiple, minimum, whole, half, mmac_per_pixel, bytes_per_pixel:
            see :class:`superres.models.descriptor.ModelDescriptor`; measured.
        licence: as it was said, or :data:`UNKNOWN_LICENCE`.
        sha256, size: of the file that is kept.
        original_sha256, original_size: of the file that was given.
        source: the address, or the name of the file, that it came from.
        added: when, by this machine's clock: 2026-11-21T17:00:00+00:00.
    """

    name: str
    title: str
    architecture: str
    runtime: str
    scale: int
    channels: int
    context: int
    ramp: int
    tile_area: int
    multiple: int
    minimum: int
    whole: bool
    half: bool
    mmac_per_pixel: float
    bytes_per_pixel: int
    licence: str
    sha256: str
    size: int
    original_sha256: str
    original_size: int
    source: str
    added: str

    @property
    def file(self) -> str:
        """Its name in the folder of weights."""
        return f"superres-{self.sha256}"

    def descriptor(self, folder: Path) -> ModelDescriptor:
        """The same in the catalogue's words; ``folder`` is where the file lies."""
        weights = WeightsFile(
            scale=self.scale,
            sha256=self.sha256,
            size=self.size,
            source=f"{self.source} (SHA-256 {self.original_sha256})",
            installed=str(folder.absolute() / self.file),
            runtime=None if self.runtime == "onnx" else self.runtime,
        )
        return ModelDescriptor(
            name=self.name,
            title=self.title,
            architecture=self.architecture,
            purpose=f"Added on {self.added[:10]}: {self.architecture}, ×{self.scale}.",
            licence=self.licence,
            provenance=self.source,
            context=self.context,
            ramp=self.ramp,
            tile_area=self.tile_area,
            mmac_per_pixel=self.mmac_per_pixel,
            bytes_per_pixel=self.bytes_per_pixel,
            fidelity=0.0,
            guard=GUARD,
            weights=(weights,),
            multiple=self.multiple,
            minimum=self.minimum,
            whole=self.whole,
            half=self.half,
            added=True,
        )


def from_record(record: dict[str, Any]) -> AddedModel:
    """A model from its record in the list.

    Raises:
        ValueError, TypeError, KeyError: somebody wrote it by hand, and wrongly.
    """
    found = {field.name: record[field.name] for field in fields(AddedModel)}
    kinds: dict[str, Any] = {"whole": bool, "half": bool, "mmac_per_pixel": (int, float)}
    kinds |= dict.fromkeys(_NUMBERS, int)
    for name, value in found.items():
        if not isinstance(value, kinds.get(name, str)):
            raise TypeError(name)
    model = AddedModel(**found)
    # It names a file of the folder, and no other.
    if not (_DIGEST.fullmatch(model.sha256) and _DIGEST.fullmatch(model.original_sha256)):
        raise ValueError("sha256")
    if model.scale not in SCALES or model.runtime not in ("onnx", "torch"):
        raise ValueError("scale or runtime")
    least = {"context": 0, "ramp": 0, "size": 0, "original_size": 0}
    if any(getattr(model, name) < least.get(name, 1) for name in _NUMBERS):
        raise ValueError("a number that is too small")
    if any(getattr(model, name) > _MOST for name in _NUMBERS):
        raise ValueError("a number that is too large")
    if not 0 < model.mmac_per_pixel < _MOST:
        raise ValueError("mmac_per_pixel")
    return model


_MOST = 1 << 40

_NUMBERS = (
    "scale",
    "channels",
    "context",
    "ramp",
    "tile_area",
    "multiple",
    "minimum",
    "bytes_per_pixel",
    "size",
    "original_size",
)
