"""``superres bench --scorecard``: how good, how fast and how big, on a person's own pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from superres.cli.console import clock, count, error_console, printable, say
from superres.cli.edge import FAILED
from superres.cli.inputs import find
from superres.cli.interrupt import Interrupt
from superres.errors import BadParameter, Cancelled, InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from superres.scorecard import Source
    from superres.scorecard.card import Wanted
    from superres.settings import Settings

DEFAULT = "default"
_LINE_SECONDS = 15.0


@dataclass(frozen=True)
class Asked:
    """The options as typed; empty and None mean the usual."""

    models: Sequence[str] = ()
    fidelities: Sequence[str] = ()
    scales: Sequence[int] = ()
    degradations: Sequence[str] = ()
    side: int | None = None
    reduce: int = 1
    quick: bool = False
    timed: bool = True


def scorecard(folder: Path, out: Path, settings: Settings, asked: Asked) -> int:
    """Measure on the pictures in ``folder``, which is only read; returns the exit code.

    Raises:
        BadParameter, InputError: the options or the folder are at fault.
        SuperresError: the machine is.
    """
    check_apart(folder, out)
    if asked.reduce < 1:
        raise BadParameter(f"--reduce is {asked.reduce}; it must be 1 or more.")
    from superres.scorecard import sources

    found = find([str(folder)], recursive=True)
    for word, error in found.problems:
        raise InputError(f"{word}: {error.public_message}")
    paths = [source.path for source in found.sources if source.path is not None]
    return carry_out(sources(paths, asked.reduce), out, settings, wanted(asked))


def check_apart(folder: Path, out: Path) -> None:
    """Raise InputError for no folder, BadParameter if results would go into it."""
    if not folder.is_dir():
        raise InputError(f"{printable(str(folder))} is not a folder.")
    inside = Path(os.path.realpath(out))
    if inside.is_relative_to(os.path.realpath(folder)):
        raise BadParameter(
            "The results would lie among the pictures, where nothing is written; name another "
            "folder: --out scores"
        )


def wanted(asked: Asked) -> Wanted:
    """What the options come to.

    Raises:
        BadParameter, ModelNotFound: an option is at fault.
    """
    from superres.models.catalog import list_models
    from superres.scorecard import DEGRADATIONS, FIDELITIES, SCALES
    from superres.scorecard.card import QUICK_DEGRADATIONS, SIDE, Wanted

    usual = QUICK_DEGRADATIONS if asked.quick else DEGRADATIONS
    return Wanted(
        models=tuple(asked.models) or tuple(model.name for model in list_models()),
        fidelities=tuple(_fidelity(text) for text in asked.fidelities) or FIDELITIES,
        scales=tuple(asked.scales) or SCALES,
        degradations=tuple(asked.degradations) or usual,
        side=SIDE if asked.side is None else asked.side,
        quick=asked.quick,
        timed=asked.timed,
    )


def _fidelity(text: str) -> float | None:
    if text == DEFAULT:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadParameter(f"--fidelity is a number from 0 to 1 or {DEFAULT}.") from None


def carry_out(pictures: Sequence[Source], out: Path, settings: Settings, plan: Wanted) -> int:
    """Make the scorecard and tell how far it is; returns the exit code.

    Raises:
        SuperresError: it cannot be made.
    """
    from superres.engines.perceptual import find_measure
    from superres.scorecard.card import JSON, MARKDOWN, SHEET, make

    console = error_console()
    with (
        Interrupt(before_exit=lambda: console.show_cursor(True)) as interrupt,
        Told(console) as told,
    ):
        many = count(len(pictures), "picture")
        say(console, f"Measuring on {many}. Ctrl-C stops; the same command then goes on.")
        try:
            card = make(
                pictures,
                plan,
                out,
                settings,
                told,
                perceptual=find_measure(),
                cancelled=interrupt.wanted,
            )
        except Cancelled:
            told.close()
            say(console, "Stopped. The same command goes on from here.")
            return interrupt.code or FAILED
    say(console, f"{count(len(card['rows']), 'figure')} in {out}: {MARKDOWN}, {JSON}, {SHEET}")
    return 0


class Told:
    """Tells of progress: one line that changes on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Told:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._status = self._console.status("Starting …")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the changing line away. Safe to repeat."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def progress(self, what: str, fraction: float, left: float | None) -> None:
        """See :class:`superres.scorecard.card.Teller`."""
        from rich.text import Text

        rest = "" if left is None else f", {clock(left)} left"
        text = f"{fraction:4.0%}{rest}  {printable(what)}"
        if self._status is not None:
            self._status.update(Text(text))
        elif time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            say(self._console, text)

    def note(self, text: str) -> None:
        """See :class:`superres.scorecard.card.Teller`."""
        say(self._console, printable(text))
