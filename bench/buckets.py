"""The buckets against a plain static file server, on the same machine and disk, in turns.

Starts ``superres serve`` in a process of its own, as a user would, and nginx beside it (or
Python's http.server, for GET alone, where nginx is not installed). Requests are signed before
the clock starts, by the vendor's SDK; the client is a socket that throws answers away. Files
stay in the page cache, so disks do not count: what is measured is what the servers do.

The floor, first: copying in memory, MD5 (COS's ETag: every byte that comes in goes through it),
writing a file, and the loopback. nginx does no MD5, asks no database and checks no signature: it
hands files to the kernel. What it does is not what a bucket does, but it is what the machine can.

Then: transfers of 1 MB and 100 MB, small objects, pages of a bucket of many keys, pictures
super-resolved on download (made, kept, and a plain object of the same bytes), and the memory of
the server while one huge object goes in and out (5 GB with --large).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image

from bench.cos import MB, Client
from bench.floor import floor
from bench.listing import listing
from bench.pictures import square
from bench.report import Goal, Report, Table, program, say
from bench.static import Static, static_server
from bench.wire import Ask, Load, connected, load
from tests.e2e.service import Service, serving

PARTS = ("floor", "transfer", "small", "listing", "pictures", "huge")


@dataclass
class Bench:
    """What the parts share: both servers, and what they found.

    Attributes:
        service: the server that is measured.
        client: of it.
        static: the one it is compared with.
        quick: small settings.
        report: what was found.
    """

    service: Service
    client: Client
    static: Static
    quick: bool
    report: Report

    def plain(self, method: str, name: str, **more: object) -> Ask:
        """The same for the file server."""
        head = f"{method} /{name} HTTP/1.1\r\nHost: 127.0.0.1"
        return Ask(head.encode(), expect=(200, 201, 204), **more)

    def load(self, asks: Sequence[Ask], clients: int) -> Load:
        """Our server under a load, with the processor time that it took."""
        before = sum(self.process().cpu_times()[:2])
        done = load(self.client.port, asks, clients)
        done.processor = sum(self.process().cpu_times()[:2]) - before
        return done

    def process(self) -> psutil.Process:
        assert self.service.process is not None
        return psutil.Process(self.service.process.pid)


def in_turns(rounds: int, **work: Callable[[], Load]) -> dict[str, Load]:
    """Each of ``work`` so many times, in turns; the best of each."""
    loads: dict[str, list[Load]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            loads[name].append(call())
    return {name: min(done, key=lambda one: one.seconds) for name, done in loads.items()}


# --- transfers and small objects --------------------------------------------------------


def transfer(bench: Bench) -> None:
    """PUT and GET of large objects, one client and eight."""
    columns = ("", "clients", "superres MB/s", f"{_short(bench)} MB/s", "share")
    table = Table("Transfers, both directions over the loopback", columns)
    rounds = 2 if bench.quick else 5
    for size in (MB, 100 * MB):
        body = memoryview(os.urandom(size))
        for clients in (1, 8):
            number = max(clients, 2 if size > MB else 64) * (1 if bench.quick else 2)
            if size > MB and clients == 1:
                number = 3
            keys = [f"{size}/{n:04}" for n in range(number)]
            for method in ("PUT", "GET"):
                more = {"body": body} if method == "PUT" else {}
                ours = [bench.client.ask(method, key, **more) for key in keys]
                its = [bench.plain(method, key, **more) for key in keys]
                say(f"{method} {size // MB} MB, {clients} clients, {number} objects")
                _compare(bench, table, f"{method} {size // MB} MB", ours, its, clients, rounds)
            if not bench.static.takes:
                continue
            with connected(bench.static.port) as connection:
                for key in keys:
                    connection.ask(bench.plain("DELETE", key))
    bench.report.tables.append(table)


def _compare(
    bench: Bench,
    table: Table,
    what: str,
    ours: Sequence[Ask],
    its: Sequence[Ask],
    clients: int,
    rounds: int,
) -> None:
    """One row: both servers under the same load, in MB/s."""
    sent = sum(len(one.body) for one in ours)  # type: ignore[arg-type]
    work = {"ours": lambda: load(bench.client.port, ours, clients)}
    if sent and not bench.static.takes:
        for one in its:
            head, body = one.head, one.body
            path = bench.static.files / head.split()[1].decode().lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)  # type: ignore[arg-type]
    else:
        work["its"] = lambda: load(bench.static.port, its, clients)
    best = in_turns(rounds, **work)
    speeds = {name: (sent or done.received) / MB / done.seconds for name, done in best.items()}
    share = speeds["ours"] / speeds["its"] if "its" in speeds else None
    table.rows.append(
        (
            what,
            str(clients),
            f"{speeds['ours']:,.0f}",
            f"{speeds['its']:,.0f}" if share else "–",
            f"{share:.0%}" if share else "–",
        )
    )
    bench.report.figures[f"{what}, {clients}"] = speeds


def small(bench: Bench) -> None:
    """Operations a second on objects of 4 kB."""
    columns = (
        "4 kB",
        "clients",
        "superres /s",
        "ms",
        "processor ms",
        f"{_short(bench)} /s",
        "share",
    )
    table = Table("Small objects", columns)
    body = os.urandom(4000)
    number, rounds = (200, 2) if bench.quick else (1000, 3)
    keys = [f"small/{n:05}" for n in range(number)]
    for clients in (1, 8):
        for method in ("PUT", "GET", "HEAD", "DELETE"):
            say(f"{method} 4 kB, {clients} clients")
            more = {"body": body} if method == "PUT" else {}
            ours = [bench.client.ask(method, key, **more) for key in keys]
            its = [bench.plain(method, key, **more) for key in keys]
            work = {"ours": lambda ours=ours, c=clients: bench.load(ours, c)}
            if bench.static.takes:
                work["its"] = lambda its=its, c=clients: load(bench.static.port, its, c)
            # What is deleted is gone the second time; that would be another question.
            best = in_turns(1 if method == "DELETE" else rounds, **work)
            mine, other = best["ours"], best.get("its")
            table.rows.append(
                (
                    method,
                    str(clients),
                    f"{mine.rate:,.0f}",
                    f"{mine.median * 1000:.1f}",
                    f"{mine.processor / number * 1000:.1f}",
                    f"{other.rate:,.0f}" if other else "–",
                    f"{mine.rate / other.rate:.0%}" if other else "–",
                )
            )
            bench.report.figures[f"{method} 4 kB, {clients}"] = {n: b.rate for n, b in best.items()}
    bench.report.tables.append(table)
    bench.report.notes.append(
        f"{bench.static.name}; beyond some thousand requests a second the client is the limit."
    )


def _short(bench: Bench) -> str:
    return bench.static.name.split("/")[0].split(",")[0]


# --- pictures ---------------------------------------------------------------------------


def pictures(bench: Bench) -> None:
    """The answer on download: made, kept, and beside it a plain object of the same bytes."""
    side, rounds = (128, 100) if bench.quick else (512, 200)
    held = io.BytesIO()
    Image.fromarray(square(side)).save(held, "png")
    photo = held.getvalue()
    process = "ci-process=AISuperResolution"
    say(f"{side}² ×2 on download")
    with connected(bench.client.port) as connection:
        made: list[float] = []
        for number in range(4):
            key = f"photo{number}.png"
            connection.ask(bench.client.ask("PUT", key, body=photo))
            asked = bench.client.ask("GET", key, process)
            began = time.perf_counter()
            answer = connection.ask(asked, keep=True).body
            made.append(time.perf_counter() - began)
            if connection.ask(asked, keep=True).body != answer:
                raise RuntimeError("the second answer is not the first")
        connection.ask(bench.client.ask("PUT", "plain.png", body=answer))
    kept = [bench.client.ask("GET", "photo0.png", process)] * rounds
    plain = [bench.client.ask("GET", "plain.png")] * rounds
    table = Table(
        f"A picture of {side}², ×2 on download: {len(answer) / MB:.2f} MB of PNG",
        ("", "ms", "/s, 8 clients"),
    )
    one = in_turns(
        3,
        kept=lambda: load(bench.client.port, kept, 1),
        plain=lambda: load(bench.client.port, plain, 1),
    )
    many = in_turns(
        3,
        kept=lambda: load(bench.client.port, kept, 8),
        plain=lambda: load(bench.client.port, plain, 8),
    )
    fresh = statistics.median(made[1:])  # the first one waits for the network to be loaded
    table.rows.extend(
        [
            ("made (network already loaded)", f"{fresh * 1000:.0f}", "–"),
            ("kept", f"{one['kept'].median * 1000:.1f}", f"{many['kept'].rate:,.0f}"),
            (
                "plain GET of the same bytes",
                f"{one['plain'].median * 1000:.1f}",
                f"{many['plain'].rate:,.0f}",
            ),
        ]
    )
    bench.report.tables.append(table)
    ratio = one["kept"].median / one["plain"].median
    bench.report.figures["pictures"] = {"made": fresh, "ratio": ratio, "times": made}
    bench.report.goals.append(
        Goal("kept answer against a plain GET", f"{ratio:.2f} ×", "≤ 1.5", ratio <= 1.5)
    )


# --- memory -----------------------------------------------------------------------------


@contextlib.contextmanager
def peak_of(process: psutil.Process) -> Iterator[list[float]]:
    """MiB resident of one process: at the start, and at most until the end."""
    seen = [process.memory_info().rss / 2**20] * 2
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            seen[1] = max(seen[1], process.memory_info().rss / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def huge(bench: Bench, size: int) -> None:
    """One object of many bytes in and out, and the server's memory meanwhile."""
    block = os.urandom(MB)
    name = f"{size / 1e9:g} GB"
    table = Table(
        f"One object of {name}", ("", "seconds", "MB/s", "server's MiB before", "at most")
    )
    process = bench.process()
    peaks = []
    blocks = (block for _ in range(size // MB))
    for what, asked in (
        ("PUT", bench.client.ask("PUT", "huge", body=blocks, length=size)),
        ("GET", bench.client.ask("GET", "huge")),
    ):
        say(f"{what} {name}")
        with connected(bench.client.port) as connection, peak_of(process) as seen:
            began = time.perf_counter()
            came = connection.ask(asked)
            seconds = time.perf_counter() - began
        if what == "GET" and came.length != size:
            raise RuntimeError(f"{came.length} bytes came back")
        peaks.append(seen[1])
        table.rows.append(
            (what, f"{seconds:.1f}", f"{size / MB / seconds:,.0f}", *(f"{m:.0f}" for m in seen))
        )
    with connected(bench.client.port) as connection:
        connection.ask(bench.client.ask("DELETE", "huge"))
    bench.report.tables.append(table)
    bench.report.figures["huge_peak_mib"] = max(peaks)
    bench.report.goals.append(
        Goal(
            f"server's memory while {name} go in and out",
            f"{max(peaks):.0f} MiB",
            "≤ 200 MB",
            max(peaks) * 2**20 <= 200 * MB,
        )
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    parser.add_argument("--large", action="store_true", help="an object of 5 GB, not of 1 GB")


def run(asked: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="superres-bench-") as home:
        folder = Path(home)
        if "floor" in asked.only:
            floor(report, folder)
        with (
            static_server(folder / "static") as static,
            serving(folder / "superres", device="auto") as service,
        ):
            bench = Bench(service, Client(service), static, asked.quick, report)
            if "transfer" in asked.only:
                transfer(bench)
            if "small" in asked.only:
                small(bench)
            if "pictures" in asked.only:
                pictures(bench)
            if "huge" in asked.only:
                huge(bench, 5000 * MB if asked.large else (200 if asked.quick else 1000) * MB)
        if "listing" in asked.only:
            listing(report, folder, quick=asked.quick)
    cores = psutil.cpu_count()
    report.notes.append(f"{cores} cores, shared by the server, its worker and the clients.")
    return report


if __name__ == "__main__":
    sys.exit(program("buckets", __doc__, run, options=options))
