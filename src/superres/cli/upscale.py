"""``superres upscale``: pictures in, larger pictures out."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superres.cli import completion
from superres.errors import BadParameter, ImageTooLarge

if TYPE_CHECKING:
    from superres.cli.plan import Destination

EXAMPLES = """\
[bold]Examples[/bold]

One photo, four times as large, beside the original as photo_x4.png:
  [cyan]superres upscale photo.jpg[/cyan]

A folder with its subfolders, going on where an earlier run stopped:
  [cyan]superres upscale holiday/ -o large/ --recursive --resume[/cyan]

A print: 24 megapixels, as a high-quality JPEG:
  [cyan]superres upscale photo.jpg --megapixels 24 -o print.jpg --quality 95[/cyan]

A photo of people, everybody staying who they are:
  [cyan]superres upscale party.jpg --face[/cyan]

In a pipe, from standard input to standard output:
  [cyan]curl -s https://example.org/a.jpg | superres upscale - > a.png[/cyan]

See first what would be done, and how long it may take:
  [cyan]superres upscale holiday/ --dry-run[/cyan]

[bold]Exit status[/bold]: 0 all done, 1 some failed, 2 not understood, 130 Ctrl-C.\
"""

_SIZE = "Size (instead of --scale)"
_MODEL = "Look"
_FACES = "Faces"
_OUTPUT = "Result"
_FILES = "Files"
_MACHINE = "Machine"
_TALK = "Messages"


def upscale(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Files, folders, patterns like '*.jpg'; - is standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file if it ends like a picture (.png …), else a folder, made if needed. "
            "Without it results lie beside their inputs: photo_x4.png.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            "-s",
            metavar="NUMBER",
            help="How many times as large: 1 to 16, fractions too; 1 repairs at the same "
            "size. [dim]\\[default: 4][/dim]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            autocompletion=completion.model_names,
            help="Which network; see: superres models list [dim]\\[default: general][/dim]",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            rich_help_panel=_SIZE,
            help="This wide; with --height, as large as fits both.",
        ),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", rich_help_panel=_SIZE, help="This high."),
    ] = None,
    megapixels: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", rich_help_panel=_SIZE, help="Millions of pixels in all."),
    ] = None,
    fidelity: Annotated[
        float | None,
        typer.Option(
            metavar="0…1",
            rich_help_panel=_MODEL,
            help="0 is the model alone, crisp; 1 invents nothing. "
            "[dim]\\[default: the model's own][/dim]",
        ),
    ] = None,
    no_colour_lock: Annotated[
        bool,
        typer.Option(
            "--no-colour-lock",
            rich_help_panel=_MODEL,
            help="Let the model shift colours.",
        ),
    ] = False,
    face: Annotated[
        bool,
        typer.Option(
            "--face",
            rich_help_panel=_FACES,
            help="Find faces and keep them recognisable: there the model may not invent. Needs "
            "nothing to be installed.",
        ),
    ] = False,
    restore: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_FACES,
            autocompletion=completion.restorers,
            help="Make faces anew by an installed network, such as gfpgan; for faces past "
            "saving, since people may come out as somebody else. Implies --face. To install "
            "one: superres models pull gfpgan",
        ),
    ] = None,
    restore_strength: Annotated[
        float | None,
        typer.Option(
            metavar="0…1",
            rich_help_panel=_FACES,
            help="How much is shown of what --restore makes; 0 is nothing. "
            "[dim]\\[default: 0.5][/dim]",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            rich_help_panel=_OUTPUT,
            autocompletion=completion.formats,
            help="png, jpeg, webp or tiff. Without it: what -o says, else the input's own "
            "where that is exact, else png.",
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            metavar="1…100",
            rich_help_panel=_OUTPUT,
            help="Of JPEG and WebP. [dim]\\[default: 92, WebP 90][/dim]",
        ),
    ] = None,
    lossless: Annotated[
        bool,
        typer.Option("--lossless", rich_help_panel=_OUTPUT, help="WebP without any loss."),
    ] = False,
    strip: Annotated[
        bool,
        typer.Option(
            "--strip",
            rich_help_panel=_OUTPUT,
            help="Leave out camera data, place and captions; colours stay right.",
        ),
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive",
            "-r",
            rich_help_panel=_FILES,
            help="Also folders inside folders; -o keeps their structure.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=_FILES,
            help="Keep results that are there and valid; make the others.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel=_FILES,
            help="Replace results that are there. Inputs are never replaced.",
        ),
    ] = False,
    first_frame: Annotated[
        bool,
        typer.Option(
            "--first-frame",
            rich_help_panel=_FILES,
            help="Of animations and multi-page files take the first; else they are refused.",
        ),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            metavar="N",
            rich_help_panel=_FILES,
            help="Files at a time. One picture already keeps all cores busy; 2 or 3 help with "
            "many small ones.",
        ),
    ] = 1,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=_FILES,
            help="Only tell what would be done, and the time it may take.",
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MACHINE,
            autocompletion=completion.devices,
            help="auto, cpu, or fake (repeats pixels, for trials). [dim]\\[default: auto][/dim]",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MACHINE,
            autocompletion=completion.precisions,
            help="auto, f16, bf16 or f32. [dim]\\[default: auto][/dim]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_MACHINE,
            help="Settings file; else superres.toml here or in your configuration folder.",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", rich_help_panel=_TALK, help="A line of JSON per file on standard output."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", rich_help_panel=_TALK, help="No progress, only errors."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", rich_help_panel=_TALK, help="Errors with where they came from."),
    ] = False,
) -> None:
    """Enlarge pictures: photographs, drawings, scans.

    Reads JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF and HEIC; writes PNG, JPEG, WebP and TIFF. \
Colour profile, orientation, 16 bits and transparency are kept. A file that fails does not \
stop the others, and no result is ever left half-written.
    """
    _check(locals())
    from superres import settings
    from superres.cli.inputs import STDIN
    from superres.cli.plan import destination

    given = {"engine.device": device, "engine.precision": precision}
    chosen = settings.load(config, given)
    where = destination(output, inputs)
    _check_format(where, file_format, quality, lossless)
    if restore is not None:
        from superres.faces.restore import check_restorer

        check_restorer(restore, chosen)
    if json and where.stdout:
        raise BadParameter(
            "--json and the picture cannot both go to standard output; name a file with -o."
        )

    from superres.cli.session import How, Session
    from superres.imageio import OutputOptions
    from superres.pipeline import UpscaleOptions, Upscaler

    options = UpscaleOptions(
        scale=scale,
        width=width,
        height=height,
        megapixels=megapixels,
        model=model or chosen.models.default,
        fidelity=fidelity,
        colour_lock=not no_colour_lock,
        face=face,
        restore=restore,
        **({} if restore_strength is None else {"restore_strength": restore_strength}),
        first_frame=first_frame,
        output=OutputOptions(
            format=file_format, quality=quality, lossless=lossless or None, strip=strip
        ),
    )
    data = _read_stdin(chosen.limits.max_input_bytes) if STDIN in inputs else None
    how = How(recursive, resume, overwrite, jobs, dry_run, json, quiet, debug)
    upscaler = Upscaler(chosen)
    try:
        code = Session(upscaler, chosen, options, where, how).go(inputs, data)
    finally:
        upscaler.close()
    raise typer.Exit(code)


def _check(given: dict[str, Any]) -> None:
    """Refuse what contradicts itself or is out of range, before anything is loaded."""
    sizes = [name for name in ("scale", "megapixels") if given[name] is not None]
    if given["width"] is not None or given["height"] is not None:
        sizes.append("width" if given["width"] is not None else "height")
    if len(sizes) > 1:
        raise BadParameter(f"--{sizes[0]} and --{sizes[1]} exclude each other; give one of them.")
    if given["resume"] and given["overwrite"]:
        raise BadParameter(
            "--resume keeps finished results and --overwrite replaces them; give one of them."
        )
    if given["restore_strength"] is not None and given["restore"] is None:
        raise BadParameter(
            "--restore-strength is how much --restore shows; name a network with --restore, too."
        )
    ranges: dict[str, tuple[float, float]] = {"scale": (1, 16), "fidelity": (0, 1)}
    ranges |= {"restore_strength": (0, 1)}
    ranges |= {"quality": (1, 100), "jobs": (1, 64), "width": (1, math.inf)}
    ranges |= {"height": (1, math.inf), "megapixels": (sys.float_info.min, math.inf)}
    for name, (least, most) in ranges.items():
        value = given[name]
        if value is None or (least <= value <= most and math.isfinite(value)):
            continue
        expected = f"from {least:g} to {most:g}" if most < math.inf else "more than 0"
        option = name.replace("_", "-")
        raise BadParameter(f"--{option} must be {expected}, not {value:g}.")


def _check_format(
    where: Destination, file_format: str | None, quality: int | None, lossless: bool
) -> None:
    """Refuse format options that say different things.

    Raises:
        BadParameter: they do.
    """
    from superres.imageio import format_name

    named = format_name(file_format) if file_format else None
    implied = format_name(where.file.suffix) if where.file else None
    if named and implied and named != implied:
        raise BadParameter(
            f"--format {named} contradicts the name {where.file}; change one of them."
        )
    final = named or implied
    if quality is not None and final not in ("jpeg", "webp"):
        have = f"{final.upper()} has none" if final else "the result would be PNG"
        raise BadParameter(
            f"--quality is for JPEG and WebP and {have}; add --format jpeg or --format webp."
        )
    if lossless and final == "jpeg":
        raise BadParameter("--lossless cannot be had in JPEG; choose png, webp or tiff.")
    if lossless and quality is not None:
        raise BadParameter("--lossless and --quality exclude each other; give one of them.")


def _read_stdin(most: int) -> bytes:
    if sys.stdin.isatty():
        raise BadParameter("Standard input is a terminal; pipe a picture into it (< photo.jpg).")
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise ImageTooLarge(
            f"Standard input holds more than {most:,} bytes; to allow more, raise "
            "max_input_bytes under [limits] in superres.toml."
        )
    return data
