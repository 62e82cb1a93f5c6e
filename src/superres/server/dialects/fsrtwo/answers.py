"""Answers in the vendor's form: ``{"code", "msg", "data"}``."""

from __future__ import annotations

import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from superres.app import App
from superres.jobs import Item, Job, State
from superres.server.dialects.fsrtwo.errors import BAD_CREDENTIALS, answer_to
from superres.server.errors import retry_after
from superres.server.jobs import link_to

STATUS = {
    State.WAITING: "1",
    State.RUNNING: "2",
    State.DONE: "3",
    State.FAILED: "4",
    State.CLOSED: "5",
    State.TIMED_OUT: "6",
}
"""The vendor's numbers for a task and for each of its pictures; strings, as its table says."""

_NO_STORE = {"Cache-Control": "no-store"}
_MAX_WAIT = 3600.0


def created(job: Job) -> Response:
    """The answer to a task that was taken in."""
    return _answer({"task_id": job.id})


def described(app: App, job: Job, base: str) -> Response:
    """How far a task is. Blocks: for a thread.

    Args:
        app: that has it.
        job: as it stands.
        base: the server's address, see :func:`superres.server.jobs.base_url`.
    """
    return _answer(
        {
            "status": STATUS[job.state],
            "wait_time": str(_wait(app, job)),
            "list": [_item(app, job, item, base) for item in job.items],
        }
    )


def refusal(_: Request, error: Exception) -> Response:
    """The answer to a request that failed with ``error``."""
    answer, message = answer_to(error)
    headers = dict(_NO_STORE)
    if isinstance(error, HTTPException):
        headers |= error.headers or {}
    if answer is BAD_CREDENTIALS:
        headers["WWW-Authenticate"] = 'Basic realm="fsrtwo"'
    seconds = retry_after(error, answer.wait)
    if seconds is not None:
        headers["Retry-After"] = str(seconds)
    content = {"code": answer.code, "msg": message, "data": {}}
    return JSONResponse(content, answer.status, headers)


def _wait(app: App, job: Job) -> int:
    """Whole seconds until the next look is worth it; 0 when nothing changes any more."""
    if job.state.final:
        return 0
    # A guess that is too long must not let the results come and go unseen.
    longest = min(_MAX_WAIT, app.settings.server.result_lifetime / 2)
    return max(1, math.ceil(min(app.jobs.wait_seconds(job), longest)))


def _item(app: App, job: Job, item: Item, base: str) -> dict[str, str]:
    link = "" if item.result is None else link_to(app, base, job, item.result)
    reason = "" if item.error is None else item.error.public_message
    return {"image_result": link, "status": STATUS[item.state], "reason": reason}


def _answer(data: dict[str, Any]) -> Response:
    return JSONResponse({"code": 0, "msg": "", "data": data}, headers=_NO_STORE)
