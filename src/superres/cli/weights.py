"""``superres models pull`` and ``remove``, and what ``add`` has in common with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superres.cli import completion
from superres.cli.console import error_console, printable, say, size
from superres.cli.models import Config, Debug
from superres.errors import BadParameter, WeightsMissing

if TYPE_CHECKING:
    from superres.models.installed import InstalledWeights, Staged, WeightsFolder
    from superres.models.restorers import RestorerDescriptor

_STEP = 0.1
_SHA256 = 64

Accept = Annotated[
    bool,
    typer.Option("--accept-licence", help="Accept a licence that forbids commercial use."),
]


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="gfpgan, restoreformer or codeformer.",
            autocompletion=completion.published,
        ),
    ],
    accept_licence: Accept = False,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Fetch the weights of a network that restores faces from its authors' own address.

    Only the file whose SHA-256 is known here is taken. A fetch that was broken off goes on where it stopped.
    """  # noqa: E501 -- the help wraps itself
    del debug
    from superres.models.download import download
    from superres.models.restorers import get_restorer

    known = get_restorer(name)
    folder = weights_folder(config)
    if _is_there(folder, known):
        typer.echo(f"{name} is installed already.")
        return
    check_licence(known, accept_licence)
    say(error_console(), f"Fetching {known.url}")
    with (
        progress() as on_bytes,
        download(
            known.url, folder, sha256=known.sha256, limit=known.size, on_bytes=on_bytes
        ) as staged,
    ):
        add_restorer(folder, staged, name, known.url, accept_licence, told=True)


def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=completion.added, help="Its name.")
    ],
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Remove weights that were added."""
    del debug
    from superres.models.catalog import shipped_models

    if name in [model.name for model in shipped_models()]:
        raise BadParameter(f"{name} comes along with superres, and is not removed.")
    gone = weights_folder(config).remove(name)
    typer.echo(f"Removed {gone.name} ({size(gone.size)}).")


def weights_folder(config: Path | None) -> WeightsFolder:
    """The folder that the settings name."""
    from superres.models.installed import WeightsFolder
    from superres.settings import load

    return WeightsFolder(load(config).models.weights_dir)


def add_restorer(
    folder: WeightsFolder,
    staged: Staged,
    name: str,
    source: str,
    accept_licence: bool,
    told: bool = False,
) -> None:
    """Add weights of a network that restores faces, once their licence was shown.

    Raises:
        BadParameter: other weights, or a licence that was not accepted.
        OutputError: the folder cannot be written.
    """
    from datetime import UTC, datetime

    from superres.models.checkpoint import architecture_of
    from superres.models.installed import InstalledWeights
    from superres.models.restorers import restorer_of

    known = restorer_of(architecture_of(staged.path))
    same = published(name)
    if same is not None and same.architecture != known.architecture:
        raise BadParameter(
            f"The file holds weights of {known.architecture}, not of {same.architecture}; "
            f"say: superres models add {known.name} FILE"
        )
    if not told:
        check_licence(known, accept_licence, own=staged.sha256 != known.sha256)
    folder.add(
        staged,
        InstalledWeights(
            name=name,
            architecture=known.architecture,
            licence=known.licence,
            accepted=accept_licence,
            sha256=staged.sha256,
            size=staged.size,
            source=source,
            added=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
    what = known.title if staged.sha256 == known.sha256 else f"weights of {known.architecture}"
    typer.echo(f"Added {name}: {what}, {size(staged.size)}, SHA-256 {staged.sha256}")
    typer.echo(f"Use it with: superres upscale photo.jpg --restore {name}")
    _tell_runtime(known.architecture)


def check_licence(known: RestorerDescriptor, accepted: bool, own: bool = False) -> None:
    """Show the licence; refuse what it takes to accept one that was not."""
    console = error_console()
    console.print(f"{known.title}: {known.licence}", style="bold", markup=False)
    console.print(known.terms + "\n", markup=False)
    if own:
        console.print(
            f"This file is not the one published as {known.title}; its authors may have other "
            "terms.\n",
            markup=False,
        )
    if not known.commercial and not accepted:
        raise BadParameter(
            f"The licence of {known.title} forbids commercial use. If you accept it, say so: add "
            "--accept-licence."
        )


def _tell_runtime(architecture: str) -> None:
    from superres.engines.spandrel_faces import check_runtime
    from superres.errors import EngineUnavailable

    try:
        check_runtime(architecture)
    except EngineUnavailable as exc:
        say(error_console(), f"Before it can be used: {exc.public_message}")


def published(name: str) -> RestorerDescriptor | None:
    """The network that restores faces and is published under that name."""
    from superres.models.restorers import list_restorers

    return next((each for each in list_restorers() if each.name == name), None)


def _is_there(folder: WeightsFolder, known: RestorerDescriptor) -> bool:
    try:
        weights: InstalledWeights = folder.get(known.name)
        if weights.sha256 == known.sha256:
            folder.open(weights).close()
            return True
    except WeightsMissing:
        pass
    return False


def expected(sha256: str | None) -> str | None:
    """What ``--sha256`` says, as it is written down; raises BadParameter if it is no digest."""
    if sha256 is None:
        return None
    text = sha256.strip().lower().removeprefix("sha256:")
    if len(text) != _SHA256 or not set(text) <= set("0123456789abcdef"):
        raise BadParameter("--sha256 expects 64 digits and letters a to f.")
    return text


def check_digest(staged: Staged, expected: str | None) -> None:
    """Raise WeightsMissing if a file has another digest than expected."""
    if expected is not None and staged.sha256 != expected:
        raise WeightsMissing(
            f"The file's SHA-256 is {staged.sha256}, not {expected}; nothing was added."
        )


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere a line for every tenth."""
    console = error_console()
    if not console.is_terminal or console.is_dumb_terminal:
        yield _lines(console)
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=None)

    def on_bytes(have: int, total: int) -> None:
        bar.update(task, completed=have, total=total or None)
        if have == total:
            bar.stop()  # what comes next may be a question

    with bar:
        yield on_bytes


def _lines(console: Any) -> Callable[[int, int], None]:
    told = 0.0
    last = time.monotonic()

    def on_bytes(have: int, total: int) -> None:
        nonlocal told, last
        now = time.monotonic()
        if total and have / total >= told + _STEP:
            told = have / total
        elif total or now - last < 10:
            return
        last = now
        of = f" of {size(total)}" if total else ""
        say(console, printable(f"{size(have)}{of}"))

    return on_bytes
