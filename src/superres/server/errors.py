"""How an exception becomes an answer: each door has its own words for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from superres.errors import Cancelled, EngineError, OutputError, StorageError, SuperresError
from superres.server.identity import request_id

Render = Callable[[Request, Exception], Response]
Handle = Callable[[Request], Coroutine[Any, Any, Response]]

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
