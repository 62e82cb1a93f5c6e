"""``superres keys temporary``: a credential for somebody else, for a while."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superres.cli.console import output_console, print_json
from superres.cli.credentials import Who, called, minute, open_access
from superres.cli.limits import policy_in
from superres.cli.models import Debug
from superres.cli.serve import Config, DataDir

if TYPE_CHECKING:
    from superres.access import Policy, TemporaryCredential

EXAMPLES = """\
[bold]Examples[/bold]

For half an hour, whatever "phone app" may do:
  [cyan]superres keys temporary "phone app"[/cyan]

For ten minutes, and only to upload below one prefix:
  [cyan]superres keys temporary "phone app" --minutes 10 --policy '{"statements": [{"effect": "allow", "actions": "cos:PutObject", "resources": "photos-1250000000/in/*"}]}'[/cyan]

For a program that hands it to one of the vendor's SDKs:
  [cyan]superres keys temporary "phone app" --json[/cyan]\
"""  # noqa: E501 -- the help wraps itself


def temporary(
    who: Who,
    minutes: Annotated[
        int, typer.Option(metavar="N", min=1, max=2160, help="How long it lives; 2160 is 36 hours.")
    ] = 30,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|JSON", help="What it may do of what its parent may. [all of it]"
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON as Tencent's token service (STS) answers.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Make a temporary credential of another one, and show its strings, this once.

    For doors that check signatures: Tencent COS, and AWS stages with AWS_IAM. It counts as its parent: what it makes is the parent's, and so are the limits. It ends by itself, or when the parent is revoked.
    """  # noqa: E501 -- the help wraps itself
    del debug
    with open_access(data_dir, config) as access:
        found = access.find(who)
        made = access.temporary(found.id, timedelta(minutes=minutes), _policy(policy))
    if json:
        print_json(_as_record(made))
        return
    # Not through the console: a narrow terminal must not break the strings.
    typer.echo(
        f"\n  tmpSecretId   {made.id}\n  tmpSecretKey  {made.secret}\n"
        f"  sessionToken  {made.session_token}\n"
        f"  expiredTime   {_seconds(made)['expiredTime']}\n"
    )
    output_console().print(
        f"Until {minute(made.expires_at)} UTC it may do what {called(found)} may"
        + (", and its own policy allows." if policy else "."),
        markup=False,
        highlight=False,
    )


def _policy(given: str | None) -> Policy | None:
    from superres.access import Policy

    if given is None:
        return None
    return Policy.from_json(given) if given.lstrip().startswith("{") else policy_in(Path(given))


def _as_record(made: TemporaryCredential) -> dict[str, Any]:
    """What the STS SDKs return."""
    return {
        "credentials": {
            "tmpSecretId": made.id,
            "tmpSecretKey": made.secret,
            "sessionToken": made.session_token,
        },
        **_seconds(made),
        "expiration": f"{made.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }


def _seconds(made: TemporaryCredential) -> dict[str, int]:
    return {
        "startTime": int(made.starts_at.timestamp()),
        "expiredTime": int(made.expires_at.timestamp()),
    }
