"""Words, bars and signals: what cannot be seen without a terminal."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from superres.cli import console as words
from superres.cli.inputs import Source
from superres.cli.interrupt import Interrupt
from superres.cli.plan import Task
from superres.cli.progress import Bars, Lines, Silence, State, display
from superres.pipeline import Progress


def task(name: str, side: int) -> Task:
    size: Any = SimpleNamespace(width=side // 4, height=side // 4, out_width=side, out_height=side)
    return Task(Source(Path(name)), None, Path("out.png"), size)


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def drawn(console: Console, state: State) -> list[str]:
    bars = Bars(console, state)
    bars.close()
    sheet = Console(file=io.StringIO(), width=console.width, color_system=None)
    sheet.print(bars.render())
    return sheet.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration(seconds: float, told: str) -> None:
    assert words.duration(seconds) == told


def test_other_words() -> None:
    assert [words.clock(s) for s in (0.2, 61, 3723)] == ["0:00", "1:01", "1:02:03"]
    assert [words.megapixels(p) for p in (262_144, 4.19e6, 1.34e8)] == ["0.26", "4.2", "134"]
    assert [words.size(n) for n in (812, 1250, 33e6, 999_600, 4.2e9)] == [
        "812 B",
        "1.2 kB",
        "33 MB",
        "1.0 MB",
        "4.2 GB",
    ]
    assert words.count(1, "file") == "1 file"
    assert words.count(12_000, "file") == "12,000 files"


def test_a_name_cannot_steer_the_terminal() -> None:
    assert words.printable("a\x1b[2Jb\rc") == "a\\x1b[2Jb\\rc"
    assert words.printable("日本") == "日本"


def test_two_bars_and_one_for_all() -> None:
    first, second = task("in/a.jpg", 3000), task("in/" + "long" * 30 + ".jpg", 1000)
    state = State(files=3, pixels=20_000_000, expected=40, finished=1, done=10_000_000)
    state.began(first)
    state.moved(second, Progress("encode", 0.5))
    overall, *files = drawn(terminal(), state)
    assert overall.startswith("1/3 files ━")
    assert "52%" in overall
    assert "10.5/20.0 MP" in overall
    assert len(files) == 2
    assert "in/a.jpg" in files[0]
    assert "reading" in files[0]
    assert "long.jpg" in files[1]
    assert "writing" in files[1]
    assert "50%" in files[1]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_bars_fit(width: int) -> None:
    state = State(files=300, pixels=10**12, finished=299, done=10**11)
    for n in range(12):
        state.moved(task(f"{n}" * 100, 1000), Progress("upscale", 0.99))
    lines = drawn(terminal(width), state)
    assert len(lines) == 9
    # Where the bars end a terminal writes ^C; on a line of its own it would leave a bar behind.
    assert max(len(line.rstrip()) for line in lines) <= width - 2


def test_one_file_has_one_bar() -> None:
    state = State(files=1, pixels=1_000_000)
    state.moved(task("a.jpg", 1000), Progress("upscale", 0.25))
    (line,) = drawn(terminal(), state)
    assert line.startswith("enlarging ━")
    assert "25%" in line


def test_time_left() -> None:
    state = State(files=2, pixels=2_000_000, started=time.monotonic() - 10)
    assert state.left is None
    state.expected = 40
    assert state.left == pytest.approx(30, abs=0.5)
    one = task("a.jpg", 1000)
    state.moved(one, Progress("upscale", 0.5))
    assert state.left == pytest.approx(30, abs=0.5)
    state.ended(one)
    assert state.left == pytest.approx(10, abs=0.5)
    assert (state.finished, state.active) == (1, {})


def test_which_display(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(files=1, pixels=1)
    assert isinstance(display(terminal(), state, quiet=True, bars=True), Silence)
    assert isinstance(display(terminal(), state, quiet=False, bars=False), Lines)
    assert isinstance(display(Console(file=io.StringIO()), state, quiet=False, bars=True), Lines)
    shown = display(terminal(), state, quiet=False, bars=True)
    assert isinstance(shown, Bars)
    shown.close()
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(terminal(), state, quiet=False, bars=True), Lines)


def test_lines_are_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=200)
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    state = State(files=2, pixels=2_000_000, started=now[0])
    lines = Lines(console, state)
    state.moved(task("a.jpg", 1000), Progress("upscale", 0.5))
    for _ in range(700):
        now[0] += 0.1
        lines.show()
    told = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert told[0] == "0 of 2 files, 25% after 0:30, 1:30 left"
    assert len(told) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt(number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(number, signal.default_int_handler)
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    try:
        with Interrupt(before_exit=lambda: ended.append(0)) as interrupt:
            assert not interrupt.wanted()
            os.kill(os.getpid(), number)
            assert interrupt.wanted()
            assert interrupt.code == code
            assert ended == []
            os.kill(os.getpid(), number)
            assert ended == [0, code]
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.wanted()
    finally:
        signal.signal(signal.SIGHUP, before)
