"""``superres keys policy`` and ``superres keys plan``: what a credential may do, and how much."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superres.cli.console import printable
from superres.cli.credentials import Who, called, minute, open_access
from superres.cli.models import AsJson, Debug
from superres.cli.serve import Config, DataDir
from superres.errors import BadParameter

if TYPE_CHECKING:
    from superres.access import Policy

POLICY_EXAMPLES = """\
[bold]Examples[/bold]

What may it do now?
  [cyan]superres keys policy "phone app"[/cyan]

Only enlarge, by whichever door:
  [cyan]superres keys policy "phone app" --allow 'superres:*,execute-api:*'[/cyan]

And read one bucket, except a part of it:
  [cyan]superres keys policy "phone app" --allow s3:GetObject --on 'photos/*'[/cyan]
  [cyan]superres keys policy "phone app" --deny '*' --on 'photos/private/*'[/cyan]

Take a policy from one credential to another:
  [cyan]superres keys policy old --json > policy.json[/cyan]
  [cyan]superres keys policy new --file policy.json[/cyan]

Everything is allowed again:
  [cyan]superres keys policy "phone app" --clear[/cyan]\
"""
PLAN_EXAMPLES = """\
[bold]Examples[/bold]

What are its limits, and how much is used?
  [cyan]superres keys plan "phone app"[/cyan]

5 requests a second on average, 20 at once, 10,000 a month:
  [cyan]superres keys plan "phone app" --rate 5 --burst 20 --per-month 10000[/cyan]

No limits again:
  [cyan]superres keys plan "phone app" --clear[/cyan]\
"""


def policy(
    who: Who,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTIONS", help="Add a rule that allows; separated by commas."),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTIONS", help="Add a rule that denies; it beats every other."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESOURCE", help="What the rules of this call are about. May be repeated. [*]"
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the whole policy from a JSON file.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Drop the rules so far; alone: everything is allowed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Show it as --file reads it.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Show what a credential may do, or change it.

    Without options it shows. --allow and --deny add rules. The first --allow narrows the credential from everything to what is named; a --deny alone takes away from everything. In actions and resources * stands for any text and ? for one character.
    """  # noqa: E501 -- the help wraps itself
    del debug
    rules = bool(allow or deny)
    if on and not rules:
        raise BadParameter("--on says what a rule is about; give --allow or --deny with it.")
    if file is not None and (rules or clear):
        raise BadParameter("--file is the whole policy; it goes with no other change.")
    with open_access(data_dir, config) as access:
        found = access.find(who)
        chosen = found.policy
        if file is not None or rules or clear:
            before = None if clear else found.policy
            if file is not None:
                chosen = policy_in(file)
            else:
                chosen = _with_rules(before, allow or [], deny or [], on or ["*"])
            access.set_policy(found.id, chosen)
    if json:
        typer.echo(jsonlib.dumps(chosen and chosen.as_record(), indent=2))
    elif chosen is None:
        typer.echo(f"{called(found)} may do everything: it has no policy.")
    else:
        typer.echo(f"{called(found)}:")
        for rule in chosen.statements:
            actions, resources = ", ".join(rule.actions), ", ".join(rule.resources)
            typer.echo(printable(f"  {rule.effect:5}  {actions}  on  {resources}"))
        typer.echo("What no rule allows is denied.")


def plan(
    who: Who,
    rate: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Requests per second, on average.")
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option(metavar="N", help="Requests at once; without it, one second's worth."),
    ] = None,
    per_day: Annotated[
        int | None, typer.Option(metavar="N", help="Requests per day, from midnight UTC.")
    ] = None,
    per_week: Annotated[
        int | None, typer.Option(metavar="N", help="Requests per week, from Monday.")
    ] = None,
    per_month: Annotated[
        int | None, typer.Option(metavar="N", help="Requests per calendar month.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Drop the limits so far; alone: no limits.")
    ] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Show how fast and how often a credential may ask, or change it.

    Without options it shows the limits and how much is used. What is not named stays as it is.
    """
    del debug
    with open_access(data_dir, config) as access:
        from superres.access import Plan, Quota

        found = access.find(who)
        chosen = found.plan
        given = (rate, burst, per_day, per_week, per_month)
        if clear or any(value is not None for value in given):
            old = Plan() if clear or found.plan is None else found.plan
            values = old.quota.limits() | {
                period: limit
                for period, limit in (("day", per_day), ("week", per_week), ("month", per_month))
                if limit is not None
            }
            chosen = Plan(
                old.rate if rate is None else rate,
                old.burst if burst is None else burst,
                Quota(**values),
            )
            chosen = None if chosen == Plan() else chosen
            access.set_plan(found.id, chosen)
        usage = access.usage(found.id)
    if json:
        record = {
            "id": found.id,
            "name": found.name,
            "plan": chosen and chosen.as_record(),
            "usage": [
                {"period": u.period, "used": u.used, "limit": u.limit, "ends": u.ends.isoformat()}
                for u in usage
            ],
        }
        typer.echo(jsonlib.dumps(record, indent=2))
        return
    typer.echo(f"{called(found)}:" if chosen else f"{called(found)} has no limits.")
    if chosen is not None and chosen.rate is not None:
        typer.echo(f"  rate   {chosen.rate:g} a second, {chosen.effective_burst:,} at once")
    for period in usage:
        told = f"{period.used:,} of {period.limit:,} used, anew from {minute(period.ends)} UTC"
        typer.echo(f"  {period.period:5}  {told}")


def _with_rules(
    before: Policy | None, allow: list[str], deny: list[str], on: list[str]
) -> Policy | None:
    """``before`` (None allows everything) with one more rule, or two."""
    from superres.access import Policy
    from superres.access.policy import ALLOW, DENY, statement

    rules = list(before.statements) if before else []
    if before is None and deny and not allow:
        rules.append(statement(ALLOW, ["*"], ["*"]))
    for effect, given in ((ALLOW, allow), (DENY, deny)):
        actions = [word.strip() for text in given for word in text.split(",")]
        if actions:
            rules.append(statement(effect, actions, on))
    # Through the JSON form, which has limits of its own.
    return Policy.from_record(jsonlib.loads(Policy(tuple(rules)).to_json())) if rules else None


def policy_in(file: Path) -> Policy | None:
    """The policy in a JSON file, as ``superres keys policy --json`` shows it.

    Raises:
        BadParameter: the file cannot be read, or is none.
    """
    from superres.access import Policy

    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise BadParameter(f"The policy file cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise BadParameter("The policy file is not UTF-8 text.") from exc
    # What --json shows of a credential without a policy.
    return None if text.strip() == "null" else Policy.from_json(text)
