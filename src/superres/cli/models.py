"""``superres models``: what there is to choose from."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superres.cli import completion
from superres.cli.edge import Plain, PlainGroup

if TYPE_CHECKING:
    from superres.models import ModelDescriptor

app = typer.Typer(name="models", cls=PlainGroup, help="Show the models to choose from.")

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
# Narrower than this, the figures go below the sentence.
_WIDE = 104
Debug = Annotated[bool, typer.Option("--debug", hidden=True)]


@app.command(name="list", cls=Plain)
def list_all(json: AsJson = False, debug: Debug = False) -> None:
    """List all models with what each is for."""
    del debug  # read by superres.cli.edge
    from superres.models.catalog import list_models

    models = list_models()
    if json:
        typer.echo(jsonlib.dumps([as_record(model) for model in models], indent=2))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from superres.cli.console import output_console, size

    console = output_console()
    least = min(model.mmac_per_pixel for model in models)
    facts = [
        {
            "Scales": " ".join(str(scale) for scale in model.scales),
            "Fidelity": f"{model.fidelity:g}",
            "Cost": f"{model.mmac_per_pixel / least:.2g}×",
            "Size": size(sum(weights.size for weights in model.weights)),
            "Licence": model.licence,
        }
        for model in models
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Model", style="bold cyan", no_wrap=True)
    table.add_column("For", ratio=1)
    wide = console.width >= _WIDE
    for name in facts[0] if wide else ():
        table.add_column(name, justify="left" if name == "Licence" else "right", no_wrap=True)
    for model, row in zip(models, facts, strict=True):
        purpose = Text(model.purpose)
        if not wide:
            bare = ("Size", "Licence")
            told = " · ".join(v if k in bare else f"{k.lower()} {v}" for k, v in row.items())
            purpose.append(f"\n{told}\n", "dim")
        table.add_row(model.name, purpose, *(row.values() if wide else ()))
    console.print(table)
    console.print(
        "Cost is time per input pixel, relative. Every model gives any scale from 1 to 16; those "
        "listed are the cheapest. More on one: superres models info NAME",
        style="dim",
    )


@app.command(cls=Plain)
def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The model's name.", autocompletion=completion.model_names
        ),
    ],
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Tell everything about one model."""
    del debug
    from superres.models.catalog import get_model

    model = get_model(name)
    if json:
        typer.echo(jsonlib.dumps(as_record(model), indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from superres.cli.console import output_console, size

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("Name", model.name),
        ("Title", model.title),
        ("For", model.purpose),
        ("Architecture", model.architecture),
        ("Scales", ", ".join(str(scale) for scale in model.scales)),
        ("Fidelity", f"{model.fidelity:g} by default"),
        ("Context", f"{model.context} input pixels around each tile"),
        ("Seams", f"blended over {model.ramp} pixels" if model.ramp else "none: tiles are exact"),
        ("Cost", f"{model.mmac_per_pixel:g} million multiply-adds per input pixel"),
        ("Licence", model.licence),
        ("Provenance", model.provenance),
    ]
    for weights in model.weights:
        rows += [
            (f"Weights ×{weights.scale}", f"{weights.source}"),
            ("  size", f"{size(weights.size)} ({weights.size:,} bytes)"),
            ("  SHA-256", weights.sha256),
        ]
    for label, value in rows:
        table.add_row(label, Text(value))
    output_console().print(table)


def as_record(model: ModelDescriptor) -> dict[str, Any]:
    """A model for programs: every field of the descriptor, and its scales."""
    from dataclasses import asdict

    return {**asdict(model), "scales": model.scales, "native_scales": model.native_scales}
