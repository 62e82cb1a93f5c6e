"""``superres config``: the settings in force, and where each one comes from."""

from __future__ import annotations

import json as jsonlib

import typer

from superres.cli.edge import Plain, PlainGroup
from superres.cli.models import AsJson, Debug
from superres.cli.serve import Config, DataDir

app = typer.Typer(name="config", cls=PlainGroup, help="Show the settings.")


# Narrower than this, the explanation goes below the value.
_WIDE = 120


@app.callback()
def _root() -> None:
    """Show the settings."""


@app.command(cls=Plain)
def show(
    config: Config = None,
    data_dir: DataDir = None,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print every setting with its value and where it comes from.

    A value comes from superres.toml (--config, else in the current folder, else in your configuration folder), from the environment (SUPERRES_ENGINE__STREAMS=2), or is the default; the environment beats the file. Secrets are hidden.
    """  # noqa: E501 -- the help wraps itself
    del debug
    from superres import settings

    rows = settings.describe(settings.load(config, {"server.data_dir": data_dir}))
    if json:
        typer.echo(jsonlib.dumps([row._asdict() for row in rows], indent=2))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from superres.cli.console import output_console, printable

    console = output_console()
    wide = console.width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Setting", overflow="fold")
    table.add_column("Value", overflow="fold", ratio=None if wide else 1)
    if wide:
        table.add_column("What it is", ratio=1)
    for row in rows:
        name, value, source = (printable(text) for text in (row.name, row.value, row.source))
        cell = Text(value, "bold" if source == "default" else "bold cyan")
        if source != "default":
            cell.append(f"  from {source}", "not bold")
        if wide:
            table.add_row(name, cell, Text(row.doc))
        else:
            table.add_row(name, cell.append(f"\n{row.doc}", "not bold dim"))
    console.print(table)
