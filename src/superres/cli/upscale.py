"""``superres upscale``: pictures in, larger pictures out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from superres.cli import completion
from superres.cli.contradictions import check, check_format
from superres.errors import BadParameter, ImageTooLarge

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
    denoise: Annotated[
        float | None,
        typer.Option(
            metavar="0…1",
            rich_help_panel=_MODEL,
            help="How much of a photo's noise is taken off before it is enlarged; 0 is none. "
            "[dim]\\[default: 0.5 to 0.8 if it is plainly noisy, unless --fidelity is given][/dim]",
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            rich_help_panel=_MODEL,
            help="Enlarge every part in eight orientations and take the mean: a little closer to "
            "the truth, and eight times as slow.",
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
            "saving, since people may come out as somebody else. Implies --face; not for drawings. "
            "To install one: superres models pull gfpgan",
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
            help="auto (a GPU if it is faster), cpu, cuda, cuda:0,cuda:1, mps, torch (the "
            "processor by PyTorch), or fake (repeats pixels, for trials). "
            "[dim]\\[default: auto][/dim]",
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
    check(locals())
    from superres import settings
    from superres.cli.inputs import STDIN
    from superres.cli.plan import destination

    given = {"engine.device": device, "engine.precision": precision}
    chosen = settings.load(config, given)
    where = destination(output, inputs)
    check_format(where, file_format, quality, lossless)
    if json and where.stdout:
        raise BadParameter(
            "--json and the picture cannot both go to standard output; name a file with -o."
        )

    from superres.cli.session import How, Session
    from superres.imageio import OutputOptions
    from superres.models.catalog import attach
    from superres.pipeline import UpscaleOptions, Upscaler

    attach(chosen.models.weights_dir)
    shown: dict[str, Any] = {}
    if restore_strength is not None:
        shown["restore_strength"] = restore_strength
    options = UpscaleOptions(
        scale=scale,
        width=width,
        height=height,
        megapixels=megapixels,
        model=model or chosen.models.default,
        fidelity=fidelity,
        colour_lock=not no_colour_lock,
        tta=tta,
        denoise=denoise,
        face=face,
        restore=restore,
        **shown,
        first_frame=first_frame,
        output=OutputOptions(
            format=file_format, quality=quality, lossless=lossless or None, strip=strip
        ),
    )
    if restore is not None:
        from superres.faces.restore import check_restorer

        check_restorer(restore, chosen)
    data = _read_stdin(chosen.limits.max_input_bytes) if STDIN in inputs else None
    how = How(recursive, resume, overwrite, jobs, dry_run, json, quiet, debug)
    upscaler = Upscaler(chosen)
    try:
        code = Session(upscaler, chosen, options, where, how).go(inputs, data)
    finally:
        upscaler.close()
    raise typer.Exit(code)


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
