"""What every door posts when one of its jobs has ended (see ``JobRunner.tell_with``)."""

from __future__ import annotations

from functools import partial

from superres.app import App
from superres.jobs.deliveries import Tell
from superres.server import v1
from superres.server.dialects import picwish


def tellers(app: App) -> dict[str, Tell]:
    """Each door's way to say it, by the door's name; the same in servers and workers."""
    return {v1.DOOR: partial(v1.told, app), picwish.DOOR: partial(picwish.told, app)}
