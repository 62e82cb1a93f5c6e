"""What every door does with jobs: who owns one, waiting for one, the address of a result."""

from __future__ import annotations

import asyncio
import time

from fastapi import Request

from superres.access import Caller
from superres.app import App
from superres.jobs import ItemResult, Job
from superres.server.work import in_thread

_POLL = 0.1


def owner_of(caller: Caller) -> str:
    """Under whose name the caller's jobs are kept."""
    return caller.id or ""


async def until_final(app: App, job: Job, seconds: float) -> Job:
    """``job`` once it is finished, or as it stands after ``seconds``."""
    end = time.monotonic() + seconds
    while not job.state.final and (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(_POLL, left))
        job = await in_thread(app.jobs.get, job.id, owner=job.owner)
    return job


def base_url(request: Request) -> str:
    """The address that clients use, without a slash at the end.

    ``[server] public_url``, or else what this client asked.
    """
    public: str = request.app.state.app.settings.server.public_url
    if public:
        return public.rstrip("/")
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def link_to(app: App, base: str, job: Job, result: ItemResult) -> str:
    """The address of a job's result, good until the job expires."""
    expires = job.expires_at or job.now + app.settings.server.result_lifetime
    return base + app.links.path(result.blob_id, expires)
