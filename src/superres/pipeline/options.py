"""What can be asked of an upscale, and what it says about itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import BadParameter
from superres.faces import FaceReport
from superres.imageio import OutputOptions, SourceFacts
from superres.models import ModelDescriptor, get_model

MIN_SCALE, MAX_SCALE, DEFAULT_SCALE = 1.0, 16.0, 4.0

DRAWINGS = ("anime", "anime-video")
"""Models for pictures whose people are drawn: a face there is lines like all others, and what the
detector takes for one may be anything. Faces are not looked for."""


@dataclass(frozen=True)
class UpscaleOptions:
    """One upscale's options.

    Attributes:
        scale: 1…16, fractions too; 4 if neither this nor a size is given. 1 repairs a
            picture at its own size.
        width, height: size of the result in pixels; with both, the largest that fits
            inside, so that nothing is distorted.
        megapixels: size of the result in millions of pixels.
        model: a name from the catalogue.
        fidelity: 0…1, share of the faithful model: 0 is the model alone, 1 the faithful
            model alone; None takes the model's default, lowered where the picture is noisy
            or JPEG-damaged (see ``superres.pipeline.damage``).
        colour_lock: hold low-frequency colour to the input's.
        tta: make the first pass in all eight orientations and take the mean, which takes
            eight times as long (see ``superres.pipeline.ensemble``).
        denoise: 0…1, how much noise is taken off before the picture is enlarged; 0 is none.
            None takes it off plainly noisy pictures, unless a fidelity was asked for or the model
            has none to lower (see ``superres.pipeline.denoise``).
        face: find faces and keep them recognisable (see ``superres.faces``); in drawings,
            that is with a model of :data:`DRAWINGS`, it does nothing.
        restore: name of an installed network that restores faces, such as "gfpgan"; implies
            ``face``. Not for drawings.
        restore_strength: 0…1, how much of what it makes is shown; 0 changes nothing.
        first_frame: take the first frame of an animation or multi-page file.
        output: format, quality and metadata of the file written.

    Raises:
        BadParameter: a value out of range, more than one way to say the size, or ``restore`` for
            drawings.
        ModelNotFound: no such model.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    megapixels: float | None = None
    model: str = "general"
    fidelity: float | None = None
    colour_lock: bool = True
    tta: bool = False
    denoise: float | None = None
    face: bool = False
    restore: str | None = None
    restore_strength: float = 0.5
    first_frame: bool = False
    output: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        get_model(self.model)
        box = self.width is not None or self.height is not None
        if (self.scale is not None) + box + (self.megapixels is not None) > 1:
            raise BadParameter("Give only one of scale, width/height and megapixels.")
        if self.scale is not None and not MIN_SCALE <= self.scale <= MAX_SCALE:
            raise BadParameter(f"scale is {self.scale:g}; it must be 1 to 16.")
        if self.fidelity is not None and not 0 <= self.fidelity <= 1:
            raise BadParameter(f"fidelity is {self.fidelity:g}; it must be 0 to 1.")
        if self.denoise is not None and not 0 <= self.denoise <= 1:
            raise BadParameter(f"denoise is {self.denoise:g}; it must be 0 to 1.")
        if not 0 <= self.restore_strength <= 1:
            raise BadParameter(f"restore_strength is {self.restore_strength:g}; it must be 0 to 1.")
        if self.restore is not None and not looked_for(self.descriptor):
            raise BadParameter(
                f"Faces are not looked for in drawings, so {self.model} goes without restore; "
                "leave restore out, or choose a model for photographs."
            )
        for name in ("width", "height", "megapixels"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise BadParameter(f"{name} is {value:g}; it must be more than 0.")

    @property
    def with_faces(self) -> bool:
        """Whether faces are looked for: never in drawings."""
        return looked_for(self.descriptor) and (self.face or self.restore is not None)

    @property
    def restores(self) -> bool:
        """Whether faces that are found are restored."""
        return self.restore is not None and self.restore_strength > 0

    @property
    def descriptor(self) -> ModelDescriptor:
        """The model asked for."""
        return get_model(self.model)

    @property
    def effective_fidelity(self) -> float:
        """The fidelity asked for, or the model's default."""
        return self.descriptor.fidelity if self.fidelity is None else self.fidelity


@dataclass(frozen=True)
class Progress:
    """Where the work stands.

    Attributes:
        stage: "decode", "upscale" or "encode".
        fraction: 0…1 of the whole.
    """

    stage: str
    fraction: float


@dataclass(frozen=True)
class Estimate:
    """What an upscale will do, known from the file's header alone.

    Attributes:
        width, height: of the input, upright.
        out_width, out_height: of the result.
        model, fidelity: what will run; a default fidelity may be lowered once the pixels
            are seen.
        passes: scale of each pass of the network.
        format: the result is stored as.
        seconds: expected time, from what this machine did before; 0 if it did not yet do the
            like. With faces to be looked for that of a usual picture, see
            ``superres.pipeline.estimate``.
        memory_bytes: expected peak of working memory.
        scratch_bytes: room needed on the scratch disk, at most.
    """

    width: int
    height: int
    out_width: int
    out_height: int
    model: str
    fidelity: float
    passes: tuple[int, ...]
    format: str
    seconds: float
    memory_bytes: int
    scratch_bytes: int


@dataclass(frozen=True)
class FileReport:
    """What an upscale did.

    Attributes:
        source, target: the files; None for bytes.
        data: the result if there was no target.
        width, height, out_width, out_height: pixels in and out.
        format: of the result.
        model, fidelity, passes: what ran.
        device, precision: where and how.
        seconds: everything, decoding and encoding included.
        inference_seconds: from the first tile to the last.
        peak_memory: largest resident size of this process so far, bytes; 0 if unknown.
        quality: that the result is stored with, 1…100; 100 without loss.
        facts: about the source as it is stored.
        faces: those that were found, largest first; empty if nobody asked.
    """

    source: Path | None
    target: Path | None
    data: bytes | None
    width: int
    height: int
    out_width: int
    out_height: int
    format: str
    model: str
    fidelity: float
    passes: tuple[int, ...]
    device: str
    precision: str
    seconds: float
    inference_seconds: float
    peak_memory: int
    quality: int
    facts: SourceFacts
    faces: tuple[FaceReport, ...] = ()


def looked_for(model: ModelDescriptor) -> bool:
    """Whether faces are looked for in pictures that ``model`` is for, if somebody asks."""
    return model.name not in DRAWINGS


def target_size(width: int, height: int, options: UpscaleOptions) -> tuple[int, int, float]:
    """Size of the result and the scale that leads to it.

    Returns:
        Width and height, each side times scale rounded half up (at least 1), and the scale.

    Raises:
        BadParameter: the size asked for is smaller than the input or more than 16 times it.
    """
    if options.megapixels is not None:
        scale = math.sqrt(options.megapixels * 1e6 / (width * height))
        asked = f"{options.megapixels:g} megapixels"
    elif options.width is not None or options.height is not None:
        ratios = [
            wanted / have
            for wanted, have in ((options.width, width), (options.height, height))
            if wanted is not None
        ]
        scale = min(ratios)
        asked = f"{options.width or 'any'} x {options.height or 'any'} pixels"
    else:
        scale = DEFAULT_SCALE if options.scale is None else options.scale
        return _rounded(width * scale), _rounded(height * scale), scale
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise BadParameter(
            f"{asked} would be {scale:.3g} times the input's {width} x {height}; "
            f"the scale must be from {MIN_SCALE:g} to {MAX_SCALE:g}."
        )
    return _rounded(width * scale), _rounded(height * scale), scale


def _rounded(value: float) -> int:
    return max(1, math.floor(value + 0.5))


def result_name(stem: str, options: UpscaleOptions, result: Estimate | FileReport) -> str:
    """What a result is called if nobody says: ``photo_x4.png``.

    A result whose size was asked for in pixels is called by it: ``photo_1920x1080.png``.
    """
    if options.width is None and options.height is None and options.megapixels is None:
        label = f"x{DEFAULT_SCALE if options.scale is None else options.scale:g}"
    else:
        label = f"{result.out_width}x{result.out_height}"
    extension = {"jpeg": "jpg", "tiff": "tif"}.get(result.format, result.format)
    return f"{stem}_{label}.{extension}"
