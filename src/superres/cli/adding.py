"""``superres models add``: models and weights that people bring."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superres.cli.console import error_console, say, size
from superres.cli.models import Config, Debug
from superres.cli.weights import (
    Accept,
    add_restorer,
    check_digest,
    expected,
    progress,
    published,
    weights_folder,
)
from superres.errors import BadParameter

if TYPE_CHECKING:
    from superres.models.added import AddedModel
    from superres.models.installed import Staged, WeightsFolder
    from superres.pipeline.adding import Brought

ADD_EXAMPLES = """\
[bold]Examples[/bold]

A model that enlarges, from a file of PyTorch's, ONNX or ncnn:
  [cyan]superres models add 4x-sharp.pth --licence CC-BY-4.0[/cyan]
  [cyan]superres upscale photo.jpg --model 4x-sharp[/cyan]

Under a name of one's own, from an address:
  [cyan]superres models add --name mine https://example.org/net.onnx --sha256 0a1b…[/cyan]

Between two models, 0.3 of the second:
  [cyan]superres models add --blend general:mine:0.3 --name softer[/cyan]

Weights of a network that restores faces:
  [cyan]superres models add gfpgan GFPGANv1.4.pth[/cyan]
  [cyan]superres upscale photo.jpg --restore gfpgan[/cyan]\
"""


def add(
    first: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME] FILE|URL",
            help="A file, or an https address, of weights: .pth, .safetensors, .onnx, or ncnn's .param (with its .bin beside it). A name before it is the same as --name.",  # noqa: E501
            show_default=False,
        ),
    ] = None,
    second: Annotated[str | None, typer.Argument(hidden=True)] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it is called from then on; the file's name else."),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="SHA-256 that the file must have."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The weights' licence, as their authors say it."),
    ] = None,
    blend: Annotated[
        str | None,
        typer.Option(
            metavar="A:B:SHARE",
            help="Instead of a file: what lies between two models or files of one architecture.",
        ),
    ] = None,
    accept_licence: Accept = False,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Add a model that enlarges pictures, or weights of a network that restores faces.

    The file is looked into without running anything in it. A model is brought to ONNX where that can be done (else PyTorch runs it), measured, and tried on a picture; what does not give that picture back enlarged is not added. What comes from an address needs its SHA-256, or is shown and asked about.
    """  # noqa: E501 -- the help wraps itself
    del debug  # read by superres.cli.edge
    source = first if second is None else second
    if second is not None or (blend is not None and first is not None):
        if name is not None:
            raise BadParameter("Give the name once: before the file, or with --name.")
        name = first
    if (blend is None) == (source is None) and (blend is None or second is not None):
        raise BadParameter("superres models add expects a file or an https address, or --blend.")
    what = _Wanted(name, expected(sha256), licence, accept_licence, config)
    if blend is not None:
        what.blend(blend)
    elif source is not None and "://" in source:
        what.fetch(source)
    else:
        what.take(Path(source or ""))


class _Wanted:
    """What was asked for beside the file itself."""

    def __init__(
        self,
        name: str | None,
        sha256: str | None,
        licence: str | None,
        accepted: bool,
        config: Path | None,
    ) -> None:
        from superres.settings import load

        self._name, self._sha256, self._licence = name, sha256, licence
        self._accepted, self._settings = accepted, load(config)
        self._folder: WeightsFolder = weights_folder(config)
        if name is not None:
            check_free(name)

    def take(self, path: Path) -> None:
        """Add a file of this machine's."""
        from superres.pipeline.adding import kind_of, partner_of

        name = self._called(path.name)
        _check_file(path)
        try:
            kind = kind_of(path, path.name)
            self._look_into(path, kind, name)
        except OSError as exc:
            raise BadParameter(f"The file {path} cannot be read: {exc.strerror}.") from exc
        partner = partner_of(path) if kind in ("param", "bin") else None
        with contextlib.ExitStack() as stack:
            if partner is not None:
                named = stack.enter_context(self._folder.stage(path))
                check_digest(named, self._sha256)
                path = path.with_suffix(".bin")
            staged = stack.enter_context(self._folder.stage(path))
            if partner is None:
                check_digest(staged, self._sha256)
            self._add(staged, path.name, name, kind, partner)

    def fetch(self, url: str) -> None:
        """Fetch and add what an address leads to."""
        from superres.pipeline.adding import kind_of

        # What follows the path may be a signature or a token, and the list is for all to read.
        where = url.partition("#")[0].partition("?")[0]
        name = self._called(where)
        stem, _, suffix = where.rpartition(".")
        partner: bytes | None = None
        sha256 = self._sha256
        if suffix in ("param", "bin"):
            named_param = suffix == "param"
            partner = self._fetched_param(
                f"{stem}.param{url[len(where) :]}", sha256 if named_param else None
            )
            url, where = f"{stem}.bin{url[len(where) :]}", f"{stem}.bin"
            sha256 = None if named_param else sha256
        with self._download(url, name, sha256) as staged:
            self._add(staged, where, name, kind_of(staged.path, where), partner)

    def blend(self, text: str) -> None:
        """Add what lies between two models."""
        from superres.models.catalog import attach
        from superres.pipeline.blending import add_blend, parse_blend

        if self._sha256 is not None:
            raise BadParameter("--sha256 is of a file; a blend has none yet.")
        attach(self._settings.models.weights_dir)
        wanted = parse_blend(text)
        name = self._called(wanted.told.replace(":", "-") + ".")
        model = add_blend(
            self._folder, wanted, name, self._settings, licence=self._licence, tell=_tell
        )
        _told(model)

    def _called(self, file: str) -> str:
        from superres.pipeline.adding import name_from

        if self._name is not None:
            return self._name
        name = name_from(file)
        check_free(name)
        return name

    def _look_into(self, path: Path, kind: str, name: str) -> None:
        """Refuse a file that will be refused, before it is copied."""
        from superres.models.checkpoint import architecture_of, tensor_names

        if kind == "checkpoint" or published(name) is not None:
            (architecture_of if published(name) is not None else tensor_names)(path)
        elif not kind:
            raise _nothing()

    def _fetched_param(self, url: str, sha256: str | None) -> bytes:
        from superres.pipeline.adding import MOST_PARAM

        with self._download(url, "", sha256, limit=MOST_PARAM, ask=False) as staged:
            return staged.path.read_bytes()

    @contextlib.contextmanager
    def _download(
        self,
        url: str,
        name: str,
        sha256: str | None,
        *,
        limit: int | None = None,
        ask: bool = True,
    ) -> Iterator[Staged]:
        from superres.models.download import MOST_BYTES, download

        known = published(name)
        if sha256 is None and known is not None and known.url == url:
            sha256 = known.sha256
        with (
            progress() as on_bytes,
            download(
                url, self._folder, sha256=sha256, limit=limit or MOST_BYTES, on_bytes=on_bytes
            ) as staged,
        ):
            if ask and sha256 is None and (known is None or staged.sha256 != known.sha256):
                typer.echo(f"SHA-256  {staged.sha256}", err=True)
                typer.confirm("Is that the file you want?", abort=True, err=True)
            yield staged

    def _add(
        self, staged: Staged, source: str, name: str, kind: str, partner: bytes | None
    ) -> None:
        from superres.models.checkpoint import architecture_of, restorer_in
        from superres.pipeline.adding import Brought

        if published(name) is not None:
            architecture_of(staged.path)
        if kind == "checkpoint" and restorer_in(staged.path) is not None:
            add_restorer(self._folder, staged, name, source, self._accepted)
        elif not kind:
            raise _nothing()
        else:
            self._add_model(Brought(staged, source, partner), name)

    def _add_model(self, brought: Brought, name: str) -> None:
        from superres.pipeline.adding import add_model, read_candidate

        candidate = read_candidate(brought, _tell)
        model = add_model(
            self._folder,
            candidate,
            brought,
            name,
            self._settings,
            licence=self._licence,
            tell=_tell,
        )
        _told(model)


def check_free(name: str) -> None:
    """Refuse a name that cannot be, or that a model which comes along has.

    Raises:
        BadParameter: it is one of these.
    """
    from superres.models.catalog import shipped_models
    from superres.models.installed import check_name

    check_name(name)
    if name == "auto":
        raise BadParameter("auto is what chooses a model; choose another name with --name.")
    if name in [model.name for model in shipped_models()]:
        raise BadParameter(
            f"{name} is the name of a model that comes along; choose another with --name."
        )


def _check_file(path: Path) -> None:
    """Refuse what has no end, or more of it than is read, before it is copied."""
    from superres.models.download import MOST_BYTES

    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BadParameter(f"{path.name} is no file, but a device or a pipe; copy it into one.")
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise BadParameter(
            f"The file has {path.stat().st_size:,} bytes; weights may have at most {MOST_BYTES:,}."
        )


def _nothing() -> BadParameter:
    return BadParameter(
        "This is no file of weights: .pth (as PyTorch 1.6 and later write it), .safetensors, "
        ".onnx, or ncnn's .param and .bin."
    )


def _tell(what: str) -> None:
    say(error_console(), f"{what[:1].upper()}{what[1:]} …")


def _told(model: AddedModel) -> None:
    from superres.models.added import UNKNOWN_LICENCE

    typer.echo(
        f"Added {model.name}: {model.architecture}, ×{model.scale}, {size(model.size)}, SHA-256 "
        f"{model.sha256}"
    )
    typer.echo(f"Licence: {model.licence}")
    typer.echo(f"Use it with: superres upscale photo.jpg --model {model.name}")
    if model.runtime == "torch":
        say(error_console(), "It has no ONNX form that gives the same: PyTorch runs it, slower.")
    if model.licence == UNKNOWN_LICENCE:
        say(error_console(), "Its licence is not known here; say it with --licence.")
