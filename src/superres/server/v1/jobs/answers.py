"""A job in this door's words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from superres.app import App
from superres.errors import SuperresError
from superres.jobs import Item, Job, State
from superres.server.jobs import link_to
from superres.server.v1.answers import picture
from superres.server.v1.jobs import schemas

BASE, WEBHOOK = "base", "webhook"
"""Names among a job's details: the address that its client used, and whether it is told."""


def described(app: App, job: Job, base: str | None = None) -> schemas.Job:
    """A job as it stands. Blocks: for a thread.

    Args:
        app: that has it.
        job: to describe.
        base: what links begin with; None: ``[server] public_url``, which may be nothing.
    """
    if base is None:
        base = app.settings.server.public_url.rstrip("/")
    return schemas.Job(
        id=job.id,
        state=job.state,
        priority=job.priority,
        progress=round(job.progress, 4),
        wait_seconds=None if job.state.final else round(app.jobs.wait_seconds(job), 1),
        created=_instant(job.created_at),
        started=None if job.started_at is None else _instant(job.started_at),
        finished=None if job.finished_at is None else _instant(job.finished_at),
        expires=None if job.expires_at is None else _instant(job.expires_at),
        counts=schemas.Counts(**{state.value: job.count(state) for state in State}),
        images=[_image(app, job, item, base) for item in job.items],
        webhook=_webhook(job),
    )


def told(app: App, job: Job) -> bytes:
    """What is posted to a webhook when ``job`` has ended, by Standard Webhooks 1.0.

    The same bytes each time it is tried. Blocks: for a thread.
    """
    base = str(job.details.get(BASE, ""))
    job = replace(job, callback_state="waiting", callback_error=None)
    data = described(app, job, base).model_dump(mode="json")
    message = {"type": "job.finished", "timestamp": data["finished"], "data": data}
    return json.dumps(message, separators=(",", ":")).encode()


def _image(app: App, job: Job, item: Item, base: str) -> schemas.Image:
    error, result = item.error, item.result
    return schemas.Image(
        position=item.position,
        name=item.name,
        state=item.state,
        stage=item.stage if item.state is State.RUNNING else None,
        progress=round(item.progress, 4),
        attempts=item.attempt,
        error=None if error is None else _failure(error),
        result=None if result is None else picture(result, link_to(app, base, job, result)),
    )


def _failure(error: SuperresError) -> schemas.Failure:
    return schemas.Failure(code=error.code, message=error.public_message)


def _webhook(job: Job) -> schemas.Webhook | None:
    if not job.details.get(WEBHOOK):
        return None
    return schemas.Webhook(state=job.callback_state or "waiting", error=job.callback_error)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
