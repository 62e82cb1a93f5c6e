"""The server under load, against the library alone on the same pictures.

Starts ``superres serve`` in a process of its own, as a user would, and asks it for pictures
over as many connections as said: raw PNG bodies to ``POST /v1/upscale``, and JSON with base64
to the AWS door. The library alone is one process with the same number of threads that calls
``upscale_file``. Both take turns, so that a noisy machine is noisy to both.

Then: what one small request costs beyond the library, whether 1,000 requests make anything
grow, and whether ``kill -9`` of the worker under load loses a request.

The load goes to 127.0.0.1 only; clients are threads with the standard library's http.client,
which costs the two processors about 0.2 ms a request.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PIL import Image

from bench.pictures import square
from bench.report import Goal, Report, Table, program, say
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import load

SCALE = 4


def square_png(side: int) -> bytes:
    """A photograph of ``side`` x ``side`` as a PNG file."""
    held = io.BytesIO()
    Image.fromarray(square(side)).save(held, "png")
    return held.getvalue()


@dataclass
class Run:
    """What one load gave."""

    seconds: float
    latencies: list[float]
    failures: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def drive(threads: int, requests: int, make: Callable[[], Callable[[], None]]) -> Run:
    """Have ``threads`` threads do ``requests`` calls in all, as fast as they are answered."""
    left = iter(range(requests))
    lock = threading.Lock()
    run = Run(0.0, [])

    def work() -> None:
        call = make()
        while True:
            with lock:
                if next(left, None) is None:
                    return
            began = time.perf_counter()
            try:
                call()
            except Exception as exc:  # noqa: BLE001 -- every failure is counted
                run.failures.append(f"{type(exc).__name__}: {exc}"[:200])
            else:
                run.latencies.append(time.perf_counter() - began)

    pool = [threading.Thread(target=work) for _ in range(threads)]
    began = time.perf_counter()
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    run.seconds = time.perf_counter() - began
    return run


@dataclass(frozen=True)
class Server:
    """A running ``superres serve``."""

    process: subprocess.Popen[bytes]
    port: int

    def client(self, picture: bytes, *, aws: bool = False) -> Callable[[], None]:
        """A connection of its own, as a function that asks once and checks the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        if aws:
            body = json.dumps({"img": base64.b64encode(picture).decode(), "scale": SCALE}).encode()
            path, start = "/prod/image_super_resolution", b'{"result": "iVBOR'
        else:
            body, path, start = picture, f"/v1/upscale?scale={SCALE}&format=png", b"\x89PNG"

        def ask() -> None:
            try:
                connection.request("POST", path, body, {"Content-Type": "image/png"})
                answer = connection.getresponse()
                content = answer.read()
            except Exception:
                connection.close()
                raise
            if answer.status != 200 or not content.replace(b" ", b"").startswith(
                start.replace(b" ", b"")
            ):
                raise RuntimeError(f"{answer.status} {content[:120]!r}")

        return ask

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    @property
    def workers(self) -> list[psutil.Process]:
        """Its worker processes: those children that hold a network in memory."""
        own = psutil.Process(self.process.pid)
        return [p for p in own.children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]

    def resident(self) -> tuple[float, float]:
        """MiB of the server and of its workers."""
        own = psutil.Process(self.process.pid).memory_info().rss
        return own / 2**20, sum(p.memory_info().rss for p in self.workers) / 2**20


@contextmanager
def serving() -> Iterator[Server]:
    """A server with defaults on a free port, its data in a folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="superres-bench-") as folder:
        log = Path(folder) / "log"
        environ = {**os.environ, "SUPERRES_SERVER__LOG_LEVEL": "info"}
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "superres", "serve", "--port", "0", "--data-dir", folder],
                stderr=stderr,
                env=environ,
            )
        try:
            deadline = time.monotonic() + 120
            port = 0
            while time.monotonic() < deadline:
                time.sleep(0.1)
                found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
                port = int(found[1]) if found else 0
                if port and Server(process, port).get("/readyz")[0] == 200:
                    break
                if process.poll() is not None:
                    break
            else:
                process.poll()
            if process.returncode is not None or not port:
                raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")
            yield Server(process, port)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(90)


def library(upscaler: Upscaler, picture: bytes) -> Callable[[], None]:
    """The same work without a server."""
    options = UpscaleOptions(scale=SCALE)

    def call() -> None:
        with tempfile.NamedTemporaryFile(suffix=".png") as target:
            upscaler.upscale_file(picture, Path(target.name), options)

    return call


def throughput(server: Server, upscaler: Upscaler, report: Report, *, quick: bool) -> None:
    """Requests per second by size and concurrency, and the library's beside them."""
    table = Table(
        "Throughput, `general` ×4, PNG to PNG",
        ("picture", "connections", "library /s", "server /s", "share", "p50 ms", "p95 ms"),
    )
    rounds = 2 if quick else 4
    for side in (128, 512):
        picture = square_png(side)
        for threads in ((8,) if side == 128 else ()) if quick else (1, 8, 32):
            requests = (40 if side == 128 else 8) * (1 if quick else 3)
            requests = max(requests, threads)
            ours: list[Run] = []
            alone: list[Run] = []
            for _ in range(rounds):
                say(f"{side}², {threads} connections, {requests} requests")
                alone.append(drive(threads, requests, lambda p=picture: library(upscaler, p)))
                ours.append(drive(threads, requests, lambda p=picture: server.client(p)))
            failures = [f for run in (*ours, *alone) for f in run.failures]
            shares = [mine.rate / its.rate for mine, its in zip(ours, alone, strict=True)]
            share = statistics.median(shares)
            merged = Run(1.0, [t for run in ours for t in run.latencies])
            table.rows.append(
                (
                    f"{side}²",
                    str(threads),
                    f"{statistics.median(r.rate for r in alone):.1f}",
                    f"{statistics.median(r.rate for r in ours):.1f}",
                    f"{share:.0%}",
                    f"{merged.percentile(0.5) * 1000:.0f}",
                    f"{merged.percentile(0.95) * 1000:.0f}",
                )
            )
            report.figures[f"share_{side}_{threads}"] = share
            if failures:
                report.notes.append(f"{side}² × {threads}: {len(failures)} failed: {failures[0]}")
            if threads == 8:
                report.goals.append(
                    Goal(
                        f"{side}², 8 connections, of the library's throughput",
                        f"{share:.0%}",
                        "≥ 90 %",
                        share >= 0.9 and not failures,
                    )
                )
    report.tables.append(table)


def latency(server: Server, upscaler: Upscaler, report: Report, *, quick: bool) -> None:
    """What one request alone costs beyond the library."""
    picture = square_png(128)
    table = Table("One request at a time, 128² ×4", ("door", "p50 ms", "more than the library"))
    rounds, each = (3, 20) if quick else (6, 40)
    times: dict[str, list[float]] = {"library": [], "/v1": [], "AWS": []}
    for _ in range(rounds):
        for door, make in (
            ("library", lambda: library(upscaler, picture)),
            ("/v1", lambda: server.client(picture)),
            ("AWS", lambda: server.client(picture, aws=True)),
        ):
            times[door] += drive(1, each, make).latencies
    base = statistics.median(times["library"]) * 1000
    for door, taken in times.items():
        median = statistics.median(taken) * 1000
        table.rows.append((door, f"{median:.1f}", f"{median - base:+.1f} ms"))
        report.figures[f"p50_{door}"] = median
    more = report.figures["p50_/v1"] - base
    report.tables.append(table)
    report.goals.append(Goal("128², added latency p50", f"{more:.1f} ms", "≤ 15 ms", more <= 15))


def growth(server: Server, report: Report, *, quick: bool) -> None:
    """Whether many requests make anything grow."""
    picture = square_png(128)
    total = 200 if quick else 1000
    drive(
        8, 60 if quick else 100, lambda: server.client(picture)
    )  # caches and arenas fill up first
    table = Table("Resident memory, MiB", ("after more requests", "server", "worker"))
    seen = [server.resident()]
    table.rows.append(("0", *(f"{m:.0f}" for m in seen[0])))
    failures = []
    for part in range(4):
        failures += drive(8, total // 4, lambda: server.client(picture)).failures
        seen.append(server.resident())
        table.rows.append((str((part + 1) * total // 4), *(f"{m:.0f}" for m in seen[-1])))
    grown = sum(seen[-1]) - sum(seen[1])
    report.tables.append(table)
    report.goals.append(Goal(f"{total} requests: errors", str(len(failures)), "0", not failures))
    # Allocators breathe; a leak of one 512² result a request would be 1,000 MiB here.
    report.goals.append(
        Goal(f"growth over the last {3 * total // 4}", f"{grown:+.0f} MiB", "≤ 40 MiB", grown <= 40)
    )


def killing(server: Server, report: Report, *, quick: bool) -> None:
    """kill -9 of the worker, under load; seldom enough that nobody is hit twice."""
    picture = square_png(128)
    stop = threading.Event()
    kills = 0

    def kill() -> None:
        nonlocal kills
        while not stop.wait(15):
            if server.get("/readyz")[0] != 200:
                continue
            for worker in server.workers[:1]:
                worker.kill()
                kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    run = drive(8, 120 if quick else 800, lambda: server.client(picture))
    stop.set()
    killer.join()
    report.notes += [f"under kill: {f}" for f in sorted(set(run.failures))[:3]]
    report.goals.append(
        Goal(
            f"{kills} × kill -9 under {len(run.latencies)} requests: lost",
            str(len(run.failures)),
            "0",
            not run.failures and kills > 0,
        )
    )


PARTS = ("latency", "throughput", "growth", "killing")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")


def run(asked: argparse.Namespace) -> Report:
    report = Report()
    with serving() as server, Upscaler(load()) as upscaler:
        if "latency" in asked.only:
            latency(server, upscaler, report, quick=asked.quick)
        if "throughput" in asked.only:
            throughput(server, upscaler, report, quick=asked.quick)
        if "growth" in asked.only:
            growth(server, report, quick=asked.quick)
        if "killing" in asked.only:
            killing(server, report, quick=asked.quick)
    return report


if __name__ == "__main__":
    sys.exit(program("load", __doc__, run, options=options))
