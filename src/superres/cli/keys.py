"""``superres keys``: credentials, what they may do, and how much."""

from __future__ import annotations

import json as jsonlib
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superres.cli import limits, temporary
from superres.cli.console import output_console, print_json, printable
from superres.cli.credentials import Who, called, minute, open_access
from superres.cli.edge import Plain, PlainGroup
from superres.cli.models import AsJson, Debug
from superres.cli.serve import Config, DataDir

if TYPE_CHECKING:
    from superres.access import Credential

app = typer.Typer(
    name="keys", cls=PlainGroup, help="Make, limit and revoke the credentials of the server."
)
# Which of the three strings goes where; see contracts/README.md.
_DOORS = (
    ("/v1, our own API", "Authorization: Bearer TOKEN"),
    ("AWS, a stage with API_KEY", "x-api-key: TOKEN"),
    ("AWS, a stage with AWS_IAM", "access key id = ID, secret access key = SECRET"),
    ("8X, /v3/pic/fsrtwo", "appkey = ID, appsecret = SECRET"),
    ("PicWish, Aliyun market", "Authorization: APPCODE TOKEN"),
    ("PicWish, native", "X-API-KEY: TOKEN"),
    ("Tencent COS", "SecretId = ID, SecretKey = SECRET"),
)

_CREATE = """\
[bold]Examples[/bold]

  [cyan]superres keys create "phone app"[/cyan]

For a script, which keeps the only copy:
  [cyan]superres keys create nightly --json > nightly.json[/cyan]\
"""


@app.command(cls=Plain, epilog=_CREATE)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people: who or what uses it.")],
    json: Annotated[bool, typer.Option("--json", help="JSON with id, secret and token.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Make a credential and show its strings, this once.

    It may do everything and has no limits, until superres keys policy and superres keys plan say otherwise.
    """  # noqa: E501 -- the help wraps itself
    del debug  # read by superres.cli.edge
    with open_access(data_dir, config) as access:
        made = access.create(name)
    if json:
        print_json({"id": made.id, "secret": made.secret, "token": made.token})
        return
    # Not through the console: a narrow terminal must not break the strings.
    typer.echo(f"\n  id      {made.id}\n  secret  {made.secret}\n  token   {made.token}\n")
    console = output_console()
    console.print("The secret and the token are shown only now: keep them in a safe place.")
    console.print("One credential works at every door:\n")
    for door, strings in _DOORS:
        console.print(f"  {door:<26} {strings}", style="dim")


@app.command(name="list", cls=Plain)
def list_all(
    revoked: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """List the credentials, without their secrets."""
    del debug
    with open_access(data_dir, config) as access:
        found = access.list(revoked=revoked)
    if json:
        typer.echo(jsonlib.dumps([_as_record(one) for one in found], indent=2))
        return
    if not found:
        typer.echo("There are no credentials. Make one: superres keys create NAME")
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Name", overflow="fold", style="bold cyan")
    table.add_column("Id", no_wrap=True)
    table.add_column("May do", overflow="fold")
    table.add_column("Last used (UTC)", overflow="fold")
    for one in found:
        may = "everything" if one.policy is None else "what its policy says"
        if one.plan is not None:
            may += ", limited"
        if one.revoked_at is not None:
            may = f"nothing: revoked {minute(one.revoked_at)}"
        used = "never" if one.last_used_at is None else minute(one.last_used_at)
        table.add_row(Text(printable(one.name)), one.id, may, used)
    output_console().print(table)


@app.command(cls=Plain)
def revoke(
    who: Who,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Close every door to a credential, at once and for ever."""
    del debug
    with open_access(data_dir, config) as access:
        found = access.find(who)
        if not yes:
            typer.confirm(f"Revoke {called(found)} for ever?", abort=True, err=True)
        access.revoke(found.id)
    typer.echo(f"Revoked {called(found)}.")


app.command(cls=Plain, epilog=limits.POLICY_EXAMPLES)(limits.policy)
app.command(cls=Plain, epilog=limits.PLAN_EXAMPLES)(limits.plan)
app.command(cls=Plain, epilog=temporary.EXAMPLES)(temporary.temporary)


def _as_record(credential: Credential) -> dict[str, Any]:
    """A credential for programs."""

    def iso(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat(timespec="seconds")

    return {
        "id": credential.id,
        "name": credential.name,
        "created_at": iso(credential.created_at),
        "last_used_at": iso(credential.last_used_at),
        "revoked_at": iso(credential.revoked_at),
        "policy": credential.policy and credential.policy.as_record(),
        "plan": credential.plan and credential.plan.as_record(),
    }
