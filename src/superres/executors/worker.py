"""A worker process: it holds the models, and nothing that happens in it hurts the server."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import struct
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NoReturn

from superres.engines.fair import FairEngine
from superres.engines.select import select_shared_engine
from superres.errors import EngineUnavailable, ModelNotFound, SuperresError, WeightsMissing
from superres.executors import memory, perform
from superres.executors.wire import (
    Advanced,
    Answer,
    Begin,
    Ended,
    Interrupt,
    Leave,
    Leaving,
    Patience,
    Question,
    Ready,
    Unable,
)
from superres.imageio import set_threads
from superres.models.catalog import FAITHFUL
from superres.pipeline import Estimate, FileReport, UpscaleOptions, Upscaler
from superres.settings import Settings
from superres.settings.environment import forget_secrets

_IDLE_SECONDS, _BUSY_SECONDS = 1.0, 10.0
"""Memory is given back after so long without work, and so often under constant work.

Measured over 240 pictures of 64 to 700 pixels, four at a time: the resident size ends at
439 MB without any measure, 294 MB with few heaps, 65 to 200 MB with both.
"""
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger("superres.executors")


def main(connection: Connection, settings: Settings) -> None:
    """The process's whole life.

    Args:
        connection: to the server; its end is the worker's.
        settings: of which ``engine.device`` is this worker's.
    """
    _protect()
    try:
        engine = select_shared_engine(settings.engine)
        upscaler = Upscaler(settings, engine=engine)
        set_threads(_codec_threads(settings))
        _warm(upscaler, settings.models.default)
    except SuperresError as exc:
        connection.send(Unable(exc))
    except Exception as exc:  # noqa: BLE001 - is passed on
        error = EngineUnavailable(
            f"The worker cannot start ({type(exc).__name__}); the server's log says more."
        )
        connection.send(Unable(error, traceback.format_exc()))
    else:
        Worker(connection, upscaler, engine, settings.workers.concurrency).serve()
    _end(2)


@dataclass
class _Job:
    """A work under way: how to stop it, and to rid the device of its tiles."""

    stop: threading.Event = field(default_factory=threading.Event)
    give_up: Callable[[], float] = lambda: 0.0


class Worker:
    """Takes messages and runs works in threads.

    Args:
        connection: to the server.
        upscaler: shared by all works.
        engine: the upscaler's.
        slots: works at a time; the server never begins more.
    """

    def __init__(
        self, connection: Connection, upscaler: Upscaler, engine: FairEngine, slots: int
    ) -> None:
        self._connection, self._upscaler, self._engine = connection, upscaler, engine
        self._works = ThreadPoolExecutor(slots, "superres-work")
        self._answers = ThreadPoolExecutor(1, "superres-estimate")
        self._sending = threading.Lock()
        self._changing = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._leaving = self._untidy = False
        self._tidied = time.monotonic()

    def serve(self) -> NoReturn:
        """Until told to leave, or until the server is no more. Ends the process."""
        # A thread, for this one may be in the middle of sending.
        signal.signal(
            signal.SIGTERM,
            lambda *_: threading.Thread(target=self._send, args=(Leaving(),)).start(),
        )
        self._send(Ready())
        while True:
            try:
                message = self._receive()
            except (EOFError, OSError):
                _end(1)  # nobody is left to work for
            match message:
                case Begin():
                    self._untidy = True
                    job = _Job()
                    with self._changing:
                        self._jobs[message.number] = job
                    self._works.submit(self._run, message, job)
                case Interrupt(number):
                    job = self._jobs.get(number, _Job())
                    job.stop.set()
                    self._send(Patience(number, job.give_up()))
                case Question():
                    self._answers.submit(self._answer, message)
                case Leave():
                    with self._changing:
                        self._leaving = True
                        if not self._jobs:
                            _end(0)

    def _receive(self) -> object:
        while self._untidy and not self._connection.poll(_IDLE_SECONDS):
            if not self._jobs:
                self._untidy = False
                memory.give_back()
        return self._connection.recv()

    def _run(self, begin: Begin, job: _Job) -> None:
        number = begin.number
        details = ""
        try:
            with self._engine.picture() as job.give_up:
                outcome: FileReport | SuperresError = perform.perform(
                    self._upscaler,
                    begin.work,
                    lambda progress: self._send(Advanced(number, progress)),
                    job.stop.is_set,
                )
        except Exception as exc:  # noqa: BLE001 - is passed on
            if not isinstance(exc, SuperresError):
                details = f"Work {begin.work.request_id}: {traceback.format_exc()}"
            outcome = perform.expected(exc)
        self._send(Ended(number, outcome, details))
        if isinstance(outcome, EngineUnavailable) and self._lost():
            self._send(Leaving())
        with self._changing:
            del self._jobs[number]
            if self._leaving and not self._jobs:
                _end(0)
            due = time.monotonic() - self._tidied > _BUSY_SECONDS
            if due:
                self._tidied = time.monotonic()
        if due:
            memory.give_back()

    def _lost(self) -> bool:
        """Whether not even the first picture works any more: a GPU that has failed once answers
        nothing from then on, until the process ends.
        """
        try:
            _warm(self._upscaler, self._upscaler.settings.models.default)
        except Exception:  # noqa: BLE001 - whatever it is, a new worker will tell
            return True
        return False

    def _answer(self, q: Question) -> None:
        try:
            answer: Estimate | SuperresError = perform.estimate(
                self._upscaler, q.width, q.height, q.options, q.file_format
            )
        except Exception as exc:  # noqa: BLE001 - is passed on
            answer = perform.expected(exc)
        self._send(Answer(q.number, answer))

    def _send(self, message: object) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            _end(1)


def _protect() -> None:
    """Set up the process itself."""
    faulthandler.enable()
    forget_secrets()
    memory.limit_arenas()
    # Ctrl-C in a terminal reaches every process of the group; what becomes of the works
    # then is for the server to say. It is blocked from before this process's first moment.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform.startswith("linux"):
        # The pipe's end tells of the server's death, but not to a worker stuck in native
        # code. "Parent" means the thread that started this process: it lives as long.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _codec_threads(settings: Settings) -> int:
    """Threads of libvips for one picture: all pictures together take every core once."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, (settings.engine.threads or cores) // settings.workers.concurrency)


def _warm(upscaler: Upscaler, model: str) -> None:
    """Enlarge a small picture, so that the first request finds everything loaded.

    A default that somebody removed is no reason not to work with the others.
    """
    try:
        upscaler.upscale_file(_png(64), None, UpscaleOptions(model=model))
    except (ModelNotFound, WeightsMissing) as exc:
        _log.warning("[models] default cannot be used: %s", exc.public_message)
        upscaler.upscale_file(_png(64), None, UpscaleOptions(model=FAITHFUL))


def _png(side: int) -> bytes:
    """A grey ramp."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    row = b"\0" + b"".join(bytes([255 * x // side] * 3) for x in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


def _end(code: int) -> NoReturn:
    """Leave without the runtimes' tidying up, which is slow and not always safe."""
    os._exit(code)
