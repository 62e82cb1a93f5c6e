"""Ways to enlarge that are compared: baselines, models at their settings, networks of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from superres.imageio import OutputOptions
from superres.models import get_model
from superres.models.catalog import FAITHFUL
from superres.pipeline import UpscaleOptions, Upscaler
from superres.scorecard.degrade import photo_of
from superres.scorecard.resample import Photo, resample

FIDELITIES: tuple[float | None, ...] = (0.0, 0.5, 1.0, None)
"""None is the default, which looks at the picture."""
BASELINES = ("bicubic", "lanczos")


@dataclass(frozen=True)
class Made:
    """A result: pixels, and the fidelity that was used where there is one."""

    pixels: Photo
    fidelity: float | None = None


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        name: a baseline, a model of the catalogue, or somebody else's network.
        setting: what tables call the setting: "", "0", "0.5", "default".
        options: for :class:`superres.pipeline.UpscaleOptions`, of a model.
        call: what enlarges a photo by a scale, of a network of others.
        scales: that it has; None is any.
    """

    name: str
    setting: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Callable[[Photo, int], Photo] | None = field(default=None, compare=False)
    scales: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        """``general 0.5``."""
        return f"{self.name} {self.setting}".strip()

    @property
    def same(self) -> str:
        """Methods of which this is equal give the same result: fidelity 1 is the faithful model."""
        if self.options.get("fidelity") == 1 and set(self.options) == {"fidelity"}:
            return FAITHFUL
        return self.label

    @property
    def cost(self) -> float:
        """Work per input pixel, roughly, in million multiply-accumulates; for forecasts."""
        if self.name in BASELINES or self.call is not None:
            return 0.1
        model, share = get_model(self.name), self.options.get("fidelity")
        return get_model(FAITHFUL).mmac_per_pixel + (0 if share == 1 else model.mmac_per_pixel)

    def enlarge(
        self,
        file: bytes,
        scale: int,
        upscaler: Upscaler,
        cancelled: Callable[[], bool] | None = None,
    ) -> Made:
        """Enlarge a picture file; models go the whole way, file in to file out.

        Raises:
            EngineError, WeightsMissing, Cancelled: as the pipeline does.
        """
        if self.call is not None:
            return Made(self.call(photo_of(file), scale))
        if self.name in BASELINES:
            small = photo_of(file)
            height, width = (n * scale for n in small.shape[:2])
            return Made(resample(small, height, width, self.name))
        output = OutputOptions(format="tiff", compression=0)
        options = UpscaleOptions(scale=scale, model=self.name, output=output, **self.options)
        report = upscaler.upscale_file(file, None, options, cancelled=cancelled)
        return Made(photo_of(report.data or b""), report.fidelity)


def of_models(
    models: Iterable[str], fidelities: Sequence[float | None] = FIDELITIES
) -> list[Method]:
    """Every model at every setting; the faithful one has only one."""
    made = []
    for name in models:
        if get_model(name).name == FAITHFUL:
            made.append(Method(name))
            continue
        for fidelity in fidelities:
            setting = "default" if fidelity is None else f"{fidelity:g}"
            options = {} if fidelity is None else {"fidelity": fidelity}
            made.append(Method(name, setting, options))
    return made


def baselines() -> list[Method]:
    """Bicubic and Lanczos."""
    return [Method(name) for name in BASELINES]
