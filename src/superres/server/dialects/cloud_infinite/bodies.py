"""Bodies of requests: saved while they are hashed, or read whole where they are small."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import Request

from superres.errors import SourceUnreachable
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.work import in_thread

_BATCH = 1 << 20
_SMALL = 1 << 16
"""What is written faster than a thread is asked to."""
_SLOWEST = 100_000  # bytes per second


def check_length(request: Request, max_bytes: int) -> None:
    """Refuse a body whose header says already that it cannot be taken.

    Raises:
        Refused: 411 MissingContentLength (neither a length nor chunks), 400 EntityTooLarge,
            400 InvalidDigest (Content-MD5 is not one).
    """
    declared = request.headers.get("content-length")
    if declared is None and not request.headers.get("transfer-encoding"):
        raise Refused(
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        )
    if declared is not None and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    _declared_md5(request)


async def save(request: Request, target: Path, max_bytes: int) -> str:
    """Write the body to ``target``, two megabytes of it at most in memory.

    To be called for callers who may write here: from now on the body may take as long as it
    needs at 100 kB a second.

    Returns:
        Its MD5 in hexadecimal.

    Raises:
        Refused: as :func:`check_length`, and 400 BadDigest (it is not what Content-MD5 says),
            400 RequestTimeout (it arrived too slowly).
        ClientDisconnect: the client went away.
    """
    check_length(request, max_bytes)
    expected = _declared_md5(request)
    request.state.slowest_body = _SLOWEST
    md5, size = hashlib.md5(usedforsecurity=False), 0

    def write(batch: list[bytes]) -> None:
        with target.open("ab") as file:
            for chunk in batch:
                md5.update(chunk)
            file.writelines(batch)

    # A thread hashes and writes one batch while the next arrives.
    busy: asyncio.Future[None] | None = None
    try:
        async for batch in _batches(request):
            size += sum(map(len, batch))
            if size > max_bytes:
                raise _too_large(max_bytes)
            if busy is not None:
                await busy
            elif size <= _SMALL:  # the last, or more would have come with it
                write(batch)
                continue
            busy = asyncio.ensure_future(in_thread(write, batch))
        if busy is not None:
            await busy
        elif not size:
            write([])
    finally:
        if busy is not None:
            busy.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait({busy})  # nobody removes the folder under it
    if expected is not None and md5.digest() != expected:
        raise Refused(
            400, "BadDigest", "The body's MD5 is not what Content-MD5 says; send it again."
        )
    return md5.hexdigest()


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole of a small body.

    Raises:
        Refused: as :func:`save`; a larger one is 400 MalformedXML.
        ClientDisconnect: the client went away.
    """
    expected = _declared_md5(request)
    pieces, size = [], 0
    async for batch in _batches(request):
        size += sum(map(len, batch))
        if size > max_bytes:
            raise Refused(
                400, "MalformedXML", f"The XML of the request's body is over {max_bytes:,} bytes."
            )
        pieces += batch
    body = b"".join(pieces)
    if expected is not None and hashlib.md5(body, usedforsecurity=False).digest() != expected:
        raise Refused(
            400, "BadDigest", "The body's MD5 is not what Content-MD5 says; send it again."
        )
    return body


async def _batches(request: Request) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            if chunk:
                batch.append(chunk)
                size += len(chunk)
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    except SourceUnreachable as exc:
        raise Refused(400, "RequestTimeout", exc.public_message) from exc
    if batch:
        yield batch


def _declared_md5(request: Request) -> bytes | None:
    given = request.headers.get("content-md5", "").strip()
    if not given:
        return None
    try:
        digest = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise Refused(400, "InvalidDigest", "The header Content-MD5 is not the base64 of 16 bytes.")
    return digest


def _too_large(max_bytes: int) -> Refused:
    return Refused(
        400,
        "EntityTooLarge",
        f"The body is larger than {max_bytes:,} bytes ([buckets] max_object_bytes); send it in "
        "parts.",
    )
