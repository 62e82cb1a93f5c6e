"""What every command prints with: two streams, and numbers and names in words."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from superres.faces import FaceReport, Tier


def error_console() -> Console:
    """The stream for people: progress, notes and errors, on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def output_console() -> Console:
    """The stream for tables that were asked for, on standard output."""
    from rich.console import Console

    return Console(highlight=False)


def say(console: Console, text: Any) -> None:
    """Print a line, as text: brackets in file names are no markup.

    Away from a terminal a line stays one line, whatever its length.
    """
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def print_error(console: Console, message: str, name: str | None = None) -> None:
    """Print one sentence on what went wrong, with the file it is about."""
    from rich.text import Text

    text = Text.assemble(("error: ", "bold red"))
    if name is not None:
        text.append(f"{name}: ", "bold")
    say(console, text.append(printable(message)))


def print_json(record: Mapping[str, object]) -> None:
    """Print one record as one line on standard output, in ASCII, at once.

    A file name that is not UTF-8 keeps its bytes as lone surrogates, as ``os.fsdecode`` makes
    them: ``os.fsencode(json.loads(line)["input"])`` is the name again.
    """
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """``text`` with everything that would not show, or would steer the terminal, written out."""
    plain = os.fsencode(text).decode("utf-8", "backslashreplace") if not text.isascii() else text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def shown(path: Path | None) -> str:
    """A path for people to read; None is a standard stream."""
    return "-" if path is None else printable(str(path))


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def faces_told(faces: Sequence[FaceReport]) -> str:
    """``3 faces kept``, ``3 faces: 2 restored, 1 kept``, ``no faces``."""
    if not faces:
        return "no faces"
    words: dict[Tier, str] = {"restored": "restored", "enhanced": "kept", "unchanged": "unchanged"}
    found = Counter(words[each.tier] for each in faces)
    told = [f"{found[word]} {word}" for word in words.values() if found[word]]
    if len(told) > 1:
        return f"{count(len(faces), 'face')}: {', '.join(told)}"
    return f"{count(len(faces), 'face')} {next(iter(found))}"


def megapixels(pixels: float) -> str:
    """``0.26``, ``4.2``, ``134`` megapixels, without the unit."""
    value = pixels / 1e6
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:02:03``."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def size(number: float) -> str:
    """``812 B``, ``1.2 MB``: bytes for people."""
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
