"""The command ``superres``: a thin layer of words over :class:`superres.pipeline.Upscaler`.

One file per command. Nothing heavy is imported before a command needs it, so that
``superres --help`` and shell completion answer at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from superres.cli import (
    adding,
    bench,
    buckets,
    config,
    jobs,
    keys,
    models,
    serve,
    upscale,
    weights,
    worker,
)
from superres.cli.edge import Edge, Plain

app = typer.Typer(
    name="superres",
    cls=Edge,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Start with:  superres upscale photo.jpg\n"
        "Each command explains itself:  superres upscale --help"
    ),
)
app.command(name="upscale", cls=Plain, epilog=upscale.EXAMPLES)(upscale.upscale)
app.command(name="serve", cls=Plain, epilog=serve.EXAMPLES)(serve.serve)
app.command(name="worker", cls=Plain, epilog=worker.EXAMPLES)(worker.worker)
app.add_typer(jobs.app)
app.add_typer(keys.app)
app.add_typer(buckets.app)
models.app.command(name="add", cls=Plain, epilog=adding.ADD_EXAMPLES)(adding.add)
models.app.command(name="pull", cls=Plain)(weights.pull)
models.app.command(name="remove", cls=Plain)(weights.remove)
app.add_typer(models.app)
app.command(name="bench", cls=Plain)(bench.bench)
app.add_typer(config.app)


def _version(wanted: bool) -> None:
    if wanted:
        from superres import __version__

        typer.echo(f"superres {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def superres(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Enlarge photographs honestly, fast on a plain CPU."""
    if ctx.invoked_subcommand is None and not version:
        typer.echo(ctx.get_help(), nl=False)


def main() -> None:
    """Run the command line; this is what the installed ``superres`` calls."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a question mark, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="superres")
