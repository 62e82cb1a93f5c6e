"""Buckets in words: a table of many, records for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from superres.access import Credential
from superres.buckets import Bucket
from superres.cli.console import output_console, printable, size
from superres.cli.credentials import minute

Owners = Mapping[str, Credential]
"""Credentials by their ids, revoked ones too."""
Usage = Mapping[str, tuple[int, int]]
"""Objects and bytes by the buckets' names; of none, if nobody counted."""


def table(buckets: Sequence[Bucket], owners: Owners, usage: Usage) -> None:
    """Print them, a line each."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    shown.add_column("Name", overflow="fold", style="bold cyan")
    shown.add_column("Owner", overflow="fold")
    shown.add_column("CI", no_wrap=True)
    if usage:
        shown.add_column("Objects", justify="right", no_wrap=True)
        shown.add_column("Size", justify="right", no_wrap=True)
    shown.add_column("Created (UTC)", no_wrap=True)
    for one in buckets:
        counted = usage.get(one.name)
        numbers = (f"{counted[0]:,}", size(counted[1])) if counted else ()
        shown.add_row(
            one.name,
            _owner(one.owner, owners),
            Text("on", "green") if one.processing else Text("off", "dim"),
            *numbers,
            minute(_moment(one)),
        )
    output_console().print(shown)


def as_record(bucket: Bucket, owners: Owners, usage: Usage) -> dict[str, Any]:
    """A bucket for programs; ``objects`` and ``bytes`` are null unless they were counted."""
    owner = owners.get(bucket.owner)
    objects, length = usage.get(bucket.name, (None, None))
    return {
        "name": bucket.name,
        "owner": bucket.owner,
        "owner_name": owner and owner.name,
        "ci": bucket.processing,
        "objects": objects,
        "bytes": length,
        "created_at": _moment(bucket).isoformat(timespec="seconds"),
    }


def _owner(owner: str, owners: Owners) -> Text:
    known = owners.get(owner)
    if known is None:
        return Text(printable(owner))
    text = Text(printable(known.name))
    # Nobody can use it as its own any more: it is to be given to another.
    return text if known.revoked_at is None else text.append(", revoked", "red")


def _moment(bucket: Bucket) -> datetime:
    return datetime.fromtimestamp(bucket.created_at, UTC)
