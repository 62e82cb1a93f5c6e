"""Which file becomes which, decided whole before any work starts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from superres.cli.console import printable, shown
from superres.cli.inputs import STDIN, SUFFIXES, Source
from superres.errors import BadParameter, OutputError, SuperresError

if TYPE_CHECKING:
    from superres.imageio import Limits
    from superres.pipeline import Estimate, UpscaleOptions

_ENLARGED = re.compile(r"(?P<stem>.+)_x\d+(\.\d+)?")


@dataclass(frozen=True)
class Destination:
    """Where results go: one file, a folder, standard output, or (all empty) beside the input."""

    file: Path | None = None
    folder: Path | None = None
    stdout: bool = False


@dataclass(frozen=True, eq=False)
class Task:
    """One picture to be made.

    Attributes:
        source: the input.
        data: its bytes, from standard input.
        target: the file to write; None is standard output.
        replace: whether ``target`` may exist already.
        estimate: sizes, format, cost.
    """

    source: Source
    data: bytes | None
    target: Path | None
    estimate: Estimate
    replace: bool = False

    @property
    def name(self) -> str:
        """The input, for people."""
        return shown(self.source.path)

    @property
    def pixels(self) -> int:
        """Pixels of the result."""
        return self.estimate.out_width * self.estimate.out_height


@dataclass(frozen=True)
class Skipped:
    """An input that needs no work, and why."""

    source: Source
    target: Path | None
    reason: str


@dataclass(frozen=True)
class Failure:
    """An input that could not be enlarged.

    Attributes:
        source: as given or found, for programs.
    """

    source: str
    error: SuperresError

    @property
    def name(self) -> str:
        """The input, for people."""
        return printable(self.source)


@dataclass
class Plan:
    """All that will be done."""

    tasks: list[Task] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def destination(output: str | None, inputs: Sequence[str]) -> Destination:
    """What ``-o`` means.

    Raises:
        BadParameter: it cannot be meant so for these inputs.
    """
    if STDIN in inputs and len(inputs) > 1:
        raise BadParameter("Standard input (-) must be the only input.")
    if output == STDIN or (output is None and STDIN in inputs):
        if len(inputs) > 1 or Path(inputs[0]).is_dir():
            raise BadParameter("Only one picture fits through standard output; name a folder: -o")
        if sys.stdout.isatty():
            raise BadParameter(
                "Standard output is a terminal; redirect it (> result.png) or name a file with -o."
            )
        return Destination(stdout=True)
    if output is None:
        return Destination()
    path = Path(output)
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        if path.exists() and not path.is_dir():
            raise BadParameter(
                f"-o {shown(path)} is a file, not a folder, and its name has no extension of a "
                "picture."
            )
        return Destination(folder=path)
    if len(inputs) > 1 or Path(inputs[0]).is_dir():
        raise BadParameter(
            f"-o {shown(path)} names one file, but there may be several results; name a folder."
        )
    return Destination(file=path)


def target_of(
    source: Source, where: Destination, options: UpscaleOptions, estimate: Estimate
) -> Path | None:
    """The file that the result of ``source`` is written to; None is standard output."""
    if where.stdout or where.file is not None:
        return where.file
    from superres.pipeline.options import result_name

    name = result_name(source.stem, options, estimate)
    if where.folder is not None:
        return where.folder / source.below / name
    return (source.path or Path(STDIN)).parent / name


def without_results(sources: Iterable[Source]) -> tuple[list[Source], list[Skipped]]:
    """Leave out earlier results: ``photo_x4.png`` found in a folder together with ``photo.*``."""
    sources = list(sources)
    stems = {(s.path.parent, s.path.stem) for s in sources if s.path is not None}
    kept, skipped = [], []
    for source in sources:
        match = _ENLARGED.fullmatch(source.stem)
        if source.found and source.path and match and (source.path.parent, match["stem"]) in stems:
            skipped.append(Skipped(source, None, EARLIER))
        else:
            kept.append(source)
    return kept, skipped


EARLIER = "earlier result of another picture in the folder"
FINISHED = "finished earlier"


def make_plan(
    sources: Sequence[Source],
    where: Destination,
    options: UpscaleOptions,
    estimate: Callable[[Path | bytes, Path | None], Estimate],
    *,
    data: bytes | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Decide on every source, reading no more than the files' headers.

    Args:
        sources: the inputs.
        where: where results go.
        options: asked for, the same for all.
        estimate: of a source and its target (given only where the target's name decides).
        data: the bytes of standard input, where that is the source.
        resume: keep results that exist and are valid.
        overwrite: replace results that exist.
    """
    plan = Plan()
    sources, plan.skipped = without_results(sources)
    for source in sources:
        try:
            known = estimate(data or b"" if source.path is None else source.path, where.file)
            target = target_of(source, where, options, known)
            plan.tasks.append(Task(source, data, target, known, replace=overwrite))
        except SuperresError as exc:
            plan.failures.append(Failure(source.word, exc))
    _drop_results(plan)
    dropped = {skipped.source for skipped in plan.skipped}
    _settle(plan, [source for source in sources if source not in dropped], resume)
    return plan


def _drop_results(plan: Plan) -> None:
    """Leave out found files that are results named by size: ``photo_1920x1080.png``."""
    made = {}
    for task in plan.tasks:
        if task.source.path is not None:
            name = task.source.stem + f"_{task.estimate.out_width}x{task.estimate.out_height}"
            made[task.source.path.parent, name] = task.source
    kept = []
    for task in plan.tasks:
        path = task.source.path
        if task.source.found and path is not None and (path.parent, path.stem) in made:
            plan.skipped.append(Skipped(task.source, None, EARLIER))
        else:
            kept.append(task)
    plan.tasks = kept


def _settle(plan: Plan, sources: Sequence[Source], resume: bool) -> None:
    """Sort out what exists, what would be written twice, and what must not be touched."""
    inputs = {_real(source.path) for source in sources if source.path is not None}
    taken: dict[str, str] = {}
    kept = []
    for task in plan.tasks:
        target = task.target
        error = None
        if target is not None:
            real = _real(target)
            if real in inputs:
                told = "this picture itself" if real == _real(task.source.path) else "another input"
                error = f"The result would replace {told} ({shown(target)}); name another with -o."
            elif real in taken:
                error = (
                    f"The result would be {shown(target)}, as that of {taken[real]}; rename one "
                    "of them or enlarge it on its own with another -o."
                )
            elif os.path.lexists(target) and not task.replace:
                if resume and not task_unfinished(task):
                    plan.skipped.append(Skipped(task.source, target, FINISHED))
                    taken[real] = task.name
                    continue
                if resume:
                    task = replace(task, replace=True)
                else:
                    error = exists(target)
            taken.setdefault(real, task.name)
        if error is None:
            kept.append(task)
        else:
            plan.failures.append(Failure(task.source.word, OutputError(error)))
    plan.tasks = kept


def exists(target: Path) -> str:
    """What to tell of a result that is there already."""
    return (
        f"{shown(target)} exists already; --overwrite replaces such files, --resume keeps "
        "those that are finished."
    )


def task_unfinished(task: Task) -> bool:
    """Whether the file at the task's target is anything but its finished result."""
    from superres.imageio import read_header

    if task.target is None:
        return True
    try:
        header = read_header(task.target, _any_size())
    except SuperresError:
        return True
    found = (header.format, header.width, header.height)
    return found != (task.estimate.format, task.estimate.out_width, task.estimate.out_height)


def _any_size() -> Limits:
    """No limits: results may be larger than what is accepted as input."""
    from superres.imageio import Limits

    return Limits(
        max_input_bytes=sys.maxsize,
        max_input_pixels=sys.maxsize,
        max_side=sys.maxsize,
        max_metadata_bytes=sys.maxsize,
    )


def _real(path: Path | None) -> str:
    return os.path.normcase(os.path.realpath(path or STDIN))
