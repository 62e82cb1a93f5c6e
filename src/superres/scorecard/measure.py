"""Measure methods on photographs: one row for each photograph, scale, degradation and method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from superres.errors import Cancelled, SuperresError
from superres.pipeline import Upscaler
from superres.scorecard.degrade import DEGRADATIONS, small_file
from superres.scorecard.methods import Method, baselines, of_models
from superres.scorecard.metrics import Quality, quality
from superres.scorecard.resample import Photo
from superres.scorecard.truths import Truth

Perceptual = Callable[[Photo, Photo], float]
SCALES = (4, 2)
PERCEIVED = 256
"""Side of the middle part that a learned measure sees: it would take longer than all the rest."""
_METRICS_COST = 0.5
"""What comparing costs per pixel of the truth, in the unit of :attr:`Method.cost`."""


@dataclass(frozen=True)
class Row:
    """What one method made of one small picture.

    Attributes:
        picture, scale, degradation, method, setting: which.
        fidelity: that was used; a default looks at the picture. None for others than models.
        psnr_y, ssim, ms_ssim, shift, delta_e, blur, perceptual: see
            :class:`superres.scorecard.metrics.Quality`.
    """

    picture: str
    scale: int
    degradation: str
    method: str
    setting: str
    fidelity: float | None
    psnr_y: float
    ssim: float
    ms_ssim: float | None
    shift: float
    delta_e: float
    blur: float
    perceptual: float | None = None

    @property
    def key(self) -> tuple[str, int, str, str, str]:
        """What tells rows apart."""
        return (self.picture, self.scale, self.degradation, self.method, self.setting)


@dataclass(frozen=True)
class Plan:
    """What is measured on every photograph."""

    methods: tuple[Method, ...]
    scales: tuple[int, ...] = SCALES
    degradations: tuple[str, ...] = DEGRADATIONS

    def cells(self) -> Iterator[tuple[int, Method, str]]:
        """In the order that loads a network once for all degradations."""
        for scale in self.scales:
            for method in self.methods:
                if method.scales is None or scale in method.scales:
                    for degradation in self.degradations:
                        yield scale, method, degradation

    def cost(self, scale: int, method: Method) -> float:
        """Expected work per pixel of the truth, for forecasts."""
        return method.cost / scale**2 + _METRICS_COST


def measure(
    plan: Plan,
    truth: Truth,
    upscaler: Upscaler,
    *,
    known: dict[tuple[Any, ...], Row] | None = None,
    perceptual: Perceptual | None = None,
    on_row: Callable[[Row, float], None] | None = None,
    on_failure: Callable[[Method, SuperresError], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """All rows of one photograph.

    Args:
        plan: methods, scales and degradations.
        truth: the photograph.
        upscaler: runs the models.
        known: rows measured before, by key; they are not measured again.
        perceptual: compares two photos by a network, see ``superres.engines.perceptual``.
        on_row: told of each row, and of its share of the plan's cost per pixel.
        on_failure: told of a method that fails, which is then left out; None raises its error.
        cancelled: asked between rows and tiles; True stops.

    Raises:
        Cancelled: ``cancelled`` said so.
        EngineError, WeightsMissing: as the pipeline does.
    """
    rows: list[Row] = []
    inputs: dict[tuple[int, str], bytes] = {}
    equal: dict[tuple[int, str, str], Row] = {}
    failed: set[str] = set()
    for scale, method, degradation in plan.cells():
        if method.label in failed:
            continue
        if cancelled():
            raise Cancelled("Measuring was stopped.")
        key = (truth.name, scale, degradation, method.name, method.setting)
        row = (known or {}).get(key)
        if row is None and (same := equal.get((scale, degradation, method.same))):
            row = replace(same, method=method.name, setting=method.setting)
        if row is None:
            if (scale, degradation) not in inputs:
                inputs[scale, degradation] = small_file(truth.pixels, scale, degradation)
            file = inputs[scale, degradation]
            try:
                made = method.enlarge(file, scale, upscaler, cancelled)
            except Cancelled:
                raise
            except SuperresError as error:
                if on_failure is None:
                    raise
                failed.add(method.label)
                on_failure(method, error)
                continue
            found = _compare(made.pixels, truth.pixels, scale, perceptual)
            row = Row(*key, made.fidelity, **asdict(found))
        equal.setdefault((scale, degradation, method.same), row)
        rows.append(row)
        if on_row is not None:
            on_row(row, plan.cost(scale, method))
    return rows


def _compare(result: Photo, truth: Photo, scale: int, perceptual: Perceptual | None) -> Quality:
    found = quality(result, truth, scale)
    if perceptual is None:
        return found
    inside = tuple(_middle(length - 2 * scale, scale) for length in truth.shape[:2])
    return replace(found, perceptual=perceptual(result[inside], truth[inside]))


def _middle(length: int, start: int) -> slice:
    """At most :data:`PERCEIVED` samples in the middle of ``length`` from ``start`` on."""
    taken = min(length, PERCEIVED)
    first = start + (length - taken) // 2
    return slice(first, first + taken)


def run(
    models: Iterable[str],
    fidelities: Sequence[float | None],
    degradations: Sequence[str],
    pictures: Iterable[Truth],
    *,
    scales: Sequence[int] = SCALES,
    extra: Iterable[Method] = (),
    upscaler: Upscaler | None = None,
    perceptual: Perceptual | None = None,
) -> list[Row]:
    """Measure in one call, for scripts: baselines, models at every fidelity, ``extra`` methods.

    Raises:
        SuperresError: as :func:`measure`.
    """
    methods = (*baselines(), *of_models(models, fidelities), *extra)
    plan = Plan(methods, tuple(scales), tuple(degradations))
    own = upscaler or Upscaler()
    try:
        rows: list[Row] = []
        for truth in pictures:
            rows += measure(plan, truth, own, perceptual=perceptual)
        return rows
    finally:
        if upscaler is None:
            own.close()


@dataclass
class Clock:
    """How far a run is, and how long it will still take."""

    total: float
    done: float = 0.0
    skipped: float = 0.0
    began: float = 0.0

    def start(self) -> None:
        """The work begins now."""
        self.began = time.monotonic()

    @property
    def fraction(self) -> float:
        """0…1."""
        return min(1.0, (self.done + self.skipped) / self.total) if self.total else 1.0

    @property
    def left(self) -> float | None:
        """Seconds, None while it cannot be told."""
        took = time.monotonic() - self.began
        if self.done <= 0 or took < 2:
            return None
        return took / self.done * max(0.0, self.total - self.done - self.skipped)
