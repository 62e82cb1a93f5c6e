"""Enlarge pictures: the steps from a file, or an array, to a larger one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine
from superres.engines.cache import CompiledCache
from superres.engines.select import select_engine
from superres.errors import EngineUnavailable
from superres.faces import FaceReport
from superres.faces.detect import Detector
from superres.faces.paste import restore_faces
from superres.faces.restore import Restorers
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
    resize,
    set_threads,
    source_facts,
)
from superres.models.recipe import make_recipe
from superres.pipeline.arrays import as_picture
from superres.pipeline.damage import adapted_fidelity
from superres.pipeline.faces import Faces, Restore
from superres.pipeline.options import Estimate, FileReport, UpscaleOptions
from superres.pipeline.passes import MEMORY_SHARE
from superres.pipeline.reporter import IsCancelled, OnProgress, Reporter
from superres.pipeline.sessions import Sessions
from superres.pipeline.speed import Speed
from superres.pipeline.work import DECODED, ENCODE_FROM, Work, plan, run
from superres.settings import Settings

BASE_MEMORY = 200 << 20
"""Resident size of the process with its libraries loaded and nothing done, measured."""


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
        kept = self.settings.engine
        self._detector = Detector(
            CompiledCache(kept.cache_dir, kept.cache_size), threads=kept.threads
        )
        self._restorers = Restorers(self.settings)
        if self.settings.engine.threads:
            set_threads(self.settings.engine.threads)

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the loaded networks go. Safe to repeat."""
        self._sessions.close()
        self._restorers.close()

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
        self._check_restorer(options)
        file_format = self._check_format(header, options, target, work)
        report = Reporter(on_progress, cancelled)
        with ExitStack() as stack:
            scratch = stack.enter_context(Scratch(self.settings.engine.scratch_dir))
            picture = decode(source, self._limits, scratch, first_frame=options.first_frame)
            facts = source_facts(picture)
            report("decode", DECODED)
            work = self._adapted(work, picture.pixels, options)
            faces = self._faces(work, picture.pixels, options, facts.quality, report)
            begun = time.perf_counter()
            canvas = run(
                picture.pixels, work, faces, self._sessions, self.precision, scratch, stack, report
            )
            inference = time.perf_counter() - begun
            output = complete_options(header, file_format, options.output)
            data = encode(
                resize(canvas.image(), work.out_width, work.out_height),
                picture.metadata,
                target,
                file_format,
                output,
                on_progress=lambda f: report("encode", ENCODE_FROM + (1 - ENCODE_FROM) * f),
            )
        if options.restore is None:  # how long that takes hangs on other things
            cost = sum(work.costs) + (faces.cost if faces else 0)
            self._speed.record(self._speed_key(options), cost, inference)
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
            faces=faces.reports if faces else (),
        )

    def upscale_pixels(
        self,
        pixels: NDArray[Any],
        options: UpscaleOptions | None = None,
        *,
        on_faces: Callable[[tuple[FaceReport, ...]], None] | None = None,
        on_progress: OnProgress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> NDArray[Any]:
        """Enlarge an array.

        Args:
            pixels: ``(h, w)``, ``(h, w, 1)``, ``(h, w, 2)`` grey + alpha, ``(h, w, 3)`` RGB or
                ``(h, w, 4)`` RGBA; uint8 0…255, uint16 0…65535 or float32 0…1, alpha not
                premultiplied.
            options: what to do; those of files mean nothing here.
            on_faces: told of the faces found, if they are looked for, and of what was done.
            on_progress, cancelled: as for :meth:`upscale_file`.

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
        self._check_restorer(options)
        report = Reporter(on_progress, cancelled)
        with ExitStack() as stack:
            scratch = stack.enter_context(Scratch(self.settings.engine.scratch_dir))
            work = self._adapted(work, source, options)
            faces = self._faces(work, source, options, 0, report)
            canvas = run(
                source, work, faces, self._sessions, self.precision, scratch, stack, report
            )
            if (canvas.width, canvas.height) != (work.out_width, work.out_height):
                size = (work.out_height, work.out_width, channels)
                resized = stack.enter_context(Canvas(*size, source.dtype, scratch))
                resized.fill_from(resize(canvas.image(), work.out_width, work.out_height))
                canvas = resized
            if on_faces is not None and options.with_faces:
                on_faces(faces.reports if faces else ())
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
            each.window[0] * each.window[1] * recipe.bytes_per_pixel * streams
            for each, recipe in zip(work.plans, work.recipes, strict=True)
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

    def _plan(self, header: Header, options: UpscaleOptions) -> Work:
        ceiling = self.settings.engine.memory_ceiling
        return plan(header, options, self._limits, self.engine, ceiling)

    def _adapted(self, work: Work, pixels: NDArray[Any], options: UpscaleOptions) -> Work:
        """Lower the default fidelity if the picture is damaged; this concerns the first pass."""
        if options.fidelity is not None:
            return work
        fidelity = adapted_fidelity(work.fidelity, pixels)
        step = work.passes[0]
        first = make_recipe(options.descriptor, step, fidelity, colour_lock=options.colour_lock)
        return replace(work, fidelity=fidelity, recipes=(first, *work.recipes[1:]))

    def _faces(
        self,
        work: Work,
        pixels: NDArray[Any],
        options: UpscaleOptions,
        quality: int,
        report: Reporter,
    ) -> Faces | None:
        """The faces of ``pixels``, if somebody asked and there are any."""
        if not options.with_faces:
            return None
        wanted = self.settings.faces
        found = self._detector.find(
            pixels, most=wanted.most, threshold=wanted.threshold, check=report.check
        )
        if not found:
            return None
        return Faces(
            found,
            pixels,
            work.recipes[0],
            quality,
            self._sessions,
            self.precision,
            self.settings.engine.memory_ceiling,
            self._restore(options),
        )

    def _check_restorer(self, options: UpscaleOptions) -> None:
        if options.restore is not None:
            self._restorers.check(options.restore)

    def _restore(self, options: UpscaleOptions) -> Restore | None:
        """Tier 2, if somebody asked for it; loads its network."""
        if options.restore is None or not options.restore_strength:
            return None
        restorer, strength = self._restorers.get(options.restore), options.restore_strength
        return lambda canvas, scale, faces, check: restore_faces(
            canvas, scale, faces, restorer, strength, check
        )

    def _check_format(
        self, header: Header, options: UpscaleOptions, target: Path | None, work: Work
    ) -> str:
        size = work.out_width, work.out_height
        suffix = target.suffix if target is not None else None
        file_format = choose_format(header, options.output, suffix, *size)
        flattened = options.output.background is not None
        check_target(file_format, *size, header.channels, flattened=flattened)
        replace(options.output, format=file_format)  # options that contradict the format
        return file_format


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
