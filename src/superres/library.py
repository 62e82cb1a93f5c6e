"""The library's front door: pictures in whatever form Python people have them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from superres.errors import BadParameter
from superres.faces import FaceReport
from superres.imageio import OutputOptions
from superres.models.catalog import attach
from superres.pipeline import FileReport, Progress, UpscaleOptions
from superres.pipeline import Upscaler as Pipeline
from superres.pipeline.options import result_name
from superres.settings import load

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from superres.engines.base import Engine
    from superres.settings import Settings

Pixels = TypeVar("Pixels", bound=NDArray[Any])

_MORE = ("tta", "denoise", "face", "restore", "restore_strength")
"""What goes on to the pipeline's options as it is."""

_PILLOW_MODES = ("L", "LA", "RGB", "RGBA", "I;16")


class How(TypedDict, total=False):
    """What :func:`upscale` takes besides the picture and the scale."""

    width: int | None
    height: int | None
    megapixels: float | None
    output: str | os.PathLike[str] | None
    format: str | None
    quality: int | None
    lossless: bool | None
    strip: bool
    first_frame: bool
    tta: bool
    denoise: float | None
    face: bool
    restore: str | None
    restore_strength: float
    on_faces: Callable[[tuple[FaceReport, ...]], None] | None
    on_progress: Callable[[Progress], None] | None
    cancelled: Callable[[], bool] | None


class Upscaler:
    """A loaded model, for any number of pictures.

    Networks are loaded for the first picture of a size and kept. Thread-safe: several
    threads may share one, and their tiles then take turns on the device.

    Args:
        model: a name from ``superres models list``; None takes the settings' default.
        fidelity: 0…1, share of the faithful model; 0 is the model alone, 1 the faithful
            model alone. None takes the model's default.
        colour_lock: hold low-frequency colour to the input's.
        settings: see ``superres.settings``; None reads ``superres.toml`` and the environment.
        engine: computes instead of the one that the settings name.

    Raises:
        ModelNotFound: no such model.
        BadParameter: ``fidelity`` outside 0…1, or wrong settings.
        EngineUnavailable: the engine cannot be had on this machine.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        fidelity: float | None = None,
        colour_lock: bool = True,
        settings: Settings | None = None,
        engine: Engine | None = None,
    ) -> None:
        settings = settings or load()
        attach(settings.models.weights_dir)
        self._options: dict[str, Any] = {
            "model": model or settings.models.default,
            "fidelity": fidelity,
            "colour_lock": colour_lock,
        }
        UpscaleOptions(**self._options)  # checks them now
        self._pipeline = Pipeline(settings, engine=engine)

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the loaded networks go. Safe to repeat."""
        self._pipeline.close()

    @overload
    def upscale(
        self, image: str | os.PathLike[str], scale: float | None = None, **how: Unpack[How]
    ) -> Path: ...
    @overload
    def upscale(self, image: bytes, scale: float | None = None, **how: Unpack[How]) -> bytes: ...
    @overload
    def upscale(self, image: Pixels, scale: float | None = None, **how: Unpack[How]) -> Pixels: ...
    @overload
    def upscale(
        self, image: PillowImage, scale: float | None = None, **how: Unpack[How]
    ) -> PillowImage: ...

    def upscale(self, image: Any, scale: float | None = None, **how: Unpack[How]) -> Any:
        """Enlarge one picture; what comes back is what went in: see :func:`superres.upscale`."""
        unknown = sorted(set(how) - set(How.__annotations__))
        if unknown:
            raise BadParameter(
                f"upscale() knows no {', '.join(unknown)}; it takes "
                f"{', '.join(How.__annotations__)}."
            )
        hooks: dict[str, Any] = {
            "on_progress": how.get("on_progress"),
            "cancelled": how.get("cancelled"),
        }
        stored = {k: how.get(k) for k in ("format", "quality", "lossless")}
        more = {k: v for k, v in how.items() if k in _MORE}
        options = UpscaleOptions(
            scale=scale,
            width=how.get("width"),
            height=how.get("height"),
            megapixels=how.get("megapixels"),
            first_frame=how.get("first_frame", False),
            output=OutputOptions(**stored, strip=how.get("strip", False)),  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
            **self._options,
        )
        output, on_faces = how.get("output"), how.get("on_faces")

        def tell(report: FileReport) -> None:
            if on_faces is not None and options.with_faces:
                on_faces(report.faces)

        if isinstance(image, str | os.PathLike):
            source = Path(image)
            target = Path(output) if output is not None else self._beside(source, options)
            tell(self._pipeline.upscale_file(source, target, options, **hooks))
            return target
        if output is not None:
            raise BadParameter("output goes with a path; what comes back here is yours to save.")
        if isinstance(image, bytes | bytearray | memoryview):
            report = self._pipeline.upscale_file(bytes(image), None, options, **hooks)
            tell(report)
            return report.data
        if on_faces is not None and options.with_faces:
            hooks["on_faces"] = on_faces
        pillow = sys.modules.get("PIL.Image")
        if pillow is not None and isinstance(image, pillow.Image):
            return self._pillow(image, options, hooks)
        return self._pipeline.upscale_pixels(image, options, **hooks)

    def _beside(self, source: Path, options: UpscaleOptions) -> Path:
        estimate = self._pipeline.estimate(source, None, options)
        return source.with_name(result_name(source.stem, options, estimate))

    def _pillow(self, image: Any, options: UpscaleOptions, hooks: dict[str, Any]) -> Any:
        from PIL import Image

        info = dict(image.info)
        if "transparency" in info and image.mode in ("1", "L", "P", "RGB"):
            # A colour that stands for "see through" would not survive being enlarged.
            image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
        elif image.mode in ("1", "P"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        if image.mode not in _PILLOW_MODES:
            raise BadParameter(
                f"A Pillow picture must have the mode {', '.join(_PILLOW_MODES)}, P or 1, not "
                f"{image.mode}; pass the file itself, which keeps its colours right."
            )
        result = Image.fromarray(self._pipeline.upscale_pixels(np.asarray(image), options, **hooks))
        info.pop("transparency", None)
        result.info = info
        return result


_shared: dict[tuple[str | None, float | None, bool], Upscaler] = {}
_shared_lock = threading.Lock()


@overload
def upscale(
    image: str | os.PathLike[str],
    scale: float | None = None,
    model: str | None = None,
    *,
    fidelity: float | None = None,
    colour_lock: bool = True,
    **how: Unpack[How],
) -> Path: ...
@overload
def upscale(
    image: bytes,
    scale: float | None = None,
    model: str | None = None,
    *,
    fidelity: float | None = None,
    colour_lock: bool = True,
    **how: Unpack[How],
) -> bytes: ...
@overload
def upscale(
    image: Pixels,
    scale: float | None = None,
    model: str | None = None,
    *,
    fidelity: float | None = None,
    colour_lock: bool = True,
    **how: Unpack[How],
) -> Pixels: ...
@overload
def upscale(
    image: PillowImage,
    scale: float | None = None,
    model: str | None = None,
    *,
    fidelity: float | None = None,
    colour_lock: bool = True,
    **how: Unpack[How],
) -> PillowImage: ...
def upscale(
    image: Any,
    scale: float | None = None,
    model: str | None = None,
    *,
    fidelity: float | None = None,
    colour_lock: bool = True,
    **how: Unpack[How],
) -> Any:
    """Enlarge one picture.

    Args:
        image: one of

            - a path (str or PathLike): the result is written beside it, ``photo_x4.png``,
              or to ``output``, and its Path is returned;
            - the bytes of a file: the bytes of the result's file are returned;
            - a Pillow picture (L, LA, RGB, RGBA, I;16, P, 1): a Pillow picture is returned,
              its ``info`` with profile, EXIF and resolution kept;
            - a numpy array, ``(h, w)``, ``(h, w, 1…4)``, uint8 0…255, uint16 0…65535 or
              float32 0…1, alpha last and not premultiplied: an array of the same dtype and
              number of dimensions is returned.
        scale: 1…16, fractions too; 4 if no size is given either. 1 repairs at its own size.
        model: a name from ``superres models list``; None takes the settings' default.
        fidelity: 0…1, share of the faithful model; None takes the model's default.
        colour_lock: hold low-frequency colour to the input's.
        **how: ``width``, ``height``, ``megapixels``: size of the result instead of a scale.
            ``output``: file to write (for a path; replaced if it is there). ``format``
            ("png", "jpeg", "webp", "tiff"), ``quality`` (1…100), ``lossless``, ``strip``: how
            files are stored.
            ``first_frame``: take the first frame of an animation. ``denoise`` (0…1): how much
            noise is taken off before; None does so where it is plain. ``tta``: every part in eight
            orientations, a little closer to the truth, eight times as slow. ``face``: find faces
            and keep them recognisable; ``restore``: name of an installed network that makes them
            anew, ``restore_strength`` (0…1): how much of that is shown. ``on_faces``: called with
            a tuple of :class:`superres.FaceReport`, the largest face first, if they are looked
            for. ``on_progress``: called with :class:`superres.Progress`. ``cancelled``: asked
            between tiles, True stops.

    Returns:
        The enlarged picture, of exactly round(w·scale) × round(h·scale) pixels.

    Raises:
        BadParameter, UnsupportedFormat, CorruptImage, ImageTooLarge, ImageTooSmall: the picture
            or an option is at fault.
        ModelNotFound, WeightsMissing, EngineUnavailable, OutOfMemory, BadOutput: the machine is.
        OutputError: the result cannot be written.
        Cancelled: ``cancelled`` said so.
    """
    key = (model, fidelity, colour_lock)
    with _shared_lock:
        upscaler = _shared.get(key)
        if upscaler is None:
            _shared.clear()  # one model at a time; keep an Upscaler for more
            upscaler = _shared[key] = Upscaler(model, fidelity=fidelity, colour_lock=colour_lock)
    return upscaler.upscale(image, scale, **how)
