"""Whether work that was handed in survives what is done to the processes that do it.

Each round starts a server and three workers as processes of their own, hands in 50 jobs of 4
pictures, and kills five of the processes with ``kill -9`` at random moments: the server and a
worker at least once, and one worker for good. Then every picture must have exactly one result,
the right one; no client may have seen one change; and nothing may be left over. On SQLite all
share one data folder; on PostgreSQL each has a folder of its own and a store is shared.

PostgreSQL is the server that SUPERRES_TEST_POSTGRES names; databases of our own are made there.
A round's seed is printed; --seed repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.report import Goal, Report, Table, program, say
from tests.e2e.chaos import Outcome, Storm, rage
from tests.e2e.fleet import Fleet, database_of_its_own, fleet

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")
ENGINES = ("sqlite", "postgres")
WORKERS = 3
# More than kills can use up of one picture: none may fail here because it was unlucky.
SETTINGS = {"jobs.attempts": 8}


@contextlib.contextmanager
def members(engine: str, folder: Path, workers: int) -> Iterator[Fleet]:
    """A server and ``workers`` workers, to be started."""
    with contextlib.ExitStack() as stack:
        url = store = ""
        if engine == "postgres":
            url = stack.enter_context(database_of_its_own(POSTGRES))
            store = (folder / "store").as_uri()
        settings = dict(SETTINGS)
        made = stack.enter_context(
            fleet(folder, database_url=url, storage_url=store, settings=settings)
        )
        for number in range(1 + workers):
            made.add("worker" if number else "serve", "abcdefgh"[number] if url else "a")
        yield made


def round_of(engine: str, storm: Storm) -> Outcome:
    """One round, on an empty database."""
    with (
        tempfile.TemporaryDirectory(prefix="superres-chaos-") as folder,
        members(engine, Path(folder), WORKERS) as fleet,
    ):
        outcome = rage(fleet, storm)
        if outcome.wrong:
            say("\n".join([*outcome.wrong, fleet.told(40)]))
        return outcome


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="on each database")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; then one more")
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=ENGINES, metavar="DATABASE")


def run(asked: argparse.Namespace) -> Report:
    report = Report()
    jobs, rounds = (12, 1) if asked.quick else (50, asked.rounds)
    first = asked.seed or secrets.randbelow(10**6) + 1
    table = Table(
        f"{jobs} jobs × 4 pictures, 5 × kill -9",
        ("database", "seed", "results", "kills", "seconds", "begun", "looks", "wrong"),
    )
    report.tables.append(table)
    for engine in asked.only:
        if engine == "postgres" and not POSTGRES:
            report.notes.append("SUPERRES_TEST_POSTGRES does not name a PostgreSQL: not tried")
            continue
        wrong: list[str] = []
        for number in range(rounds):
            say(f"{engine}, round {number + 1} of {rounds}")
            storm = Storm(first + number, jobs=jobs, patience=60 if asked.quick else 180)
            outcome = round_of(engine, storm)
            figures = outcome.figures
            table.rows.append(
                (
                    engine,
                    str(storm.seed),
                    f"{figures['results']:.0f} of {jobs * storm.images}",
                    f"{figures['kills']:.0f}",
                    f"{figures['seconds']:.1f}",
                    f"{figures['attempts']:.0f}",
                    f"{figures['looks']:.0f}",
                    str(len(outcome.wrong)),
                )
            )
            wrong += [f"{engine}, seed {storm.seed}: {line}" for line in outcome.wrong]
        report.notes += wrong[:10]
        report.goals.append(Goal(f"{engine}: lost or doubled", str(len(wrong)), "0", not wrong))
    return report


if __name__ == "__main__":
    sys.exit(program("chaos", __doc__, run, options=options))
