"""How an exception becomes an answer: each door has its own words for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import structlog
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from superres.errors import Cancelled, EngineError, OutputError, StorageError, SuperresError
from superres.server.identity import request_id

Render = Callable[[Request, Exception], Response]
Handle = Callable[[Request], Coroutine[Any, Any, Response]]
T = TypeVar("T")

log = structlog.get_logger("superres.server")


class ClientGone(Cancelled):
    """The client closed the connection; nobody will read the answer."""

    code = "client_gone"


def guarded(render: Render, door: str = "") -> type[APIRoute]:
    """A route class whose routes answer every exception by ``render``.

    What nobody foresaw is logged with its traceback before it is rendered.

    Args:
        render: the door's own table of errors.
        door: its name in the log and the metrics.
    """

    class Guarded(APIRoute):
        def get_route_handler(self) -> Handle:
            return guard(super().get_route_handler(), render, door)

    return Guarded


def guard(handle: Handle, render: Render, door: str) -> Handle:
    """``handle`` with every exception answered, as :func:`guarded` does it for routes."""

    async def handler(request: Request) -> Response:
        request.state.door = door
        try:
            if (refused := getattr(request.state, "refused", None)) is not None:
                raise refused
            return await handle(request)
        except ClientDisconnect:
            return answer(request, ClientGone("The client closed the connection."), render)
        except Exception as exc:  # noqa: BLE001 -- every door answers in its own words
            return answer(request, exc, render)

    return handler


def answer(request: Request, exc: Exception, render: Render) -> Response:
    """``render`` with the outcome noted for the log and the metrics."""
    response = render(request, exc)
    if isinstance(exc, SuperresError):
        request.state.outcome = exc.code
        if (
            isinstance(exc, EngineError | OutputError | StorageError)
            and response.status_code >= 500
        ):
            # What the client is told has no details; whoever keeps the server needs them.
            log.error(exc.public_message, request_id=request_id(request), exc_info=exc)
    elif response.status_code >= 500:
        request.state.outcome = "unexpected"
        log.error("unexpected error", request_id=request_id(request), exc_info=exc)
    return response


def row_of(table: Mapping[type[SuperresError], T], error: Exception) -> T | None:
    """What a door's table says of ``error``: of its class, or the nearest above that is there.

    None: it is no error of ours, and nobody foresaw it.
    """
    if not isinstance(error, SuperresError):
        return None
    return next((table[cls] for cls in type(error).__mro__ if cls in table), None)


def retry_after(error: Exception, otherwise: float | None = None) -> int | None:
    """Seconds for the header ``Retry-After``, at least 1; None if coming again does not help.

    Args:
        error: that says how long, or does not.
        otherwise: if it does not.
    """
    seconds: float | None = getattr(error, "retry_after", otherwise)
    return None if seconds is None else max(1, math.ceil(seconds))
