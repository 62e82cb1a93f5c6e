"""How a run is followed: bars on a terminal, sparse lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from superres.cli.console import clock, megapixels, say
from superres.cli.plan import Task

if TYPE_CHECKING:
    from rich.console import Console

    from superres.pipeline import Progress

# A stage is reported when it ends or moves on: after decoding comes enlarging.
_STAGES = {"decode": "enlarging", "upscale": "enlarging", "encode": "writing"}
_MOST_BARS = 8
_NARROW = 64
_HEARTBEAT = 30.0


@dataclass
class State:
    """How far a run is; written by the working threads, read by the one that shows it.

    Attributes:
        expected: seconds that all may take, 0 if nobody knows.
        done: pixels of finished results.
        active: tasks in work, each with stage and fraction.
    """

    files: int
    pixels: int
    expected: float = 0.0
    finished: int = 0
    done: int = 0
    active: dict[Task, tuple[str, float]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def began(self, task: Task) -> None:
        """Note that a task is in work."""
        self.active[task] = ("reading", 0.0)

    def moved(self, task: Task, progress: Progress) -> None:
        """Note how far one task is."""
        self.active[task] = (_STAGES.get(progress.stage, progress.stage), progress.fraction)

    def ended(self, task: Task) -> None:
        """Note that a task is over, whatever came of it."""
        self.active.pop(task, None)
        self.finished += 1
        self.done += task.pixels

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def fraction(self) -> float:
        """Share of the work that is done, by pixels of the results."""
        parts = sum(task.pixels * part for task, (_, part) in list(self.active.items()))
        return min(1.0, (self.done + parts) / max(1, self.pixels))

    @property
    def left(self) -> float | None:
        """Seconds that the rest may take; None while nothing is known."""
        if self.fraction < 0.02:
            return max(0.0, self.expected - self.elapsed) if self.expected else None
        return self.elapsed * (1 - self.fraction) / self.fraction


class Display(Protocol):
    """Shows a State; every method is called from the same thread."""

    def show(self) -> None:
        """Bring what is shown up to date."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Silence:
    """Shows nothing."""

    def show(self) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    """A line now and then, for logs: only while a file takes long."""

    def __init__(self, console: Console, state: State) -> None:
        self._console = console
        self._state = state
        self._last = time.monotonic()
        self._seen = 0

    def show(self) -> None:
        now = time.monotonic()
        if self._state.finished != self._seen:
            self._seen, self._last = self._state.finished, now
        if now - self._last < _HEARTBEAT:
            return
        self._last = now
        state = self._state
        left = "" if state.left is None else f", {clock(state.left)} left"
        files = f"{state.finished} of {state.files} files"
        say(self._console, f"{files}, {state.fraction:.0%} after {clock(state.elapsed)}{left}")

    def close(self) -> None:
        pass


class Bars:
    """One bar for all and one for each file in work."""

    def __init__(self, console: Console, state: State) -> None:
        from rich.live import Live

        self._state = state
        self._console = console
        # Refreshed by hand, so that only one thread ever writes.
        self._live = Live(
            get_renderable=self.render,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self) -> None:
        self._live.refresh()

    def close(self) -> None:
        self._live.stop()

    def render(self) -> Any:
        """Draw the bars for the console's width."""
        from rich.console import Group

        active = list(self._state.active.items())[:_MOST_BARS]
        # A single file's bar would only repeat the one for all.
        if self._state.files == 1:
            return self._overall(active[0] if active else None)
        return Group(self._overall(None), *(self._file(task, *part) for task, part in active))

    def _grid(self, *ratios: int | None) -> Any:
        from rich.table import Table

        # A little room at the right: there a terminal writes ^C, instead of on a line of its own.
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.width = max(10, self._console.width - 4)
        for ratio in ratios:
            grid.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
        return grid

    def _overall(self, only: tuple[Task, tuple[str, float]] | None) -> Any:
        from rich.progress_bar import ProgressBar

        state = self._state
        bar = ProgressBar(total=1.0, completed=state.fraction)
        left = "" if state.left is None else f"{clock(state.left)} left"
        what = f"{state.finished}/{state.files} files"
        if state.files == 1:
            what = only[1][0] if only else "starting"
        cells: list[Any] = [what, bar, f"{state.fraction:4.0%}", left]
        ratios: list[int | None] = [None, 1, None, None]
        if self._console.width >= _NARROW:
            made = megapixels(state.fraction * state.pixels)
            cells[3:3] = [f"{made}/{megapixels(state.pixels)} MP", clock(state.elapsed)]
            ratios += [None, None]
        grid = self._grid(*ratios)
        grid.add_row(*cells)
        return grid

    def _file(self, task: Task, stage: str, fraction: float) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        narrow = self._console.width < _NARROW
        name = Text("  " + _short(task.name, self._console.width // 2 - 4))
        bar = ProgressBar(total=1.0, completed=fraction, width=10 if narrow else 20)
        grid = self._grid(1, None, None, None)
        grid.add_row(name, "" if narrow else stage, bar, f"{fraction:4.0%}")
        return grid


def _short(name: str, width: int) -> str:
    """The end of a long name, which tells more than its start."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def display(console: Console, state: State, *, quiet: bool, bars: bool) -> Display:
    """The display that suits where it is shown."""
    if quiet:
        return Silence()
    if bars and console.is_terminal and not console.is_dumb_terminal:
        return Bars(console, state)
    return Lines(console, state)
