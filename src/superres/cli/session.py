"""One call of ``superres upscale``, from its inputs to its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from superres.cli import report
from superres.cli.console import error_console, output_console
from superres.cli.edge import FAILED
from superres.cli.inputs import Found, find
from superres.cli.interrupt import Interrupt
from superres.cli.plan import Destination, Failure, Plan, make_plan
from superres.cli.progress import State, display
from superres.cli.run import run
from superres.errors import SuperresError
from superres.imageio import Limits, read_header
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import Settings


@dataclass(frozen=True)
class How:
    """The options that are about files and words, not about pixels."""

    recursive: bool
    resume: bool
    overwrite: bool
    jobs: int
    dry_run: bool
    json: bool
    quiet: bool
    debug: bool


class Session:
    """One call of the command, from inputs to exit code."""

    def __init__(
        self,
        upscaler: Upscaler,
        settings: Settings,
        options: UpscaleOptions,
        where: Destination,
        how: How,
    ) -> None:
        self._upscaler = upscaler
        self._settings = settings
        self._options = options
        self._where = where
        self._how = how
        self._console = error_console()

    def go(self, inputs: Sequence[str], data: bytes | None) -> int:
        how, console = self._how, self._console
        found = self._find(inputs)
        plan = self._plan(found, data)
        told = report.Reporter(
            console,
            json=how.json,
            quiet=how.quiet,
            total=len(plan.tasks),
            faces=self._options.with_faces,
        )
        for failure in plan.failures:
            told.problem(failure)
        for skipped in plan.skipped:
            told.skipped(skipped)
        if how.dry_run:
            self._dry_run(plan)
            return FAILED if plan.failures else 0
        if plan.tasks and not how.quiet:
            report.announce(console, plan)
        pixels = sum(task.pixels for task in plan.tasks)
        state = State(len(plan.tasks), pixels, report.expected(plan.tasks))
        bars = not (how.json and sys.stdout.isatty())
        shows = display(console, state, quiet=how.quiet or not plan.tasks, bars=bars)
        with Interrupt(before_exit=lambda: console.show_cursor(True)) as interrupt:
            outcome = run(
                plan.tasks,
                self._upscaler,
                self._options,
                jobs=min(how.jobs, max(1, len(plan.tasks))),
                interrupt=interrupt,
                state=state,
                display=shows,
                listener=told,
                debug=how.debug,
            )
        failures = plan.failures + outcome.failures
        several = len(plan.tasks) + len(plan.skipped) + len(plan.failures) > 1
        if not how.quiet:
            if several or plan.skipped:
                report.summarise(console, plan, outcome, found.ignored)
            if several and failures and plan.tasks:  # else they stand right above
                report.list_failures(console, failures)
            if interrupt.code:
                report.interrupted(console, plan, outcome)
        return interrupt.code or (FAILED if failures else 0)

    def _find(self, inputs: Sequence[str]) -> Found:
        limits = Limits(**asdict(self._settings.limits))

        def is_picture(path: Path) -> bool:
            try:
                read_header(path, limits)
            except SuperresError:
                return False
            return True

        return find(
            inputs,
            recursive=self._how.recursive,
            avoid=self._where.folder,
            is_picture=is_picture,
        )

    def _plan(self, found: Found, data: bytes | None) -> Plan:
        plan = make_plan(
            found.sources,
            self._where,
            self._options,
            lambda source, target: self._upscaler.estimate(source, target, self._options),
            data=data,
            resume=self._how.resume,
            overwrite=self._how.overwrite,
        )
        plan.failures[:0] = [Failure(word, error) for word, error in found.problems]
        return plan

    def _dry_run(self, plan: Plan) -> None:
        if self._how.json:
            report.dry_run_json(plan)
        else:
            report.dry_run(output_console(), plan)
