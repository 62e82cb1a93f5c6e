"""How times are taken: in turns, so that what disturbs one disturbs all; the best counts.

A machine that does other things too only ever makes a run slower, so the shortest of
several is nearest to what the work needs, and the ratio of two such is the steadiest figure.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import superres
from superres.settings import Settings

LONG = 2.0
"""From this many seconds on, the first run of a piece of work counts as one of the rounds."""


def interleaved(
    work: Mapping[str, Callable[[], object]], rounds: int, least: float = 0.2
) -> dict[str, list[float]]:
    """Time several pieces of work in turns: A B C A B C …

    Args:
        work: by name.
        rounds: times for each.
        least: work shorter than this many seconds is repeated within a round.

    Returns:
        For each name the seconds of one run, one figure per round.
    """
    repeats, times = {}, {}
    for name, call in work.items():
        began = time.perf_counter()
        call()
        took = time.perf_counter() - began
        times[name] = [took] if took >= LONG else []
        if took < least:  # again, for the first time includes what is done only once
            began = time.perf_counter()
            call()
            took = time.perf_counter() - began
        repeats[name] = max(1, int(least / max(took, 1e-6)))
    for _ in range(rounds):
        for name, call in work.items():
            if len(times[name]) >= rounds:
                continue
            began = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - began) / repeats[name])
    return times


def best(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: min(values) for name, values in times.items()}


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for compiled networks and pictures, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="superres-bench-") as folder:
        yield Path(folder)


def settings(cache: Path, **engine: object) -> Settings:
    """The defaults, untouched by a person's own settings, with a private cache."""
    default = Settings()
    return replace(default, engine=replace(default.engine, cache_dir=cache, **engine))


@dataclass(frozen=True)
class Took:
    """Wall and processor seconds; the latter hardly change when others use the machine."""

    wall: float
    cpu: float


@contextmanager
def clock() -> Iterator[Callable[[], Took]]:
    """Time a block, the processes it waited for included; ask the function given afterwards."""

    def now() -> Took:
        t = os.times()
        return Took(time.perf_counter(), t.user + t.system + t.children_user + t.children_system)

    first = now()
    end: list[Took] = []
    yield lambda: Took(end[0].wall - first.wall, end[0].cpu - first.cpu)
    end.append(now())


COMMAND = (sys.executable, "-m", "superres", "upscale")


def environment(folder: Path, cache: Path) -> dict[str, str]:
    """Environment of a ``superres`` process that knows this package and no personal settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SUPERRES_")}
    package = str(Path(superres.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, kept.get("PYTHONPATH", "")]))
    own = {"SUPERRES_ENGINE__CACHE_DIR": str(cache), "XDG_CONFIG_HOME": str(folder)}
    return kept | own | {"PYTHONPATH": path}
