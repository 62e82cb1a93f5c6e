"""``superres models add``, ``pull`` and ``remove``: weights that do not come along."""

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

ADD_EXAMPLES = """\
[bold]Examples[/bold]

A file that is there already:
  [cyan]superres models add gfpgan GFPGANv1.4.pth[/cyan]

Weights of one's own, under a name of one's own:
  [cyan]superres models add portraits https://example.org/gfpgan.pth --sha256 0a1b…[/cyan]

Then:
  [cyan]superres upscale photo.jpg --restore gfpgan[/cyan]\
"""

_STEP = 0.1
_SHA256 = 64

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="What it is called from then on: gfpgan, restoreformer, codeformer, or a new name.",
    ),
]
Accept = Annotated[
    bool,
    typer.Option("--accept-licence", help="Accept a licence that forbids commercial use."),
]


def add(
    name: Name,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL", help="Weights: .pth or .safetensors, or an https address."
        ),
    ],
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="SHA-256 that the file must have."),
    ] = None,
    accept_licence: Accept = False,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Add weights of a network that restores faces.

    The file is copied into the folder of weights ([models] weights_dir) and looked into without running anything in it. What comes from an address needs its SHA-256, or is shown and asked about.
    """  # noqa: E501 -- the help wraps itself
    del debug  # read by superres.cli.edge
    from superres.models.installed import check_name

    check_name(name)
    _check_free(name)
    expected = _expected(sha256)
    folder = _folder(config)
    if "://" not in source:
        path = Path(source)
        _look_into(path)
        with folder.stage(path) as staged:
            _check_digest(staged, expected)
            _add(folder, staged, name, path.name, accept_licence)
        return
    from superres.models.download import download

    known = _published(name)
    if expected is None and known is not None and known.url == source:
        expected = known.sha256
    with (
        _progress() as on_bytes,
        download(source, folder, sha256=expected, on_bytes=on_bytes) as staged,
    ):
        if expected is None and (known is None or staged.sha256 != known.sha256):
            typer.echo(f"SHA-256  {staged.sha256}", err=True)
            typer.confirm("Is that the file you want?", abort=True, err=True)
        # What follows the path may be a signature or a token, and the list is for all to read.
        where = source.partition("#")[0].partition("?")[0]
        _add(folder, staged, name, where, accept_licence)


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
    folder = _folder(config)
    if _is_there(folder, known):
        typer.echo(f"{name} is installed already.")
        return
    _check_licence(known, accept_licence)
    say(error_console(), f"Fetching {known.url}")
    with (
        _progress() as on_bytes,
        download(
            known.url, folder, sha256=known.sha256, limit=known.size, on_bytes=on_bytes
        ) as staged,
    ):
        _add(folder, staged, name, known.url, accept_licence, told=True)


def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=completion.added, help="Its name.")
    ],
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Remove weights that were added."""
    del debug
    gone = _folder(config).remove(name)
    typer.echo(f"Removed {gone.name} ({size(gone.size)}).")


def _folder(config: Path | None) -> WeightsFolder:
    from superres.models.installed import WeightsFolder
    from superres.settings import load

    return WeightsFolder(load(config).models.weights_dir)


def _add(
    folder: WeightsFolder,
    staged: Staged,
    name: str,
    source: str,
    accept_licence: bool,
    told: bool = False,
) -> None:
    from datetime import UTC, datetime

    from superres.models.checkpoint import architecture_of
    from superres.models.installed import InstalledWeights
    from superres.models.restorers import restorer_of

    known = restorer_of(architecture_of(staged.path))
    published = _published(name)
    if published is not None and published.architecture != known.architecture:
        raise BadParameter(
            f"The file holds weights of {known.architecture}, not of {published.architecture}; "
            f"say: superres models add {known.name} FILE"
        )
    if not told:
        _check_licence(known, accept_licence, own=staged.sha256 != known.sha256)
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


def _check_licence(known: RestorerDescriptor, accepted: bool, own: bool = False) -> None:
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


def _look_into(path: Path) -> None:
    """Refuse a file that will be refused, before it is copied."""
    from superres.models.checkpoint import architecture_of

    try:
        architecture_of(path)
    except OSError as exc:
        raise BadParameter(f"The file {path} cannot be read: {exc.strerror}.") from exc


def _check_free(name: str) -> None:
    from superres.models.catalog import list_models

    if name in [model.name for model in list_models()]:
        raise BadParameter(f"{name} is the name of a model that comes along; choose another.")


def _published(name: str) -> RestorerDescriptor | None:
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


def _expected(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    text = sha256.strip().lower().removeprefix("sha256:")
    if len(text) != _SHA256 or not set(text) <= set("0123456789abcdef"):
        raise BadParameter("--sha256 expects 64 digits and letters a to f.")
    return text


def _check_digest(staged: Staged, expected: str | None) -> None:
    if expected is not None and staged.sha256 != expected:
        raise WeightsMissing(
            f"The file's SHA-256 is {staged.sha256}, not {expected}; nothing was added."
        )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
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
