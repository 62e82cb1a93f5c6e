"""The only door to libvips: imported late, set up once, driven so that Ctrl-C works.

pyvips has no type stubs, so its objects are ``Any`` under the alias :data:`Image`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeAlias, TypeVar

from superres.errors import EngineUnavailable

Image: TypeAlias = Any
"""A ``pyvips.Image``: a lazy pipeline, computed only when something is saved."""

T = TypeVar("T")

_POLL_SECONDS = 0.05


@functools.cache
def library() -> Any:
    """The ``pyvips`` module, set up for files from strangers.

    The first call loads libvips (about 0.1 s). Every loader and saver that libvips marks as
    unfit for untrusted data is blocked. The operation cache is off: it would hold on to
    pictures.

    Raises:
        EngineUnavailable: libvips is not installed or cannot be loaded.
    """
    # pyvips logs each operation, and each warning of a codec, to the root logger otherwise.
    logging.getLogger("pyvips").setLevel(logging.CRITICAL + 1)
    try:
        import pyvips
    except (ImportError, OSError) as exc:
        raise EngineUnavailable(
            "The image library libvips cannot be loaded; install the packages "
            "pyvips and pyvips-binary."
        ) from exc
    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)
    return pyvips


def set_threads(threads: int) -> None:
    """Let libvips compute with at most ``threads`` threads per picture (0: all cores)."""
    library().concurrency_set(threads)


def error_type() -> type[Exception]:
    """``pyvips.Error``, for ``except`` clauses of this room."""
    kind: type[Exception] = library().Error
    return kind


def error_lines(error: Exception) -> list[str]:
    """The distinct lines of libvips' complaint, in order.

    libvips keeps one error buffer per process and repeats itself, so lines come many times.
    """
    detail = getattr(error, "detail", "") or getattr(error, "message", "") or str(error)
    if isinstance(detail, bytes):
        detail = detail.decode("utf-8", "replace")
    lines = (line.strip() for line in str(detail).splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def drive(
    image: Image, work: Callable[[], T], on_progress: Callable[[float], None] | None = None
) -> T:
    """Run ``work`` (a save of ``image``) on a thread and wait for it interruptibly.

    A libvips call cannot be interrupted from Python, so the calling thread waits here in
    short steps instead; on any exception (Ctrl-C, or one raised by ``on_progress``) the
    picture is told to stop and the thread is waited for before the exception goes on.

    Args:
        image: the picture being saved.
        work: the blocking call.
        on_progress: called on the calling thread with a fraction, which is 1 once all is done.
    """
    percent = [0]

    if on_progress is not None:

        def note(_image: Image, progress: Any) -> None:
            percent[0] = int(progress.percent)

        image.set_progress(True)
        image.signal_connect("eval", note)

    reported = -1
    # Leaving the block waits for the thread, so nothing is still being written afterwards.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="superres-vips") as pool:
        done = pool.submit(work)
        try:
            while not wait([done], timeout=_POLL_SECONDS).done:
                if on_progress is not None and percent[0] != reported:
                    reported = percent[0]
                    on_progress(min(reported, 99) / 100)
        except BaseException:
            image.set_kill(True)
            raise
    result = done.result()
    if on_progress is not None:
        on_progress(1.0)
    return result
