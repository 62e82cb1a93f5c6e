"""Answers in PicWish's form, ``{"status", "message", "data"}``, and the picture itself."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from superres.app import App
from superres.errors import DeadlineExceeded, JobCancelled, SuperresError
from superres.jobs import Item, ItemResult, Job, State
from superres.server.dialects.picwish.errors import (
    DETAILS,
    TIMED_OUT,
    state_of,
    status_of,
)
from superres.server.dialects.picwish.schemas import BYTES, IN_BASE64
from superres.server.errors import retry_after
from superres.server.jobs import link_to
from superres.server.spooled import SpooledAnswer
from superres.server.work import in_thread

COMPLETE, PROCESSING = 1, 4
"""States of a task; those of failed ones are in :mod:`superres.server.dialects.picwish.errors`."""

# How much sooner than its deadline a task may have been closed and still be said to be late:
# what waited and what closed it have clocks of their own.
_LATE = 1.0
_JSON = "application/json"
# A page of any site may ask: what it may do hangs on the token that it has, nothing else.
_HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}


def preflight() -> Response:
    """What a browser asks before it lets another site's page send a token here."""
    allowed = {
        "Access-Control-Allow-Headers": "Authorization,Content-Type,X-API-KEY",
        "Access-Control-Allow-Methods": "GET,POST,OPTIONS",
    }
    return Response(status_code=204, headers={**_HEADERS, **allowed})


def refusal(request: Request, error: Exception) -> Response:
    """The answer to a request that failed with ``error`` before there was a task."""
    del request
    status, message = status_of(error)
    return refused(status, message, retry_after(error))


def refused(status: int, message: str, again: int | None = None) -> Response:
    """An HTTP error; ``again`` is for the header ``Retry-After``."""
    more = {} if again is None else {"Retry-After": str(again)}
    return JSONResponse({"status": status, "message": message}, status, {**_HEADERS, **more})


def accepted(job: Job) -> Response:
    """The answer to a task that was taken in and is not waited for."""
    return JSONResponse(_told_of(job, _unfinished(job)), headers=_HEADERS)


async def answer(app: App, request: Request, job: Job, base: str) -> Response:
    """The answer about a task as it stands: what was asked for, or JSON that says how it is.

    Args:
        app: where its picture is.
        request: that is answered.
        job: the task.
        base: the address that clients use.

    Raises:
        ObjectNotFound: the picture had to make room for newer ones.
        StorageError: it cannot be read.
    """
    item = job.items[0]
    if not job.state.final:
        return accepted(job)
    if item.result is None:
        body = _failed(job, item)
        late = body["data"]["state"] == TIMED_OUT
        error = DeadlineExceeded("") if late else item.error
        request.state.outcome = item.state if error is None else error.code
        return JSONResponse(body, headers=_HEADERS)
    how = job.details["return_type"]
    if how == IN_BASE64 or (how == BYTES and request.method == "POST"):
        return await _picture(app, job, item.result, as_json=how == IN_BASE64)
    return JSONResponse(_done(job, item, link_to(app, base, job, item.result)), headers=_HEADERS)


def told(app: App, job: Job) -> bytes:
    """What is posted to ``callback_url`` when a task has ended: what polling would answer.

    Raises:
        ObjectNotFound, StorageError: the picture, which was asked for in base64, cannot be read.
    """
    item = job.items[0]
    if item.result is None:
        body = _failed(job, item)
    elif job.details["return_type"] == IN_BASE64:
        with app.blobs.read(app.blobs.open(item.result.blob_id)) as pieces:
            body = _done(job, item, b"".join(_encoded(pieces)).decode())
    else:
        body = _done(job, item, link_to(app, job.details["base"], job, item.result))
    return json.dumps(body).encode()


def _done(job: Job, item: Item, image: str) -> dict[str, Any]:
    result = item.result
    assert result is not None
    return _told_of(
        job,
        {
            "state": COMPLETE,
            "state_detail": "Complete",
            "progress": 100,
            "image": image,
            "image_width": result.width,
            "image_height": result.height,
            **_facts(job),
        },
    )


def _failed(job: Job, item: Item) -> dict[str, Any]:
    state = _state(job, item)
    said = "The picture could not be done." if item.error is None else item.error.public_message
    if state == TIMED_OUT and (job.details["sync"] or item.started_at is not None):
        said = f"It took longer than {job.details['deadline']:g} seconds."
    fields = {"state": state, "state_detail": DETAILS[state], "progress": 0, **_facts(job)}
    return _told_of(job, fields, said)


def _unfinished(job: Job) -> dict[str, Any]:
    # Public clients go on asking only while it is 4.
    progress = min(99, int(job.progress * 100))
    return {
        "state": PROCESSING,
        "state_detail": "Processing",
        "progress": progress,
        **_facts(job),
    }


def _told_of(job: Job, fields: dict[str, Any], message: str = "success") -> dict[str, Any]:
    return {"status": 200, "message": message, "data": {"task_id": job.id, **fields}}


def _facts(job: Job) -> dict[str, Any]:
    """What is said of a task in every state. Moments are seconds since 1970, 0: not yet;
    durations are milliseconds.
    """
    item, result = job.items[0], job.items[0].result
    began, ended = item.started_at or 0, item.finished_at or job.finished_at or 0
    elapsed = ended - began if began and ended else 0.0
    downloaded = 0.0
    if result is not None:
        elapsed = result.seconds
        downloaded = result.fetch_seconds if job.details["by_url"] else 0.0
    return {
        "return_type": job.details["return_type"],
        "type": job.details["type"],
        "created_at": int(job.created_at),
        "processed_at": int(began),
        "completed_at": int(ended),
        "download_time": round(downloaded * 1000),
        "time_elapsed": round(max(0.0, elapsed) * 1000, 2),
    }


def _state(job: Job, item: Item) -> int:
    error: SuperresError | None = item.error
    if item.state is State.TIMED_OUT:
        return TIMED_OUT
    if isinstance(error, JobCancelled) or item.state is State.CLOSED:
        # Who waited for it closed it, unless somebody else was sooner.
        lasted = (job.finished_at or job.now) - job.created_at
        if job.details["sync"] and lasted >= job.details["deadline"] - _LATE:
            return TIMED_OUT
    return state_of(error, by_url=job.details["by_url"])


async def _picture(app: App, job: Job, result: ItemResult, *, as_json: bool) -> Response:
    """The finished picture, in base64 within the JSON or as it is, while it is read."""
    opened = contextlib.ExitStack()

    def begin() -> tuple[int, Iterator[bytes]]:
        blob = app.blobs.open(result.blob_id)
        return blob.size, opened.enter_context(app.blobs.read(blob))

    async def close() -> None:
        opened.close()

    size, pieces = await in_thread(begin)
    if not as_json:
        return SpooledAnswer(_sent(pieces), size, _HEADERS, result.media_type, close)
    mark = secrets.token_hex(16)
    body = json.dumps(_done(job, job.items[0], mark), separators=(",", ":")).encode()
    head, _, tail = body.partition(mark.encode())
    length = len(head) + -(-size // 3) * 4 + len(tail)
    return SpooledAnswer(
        _sent(_around(head, _encoded(pieces), tail)), length, _HEADERS, _JSON, close
    )


def _around(head: bytes, pieces: Iterator[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    yield from pieces
    yield tail


def _encoded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Base64 of ``pieces``, without padding but at the end."""
    held = b""
    for piece in pieces:
        held += piece
        whole = len(held) // 3 * 3
        if whole:
            yield base64.b64encode(held[:whole])
        held = held[whole:]
    if held:
        yield base64.b64encode(held)


async def _sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await in_thread(next, pieces, b""):
        yield piece
