"""``superres bench``: how fast this machine is, in a minute; with --scorecard also how good."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superres.cli import completion
from superres.cli.models import Debug

if TYPE_CHECKING:
    from superres.pipeline import UpscaleOptions, Upscaler

CARD = "With --scorecard"
_FIRST_SIDE = 128
_SIDES = (128, 192, 256, 384, 512, 768, 1024)


@dataclass(frozen=True)
class Measured:
    """One model's speed.

    Attributes:
        side: of the square picture that was enlarged, pixels.
        megapixels_per_second: of input through the network; ``whole`` with reading and writing.
        start: seconds from nothing to the first small result: loading and compiling.
    """

    model: str
    scale: int
    device: str
    precision: str
    side: int
    megapixels_per_second: float
    whole: float
    start: float
    peak_memory: int


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            autocompletion=completion.model_names,
            help="Only this model; may be repeated. [dim]\\[default: all][/dim]",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time to spend on each model, about.")
    ] = 4.0,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", autocompletion=completion.devices)
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="NAME", autocompletion=completion.precisions)
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    scorecard: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=CARD,
            help="Measure quality too, on your own high-resolution pictures in this folder, "
            "which is only read.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", rich_help_panel=CARD, help="Where the results go.")
    ] = Path("scorecard"),
    scale: Annotated[
        list[int] | None,
        typer.Option("--scale", "-s", metavar="N", rich_help_panel=CARD, help="2, 3 or 4; repeat."),
    ] = None,
    fidelity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="F",
            rich_help_panel=CARD,
            help="0 to 1 or default; may be repeated. [dim]\\[default: 0, 0.5, 1, default][/dim]",
        ),
    ] = None,
    degradation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=CARD,
            help="clean, jpeg-QUALITY, noise-SIGMA, blur-SIGMA; may be repeated.",
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            rich_help_panel=CARD,
            help="Take a part of at most this side of each picture. [dim]\\[default: 384][/dim]",
        ),
    ] = None,
    reduce: Annotated[
        int,
        typer.Option(
            metavar="N",
            rich_help_panel=CARD,
            help="Reduce pictures N times first: 2 suits what cameras and phones make.",
        ),
    ] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", rich_help_panel=CARD, help="Three pictures, small.")
    ] = False,
    speed: Annotated[
        bool,
        typer.Option("--speed/--no-speed", rich_help_panel=CARD, help="Time the models, too."),
    ] = True,
    debug: Debug = False,
) -> None:
    """Measure how fast the models run on this machine, and how well.

    Each model enlarges a synthetic picture, four times (or its own scale), as often as fits into the time.

    With --scorecard DIR it takes your own pictures as the truth: reduces them, damages them as named, enlarges them by every model and setting, by bicubic and Lanczos, and compares. Tables, JSON and a sheet of crops side by side are written to --out. Stopped, the same command goes on.
    """  # noqa: E501 -- the help wraps itself
    del debug
    from superres import settings
    from superres.cli.console import error_console
    from superres.errors import BadParameter
    from superres.models.catalog import attach, get_model, list_models
    from superres.pipeline import Upscaler

    if not 0 < seconds <= 3600:
        raise BadParameter(f"--seconds must be more than 0 and at most 3600, not {seconds:g}.")
    chosen = settings.load(config, {"engine.device": device, "engine.precision": precision})
    attach(chosen.models.weights_dir)
    models = [get_model(name) for name in model] if model else list(list_models())
    if scorecard is not None:
        from superres.cli.scorecard import Asked
        from superres.cli.scorecard import scorecard as make

        asked = Asked(
            models=model or (),
            fidelities=fidelity or (),
            scales=scale or (),
            degradations=degradation or (),
            side=crop,
            reduce=reduce,
            quick=quick,
            timed=speed,
        )
        raise typer.Exit(make(scorecard, out, chosen, asked))
    console = error_console()
    measured = []
    for one in models:
        with Upscaler(chosen) as upscaler, console.status(f"Measuring {one.name} …"):
            times = 4 if 4 in one.scales else max(one.scales)
            measured.append(measure(upscaler, one.name, times, seconds))
    if json:
        typer.echo(jsonlib.dumps([asdict(row) for row in measured], indent=2))
    else:
        _print(measured)


def measure(upscaler: Upscaler, model: str, scale: int, seconds: float) -> Measured:
    """Enlarge pictures for about ``seconds`` and keep the best speed seen."""
    from time import perf_counter

    from superres.imageio import OutputOptions
    from superres.pipeline import UpscaleOptions

    # Uncompressed: what is measured is the network, not deflate.
    output = OutputOptions(format="tiff", compression=0)
    options = UpscaleOptions(scale=scale, model=model, output=output)
    first = picture(_FIRST_SIDE)
    began = perf_counter()
    upscaler.upscale_file(first, None, options)
    start = perf_counter() - began
    began = perf_counter()
    report = upscaler.upscale_file(first, None, options)
    # Three rounds on the largest picture that fits into the time left.
    rate = _FIRST_SIDE**2 / max(1e-6, perf_counter() - began)
    fits = [side for side in _SIDES if 3 * side**2 / rate <= seconds]
    side = fits[-1] if fits else _FIRST_SIDE
    best, whole = _rounds(upscaler, side, options, seconds)
    return Measured(
        model=model,
        scale=scale,
        device=report.device,
        precision=report.precision,
        side=side,
        megapixels_per_second=best,
        whole=whole,
        start=start,
        peak_memory=report.peak_memory,
    )


def _rounds(
    upscaler: Upscaler, side: int, options: UpscaleOptions, seconds: float
) -> tuple[float, float]:
    from time import perf_counter

    data = picture(side)
    upscaler.upscale_file(data, None, options)  # another size may load another network
    best = whole = 0.0
    until = perf_counter() + seconds * 2 / 3
    while not best or perf_counter() < until:
        report = upscaler.upscale_file(data, None, options)
        best = max(best, side**2 / 1e6 / max(1e-9, report.inference_seconds))
        whole = max(whole, side**2 / 1e6 / max(1e-9, report.seconds))
    return best, whole


def picture(side: int) -> bytes:
    """A picture file with a photograph's spectrum: noise whose amplitude falls as 1/f."""
    import numpy as np

    from superres.imageio import Metadata, encode

    rng = np.random.default_rng(side)
    y, x = np.fft.fftfreq(side)[:, None, None], np.fft.rfftfreq(side)[None, :, None]
    falling = 1 / np.maximum(np.hypot(y, x), 1 / side)
    noise = np.fft.rfft2(rng.standard_normal((side, side, 3)), axes=(0, 1)) * falling
    waves = np.fft.irfft2(noise, s=(side, side), axes=(0, 1))
    values = 128 + 48 * (waves - waves.mean()) / waves.std()
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return encode(pixels, Metadata(), None, "png") or b""


def _print(measured: list[Measured]) -> None:
    from rich import box
    from rich.table import Table

    from superres.cli.console import duration, output_console, size

    console = output_console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Model", style="bold cyan", no_wrap=True)
    for name in ("Scale", "Precision", "Picture", "MP/s", "with files", "Start", "Memory"):
        table.add_column(name, justify="right")
    for row in measured:
        table.add_row(
            row.model,
            f"×{row.scale}",
            f"{row.device} {row.precision}",
            f"{row.side}²",
            f"{row.megapixels_per_second:.3g}",
            f"{row.whole:.3g}",
            duration(row.start),
            size(row.peak_memory),
        )
    console.print(table)
    console.print(
        "MP/s: million input pixels a second through the network, best of several; "
        "Start: loading the model, up to the first small result.",
        style="dim",
    )
