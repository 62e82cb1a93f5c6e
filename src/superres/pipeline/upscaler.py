"""Enlarge pictures: the steps from a file, or an array, to a larger one."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine
from superres.engines.select import select_engine
from superres.errors import EngineUnavailable
from superres.imageio import (
    Canvas,
    Header,
    Limits,
    Scratch,
    check_frames,
    check_target,
    choose_format,
    complete_options,
    decode,
    encode,
    quality_of,
    read_header,
    release_pages,
    resize,
    set_threads,
    source_facts,
)
from superres.models import FAITHFUL, get_model
from superres.models.recipe import Recipe, make_recipe, pass_scales
from superres.pipeline.arrays import as_picture
from superres.pipeline.damage import adapted_fidelity
from superres.pipeline.options import Estimate, FileReport, UpscaleOptions, target_size
from superres.pipeline.passes import MEMORY_SHARE, Pass, plan_pass
from superres.pipeline.reporter import IsCancelled, OnProgress, Reporter
from superres.pipeline.sessions import Sessions
from superres.pipeline.speed import Speed
from superres.settings import Settings
from superres.tiling.plan import Plan

BASE_MEMORY = 200 << 20
"""Resident size of the process with its libraries loaded and nothing done, measured."""

_DECODED, _ENCODE_FROM = 0.01, 0.9
"""Shares of the progress bar: decoding ends at the first, encoding starts at the second."""


@dataclass(frozen=True)
class _Work:
    """What will be done to a picture, decided before it starts."""

    out_width: int
    out_height: int
    fidelity: float
    recipes: tuple[Recipe, ...]
    plans: tuple[Plan, ...]

    @property
    def passes(self) -> tuple[int, ...]:
        return tuple(recipe.scale for recipe in self.recipes)

    @property
    def costs(self) -> list[float]:
        """Million multiply-accumulates of each pass."""
        return [
            plan.cost * recipe.mmac_per_pixel
            for plan, recipe in zip(self.plans, self.recipes, strict=True)
        ]


class Upscaler:
    """Keeps an engine and loaded networks for any number of pictures. Thread-safe.

    Args:
        settings: see ``superres.settings``; the defaults if None.
        engine: instead of the one the settings name.

    Raises:
        EngineUnavailable: the engine or precision cannot be had on this machine.
    """

    def __init__(self, settings: Settings | None = None, *, engine: Engine | None = None) -> None:
        self.settings = settings or Settings()
        self.engine = engine or select_engine(self.settings.engine)
        self.precision = _choose_precision(self.settings.engine.precision, self.engine)
        working = int(self.settings.engine.memory_ceiling * MEMORY_SHARE)
        self._sessions = Sessions(self.engine, working)
        self._speed = Speed(self.settings.engine.cache_dir)
        self._limits = Limits(**asdict(self.settings.limits))
        if self.settings.engine.threads:
            set_threads(self.settings.engine.threads)

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the loaded networks go. Safe to repeat."""
        self._sessions.close()

    def upscale_file(
        self,
        source: Path | bytes,
        target: Path | None,
        options: UpscaleOptions | None = None,
        *,
        on_progress: OnProgress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> FileReport:
        """Enlarge a picture file.

        Args:
            source: a path, or the bytes of a file.
            target: where to write; its extension decides the format if the options do not.
                None returns the bytes in the report.
            options: what to do.
            on_progress: called in this thread, a few times a second at most per tile.
            cancelled: asked between tiles and while encoding; True stops.

        Returns:
            What was done. ``target`` is written whole or not at all.

        Raises:
            InputError, EngineError, OutputError: see ``superres.errors``.
            Cancelled: ``cancelled`` said so; nothing was written.
        """
        options = options or UpscaleOptions()
        started = time.perf_counter()
        # Refused sizes, formats and limits are found on the header, before any work.
        header = read_header(source, self._limits)
        work = self._plan(header, options)
        file_format = self._check_format(header, options, target, work)
        report = Reporter(on_progress, cancelled)
        with ExitStack() as stack:
            scratch = stack.enter_context(Scratch(self.settings.engine.scratch_dir))
            picture = decode(source, self._limits, scratch, first_frame=options.first_frame)
            facts = source_facts(picture)
            report("decode", _DECODED)
            work = self._adapted(work, picture.pixels, options)
            begun = time.perf_counter()
            canvas = self._run(picture.pixels, work, scratch, stack, report)
            inference = time.perf_counter() - begun
            output = complete_options(header, file_format, options.output)
            data = encode(
                resize(canvas.image(), work.out_width, work.out_height),
                picture.metadata,
                target,
                file_format,
                output,
                on_progress=lambda f: report("encode", _ENCODE_FROM + (1 - _ENCODE_FROM) * f),
            )
        self._speed.record(self._speed_key(options), sum(work.costs), inference)
        return FileReport(
            source=source if isinstance(source, Path) else None,
            target=target,
            data=data,
            width=header.width,
            height=header.height,
            out_width=work.out_width,
            out_height=work.out_height,
            format=file_format,
            model=options.model,
            fidelity=work.fidelity,
            passes=work.passes,
            device=self.engine.device,
            precision=self.precision,
            seconds=time.perf_counter() - started,
            inference_seconds=inference,
            peak_memory=_peak_memory(),
            quality=quality_of(output, file_format),
            facts=facts,
        )

    def upscale_pixels(
        self,
        pixels: NDArray[Any],
        options: UpscaleOptions | None = None,
        *,
        on_progress: OnProgress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> NDArray[Any]:
        """Enlarge an array.

        Args:
            pixels: ``(h, w)``, ``(h, w, 1)``, ``(h, w, 2)`` grey + alpha, ``(h, w, 3)`` RGB or
                ``(h, w, 4)`` RGBA; uint8 0…255, uint16 0…65535 or float32 0…1, alpha not
                premultiplied.

        Returns:
            An array of the same dtype and number of dimensions, on scratch disk (a
            memory map) when it is large.

        Raises:
            BadParameter: another shape or dtype, or float values that are not numbers.
            EngineError, Cancelled: as for :meth:`upscale_file`.
        """
        options = options or UpscaleOptions()
        source = as_picture(pixels)
        height, width, channels = source.shape
        header = Header("array", width, height, channels, 8 if source.dtype == np.uint8 else 16)
        self._limits.check_size(width, height)
        work = self._plan(header, options)
        report = Reporter(on_progress, cancelled)
        with ExitStack() as stack:
            scratch = stack.enter_context(Scratch(self.settings.engine.scratch_dir))
            work = self._adapted(work, source, options)
            canvas = self._run(source, work, scratch, stack, report)
            if (canvas.width, canvas.height) != (work.out_width, work.out_height):
                size = (work.out_height, work.out_width, channels)
                resized = stack.enter_context(Canvas(*size, source.dtype, scratch))
                resized.fill_from(resize(canvas.image(), work.out_width, work.out_height))
                canvas = resized
            report("encode", 1.0)
            result = canvas.array(read_only=False).astype(pixels.dtype, copy=False)
        return result[..., 0] if pixels.ndim == 2 else result

    def estimate(
        self, source: Path | bytes, target: Path | None, options: UpscaleOptions | None = None
    ) -> Estimate:
        """What :meth:`upscale_file` would do, from the header alone.

        Raises:
            InputError: whatever would be refused before the work starts.
        """
        return self.estimate_header(read_header(source, self._limits), options, target)

    def estimate_header(
        self,
        header: Header,
        options: UpscaleOptions | None = None,
        target: Path | None = None,
    ) -> Estimate:
        """What :meth:`upscale_file` would do with a file that has this header.

        Raises:
            InputError: whatever would be refused before the work starts.
        """
        options = options or UpscaleOptions()
        self._limits.check_size(header.width, header.height)
        check_frames(header, first_frame=options.first_frame)
        work = self._plan(header, options)
        file_format = self._check_format(header, options, target, work)
        size = header.channels * header.bits // 8
        streams = self.engine.streams
        tiles = [
            plan.window[0] * plan.window[1] * recipe.bytes_per_pixel * streams
            for plan, recipe in zip(work.plans, work.recipes, strict=True)
        ]
        scratch, scale = 0, 1
        for recipe in work.recipes:
            scale *= recipe.scale
            scratch += header.width * header.height * scale**2 * size
        return Estimate(
            width=header.width,
            height=header.height,
            out_width=work.out_width,
            out_height=work.out_height,
            model=options.model,
            fidelity=options.effective_fidelity,
            passes=work.passes,
            format=file_format,
            seconds=self._speed.seconds(self._speed_key(options), sum(work.costs)),
            memory_bytes=BASE_MEMORY + max(tiles),
            scratch_bytes=scratch,
        )

    def _speed_key(self, options: UpscaleOptions) -> str:
        fidelity = options.effective_fidelity
        return f"{self.engine.device}:{self.precision}:{options.model}:{0 < fidelity < 1}"

    def _plan(self, header: Header, options: UpscaleOptions) -> _Work:
        out_width, out_height, scale = target_size(header.width, header.height, options)
        self._limits.check_output(out_width, out_height)
        fidelity = options.effective_fidelity
        recipes: list[Recipe] = []
        plans: list[Plan] = []
        height, width = header.height, header.width
        for step in pass_scales(options.descriptor, fidelity, scale):
            if recipes and fidelity > 0:
                # What the first pass made is clean: the faithful network alone enlarges it
                # as well as the model would, without inventing upon invention, and cheaply.
                recipe = make_recipe(
                    get_model(FAITHFUL), step, 1.0, colour_lock=options.colour_lock
                )
            else:
                recipe = make_recipe(
                    options.descriptor, step, fidelity, colour_lock=options.colour_lock
                )
            recipes.append(recipe)
            plans.append(
                plan_pass(
                    recipe,
                    (height, width, header.channels),
                    self.engine.streams,
                    self.settings.engine.memory_ceiling,
                )
            )
            height, width = height * step, width * step
        self._limits.check_output(width, height)
        return _Work(out_width, out_height, fidelity, tuple(recipes), tuple(plans))

    def _adapted(self, work: _Work, pixels: NDArray[Any], options: UpscaleOptions) -> _Work:
        """Lower the default fidelity if the picture is damaged; this concerns the first pass."""
        if options.fidelity is not None:
            return work
        fidelity = adapted_fidelity(work.fidelity, pixels)
        step = work.passes[0]
        first = make_recipe(options.descriptor, step, fidelity, colour_lock=options.colour_lock)
        return replace(work, fidelity=fidelity, recipes=(first, *work.recipes[1:]))

    def _check_format(
        self, header: Header, options: UpscaleOptions, target: Path | None, work: _Work
    ) -> str:
        size = work.out_width, work.out_height
        suffix = target.suffix if target is not None else None
        file_format = choose_format(header, options.output, suffix, *size)
        flattened = options.output.background is not None
        check_target(file_format, *size, header.channels, flattened=flattened)
        replace(options.output, format=file_format)  # options that contradict the format
        return file_format

    def _run(
        self,
        pixels: NDArray[Any],
        work: _Work,
        scratch: Scratch,
        stack: ExitStack,
        report: Reporter,
    ) -> Canvas:
        """All passes; returns the canvas of the last one, open until ``stack`` ends."""
        total, before = sum(work.costs), 0.0
        canvas: Canvas | None = None
        for recipe, plan, cost in zip(work.recipes, work.plans, work.costs, strict=True):
            height, width = plan.height * recipe.scale, plan.width * recipe.scale
            result = stack.enter_context(
                Canvas(height, width, pixels.shape[2], pixels.dtype, scratch)
            )

            def on_tile(
                done: int,
                *,
                source: NDArray[Any] = pixels,
                plan: Plan = plan,
                cost: float = cost,
                before: float = before,
            ) -> None:
                if done % len(plan.columns) == 0:
                    release_pages(source)
                share = (before + cost * done / len(plan)) / total
                report("upscale", _DECODED + (_ENCODE_FROM - _DECODED) * share)

            Pass(pixels, recipe, plan, self._sessions, self.precision).run(
                result, on_tile, report.check
            )
            before += cost
            if canvas is not None:
                canvas.close()
            canvas, pixels = result, result.array()
        assert canvas is not None
        return canvas


def _choose_precision(wanted: str, engine: Engine) -> str:
    """The precision to run in.

    bfloat16 is never chosen by itself: no network keeps 60 dB to float32 in it (docs/decisions).
    """
    if wanted == "auto":
        return next(p for p in engine.precisions if p != "bf16")
    if wanted not in engine.precisions:
        raise EngineUnavailable(
            f"{wanted} is not fast on this device; choose auto or one of "
            f"{', '.join(engine.precisions)} ([engine] precision)."
        )
    return wanted


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
