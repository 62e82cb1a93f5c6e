"""Does memory stay under its ceiling, and time per pixel the same, however large the picture?

Runs ``superres upscale`` ×4 `general`, PNG in, PNG out, on squares of 512 to 4096 pixels
(with --quick 256 to 1024), each in a process of its own, and reports

- *peak*: the largest resident size, as the kernel counts it at the end of the process. It
  includes file pages, such as the scratch file of the result, that the kernel can drop;
- *anonymous*: the largest private memory seen, sampled from /proc on Linux;
- the same of the largest square with --face and a hundred faces allowed: every other copy in the
  mosaic has one that is found;
- seconds per input megapixel, start-up of the process apart, best of several runs; and the
  whole process, in wall and processor seconds.

Goals: peak under 1.5 GiB at every size, with faces too, time per megapixel flat within 15 % from
512² on.

Floor: bytes. The runtime and its libraries are about 0.2 GiB; beside them only the tiles in
flight have to be in memory, whose number does not depend on the size of the picture. A
4096² picture's result is 0.8 GB of pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.pictures import save, square
from bench.report import Goal, Report, Table, program, say
from bench.timing import COMMAND, environment, private_folder

MODEL, SCALE = "general", 4
CEILING = 3 << 29
FLAT, FLAT_FROM = 0.15, 512
_SAMPLE = 0.05


@dataclass(frozen=True)
class Run:
    """One process; sizes in bytes, ``anonymous`` 0 where it cannot be known; ``faces`` that were
    found, None if they were not looked for.
    """

    side: int
    seconds: float
    inference_seconds: float
    wall: float
    cpu: float
    peak: int
    anonymous: int
    faces: int | None = None


def _anonymous(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # not Linux, or it has just ended
        return 0
    found = re.search(r"^Anonymous:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def measure(source: Path, side: int, folder: Path, cache: Path, *, faces: bool = False) -> Run:
    """Run the command on ``source`` and watch it."""
    call = [*COMMAND, str(source), "-o", str(folder / "result.png"), "-s", str(SCALE)]
    call += ["-m", MODEL, "--overwrite", "--json", "--quiet"]
    call += ["--face"] * faces
    variables = environment(folder, cache)
    variables["SUPERRES_FACES__MOST"] = "100"
    log = folder / "report.json"
    anonymous = 0
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(call, cwd=folder, env=variables, stdout=output)
        # wait4 gives the child's own processor time, but a peak that includes this process's.
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            anonymous = max(anonymous, _anonymous(process.pid))
            time.sleep(_SAMPLE)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, call)
    about = json.loads(log.read_text("utf-8").splitlines()[-1])
    peak = about["peak_memory"]
    cpu = usage.ru_utime + usage.ru_stime
    found = len(about["faces"]) if faces else None
    seconds = about["seconds"], about["inference_seconds"]
    return Run(side, *seconds, wall, cpu, peak, anonymous, found)


def run(asked: argparse.Namespace) -> Report:
    sides = asked.side or ([256, 512, 1024] if asked.quick else [512, 1024, 2048, 4096])
    runs: dict[int, list[Run]] = {side: [] for side in sides}
    rounds = 2 if asked.quick else 3
    with private_folder() as folder:
        cache = folder / "cache"
        for number in range(rounds + 1):
            for side in sides:
                # The first round fills the cache; the largest pictures take minutes.
                if number and side >= 4096 and len(runs[side]) >= rounds - 1:
                    continue
                if not number and side >= 4096:
                    continue
                say(f"{side}² …")
                source = folder / f"{side}.png"
                if not source.exists():
                    save(square(side), source)
                found = measure(source, side, folder, cache)
                if number:
                    runs[side].append(found)
        largest = max(sides)
        say(f"{largest}² with faces …")
        crowd = measure(folder / f"{largest}.png", largest, folder, cache, faces=True)
    return _report(runs, crowd, asked.quick)


def _report(runs: dict[int, list[Run]], crowd: Run, quick: bool) -> Report:
    table = Table(
        f"superres upscale ×{SCALE} {MODEL}, PNG to PNG",
        ("input", "s/MPx", "of it tiles", "seconds", "process", "processor", "peak", "anonymous"),
    )
    per: dict[int, float] = {}
    for side, found in runs.items():
        best = min(found, key=lambda r: r.seconds)
        area = side**2 / 1e6
        per[side] = best.seconds / area
        tiles = min(r.inference_seconds for r in found) / area
        table.rows.append(
            (
                f"{side}²",
                f"{per[side]:.2f}",
                f"{tiles:.2f}",
                f"{best.seconds:.2f}",
                f"{best.wall:.2f}",
                f"{min(r.cpu for r in found):.2f}",
                *_sizes(max(r.peak for r in found), max(r.anonymous for r in found)),
            )
        )
    table.rows.append(
        (
            f"{crowd.side}², faces: {crowd.faces}",
            f"{crowd.seconds / (crowd.side**2 / 1e6):.2f}",
            f"{crowd.inference_seconds / (crowd.side**2 / 1e6):.2f}",
            f"{crowd.seconds:.2f}",
            f"{crowd.wall:.2f}",
            f"{crowd.cpu:.2f}",
            *_sizes(crowd.peak, crowd.anonymous),
        )
    )
    peak = max(crowd.peak, *(r.peak for found in runs.values() for r in found))
    counted = [value for side, value in per.items() if side >= FLAT_FROM]
    goals = [
        Goal("largest peak of all sizes", f"{peak / 2**30:.2f} GiB", "< 1.5 GiB", peak < CEILING)
    ]
    if len(counted) > 1:
        flatness = max(counted) / min(counted) - 1
        what = f"time per megapixel from {FLAT_FROM}² on, slowest against fastest size"
        goals.append(Goal(what, f"+{flatness:.0%}", f"≤ +{FLAT:.0%}", flatness <= FLAT))
    notes = ["Quick: up to 1024² only; the long form goes to 4096²."] if quick else []
    figures = {str(side): [vars(r) for r in found] for side, found in runs.items()}
    figures["faces"] = [vars(crowd)]
    return Report([table], goals, notes, figures)


def _sizes(*sizes: int) -> list[str]:
    return [f"{size / 2**30:.2f} GiB" if size else "–" for size in sizes]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--side", type=int, action="append", metavar="PIXELS", help="only this one; repeatable"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    if not hasattr(os, "wait4"):
        print("bench.memory needs wait4, which this system does not have.", file=sys.stderr)
        return 2
    return program("memory", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
