"""Answers in API Gateway's form."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response

from superres.server.dialects.ai_solution_kit.errors import answer_to
from superres.server.errors import retry_after
from superres.server.identity import request_id
from superres.server.spooled import SpooledAnswer
from superres.server.work import in_thread

_OPEN, _CLOSE = b'{"result": "', b'"}'
_PIECE = 3 << 18  # a multiple of 3, so that each piece is base64 without padding


def headers(request: Request) -> dict[str, str]:
    """Headers that every answer of this door has."""
    return {
        "x-amzn-RequestId": request_id(request),
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Allow-Methods": "*",
    }


def preflight(request: Request) -> Response:
    """What a browser asks before it lets another site's page post here."""
    allowed = {
        "Access-Control-Allow-Headers": "Content-Type,X-Amz-Date,Authorization,X-Api-Key",
        "Access-Control-Allow-Methods": "POST,OPTIONS",
    }
    return Response(b"{}", media_type="application/json", headers={**headers(request), **allowed})


def refusal(request: Request, error: Exception) -> Response:
    """The answer to a request that failed with ``error``."""
    answer = answer_to(error)
    more = headers(request)
    if answer.error_type is not None:
        more["x-amzn-ErrorType"] = answer.error_type
    seconds = retry_after(error)
    if seconds is not None:
        more["Retry-After"] = str(seconds)
    if answer.shape == "text":
        return PlainTextResponse(answer.message, answer.status, more)
    body = json.dumps({answer.shape: answer.message}, separators=(",", ":"))
    return Response(body, answer.status, more, media_type="application/json")


def picture_answer(
    picture: Path, more: dict[str, str], done: Callable[[], Awaitable[object]]
) -> Response:
    """``{"result": "<the file in base64>"}``, made while it is sent; then ``done`` is called.

    However large the file, less than two megabytes of it are in memory.
    """
    encoded = -(-picture.stat().st_size // 3) * 4
    length = len(_OPEN) + encoded + len(_CLOSE)
    return SpooledAnswer(_pieces(picture), length, more, "application/json", done)


async def _pieces(picture: Path) -> AsyncIterator[bytes]:
    before = _OPEN
    with picture.open("rb") as file:
        while piece := await in_thread(lambda: base64.b64encode(file.read(_PIECE))):
            yield before + piece
            before = b""
    yield before + _CLOSE
