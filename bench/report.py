"""What a program of this folder says at its end: tables, goals, and the same as JSON."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from superres.scorecard.machine import machine as scorecard_machine

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Table:
    """One table; cells are text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Goal:
    """One expectation; ``met`` is None where it does not apply to this run."""

    what: str
    value: str
    limit: str
    met: bool | None


@dataclass
class Report:
    """Everything a program found; ``figures`` are the plain numbers behind the tables."""

    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def machine() -> dict[str, str]:
    """What this ran on, in words, and which commit."""
    about = scorecard_machine()
    root = Path(__file__).resolve().parents[1]
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        found = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True)
        about["commit"] = found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        about["commit"] = "unknown"
    return about


def today() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def verdict(goal: Goal) -> str:
    return {True: "met", False: "MISSED", None: "not measured"}[goal.met]


def parser(doc: str, name: str) -> argparse.ArgumentParser:
    """The options that every program has."""
    made = argparse.ArgumentParser(
        f"python -m bench.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--quick", action="store_true", help="small settings, for a first look")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    return made


def finish(name: str, doc: str, report: Report, asked: argparse.Namespace, started: float) -> int:
    """Print the tables, write the JSON; always 0: a goal that was missed is not a crash."""
    show(report)
    if asked.json is not None:
        content = {
            "name": name,
            "about": doc.strip(),
            "date": today(),
            "quick": asked.quick,
            "seconds": round(time.perf_counter() - started, 1),
            "machine": machine(),
            **asdict(report),
        }
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, ensure_ascii=False, default=float)
        asked.json.write_text(text + "\n", "utf-8")
    return 0


def program(
    name: str,
    doc: str,
    run: Callable[[argparse.Namespace], Report],
    arguments: Sequence[str] | None = None,
    options: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """The main function of a program: read the command line, run, report."""
    made = parser(doc, name)
    if options is not None:
        options(made)
    asked = made.parse_args(arguments)
    started = time.perf_counter()
    return finish(name, doc, run(asked), asked, started)


def say(text: str) -> None:
    """Tell what is being measured; to standard error, as it is no result."""
    print(text, file=sys.stderr, flush=True)


def show(report: Report) -> None:
    """Print tables, goals and notes."""
    # In a log lines may be long; on a terminal they are folded to fit.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for table in report.tables:
        console.print(_rich(table))
    if report.goals:
        rows = [(g.what, g.value, g.limit, verdict(g)) for g in report.goals]
        console.print(_rich(Table("Goals", ("", "measured", "goal", ""), rows)))
    for note in report.notes:
        console.print(note, markup=False, highlight=False)


def _rich(table: Table) -> RichTable:
    made = RichTable(
        title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for index, column in enumerate(table.columns):
        made.add_column(column, justify="right" if index else "left")
    for row in table.rows:
        style = "red" if row[-1] == "MISSED" else None
        made.add_row(*row, style=style)
    return made


def markdown(table: Table) -> str:
    """``table`` for the summary."""
    lines = [f"**{table.title}**", "", "| " + " | ".join(table.columns) + " |"]
    lines.append("|---" + "|--:" * (len(table.columns) - 1) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in table.rows]
    return "\n".join(lines) + "\n"
