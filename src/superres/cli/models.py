"""``superres models``: what there is to choose from."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superres.cli import completion
from superres.cli.edge import Plain, PlainGroup

if TYPE_CHECKING:
    from superres.models import ModelDescriptor
    from superres.models.installed import InstalledWeights

app = typer.Typer(
    name="models", cls=PlainGroup, help="Show the models to choose from, and add to them."
)

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
# Narrower than this, the figures go below the sentence.
_WIDE = 104
Debug = Annotated[bool, typer.Option("--debug", hidden=True)]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings file instead of the usual ones.")
]


@app.command(name="list", cls=Plain)
def list_all(json: AsJson = False, config: Config = None, debug: Debug = False) -> None:
    """List all models with what each is for."""
    del debug  # read by superres.cli.edge
    from superres.models.catalog import list_models

    weights = _installed(config)
    models = list_models()
    if json:
        records = [as_record(model) for model in models]
        records += [_restorer_record(name, weights.get(name)) for name in _restorers(weights)]
        typer.echo(jsonlib.dumps(records, indent=2))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from superres.cli.console import output_console, printable, size

    console = output_console()
    least = min(model.mmac_per_pixel for model in models if not model.added)
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
        purpose = Text(printable(model.purpose))
        if not wide:
            bare = ("Size", "Licence")
            told = " · ".join(v if k in bare else f"{k.lower()} {v}" for k, v in row.items())
            purpose.append(f"\n{told}\n", "dim")
        table.add_row(model.name, purpose, *(row.values() if wide else ()))
    console.print(table)
    console.print(
        "Cost is time per input pixel, relative. Every model gives any scale from 1 to 16; those "
        "listed are the cheapest. More on one: superres models info NAME. Add one of your own: "
        "superres models add FILE",
        style="dim",
    )
    console.print()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("For faces", style="bold cyan", overflow="fold")
    table.add_column("", ratio=1)
    for name in _restorers(weights):
        record = _restorer_record(name, weights.get(name))
        state = "installed" if record["installed"] else "not installed"
        purpose = Text(record["purpose"])
        purpose.append(f"\n{state} · {size(record['size'])} · {record['licence']}\n", "dim")
        table.add_row(name, purpose)
    console.print(table)
    console.print(
        "These do not come along. Fetch one: superres models pull NAME; add a file: superres "
        "models add NAME FILE. --restore NAME restores faces with one.",
        style="dim",
    )


@app.command(cls=Plain)
def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The model's name.", autocompletion=completion.any_names
        ),
    ],
    json: AsJson = False,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Tell everything about one model."""
    del debug
    from superres.models.catalog import get_model

    weights = _installed(config)
    if name in _restorers(weights):
        _tell_restorer(_restorer_record(name, weights.get(name)), json=json)
        return
    model = get_model(name)
    if json:
        typer.echo(jsonlib.dumps(as_record(model), indent=2))
        return
    from superres.cli.console import printable, size

    rows = [
        ("Name", model.name),
        ("Title", printable(model.title)),
        ("For", printable(model.purpose)),
        ("Architecture", printable(model.architecture)),
        ("Scales", ", ".join(str(scale) for scale in model.scales)),
        ("Fidelity", f"{model.fidelity:g} by default"),
        ("Context", f"{model.context} input pixels around each tile"),
        ("Seams", _seams(model)),
        ("Cost", f"{model.mmac_per_pixel:g} million multiply-adds per input pixel"),
        ("Licence", printable(model.licence)),
        ("Provenance", printable(model.provenance)),
    ]
    if model.added:
        rows += _added_rows(model)
    for each in model.weights:
        rows += [
            (f"Weights ×{each.scale}", printable(each.source)),
            ("  size", f"{size(each.size)} ({each.size:,} bytes)"),
            ("  SHA-256", each.sha256),
        ]
    _print(rows)


def _seams(model: ModelDescriptor) -> str:
    if model.whole:
        return "none: it sees a picture whole, which has to fit in memory"
    return f"blended over {model.ramp} pixels" if model.ramp else "none: tiles are exact"


def _added_rows(model: ModelDescriptor) -> list[tuple[str, str]]:
    """What matters of a model that somebody brought."""
    (weights,) = model.weights
    runs = "any engine" if weights.runtime is None else "PyTorch only: it has no ONNX form"
    half = "yes" if model.half else "no: it runs in single precision"
    sizes = "any" if model.multiple == 1 else f"multiples of {model.multiple} pixels"
    return [
        ("Runs on", runs),
        ("Half precision", half),
        ("Tiles", f"sides: {sizes}, at least {model.minimum}"),
    ]


def _print(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from superres.cli.console import output_console

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, Text(value))
    output_console().print(table)


def _installed(config: Path | None) -> dict[str, InstalledWeights]:
    """Weights that restore faces; models that were added are known from here on, too."""
    from superres.models.catalog import attach
    from superres.models.installed import WeightsFolder
    from superres.settings import load

    folder = load(config).models.weights_dir
    attach(folder)
    return {each.name: each for each in WeightsFolder(folder).list()}


def _restorers(weights: dict[str, InstalledWeights]) -> list[str]:
    """Names of the networks that restore faces: those that can be had, then others added."""
    from superres.models.restorers import list_restorers

    return list(dict.fromkeys([*(each.name for each in list_restorers()), *weights]))


def _restorer_record(name: str, weights: InstalledWeights | None) -> dict[str, Any]:
    """A network that restores faces for programs: as installed, else as it can be had."""
    from superres.models.restorers import get_restorer, restorer_of

    known = get_restorer(name) if weights is None else restorer_of(weights.architecture)
    own = weights is not None and weights.sha256 != known.sha256
    return {
        "kind": "faces",
        "name": name,
        "title": f"{known.architecture}, weights of your own" if own else known.title,
        "architecture": known.architecture,
        "purpose": known.purpose,
        "licence": known.licence,
        "commercial": known.commercial,
        "provenance": known.provenance,
        "installed": weights is not None,
        "size": known.size if weights is None else weights.size,
        "sha256": known.sha256 if weights is None else weights.sha256,
        "source": known.url if weights is None else weights.source,
        "added": weights and weights.added,
        "terms": known.terms,
    }


def _tell_restorer(record: dict[str, Any], *, json: bool) -> None:
    if json:
        typer.echo(jsonlib.dumps(record, indent=2))
        return
    from superres.cli.console import printable, size

    pulled = f"no; fetch it with: superres models pull {record['name']}"
    added = f"yes, added {record['added']} from {printable(record['source'])}"
    _print(
        [
            ("Name", record["name"]),
            ("Title", record["title"]),
            ("For", record["purpose"]),
            ("Architecture", record["architecture"]),
            ("Installed", added if record["installed"] else pulled),
            ("Size", f"{size(record['size'])} ({record['size']:,} bytes)"),
            ("SHA-256", record["sha256"]),
            ("Provenance", record["provenance"]),
            ("Licence", record["licence"]),
            ("", record["terms"]),
        ]
    )


def as_record(model: ModelDescriptor) -> dict[str, Any]:
    """A model for programs: every field of the descriptor, and its scales."""
    from dataclasses import asdict

    return {
        "kind": "enlarge",
        **asdict(model),
        "scales": model.scales,
        "native_scales": model.native_scales,
    }
