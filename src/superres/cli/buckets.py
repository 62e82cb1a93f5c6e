"""``superres buckets``: the buckets of the server, of everybody; for its keeper."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superres.cli.console import count, printable, size
from superres.cli.credentials import called
from superres.cli.edge import Plain, PlainGroup
from superres.cli.models import AsJson, Debug
from superres.cli.serve import Config, DataDir
from superres.errors import BadParameter, BucketNotEmpty

if TYPE_CHECKING:
    from superres.access import Access, Credential
    from superres.buckets import Buckets
    from superres.settings import Settings

app = typer.Typer(
    name="buckets",
    cls=PlainGroup,
    help="Make, list and delete the buckets of the server, and say whose they are.",
)

_LIST = """\
[bold]Examples[/bold]

  [cyan]superres buckets list[/cyan]

How much is in them, too; counting takes a moment for each million objects:
  [cyan]superres buckets list --sizes[/cyan]

Those of one credential, for a script:
  [cyan]superres buckets list --owner alice --json[/cyan]"""
_CREATE = """\
[bold]Examples[/bold]

  [cyan]superres buckets create photos-1250000000[/cyan]

With several credentials it must be said whose it is:
  [cyan]superres buckets create photos-1250000000 --owner alice[/cyan]

Clients make buckets too, by PUT; those are theirs."""
_DELETE = """\
[bold]Examples[/bold]

An empty one:
  [cyan]superres buckets delete photos-1250000000[/cyan]

With everything that is in it:
  [cyan]superres buckets delete photos-1250000000 --objects[/cyan]"""
_ENABLE = """\
[bold]Examples[/bold]

  [cyan]superres buckets enable-ci photos-1250000000[/cyan]

It keeps objects, and nothing else:
  [cyan]superres buckets enable-ci photos-1250000000 --off[/cyan]

What new ones do is a setting: [cyan]SUPERRES_CLOUD_INFINITE__ENABLED[/cyan]"""
_GIVE = """\
[bold]Examples[/bold]

A new key for the same buckets, and an end to the old one:
  [cyan]superres keys create alice-2027[/cyan]
  [cyan]superres buckets give photos-1250000000 --to alice-2027[/cyan]
  [cyan]superres keys revoke alice-2026[/cyan]"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The bucket, such as photos-1250000000.")]


@dataclass(frozen=True)
class Kept:
    """The buckets of a data folder, and whose they may be."""

    settings: Settings
    buckets: Buckets
    access: Access

    def whose(self, owner: str | None) -> Credential:
        """The credential that is named, or the only one there is.

        Raises:
            BadParameter: there is none, or which one is meant is not said.
        """
        if owner is not None:
            return self.access.find(owner)
        known = self.access.list()
        if not known:
            raise BadParameter(
                "A bucket is a credential's, and there is none; make one with "
                "superres keys create NAME."
            )
        if len(known) > 1:
            raise BadParameter(
                f"There are {len(known)} credentials; say whose the bucket is with "
                "--owner ID_OR_NAME (superres keys list shows them)."
            )
        return known[0]


@contextmanager
def open_kept(data_dir: Path | None, config: Path | None) -> Iterator[Kept]:
    """Buckets to look at and to change.

    Raises:
        SuperresError: the server's libraries are missing, a setting is wrong, or the database,
            the key file or the store cannot be used.
    """
    from superres import settings
    from superres.cli.extras import server_extra

    with server_extra():
        from superres.access import open_access
        from superres.buckets import open_buckets
        from superres.database import open_database
        from superres.storage import open_store
    chosen = settings.load(config, {"server.data_dir": data_dir})
    with server_extra():  # a migration imports more
        database = open_database(chosen)
    try:
        access = open_access(chosen, database)
        yield Kept(chosen, open_buckets(chosen, database, open_store(chosen)), access)
    finally:
        database.dispose()


@app.command(name="list", cls=Plain, epilog=_LIST)
def list_all(
    owner: Annotated[
        str | None, typer.Option(metavar="ID_OR_NAME", help="Only those of one credential.")
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Count their objects and bytes, too.")
    ] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """List the buckets of all credentials, by name."""
    del debug  # read by superres.cli.edge
    from superres.cli import buckets_shown as shown

    with open_kept(data_dir, config) as kept:
        whose = None if owner is None else kept.access.find(owner).id
        found = kept.buckets.list(whose)
        usage = {one.name: kept.buckets.usage(one.name) for one in found} if sizes else {}
        owners = {one.id: one for one in kept.access.list(revoked=True)}
    if json:
        records = [shown.as_record(one, owners, usage) for one in found]
        typer.echo(jsonlib.dumps(records, indent=2))
        return
    if not found:
        none = "There are no buckets. Make one: superres buckets create NAME"
        typer.echo(none if owner is None else "It has no buckets.")
        return
    shown.table(found, owners, usage)


@app.command(cls=Plain, epilog=_CREATE)
def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="3 to 63 of a-z, 0-9 and -, as photos-1250000000."),
    ],
    owner: Annotated[
        str | None,
        typer.Option(metavar="ID_OR_NAME", help="Whose it is; needed if there are several."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of sentences.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Make a bucket, which is a credential's: it may do everything with it, others nothing."""
    del debug
    from superres.cli import buckets_shown as shown

    if name == "service":
        raise BadParameter("Its host is that of the list of buckets; choose another name.")
    with open_kept(data_dir, config) as kept:
        whose = kept.whose(owner)
        wanted = kept.settings.cloud_infinite
        made = kept.buckets.create(name, whose.id, processing=wanted.enabled)
    if json:
        typer.echo(jsonlib.dumps(shown.as_record(made, {whose.id: whose}, {}), indent=2))
        return
    typer.echo(f"Made {made.name}, the bucket of {called(whose)}.")
    # A suffix without a star needs no region of Tencent's to be made up.
    suffix = next((one for one in wanted.suffixes if "*" not in one), None)
    if suffix is not None:
        typer.echo(f"Its host is {made.name}.{suffix}.")
    if not made.processing:
        typer.echo(f"It does not super-resolve yet: superres buckets enable-ci {made.name}")


@app.command(cls=Plain, epilog=_DELETE)
def delete(
    name: Name,
    objects: Annotated[
        bool,
        typer.Option("--objects", help="Delete its objects and unfinished uploads first."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Delete a bucket. It must be empty, unless --objects empties it."""
    del debug
    with open_kept(data_dir, config) as kept:
        found = kept.buckets.get(name)
        number, length = kept.buckets.usage(name)
        content = _content(number, length)
        if content and not objects:
            raise BucketNotEmpty(f"{name} is not empty: {content}. --objects deletes that, too.")
        if not yes:
            held = f", {content}," if content else ""
            typer.confirm(f"Delete {name}{held} for ever?", abort=True, err=True)
        if objects:
            from superres.cli.emptying import empty

            empty(kept.buckets, found.name, number)
        try:
            kept.buckets.delete(found.name)
        except BucketNotEmpty as exc:
            if objects:
                why = f"Somebody wrote to {name} meanwhile, so it is still there; delete it again."
            else:
                why = f"{name} has unfinished uploads; --objects deletes them, too."
            raise BucketNotEmpty(why) from exc
    typer.echo(f"Deleted {name}.")


@app.command(name="enable-ci", cls=Plain, epilog=_ENABLE)
def enable_ci(
    name: Name,
    off: Annotated[bool, typer.Option("--off", help="Not any more.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Let a bucket super-resolve its pictures, as binding it to Cloud Infinite does."""
    del debug
    with open_kept(data_dir, config) as kept:
        kept.buckets.enable_processing(name, on=not off)
    typer.echo(f"{name} super-resolves{' no more' if off else ''}.")


@app.command(cls=Plain, epilog=_GIVE)
def give(
    name: Name,
    to: Annotated[str, typer.Option("--to", metavar="ID_OR_NAME", help="Whose it becomes.")],
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Make a bucket another credential's, with all that is in it."""
    del debug
    with open_kept(data_dir, config) as kept:
        whose = kept.access.find(to)
        kept.buckets.give(name, whose.id)
    typer.echo(f"{printable(name)} is now the bucket of {called(whose)}.")


def _content(number: int, length: int) -> str:
    """``3 objects, 5.2 MB``; bytes without objects are of unfinished uploads."""
    if number:
        return f"{count(number, 'object')}, {size(length)}"
    return f"{size(length)} of unfinished uploads" if length else ""
