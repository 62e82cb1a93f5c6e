"""``superres serve``: the API server and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superres.cli.models import Debug

EXAMPLES = """\
[bold]Examples[/bold]

The page and the API on http://127.0.0.1:8000, for this machine only:
  [cyan]superres serve[/cyan]

Another port, and another folder for everything that is kept:
  [cyan]superres serve --port 9000 --data-dir /srv/superres[/cyan]

For a network: clients need a credential, which [cyan]superres keys create NAME[/cyan] makes:
  [cyan]SUPERRES_AI_SOLUTION_KIT__STAGES=prod=API_KEY superres serve --host 0.0.0.0[/cyan]

What is not an option is a setting: [cyan]superres config show[/cyan]"""

DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the database, the key file and the results."),
]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings file instead of the usual ones.")
]


def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on. [127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port to listen on; 0 takes a free one. [8000]"),
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    allow_anonymous: Annotated[
        bool,
        typer.Option(
            "--allow-anonymous",
            help="Listen on a public address although a stage asks for no credential.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Run the API server, with the page people use in a browser.

    It listens on this machine only unless told otherwise, keeps its data in one folder, and finishes what is running when it is stopped with Ctrl-C or SIGTERM.
    """  # noqa: E501 -- the help wraps itself
    from superres import settings
    from superres.cli.extras import server_extra

    given = {"server.host": host, "server.port": port, "server.data_dir": data_dir}
    chosen = settings.load(config, {**given, "server.log_level": "debug" if debug else None})
    with server_extra():
        from superres.server.serve import serve as run

    def ready(url: str) -> None:
        from superres.cli.console import error_console

        error_console().print(
            f"\nsuperres is at [bold]{url}[/bold]   (stop with Ctrl-C)\n"
            f"  the page        {url}/\n"
            f"  the reference   {url}/docs\n",
            highlight=False,
        )

    run(chosen, allow_anonymous=allow_anonymous, on_ready=ready)
