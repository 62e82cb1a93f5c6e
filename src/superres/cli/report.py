"""What is told of a run: before it, after each file, at its end; to people and to programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.cli.console import (
    count,
    duration,
    faces_told,
    megapixels,
    print_error,
    print_json,
    printable,
    say,
    shown,
    size,
)
from superres.cli.plan import Failure, Plan, Skipped, Task
from superres.cli.run import Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from superres.pipeline import FileReport

_SIZES = ("width", "height", "out_width", "out_height", "format", "model", "fidelity", "passes")
_DONE = (*_SIZES, "device", "precision", "seconds", "inference_seconds", "peak_memory")
_PLANNED = (*_SIZES, "seconds", "scratch_bytes", "memory_bytes")


def _path(path: Path | None) -> str:
    return "-" if path is None else str(path)


def _record(task: Task, about: object, names: Sequence[str]) -> dict[str, object]:
    record: dict[str, object] = {"input": task.source.word, "output": _path(task.target)}
    for name in names:
        value = getattr(about, name)
        record[name] = round(value, 4) if isinstance(value, float) else value
    return record


class Reporter:
    """Tells of files as they are done; see :class:`superres.cli.run.Listener`.

    Args:
        console: for people.
        json: also print a line per file on standard output.
        quiet: tell people of errors only.
        total: how many files there are to do.
        faces: whether they are looked for, and so told of.
    """

    def __init__(
        self, console: Console, *, json: bool, quiet: bool, total: int, faces: bool = False
    ) -> None:
        self._console = console
        self._json = json
        self._quiet = quiet
        self._total = total
        self._faces = faces
        self._done = 0

    def finished(self, task: Task, report: FileReport) -> None:
        """Tell of a picture that is done; one without a target goes to standard output."""
        self._done += 1
        if task.target is None:
            _write_picture(report.data or b"")
        if self._json:
            faces = [each.as_record() for each in report.faces] if self._faces else None
            print_json({**_record(task, report, _DONE), "faces": faces})
        if not self._quiet:
            from rich.text import Text

            result = "standard output" if task.target is None else shown(task.target)
            line = Text.assemble(self._mark(("✓ ", "green")), task.name, (" → ", "dim"))
            line.append(result, "bold")
            line.append(f"  {report.out_width} × {report.out_height}", "cyan")
            if self._faces:
                line.append(f"  {faces_told(report.faces)}", "magenta" if report.faces else "dim")
            say(self._console, line.append(f"  {duration(report.seconds)}", "dim"))

    def failed(self, failure: Failure) -> None:
        """Tell of a picture that could not be done."""
        self._done += 1
        self.problem(failure)

    def problem(self, failure: Failure) -> None:
        """Tell of something that went wrong before the work, too."""
        if self._json:
            error = {"code": failure.error.code, "message": failure.error.public_message}
            print_json({"input": failure.source, "error": error})
        print_error(self._console, failure.error.public_message, failure.name)

    def skipped(self, skipped: Skipped) -> None:
        """Tell programs of an input that needs no work; people read of it in the summary."""
        if self._json:
            record: dict[str, object] = {"input": skipped.source.word}
            if skipped.target is not None:
                record["output"] = _path(skipped.target)
            print_json(record | {"skipped": skipped.reason})

    def stopping(self) -> None:
        """Tell that the wish to stop was heard."""
        if not self._quiet:
            say(self._console, "Stopping after the tile in work; Ctrl-C again stops at once.")

    def _mark(self, terminal: tuple[str, str]) -> Any:
        """A tick on a terminal; in a log how many of how many."""
        return terminal if self._console.is_terminal else f"[{self._done}/{self._total}] "


def _write_picture(data: bytes) -> None:
    import sys

    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def announce(console: Console, plan: Plan) -> None:
    """One line on what is about to be done."""
    tasks = plan.tasks
    into = megapixels(sum(t.estimate.width * t.estimate.height for t in tasks))
    out = megapixels(sum(t.pixels for t in tasks))
    seconds = expected(tasks)
    about = f", about {duration(seconds)}" if seconds else ""
    what = tasks[0].name if len(tasks) == 1 else count(len(tasks), "file")
    say(console, f"{what}: {into} → {out} megapixels{about}")


def expected(tasks: Sequence[Task]) -> float:
    """Seconds that all may take, 0 if that is not known of every one."""
    seconds = [task.estimate.seconds for task in tasks]
    return sum(seconds) if all(seconds) else 0.0


def summarise(console: Console, plan: Plan, outcome: Outcome, ignored: int) -> None:
    """The last lines: how many, how long, what failed."""
    failures = plan.failures + outcome.failures
    parts = []
    if outcome.reports:
        made = f"{count(len(outcome.reports), 'file')} enlarged"
        parts.append(f"{made}, {megapixels(outcome.pixels)} megapixels")
        parts[-1] += f" in {duration(outcome.seconds)}"
        peak = max(report.peak_memory for report in outcome.reports)
        parts[-1] += f", peak memory {size(peak)}" if peak else ""
    for reason, times in Counter(skipped.reason for skipped in plan.skipped).items():
        parts.append(f"{times} skipped ({reason})")
    if ignored:
        parts.append(f"{count(ignored, 'other file')} passed over")
    if failures:
        parts.append(f"{len(failures)} failed")
    if outcome.unfinished:
        parts.append(f"{outcome.unfinished} not finished")
    say(console, "; ".join(parts) + "." if parts else "Nothing to do.")


def list_failures(console: Console, failures: Sequence[Failure]) -> None:
    """What failed, once more, at the end where it is seen."""
    from rich.table import Table
    from rich.text import Text

    if not console.is_terminal:
        for failure in failures:
            say(console, f"failed: {failure.name}: {printable(failure.error.public_message)}")
        return
    table = Table(title="Failed", title_justify="left", title_style="bold red", box=None)
    table.add_column("File", style="bold", overflow="fold", max_width=console.width // 2)
    table.add_column("Why")
    for failure in failures:
        table.add_row(Text(failure.name), Text(printable(failure.error.public_message)))
    console.print(table)


def dry_run(console: Console, plan: Plan) -> None:
    """The plan as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    # Two lines for each file: long names need the width.
    table.add_column("Input, result", overflow="fold", ratio=1)
    table.add_column("Pixels", justify="right", no_wrap=True)
    for name in ("Passes", "Scratch", "Time"):
        table.add_column(name, justify="right", vertical="bottom", no_wrap=True)
    for task in plan.tasks:
        known = task.estimate
        target = "standard output" if task.target is None else shown(task.target)
        table.add_row(
            Text(f"{task.name}\n→ {target} ({known.format})"),
            f"{known.width} × {known.height}\n{known.out_width} × {known.out_height}",
            " ".join(f"×{step}" for step in known.passes),
            size(known.scratch_bytes),
            duration(known.seconds) if known.seconds else "?",
        )
    if plan.tasks:
        console.print(table)
    out = megapixels(sum(t.pixels for t in plan.tasks))
    seconds = expected(plan.tasks)
    about = f", about {duration(seconds)}" if seconds else ""
    say(console, f"{count(len(plan.tasks), 'file')} to make, {out} megapixels{about}.")
    for skipped in plan.skipped:
        say(console, f"Skipped: {shown(skipped.source.path)}: {skipped.reason}")


def dry_run_json(plan: Plan) -> None:
    """The plan, a line per file."""
    for task in plan.tasks:
        print_json(_record(task, task.estimate, _PLANNED))


def interrupted(console: Console, plan: Plan, outcome: Outcome) -> None:
    """What is finished after a wish to stop, and how to go on."""
    done, all_of_it = len(outcome.reports), len(plan.tasks)
    say(console, f"Stopped: {done} of {count(all_of_it, 'file')} finished, none half-written.")
    if done + len(outcome.failures) < all_of_it and plan.tasks[0].target is not None:
        say(console, "To go on from here, run the same command with --resume.")
