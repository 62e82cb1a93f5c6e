"""Everything in a bucket deleted, with a bar that says how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superres.cli.console import error_console
from superres.errors import UploadNotFound

if TYPE_CHECKING:
    from superres.buckets import Buckets

_PAGE = 1000


def empty(buckets: Buckets, name: str, expected: int) -> None:
    """Delete the objects of a bucket, and its uploads that are not complete.

    What is deleted when it is interrupted stays deleted.

    Args:
        buckets: all of them.
        name: which.
        expected: how many objects there are, as far as is known.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = "Deleting", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = error_console()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=expected)
        while page := buckets.objects.list(name, limit=_PAGE).objects:
            buckets.objects.delete(name, *(one.key for one in page))
            bar.advance(task, len(page))
    more = True
    while more:
        uploads, more = buckets.uploads.list(name, limit=_PAGE)
        for one in uploads:
            try:
                buckets.uploads.abort(one)
            except UploadNotFound:  # somebody completed or aborted it meanwhile
                continue
