"""Answers that are pictures, or links to them."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from superres.jobs import ItemResult
from superres.pipeline import FileReport, UpscaleOptions
from superres.pipeline.options import result_name
from superres.server.names import disposition
from superres.server.spooled import SpooledAnswer
from superres.server.v1.schemas import Face, Picture, Result
from superres.server.work import in_thread
from superres.storage.blobs import Blob, Blobs

_PIECE = 1 << 18
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# Nothing in a picture is to be run, whatever somebody put into its metadata.
_INERT = {"Content-Security-Policy": "default-src 'none'; sandbox"}
# The longest list of faces in a header. Many proxies take 8 kB, of all headers together.
_FACES_BYTES = 4096


def picture_answer(
    file: Path,
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
    return SpooledAnswer(_pieces(file), file.stat().st_size, headers, media_type, done)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await in_thread(file.read, _PIECE):
            yield piece


def name_of(stem: str, options: UpscaleOptions, report: FileReport) -> str:
    """What the result is called, such as ``photo_x4.png``."""
    return result_name(stem, options, report)


def described(blob: Blob, url: str, result: ItemResult) -> Result:
    """The JSON answer about a kept result that ``url`` leads to."""
    expires = datetime.fromtimestamp(blob.expires, UTC)
    return Result(**picture(result, url).model_dump(), id=blob.id, expires=expires)


def picture(result: ItemResult, url: str) -> Picture:
    """A finished picture that ``url`` leads to, of a request or of a job."""
    return Picture(
        url=url,
        name=result.name,
        format=result.format,
        media_type=result.media_type,
        width=result.width,
        height=result.height,
        source_width=result.source_width,
        source_height=result.source_height,
        bytes=result.bytes,
        seconds=round(result.seconds, 3),
        inference_seconds=round(result.inference_seconds, 3),
        queue_seconds=round(result.queue_seconds, 3),
        model=result.model,
        fidelity=result.fidelity,
        scale=round(result.width / result.source_width, 4),
        faces=None if result.faces is None else [Face(**each.as_record()) for each in result.faces],
    )


def faces_headers(options: UpscaleOptions, report: FileReport) -> dict[str, str]:
    """What tells of faces beside a bare picture: how many there are, and as JSON does, the largest
    that have room. Nothing if nobody asked.
    """
    if not options.with_faces:
        return {}
    told, room = [], _FACES_BYTES - len("[]")
    for each in report.faces:
        face = json.dumps(each.as_record(), separators=(",", ":"))
        room -= len(face) + len(",")
        if room < -len(","):
            break
        told.append(face)
    return {"X-Faces": f"[{','.join(told)}]", "X-Faces-Found": str(len(report.faces))}


async def kept_answer(request: Request, blobs: Blobs, blob: Blob, expires: float) -> Response:
    """A kept result, whole or in part (RFC 9110, section 14), or that the client has it.

    Args:
        request: GET or HEAD.
        blobs: where ``blob`` is.
        blob: the result.
        expires: when the link to it does, in seconds since 1970.

    Raises:
        HTTPException: 416, the part asked for is behind the end.
        ObjectNotFound: its time ran out just now.
        StorageError: it is damaged, or the store cannot be used.
    """
    etag = f'"{blob.id}"'
    left = max(0, int(min(expires, blob.expires) - time.time()))
    headers = {
        "ETag": etag,
        "Cache-Control": f"private, max-age={left}",
        "Content-Disposition": disposition("inline", blob.name),
        "Accept-Ranges": "bytes",
        **_INERT,
    }
    known = request.headers.get("if-none-match", "")
    if etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    part = _part_of(request, blob.size, etag)
    first, end = part or (0, blob.size)
    status = 206 if part else 200
    if part:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{blob.size}"
    if request.method == "HEAD":
        headers["Content-Length"] = str(end - first)
        return Response(b"", status, headers, blob.media_type)
    # Open from here on: whatever becomes of a file's name, its content is there to the end.
    opened = contextlib.ExitStack()
    pieces = await in_thread(opened.enter_context, blobs.read(blob, first, end))

    async def close() -> None:
        opened.close()

    answer = SpooledAnswer(_read(pieces), end - first, headers, blob.media_type, close)
    answer.status_code = status
    return answer


async def _read(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await in_thread(next, pieces, b""):
        yield piece


def _part_of(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The one part that is asked for, first byte and end; None is all of it.

    A malformed Range, several, or one of another content (If-Range) count as none.

    Raises:
        HTTPException: 416, the part asked for is behind the end.
    """
    found = _ONE_RANGE.fullmatch(request.headers.get("range", "").strip())
    first, last = found.groups() if found else ("", "")
    other = request.headers.get("if-range", etag) != etag
    if other or not (first or last) or (first and last and int(last) < int(first)):
        return None
    if (first and int(first) >= size) or (not first and int(last) == 0):
        raise HTTPException(
            416,
            f"The part asked for is behind the end; the file has {size:,} bytes.",
            {"Content-Range": f"bytes */{size}"},
        )
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
