"""Jobs in words: a table of many, everything about one, records for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from superres.cli.console import duration, faces_told, megapixels, output_console, printable
from superres.cli.credentials import minute
from superres.jobs import Item, ItemResult, Job, State

# Narrower than this, what is less often asked goes below the id.
_WIDE = 112
_DAY = 86_400
_STYLE = {
    State.RUNNING: "bold cyan",
    State.DONE: "green",
    State.FAILED: "red",
    State.TIMED_OUT: "red",
    State.CLOSED: "dim",
}


def table(jobs: Sequence[Job], names: Mapping[str, str]) -> None:
    """Print many jobs, a line or two each.

    Args:
        jobs: in the order wanted.
        names: of owners, by their ids.
    """
    console = output_console()
    shown = _table()
    if console.width >= _WIDE:
        _one_line_each(shown, jobs, names)
    else:
        _two_lines_each(shown, jobs, names)
    console.print(shown)


def _one_line_each(shown: Table, jobs: Sequence[Job], names: Mapping[str, str]) -> None:
    shown.add_column("Id", no_wrap=True, style="bold")
    shown.add_column("State", no_wrap=True)
    for title in ("Pictures", "Progress", "Age"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("Door", no_wrap=True)
    shown.add_column("Priority", justify="right", no_wrap=True)
    shown.add_column("Owner", overflow="fold")
    for job in jobs:
        shown.add_row(
            job.id,
            _state(job.state),
            f"{job.count(State.DONE)}/{len(job.items)}",
            f"{job.progress:.0%}",
            age(job.now - job.created_at),
            job.door,
            str(job.priority),
            Text(printable(_called(job.owner, names))),
        )


def _two_lines_each(shown: Table, jobs: Sequence[Job], names: Mapping[str, str]) -> None:
    shown.add_column("Id", overflow="fold", min_width=36)
    shown.add_column("State, pictures done, age", overflow="fold")
    for job in jobs:
        owner = printable(_called(job.owner, names))
        about = f"\n{job.door} · priority {job.priority} · {owner}"
        stand = _state(job.state).append(f" {job.progress:.0%}", "not bold default")
        made = f"\n{job.count(State.DONE)}/{len(job.items)} · {age(job.now - job.created_at)}"
        shown.add_row(Text(job.id, "bold").append(about, "not bold dim"), stand.append(made, "dim"))


def whole(job: Job, names: Mapping[str, str], wait: float) -> None:
    """Print everything about one job.

    Args:
        job: the job.
        names: of owners, by their ids.
        wait: seconds until it may be done.
    """
    console = output_console()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in _facts(job, names, wait):
        facts.add_row(label, Text(printable(value)))
    console.print(facts)
    shown = _table()
    shown.add_column("#", justify="right", no_wrap=True)
    shown.add_column("State", no_wrap=True)
    shown.add_column("Attempt", justify="right", no_wrap=True)
    shown.add_column("Begun (UTC)", no_wrap=True)
    shown.add_column("Took", justify="right", no_wrap=True)
    shown.add_column("Picture", overflow="fold", ratio=1)
    for item in job.items:
        begun, took = "", ""
        if item.started_at is not None:
            begun = f"{_moment(item.started_at):%m-%d %H:%M:%S}"
            took = duration((item.finished_at or job.now) - item.started_at)
        shown.add_row(
            str(item.position),
            _state(item.state),
            str(item.attempt) if item.attempt else "",
            begun,
            took,
            _picture(item),
        )
    console.print(shown)


def tally(job: Job) -> str:
    """``2 done, 1 failed``: what the pictures of a job have become."""
    return ", ".join(
        f"{number} {state.replace('_', ' ')}" for state in State if (number := job.count(state))
    )


def age(seconds: float) -> str:
    """``4.2 s``, ``5 min 12 s``, ``3 days``."""
    return f"{seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else duration(max(0.0, seconds))


def as_record(job: Job, names: Mapping[str, str]) -> dict[str, Any]:
    """A job for programs."""
    return {
        "id": job.id,
        "door": job.door,
        "state": job.state.value,
        "priority": job.priority,
        "progress": round(job.progress, 4),
        "pictures": len(job.items),
        "done": job.count(State.DONE),
        "failed": job.count(State.FAILED, State.TIMED_OUT),
        "owner": job.owner or None,
        "owner_name": names.get(job.owner),
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "expires_at": _iso(job.expires_at),
        "callback": job.callback_state
        and {"state": job.callback_state, "error": job.callback_error},
        "items": [_item_record(item) for item in job.items],
    }


def _item_record(item: Item) -> dict[str, Any]:
    return {
        "position": item.position,
        "name": item.name,
        "state": item.state.value,
        "stage": item.stage,
        "progress": round(item.progress, 4),
        "attempt": item.attempt,
        "started_at": _iso(item.started_at),
        "finished_at": _iso(item.finished_at),
        "error": item.error and {"code": item.error.code, "message": item.error.public_message},
        "result": item.result and _result_record(item.result),
    }


def _result_record(result: ItemResult) -> dict[str, Any]:
    faces = None if result.faces is None else [each.as_record() for each in result.faces]
    return {**asdict(result), "faces": faces}


def _facts(job: Job, names: Mapping[str, str], wait: float) -> list[tuple[str, str]]:
    def when(moment: float | None) -> str:
        if moment is None:
            return "not yet"
        away = moment - job.now
        near = f"in {age(away)}" if away > 0 else f"{age(-away)} ago"
        return f"{minute(_moment(moment))} UTC, {near}"

    owner = _called(job.owner, names)
    facts = [
        ("Id", job.id),
        ("State", job.state.replace("_", " ") + f", {job.progress:.0%}: {tally(job)}"),
        ("Door", job.door),
        ("Owner", f"{owner} ({job.owner})" if job.owner in names else owner),
        ("Priority", str(job.priority)),
        ("Handed in", when(job.created_at)),
        ("Begun", when(job.started_at)),
    ]
    if job.state.final:
        facts.append(("Finished", when(job.finished_at)))
        facts.append(("Expires", when(job.expires_at)))
    else:
        facts.append(("Done in", f"about {duration(wait)}"))
    if job.callback_state is not None:
        why = f": {job.callback_error}" if job.callback_error else ""
        facts.append(("Webhook", job.callback_state + why))
    return facts


def _picture(item: Item) -> Text:
    text = Text(printable(item.name))
    if item.result is not None:
        made = item.result
        pixels = megapixels(made.width * made.height)
        text.append(
            f"\n{made.source_width}×{made.source_height} → {made.width}×{made.height} "
            f"{made.format}, {pixels} MP, {made.model}"
            + ("" if made.faces is None else f", {faces_told(made.faces)}"),
            "dim",
        )
    elif item.error is not None:
        text.append(f"\n{printable(item.error.public_message)}", "dim")
    elif item.state is State.RUNNING:
        text.append(f"\n{item.stage}, {item.progress:.0%}", "dim")
    return text


def _called(owner: str, names: Mapping[str, str]) -> str:
    return names.get(owner, owner) if owner else "no credential"


def _state(state: State) -> Text:
    return Text(state.replace("_", " "), _STYLE.get(state, ""))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else _moment(seconds).isoformat(timespec="milliseconds")
