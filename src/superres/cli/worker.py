"""``superres worker``: a process that does jobs, beside a server or far from it."""

from __future__ import annotations

from typing import Annotated

import typer

from superres.cli.models import Debug
from superres.cli.serve import Config, DataDir

EXAMPLES = """\
[bold]Examples[/bold]

A second process for the jobs of the server on this machine, on the same data folder:
  [cyan]superres worker[/cyan]

On another machine: the same database, store and key as the server's:
  [cyan]export SUPERRES_DATABASE__URL=postgresql://superres@db.example/superres[/cyan]
  [cyan]export SUPERRES_STORAGE__URL=s3://superres-data[/cyan]
  [cyan]export SUPERRES_ACCESS__KEY=...[/cyan]
  [cyan]superres worker --concurrency 8[/cyan]

And a server that only takes jobs in:
  [cyan]SUPERRES_JOBS__CONCURRENCY=0 superres serve[/cyan]"""


def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(metavar="N", help="Pictures of jobs at the same time. [3]"),
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Do the jobs that servers on the same database and store take in.

    It listens nowhere. Ctrl-C or SIGTERM lets what runs end; what does not end in time waits again and is done elsewhere.
    """  # noqa: E501 -- the help wraps itself
    from superres import settings
    from superres.cli.extras import server_extra

    given = {"jobs.concurrency": concurrency, "server.data_dir": data_dir}
    chosen = settings.load(config, {**given, "server.log_level": "debug" if debug else None})
    with server_extra():
        from superres.server.worker import work

    def ready() -> None:
        from superres.cli.console import count, error_console

        error_console().print(
            f"\nsuperres does jobs, {count(chosen.jobs.concurrency, 'picture')} at a time   "
            "(stop with Ctrl-C)\n",
            highlight=False,
        )

    work(chosen, on_ready=ready)
