"""What jobs cost beyond their pictures, and whether many of them make anything grow.

A server that does none takes 2,000 pictures of 64 x 64 in; then a worker does them, with the
fake engine, so that what is measured is everything around the network. Then 200 clients look at
a job once a second each. Processors are counted by the processes' own clocks, children included.

The floor, per picture: transactions that write, each a lock, a commit and a round trip. Handing
in: 2 (the file's row before and after the file is there) and a share of the job's own. Doing:
claim, begin, the result's row twice, done, DBOS's own record, the input's row twice: 8, and one
read or two. With SQLite a write takes about 0.3 ms of processor through SQLAlchemy, with
PostgreSQL 0.6 ms and as much again in the server's own processes: 3 and 6 ms. The picture
itself (decode, tiles, guard, encode) takes what the library takes alone, which is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image
from sqlalchemy import func, select

from bench.chaos import ENGINES, POSTGRES, members
from bench.report import Goal, Report, Table, program, say
from superres.engines.fake import FakeEngine
from superres.jobs.tables import job_items
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import load
from tests.e2e.fleet import Fleet, Member

SIDE, SCALE, PER_JOB = 64, 4, 10


def picture() -> bytes:
    """A small picture with something on it, as a PNG file."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    pixels = np.stack([x * 3 % 256, y * 3 % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def alone(pictures: int) -> float:
    """Processor seconds that the library takes for one picture."""
    data = picture()
    with (
        tempfile.TemporaryDirectory() as folder,
        Upscaler(load(), engine=FakeEngine()) as upscaler,
    ):
        target = Path(folder) / "result.png"
        options = UpscaleOptions(scale=SCALE)
        upscaler.upscale_file(data, target, options)
        began = time.process_time()
        for _ in range(pictures):
            upscaler.upscale_file(data, target, options)
        return (time.process_time() - began) / pictures


@dataclass
class Phase:
    """What was measured while something was going on.

    Attributes:
        seconds: that it took.
        processor: seconds of the processes that were watched, in all.
        resident: MiB of them, at the start, at each quarter, and at the end.
    """

    seconds: float = 0.0
    processor: float = 0.0
    resident: list[float] = field(default_factory=list)


@contextlib.contextmanager
def watching(*watched: Member) -> Iterator[Phase]:
    """Measure what ``watched`` take meanwhile."""
    phase = Phase()
    phase.resident.append(sum(m.resident() for m in watched))
    before = sum(m.seconds_of_processor() for m in watched)
    began = time.perf_counter()
    yield phase
    phase.seconds = time.perf_counter() - began
    phase.processor = sum(m.seconds_of_processor() for m in watched) - before
    phase.resident.append(sum(m.resident() for m in watched))


def hand_in(server: Member, total: int, threads: int = 4) -> list[str]:
    """``total`` pictures in jobs of ten; the jobs' ids."""
    files = [("file", (f"{n}.png", picture(), "image/png")) for n in range(PER_JOB)]
    local = threading.local()
    with contextlib.ExitStack() as stack:

        def one(_: int) -> str:
            if not hasattr(local, "http"):
                local.http = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
            answer = local.http.post("/v1/jobs", files=files, data={"scale": SCALE})
            answer.raise_for_status()
            return str(answer.json()["id"])

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, range(total // PER_JOB)))


def finished(fleet: Fleet) -> tuple[int, int]:
    """How many pictures are done, and how many ended in another way."""
    query = select(job_items.c.state, func.count()).group_by(job_items.c.state)
    with fleet.database.connect() as connection:
        counts: dict[str, int] = dict(connection.execute(query).all())
    done = counts.pop("done", 0)
    return done, sum(counts.values()) - counts.get("waiting", 0) - counts.get("running", 0)


def do(fleet: Fleet, worker: Member, total: int) -> Phase:
    """Have all that waits be done."""
    with watching(worker) as phase:
        quarter = 1
        deadline = time.monotonic() + total * 0.5 + 60
        while True:
            done, other = finished(fleet)
            if done * 4 >= quarter * total:
                phase.resident.append(worker.resident())
                quarter += 1
            if done + other >= total:
                break
            if time.monotonic() > deadline or not worker.alive:
                raise RuntimeError(f"{done} of {total} done\n{fleet.told(40)}")
            time.sleep(0.1)
    if other:
        raise RuntimeError(f"{other} pictures failed\n{fleet.told(40)}")
    return phase


async def look(server: Member, jobs: list[str], clients: int, seconds: float) -> list[float]:
    """``clients`` clients, each of which looks at a job once a second; times of the answers."""
    host, port = server.address
    times: list[float] = []

    async def client(number: int) -> None:
        await asyncio.sleep(number / clients)  # not all at the same moment
        reader, writer = await asyncio.open_connection(host, port)
        path = f"/v1/jobs/{jobs[number % len(jobs)]}"
        asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = next(
                int(line.partition(b":")[2])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length")
            )
            json.loads(await reader.readexactly(length))
            times.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, began + 1 - time.perf_counter()))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return times


def polled(server: Member, jobs: list[str], clients: int, seconds: float) -> tuple[Phase, Run]:
    with watching(server) as phase:
        times = asyncio.run(look(server, jobs, clients, seconds))
    return phase, Run(sorted(times))


@dataclass(frozen=True)
class Run:
    """Times of answers, sorted."""

    times: list[float]

    def at(self, share: float) -> float:
        """Milliseconds in which so many were answered."""
        return self.times[min(len(self.times) - 1, int(share * len(self.times)))] * 1000


def measure(engine: str, report: Report, tables: list[Table], floor: float, *, quick: bool) -> None:
    """Everything on one database."""
    total, clients, seconds = (200, 50, 5.0) if quick else (2000, 200, 20.0)
    rates, memory, polling = tables
    with (
        tempfile.TemporaryDirectory(prefix="superres-jobs-") as folder,
        members(engine, Path(folder), 1) as fleet,
    ):
        # As they are by default, where nobody is in a hurry.
        for name in ("jobs.slot_timeout", "jobs.poll_interval"):
            for member in fleet.members:
                member.settings = {k: v for k, v in member.settings.items() if k != name}
        server, worker = fleet.members
        server.settings = {**server.settings, "jobs.concurrency": 0}
        server.start()
        hand_in(server, 100)  # caches and arenas fill up first
        say(f"{engine}: {total} pictures handed in")
        with watching(server) as taking:
            jobs = hand_in(server, total)
        worker.start()
        do(fleet, worker, 100)
        say(f"{engine}: and done")
        waiting = total + 100 - sum(finished(fleet))
        doing = do(fleet, worker, total + 100)
        say(f"{engine}: {clients} clients look")
        phase, looks = polled(server, jobs, clients, seconds)
        per_item = (taking.processor / total + doing.processor / waiting) * 1000
        rates.rows.append(
            (
                engine,
                f"{total / taking.seconds:.0f}",
                f"{taking.processor / total * 1000:.1f}",
                f"{waiting / doing.seconds:.0f}",
                f"{doing.processor / waiting * 1000:.1f}",
                f"{per_item:.1f}",
                f"{per_item - floor * 1000:.1f}",
            )
        )
        memory.rows.append((engine, "server, handing in", *_ends(taking.resident)))
        memory.rows.append((engine, "worker and its process", *_ends(doing.resident[1:])))
        memory.rows.append((engine, "server, looked at", *_ends(phase.resident)))
        polling.rows.append(
            (
                engine,
                str(clients),
                f"{len(looks.times) / phase.seconds:.0f}",
                f"{looks.at(0.5):.1f}",
                f"{looks.at(0.95):.1f}",
                f"{phase.processor / phase.seconds:.0%}",
                f"{phase.processor / len(looks.times) * 1000:.2f}",
            )
        )
    settled = doing.resident[len(doing.resident) // 2 :]
    grown = settled[-1] - settled[0]
    report.goals += [
        Goal(
            f"{engine}: worker's growth over the second half",
            f"{grown:+.0f} MiB",
            "≤ 40 MiB",
            grown <= 40,
        ),
        Goal(
            f"{engine}: {clients} clients, p95",
            f"{looks.at(0.95):.0f} ms",
            "≤ 100 ms",
            looks.at(0.95) <= 100,
        ),
    ]
    report.figures[engine] = {
        "enqueue_rate": total / taking.seconds,
        "completion_rate": waiting / doing.seconds,
        "processor_ms": per_item,
        "floor_ms": floor * 1000,
        "resident": doing.resident,
        "p50_ms": statistics.median(looks.times) * 1000,
    }


def _ends(resident: list[float]) -> tuple[str, str, str]:
    first, last = resident[0], resident[-1]
    return f"{first:.0f}", f"{last:.0f}", f"{last - first:+.0f}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=ENGINES, metavar="DATABASE")


def run(asked: argparse.Namespace) -> Report:
    report = Report()
    say("the library alone")
    floor = alone(20 if asked.quick else 100)
    report.notes.append(f"The library alone takes {floor * 1000:.1f} ms of processor a picture.")
    tables = [
        Table(
            "Pictures of 64², ×4, by a server and one worker; processor in ms a picture",
            ("database", "taken /s", "processor", "done /s", "processor", "both", "beyond library"),
        ),
        Table("Resident memory, MiB", ("database", "of", "before", "after", "more")),
        Table(
            f"Clients that look at a job of {PER_JOB} pictures once a second",
            ("database", "clients", "answers /s", "p50 ms", "p95 ms", "of a core", "ms each"),
        ),
    ]
    report.tables += tables
    for engine in asked.only:
        if engine == "postgres" and not POSTGRES:
            report.notes.append("SUPERRES_TEST_POSTGRES does not name a PostgreSQL: not measured")
            continue
        measure(engine, report, tables, floor, quick=asked.quick)
    cores = psutil.cpu_count()
    report.notes.append(f"{cores} cores, shared by the processes, the clients and the database.")
    return report


if __name__ == "__main__":
    sys.exit(program("jobs", __doc__, run, options=options))
