"""Enlarge pictures: the steps from a file, or an array, to a larger one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
from superres.faces import Face, FaceReport, Tier
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
from superres.models.catalog import attach
from superres.pipeline.ahead import Ahead, Image
from superres.pipeline.arrays import as_picture
from superres.pipeline.estimate import Forecast
from superres.pipeline.faces import Faces, Restore
from superres.pipeline.fitting import MEMORY_SHARE
from superres.pipeline.options import Estimate, FileReport, UpscaleOptions
from superres.pipeline.peak import peak_memory
from superres.pipeline.reporter import IsCancelled, OnProgress, Reporter
from superres.pipeline.sessions import Sessions
from superres.pipeline.speed import Speed
from superres.pipeline.work import DECODED, ENCODE_FROM, Work, plan, prepared, run
from superres.settings import Settings


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
        attach(self.settings.models.weights_dir)
        self.engine = engine or select_engine(self.settings.engine)
        self.precision = _choose_precision(self.settings.engine.precision, self.engine)
        working = int(self.settings.engine.memory_ceiling * MEMORY_SHARE)
        self._sessions = Sessions(self.engine, working)
        kept = self.settings.engine
        self._forecast = Forecast(
            self.engine,
            self.precision,
            kept.memory_ceiling,
            self.settings.faces.most,
            Speed(kept.cache_dir),
        )
        self._limits = Limits(**asdict(self.settings.limits))
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
            work, pixels = prepared(
                work, picture.pixels, options, scratch, stack, report, self._forecast.learn_cleaning
            )
            found = self._faces(work, picture.pixels, options, facts.quality, report)
            faces, begun = found[0], time.perf_counter()
            output = complete_options(header, file_format, options.output)

            def save(image: Image, on_progress: Callable[[float], None]) -> bytes | None:
                image = resize(image, work.out_width, work.out_height)
                return encode(
                    image, picture.metadata, target, file_format, output, on_progress=on_progress
                )

            ahead = Ahead(save)
            canvas = run(
                pixels, work, faces, self._sessions, self.precision, scratch, stack, report, ahead
            )
            inference = time.perf_counter() - begun
            data = ahead.finish(
                canvas, lambda f: report("encode", ENCODE_FROM + (1 - ENCODE_FROM) * f)
            )
        self._forecast.learn(options, work, inference, found, header.width * header.height)
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
            peak_memory=peak_memory(),
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
            work, clean = prepared(
                work, source, options, scratch, stack, report, self._forecast.learn_cleaning
            )
            faces, _ = self._faces(work, source, options, 0, report)
            canvas = run(clean, work, faces, self._sessions, self.precision, scratch, stack, report)
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
        self._check_restorer(options)
        file_format = self._check_format(header, options, target, work)
        return Estimate(
            width=header.width,
            height=header.height,
            out_width=work.out_width,
            out_height=work.out_height,
            model=options.model,
            fidelity=options.effective_fidelity,
            passes=work.passes,
            format=file_format,
            seconds=self._forecast.seconds(header, options, work),
            memory_bytes=self._forecast.memory(header, options, work),
            scratch_bytes=self._forecast.scratch(header, options, work),
        )

    def _plan(self, header: Header, options: UpscaleOptions) -> Work:
        ceiling = self.settings.engine.memory_ceiling
        return plan(header, options, self._limits, self.engine, ceiling)

    def _faces(
        self,
        work: Work,
        pixels: NDArray[Any],
        options: UpscaleOptions,
        quality: int,
        report: Reporter,
    ) -> tuple[Faces | None, float]:
        """The faces of ``pixels``, if somebody asked and there are any; seconds it took to look."""
        if not options.with_faces:
            return None, 0.0
        wanted, begun = self.settings.faces, time.perf_counter()
        found = self._detector.find(
            pixels, most=wanted.most, threshold=wanted.threshold, check=report.check
        )
        took = time.perf_counter() - begun
        if not found:
            return None, took
        faces = Faces(
            found,
            pixels,
            work.recipes[0],
            quality,
            self._sessions,
            self.precision,
            self.settings.engine.memory_ceiling,
            self._restore(options, report.check),
            self._forecast.restore_cost(options),
        )
        return faces, took

    def _check_restorer(self, options: UpscaleOptions) -> None:
        if options.restore is not None:
            self._restorers.check(options.restore)

    def _restore(self, options: UpscaleOptions, check: Callable[[], None]) -> Restore | None:
        """Tier 2, if somebody asked for it. What is wrong with its network is told at once; it is
        loaded when its turn comes, and kept from others only so long.
        """
        name, strength = options.restore, options.restore_strength
        if name is None or not strength:
            return None
        self._restorers.prove(name, check)

        def restore(
            canvas: Canvas,
            scale: int,
            faces: Sequence[Face],
            check: Callable[[], None],
            on_face: Callable[[], None],
        ) -> tuple[Tier, ...]:
            done = 0

            def counted() -> None:
                nonlocal done
                done += 1
                on_face()

            with self._restorers.use(name, check) as network:
                begun = time.perf_counter()
                tiers = restore_faces(canvas, scale, faces, network, strength, check, counted)
                self._forecast.learn_restoring(options, done, time.perf_counter() - begun)
            return tiers

        return restore

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
