"""What a program of this folder says at its end: tables, goals, and the same as JSON."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

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
    """What this ran on, in words."""
    about = {"processor": platform.processor() or platform.machine()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = dict(
            (part.strip() for part in line.split(":", 1))
            for line in cpuinfo.read_text().splitlines()
            if ":" in line
        )
        about["processor"] = lines.get("model name", about["processor"])
        flags = set(lines.get("flags", lines.get("Features", "")).split())
        known = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16", "fphp")
        about["instructions"] = " ".join(f for f in known if f in flags) or "none of note"
    affinity = getattr(os, "sched_getaffinity", None)
    about["cores"] = str(len(affinity(0)) if affinity else os.cpu_count())
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        about["memory"] = f"{size / 2**30:.0f} GiB"
    if hasattr(os, "getloadavg"):
        about["load"] = f"{os.getloadavg()[0]:.1f} (processes that wanted to run, last minute)"
    about["system"] = f"{platform.system()} {platform.release()}"
    about["python"] = platform.python_version()
    for name in ("superres", "openvino", "onnxruntime", "ncnn", "torch", "pyvips-binary", "numpy"):
        try:
            about[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            about[name] = "not installed"
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
