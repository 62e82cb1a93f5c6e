"""Answers that are pictures, or links to them."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from superres.executors.base import Done
from superres.pipeline import FileReport, UpscaleOptions
from superres.pipeline.options import result_name
from superres.server.spooled import SpooledAnswer
from superres.server.v1.names import disposition
from superres.server.v1.schemas import Result
from superres.server.work import in_thread
from superres.storage.results import Kept

_PIECE = 1 << 18
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# Nothing in a picture is to be run, whatever somebody put into its metadata.
_INERT = {"Content-Security-Policy": "default-src 'none'; sandbox"}


def picture_answer(
    picture: Path,
    media_type: str,
    name: str,
    more: dict[str, str],
    done: Callable[[], Awaitable[object]],
) -> Response:
    """A file of the request's own folder, to be saved as ``name``; ``done`` when it was sent."""
    headers = {
        "Content-Disposition": disposition("attachment", name),
        "Cache-Control": "no-store",
        **more,
    }
    return SpooledAnswer(_pieces(picture), picture.stat().st_size, headers, media_type, done)


async def _pieces(picture: Path) -> AsyncIterator[bytes]:
    with picture.open("rb") as file:
        while piece := await in_thread(file.read, _PIECE):
            yield piece


def name_of(stem: str, options: UpscaleOptions, report: FileReport) -> str:
    """What the result is called, such as ``photo_x4.png``."""
    return result_name(stem, options, report)


def described(kept: Kept, done: Done, public_url: str) -> Result:
    """The JSON answer about a kept result."""
    report = done.report
    path = f"/v1/results/{kept.id}"
    return Result(
        id=kept.id,
        url=public_url.rstrip("/") + path,
        name=kept.name,
        format=report.format,
        media_type=kept.media_type,
        width=report.out_width,
        height=report.out_height,
        source_width=report.width,
        source_height=report.height,
        bytes=kept.size,
        seconds=round(report.seconds, 3),
        inference_seconds=round(report.inference_seconds, 3),
        queue_seconds=round(done.queue_seconds, 3),
        model=report.model,
        fidelity=report.fidelity,
        scale=round(report.out_width / report.width, 4),
        expires=datetime.fromtimestamp(kept.expires, UTC),
    )


def kept_answer(request: Request, kept: Kept) -> Response:
    """A kept result, whole or in part (RFC 9110, section 14), or that the client has it.

    Raises:
        HTTPException: 416, the part asked for is behind the end.
    """
    etag = f'"{kept.id}"'
    headers = {
        "ETag": etag,
        "Cache-Control": f"private, max-age={max(0, int(kept.expires - time.time()))}",
        "Content-Disposition": disposition("inline", kept.name),
        **_INERT,
    }
    known = request.headers.get("if-none-match", "")
    if etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    _check_range(request, kept.size, etag)
    return FileResponse(kept.path, headers=headers, media_type=kept.media_type)


def _check_range(request: Request, size: int, etag: str) -> None:
    """Leave only a Range that can be given; a malformed one, or several, count as none."""
    given = request.headers.get("range")
    if given is None:
        return
    found = _ONE_RANGE.fullmatch(given.strip())
    first, last = found.groups() if found else ("", "")
    other = request.headers.get("if-range", etag) != etag
    if other or not (first or last) or (first and last and int(last) < int(first)):
        scope = request.scope
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"range"]
    elif (first and int(first) >= size) or (not first and int(last) == 0):
        raise HTTPException(
            416,
            f"The part asked for is behind the end; the file has {size:,} bytes.",
            {"Content-Range": f"bytes */{size}"},
        )
