"""``superres jobs``: what the server has taken in, of everybody; for its keeper."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superres.cli.console import count
from superres.cli.edge import Plain, PlainGroup
from superres.cli.models import AsJson, Debug
from superres.cli.serve import Config, DataDir
from superres.errors import BadParameter

if TYPE_CHECKING:
    from superres.access import Access
    from superres.jobs import Job, JobService

app = typer.Typer(
    name="jobs", cls=PlainGroup, help="Look at the jobs of the server, close and delete them."
)

_LIST = """\
[bold]Examples[/bold]

What waits or runs, and what became of the last ones:
  [cyan]superres jobs list[/cyan]

Those that failed; why is told by [cyan]superres jobs show ID[/cyan]:
  [cyan]superres jobs list --state failed[/cyan]

All the time:
  [cyan]watch superres jobs list --limit 20[/cyan]"""

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Jobs, by their ids.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Kept:
    """The jobs of a data folder, and who handed them in."""

    jobs: JobService
    access: Access

    def names(self) -> dict[str, str]:
        """Names of credentials by their ids, of revoked ones too."""
        return {one.id: one.name for one in self.access.list(revoked=True)}


@contextmanager
def open_jobs(data_dir: Path | None, config: Path | None) -> Iterator[Kept]:
    """Jobs to look at; none is done here.

    Raises:
        SuperresError: the server's libraries are missing, a setting is wrong, or the database,
            the key file or the store cannot be used.
    """
    from superres import settings
    from superres.cli.extras import server_extra

    with server_extra():
        from superres.access import open_access
        from superres.database import open_database
        from superres.jobs import JobService
        from superres.jobs.queue import JobQueue
        from superres.storage import open_store
        from superres.storage.blobs import Blobs
    chosen = settings.load(config, {"server.data_dir": data_dir})
    with server_extra():  # a migration imports more
        database = open_database(chosen)
    with ExitStack() as undo:
        undo.callback(database.dispose)
        access = open_access(chosen, database)
        blobs = Blobs(database, open_store(chosen), chosen.server.max_results_bytes)
        queue = JobQueue(database)
        undo.callback(queue.close)
        yield Kept(JobService(chosen, database, queue, blobs), access)


@app.command(name="list", cls=Plain, epilog=_LIST)
def list_all(
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="Only those that are waiting, running, done, …"),
    ] = None,
    door: Annotated[
        str | None, typer.Option(metavar="DOOR", help="Only those of one door, such as v1.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(metavar="ID_OR_NAME", help="Only those of one credential."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 50,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """List the jobs of all owners, the newest first."""
    del debug  # read by superres.cli.edge
    with open_jobs(data_dir, config) as kept:
        from superres.jobs import State

        if state is not None and state not in [*State]:
            known = ", ".join(State)
            raise BadParameter(f"There is no state {state!r}; the states are {known}.")
        wanted = None if state is None else State(state)
        whose = None if owner is None else kept.access.find(owner).id
        # One more than shown tells whether there are more.
        found = kept.jobs.list(owner=whose, door=door, state=wanted, limit=limit + 1)
        names = kept.names()
    more, found = len(found) > limit, found[:limit]
    from superres.cli import jobs_shown as shown

    if json:
        typer.echo(jsonlib.dumps([shown.as_record(job, names) for job in found], indent=2))
        return
    if not found:
        typer.echo("There are no jobs." if whose is door is state is None else "None is like that.")
        return
    shown.table(found, names)
    if more:
        typer.echo("There are more; --limit shows them.")


@app.command(cls=Plain)
def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Tell everything about one job and each of its pictures."""
    del debug
    with open_jobs(data_dir, config) as kept:
        job = kept.jobs.get(job_id, owner=None)
        names = kept.names()
        wait = kept.jobs.wait_seconds(job)
    from superres.cli import jobs_shown as shown

    if json:
        record = {**shown.as_record(job, names), "wait_seconds": round(wait, 1)}
        typer.echo(jsonlib.dumps(record, indent=2))
        return
    shown.whole(job, names, wait)


@app.command(cls=Plain)
def cancel(
    ids: Ids,
    yes: Yes = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Close jobs: what waits is not begun, what runs stops, what is done stays.

    Finished jobs stay as they are.
    """
    del debug
    with open_jobs(data_dir, config) as kept:
        # All are looked at first, so that a wrong id changes nothing.
        before = [kept.jobs.get(job_id, owner=None) for job_id in ids]
        if not yes:
            _confirm("Close", [job for job in before if not job.state.final])
        after = [kept.jobs.cancel(job.id, owner=None) for job in before]
        names = kept.names()
    from superres.cli import jobs_shown as shown

    if json:
        typer.echo(jsonlib.dumps([shown.as_record(job, names) for job in after], indent=2))
        return
    for job, was in zip(after, before, strict=True):
        what = f"was {was.state} already" if was.state.final else f"is {job.state}"
        typer.echo(f"{job.id} {what}: {shown.tally(job)}.")


@app.command(cls=Plain)
def delete(
    ids: Ids,
    yes: Yes = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Close jobs and forget them, with their pictures and results."""
    del debug
    with open_jobs(data_dir, config) as kept:
        found = [kept.jobs.get(job_id, owner=None) for job_id in ids]
        if not yes:
            _confirm("Delete", found)
        for job in found:
            kept.jobs.delete(job.id, owner=None)
    if json:
        typer.echo(jsonlib.dumps({"deleted": [job.id for job in found]}))
        return
    for job in found:
        typer.echo(f"Deleted {job.id}.")


def _confirm(what: str, jobs: list[Job]) -> None:
    if not jobs:
        return
    pictures = sum(len(job.items) for job in jobs)
    typer.confirm(
        f"{what} {count(len(jobs), 'job')} of {count(pictures, 'picture')} for ever?",
        abort=True,
        err=True,
    )
