"""What every door posts when one of its jobs has ended (see ``JobRunner.tell_with``)."""

from __future__ import annotations

from superres.app import App
from superres.jobs.runner import Tell


def tellers(app: App) -> dict[str, Tell]:
    """Each door's way to say it, by the door's name; the same in servers and workers."""
    del app
    return {}
