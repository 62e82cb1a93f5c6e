"""One work on an upscaler, wherever that is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

from superres.errors import EngineError, ImageTooLarge, OutOfMemory, SuperresError
from superres.executors.base import Work
from superres.imageio import Header, Limits, choose_format, complete_options, read_header
from superres.pipeline import (
    Estimate,
    FileReport,
    Progress,
    UpscaleOptions,
    Upscaler,
    target_size,
)
from superres.pipeline.reporter import OnProgress

_PROGRESS_INTERVAL = 0.1


def perform(
    upscaler: Upscaler,
    work: Work,
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
) -> FileReport:
    """Do ``work``.

    Args:
        upscaler: does it.
        work: its deadline is not looked at here.
        on_progress: called about ten times a second at most.
        cancelled: True stops.

    Raises:
        SuperresError: see :meth:`superres.pipeline.Upscaler.upscale_file`.
    """
    return upscaler.upscale_file(
        work.source,
        work.target,
        _checked(upscaler, work),
        on_progress=_throttled(on_progress),
        cancelled=cancelled,
    )


def _checked(upscaler: Upscaler, work: Work) -> UpscaleOptions:
    """``work``'s options with what they leave to the file's header; refuses a large file."""
    options = work.options
    if work.recipe is not None:
        work.recipe.rules.check_file(work.source)
        options = work.recipe.options
    output = options.output
    named = output.format is not None or not work.target.suffix
    if work.max_side is None and work.recipe is None and named:
        return options
    header = read_header(work.source, Limits(**asdict(upscaler.settings.limits)))
    if work.max_side is not None and max(header.width, header.height) > work.max_side:
        raise ImageTooLarge(
            f"The picture is {header.width:,} x {header.height:,} pixels; a side may have "
            f"at most {work.max_side:,} here, so make it smaller first."
        )
    if work.recipe is not None:
        options = work.recipe.settle(header)
        output = options.output
        named = named or output.format is not None
    if named:
        return options
    width, height, _ = target_size(header.width, header.height, options)
    chosen = choose_format(header, output, None, width, height)
    return replace(options, output=complete_options(header, chosen, output))


def estimate(
    upscaler: Upscaler, width: int, height: int, options: UpscaleOptions, file_format: str
) -> Estimate:
    """What an upscale of such a picture, RGB of 8 bits, would take."""
    lossless = file_format not in ("jpeg", "avif", "heic")
    header = Header(file_format, width, height, channels=3, bits=8, lossless=lossless)
    return upscaler.estimate_header(header, options)


def expected(error: BaseException) -> SuperresError:
    """``error`` if it was raised on purpose, else one that may be shown."""
    if isinstance(error, SuperresError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory(
            "There is not enough memory for this picture; try a smaller one, or lower "
            "[workers] concurrency."
        )
    name = type(error).__name__
    return EngineError(f"The upscale failed unexpectedly ({name}); the server's log says more.")


def _throttled(on_progress: OnProgress) -> OnProgress:
    """Pass on the first, the last, and a few in between."""
    last = -_PROGRESS_INTERVAL

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_INTERVAL or progress.fraction >= 1:
            last = now
            on_progress(progress)

    return report
