"""Run every program of this folder, each in a process of its own, and write a summary.

Writes OUT/NAME.json for each and OUT/SUMMARY.md with the machine and all tables. The exit
code is 1 if a program crashed; a goal that is missed is said clearly but is no crash.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import RESULTS, Goal, Table, machine, markdown, today, verdict

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = (
    "ceiling",
    "engine",
    "peers",
    "command",
    "memory",
    "fidelity",
    "guard",
    "faces",
    "published",
    "load",
    "jobs",
    "buckets",
    "chaos",
)
LIMIT = 7200
"""Seconds after which a program counts as hung."""


def call(name: str, out: Path, quick: bool) -> list[str]:
    """The command line of one program."""
    words = [sys.executable, "-m", f"bench.{name}", "--json", str(out / f"{name}.json")]
    if name == "published":  # has no quick form: in a hurry only what must equal the paper
        return words + (["--rows", "bicubic,faithful"] if quick else [])
    if quick:
        words.append("--quick")
    if name == "guard":
        words += ["--sheet", str(out / "guard.png")]
    return words


def missing(name: str) -> str | None:
    """Why a program cannot run here, or None."""
    if name == "published":
        from bench.published import DATA

        if not DATA.is_dir():
            return "Set5 and Set14, which are not ours to ship, are not here"
    return None


def run(name: str, out: Path, quick: bool) -> str:
    """Run one program; returns "done" or what went wrong."""
    (out / f"{name}.json").unlink(missing_ok=True)
    try:
        code = subprocess.run(
            call(name, out, quick), cwd=ROOT, check=False, timeout=LIMIT
        ).returncode
    except subprocess.TimeoutExpired:
        return f"hung for {LIMIT} s"
    wrote = (out / f"{name}.json").is_file()
    if name == "published" and code == 1 and wrote:
        return "done"  # measured, but off the paper: a goal missed
    return "done" if code == 0 and wrote else f"crashed (exit code {code})"


def summary(outcome: dict[str, tuple[str, float]], out: Path, quick: bool) -> str:
    """The whole of SUMMARY.md."""
    form = "quick form" if quick else "long form"
    text = [f"# Benchmarks, {today()}, {form}\n"]
    text += [f"- {key}: {value}" for key, value in machine().items()]
    text.append("")
    parts, goals = [], []
    for name, (state, seconds) in outcome.items():
        parts.append(f"\n## {name}\n")
        if state != "done":
            parts.append(f"{state}\n")
            continue
        content = json.loads((out / f"{name}.json").read_text("utf-8"))
        if name == "published":
            tables, own = _published(content)
        else:
            tables = [Table(t["title"], tuple(t["columns"]), t["rows"]) for t in content["tables"]]
            own = [Goal(**goal) for goal in content["goals"]]
            parts.append(content["about"].split("\n\n")[0].replace("\n", " ") + "\n")
        parts += [markdown(table) for table in tables]
        parts += [f"{note}\n" for note in content.get("notes", ())]
        parts.append(f"Took {seconds:.0f} s.\n")
        goals += [(name, g.what, g.value, g.limit, verdict(g)) for g in own]
    text.append(markdown(Table("Goals", ("program", "", "measured", "goal", ""), goals)))
    return "\n".join(text + parts)


def _published(content: dict[str, Any]) -> tuple[list[Table], list[Goal]]:
    """bench.published writes plain figures."""
    table = Table("Mean PSNR-Y, dB", ("row", "set", "measured", "published or known"))
    goals = []
    for f in content["figures"]:
        known = f["reference"]
        cells = (
            f"{f['set']} ×{f['scale']}",
            f"{f['psnr_y']:.2f}",
            f"{known:.2f}" if known else "–",
        )
        table.rows.append((f["row"], *cells))
        if f["row"] == "faithful" and known:
            off = f["psnr_y"] - known
            what = f"faithful on {cells[0]} against the paper"
            goals.append(Goal(what, f"{off:+.3f} dB", "± 0.03 dB", abs(off) <= 0.03))
    return [table], goals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them in order."""
    parser = argparse.ArgumentParser(
        "python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small settings: a few minutes")
    names = ", ".join(PROGRAMS)
    parser.add_argument(
        "--only", nargs="+", choices=PROGRAMS, metavar="NAME", help=f"only these of {names}"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    asked = parser.parse_args(arguments)
    out = asked.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    outcome: dict[str, tuple[str, float]] = {}
    for name in PROGRAMS:
        if asked.only and name not in asked.only:
            continue
        print(f"\n=== {name} ===", flush=True)
        began = time.perf_counter()
        reason = missing(name)
        state = f"skipped: {reason}" if reason else run(name, out, asked.quick)
        outcome[name] = state, time.perf_counter() - began
        print(f"--- {name}: {state}, {outcome[name][1]:.0f} s", flush=True)
    target = out / "SUMMARY.md"
    target.write_text(summary(outcome, out, asked.quick), "utf-8")
    print(f"\n{target}")
    missed = [
        line for line in target.read_text("utf-8").splitlines() if line.endswith("| MISSED |")
    ]
    if missed:
        print(f"{len(missed)} goals missed:", *missed, sep="\n")
    crashed = [
        name for name, (state, _) in outcome.items() if not state.startswith(("done", "skip"))
    ]
    if crashed:
        print(f"Crashed: {', '.join(crashed)}", file=sys.stderr)
    return int(bool(crashed))


if __name__ == "__main__":
    sys.exit(main())
