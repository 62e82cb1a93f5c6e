"""How long it takes to list the keys of a large bucket; a part of ``bench.buckets``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from bench.cos import BUCKET, Client
from bench.report import Goal, Report, Table, say
from bench.wire import connected
from superres.buckets import NewObject, open_buckets
from superres.database import open_database
from superres.settings import load as load_settings
from superres.storage import open_store
from tests.e2e.fleet import database_of_its_own
from tests.e2e.service import Service, serving

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")


ENGINES = ("sqlite", "postgres")


def listing(report: Report, folder: Path, *, quick: bool) -> None:
    """All keys of a large bucket in pages of 1,000, on each database."""
    total = 10_000 if quick else 100_000
    table = Table(
        f"Listing {total:,} keys in 100 folders, pages of 1,000",
        ("database", "", "pages", "seconds", "ms a page", "first", "last", "keys /s"),
    )
    report.tables.append(table)
    for engine in ENGINES:
        if engine == "postgres" and not POSTGRES:
            report.notes.append("SUPERRES_TEST_POSTGRES does not name a PostgreSQL: not listed")
            continue
        with contextlib.ExitStack() as stack:
            settings: dict[str, object] = {"jobs.concurrency": 0}
            if engine == "postgres":
                settings["database.url"] = stack.enter_context(database_of_its_own(POSTGRES))
            service = stack.enter_context(serving(folder / engine, settings=settings))
            client = Client(service)
            say(f"{engine}: {total:,} objects are made")
            _fill(service, total)
            _list_all(engine, client, total, table, report)


def _list_all(engine: str, client: Client, total: int, table: Table, report: Report) -> None:
    """Rows and figures of one database."""
    one_folder = {"prefix": "many/050/", "delimiter": "/"}
    for what, query, entries in (
        ("every key", {"prefix": "many/"}, total),
        ("folders alone", {"prefix": "many/", "delimiter": "/"}, 100),
        ("one folder", one_folder, total // 100),
    ):
        say(f"{engine}: {what}")
        times = min((_pages(client, query, entries) for _ in range(3)), key=sum)
        table.rows.append(
            (
                engine,
                what,
                str(len(times)),
                f"{sum(times):.2f}",
                f"{statistics.median(times) * 1000:.1f}",
                f"{times[0] * 1000:.1f}",
                f"{times[-1] * 1000:.1f}",
                f"{entries / sum(times):,.0f}",
            )
        )
        report.figures[f"list {engine}, {what}"] = times
        if what == "every key" and len(times) > 3:
            grown = statistics.median(times[-4:-1]) / statistics.median(times[1:4])
            report.goals.append(
                Goal(f"{engine}: late pages against early", f"{grown:.2f} ×", "≤ 1.5", grown <= 1.5)
            )


def _fill(service: Service, total: int) -> None:
    """Small objects in 100 folders, through the room below the door."""
    url = {name: value for name, value in service.settings.items() if name == "database.url"}
    settings = load_settings(None, {"server.data_dir": service.data, **url}, {})
    database = open_database(settings)
    try:
        room = open_buckets(settings, database, open_store(settings))
        md5 = hashlib.md5(b"x").hexdigest()
        with tempfile.TemporaryDirectory(dir=service.data) as scratch:
            for start in range(0, total, 500):
                new = []
                for number in range(start, min(total, start + 500)):
                    file = Path(scratch) / str(number)
                    file.write_bytes(b"x")
                    key = f"many/{number // (total // 100):03}/{number:06}.jpg"
                    new.append(NewObject(BUCKET, key, file, md5, "image/jpeg"))
                room.objects.put(*new)
    finally:
        database.dispose()


def _pages(client: Client, query: Mapping[str, str], entries: int) -> list[float]:
    """Seconds of each page of a whole listing, which must have so many entries."""
    times, seen, marker = [], 0, ""
    with connected(client.port) as connection:
        while True:
            asked = client.ask("GET", "", urlencode({**query, "max-keys": 1000, "marker": marker}))
            began = time.perf_counter()
            body = connection.ask(asked, keep=True).body
            times.append(time.perf_counter() - began)
            seen += body.count(b"<Contents>") + body.count(b"<CommonPrefixes>")
            found = re.search(rb"<NextMarker>(.*?)</NextMarker>", body)
            if b"<IsTruncated>true<" not in body:
                break
            assert found is not None
            marker = found[1].decode()
    if seen != entries:
        raise RuntimeError(f"{seen} entries were listed, not {entries}")
    return times
