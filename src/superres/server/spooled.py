"""An answer that is made, while it is sent, from a file in the request's own folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class SpooledAnswer(StreamingResponse):
    """A stream of known length; the folder goes when it was sent.

    Args:
        pieces: the body, never more of it in memory than a piece.
        length: of the body, in bytes.
        headers: of the answer.
        media_type: of the body.
        done: called once, when all was sent or the client has gone.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        length: int,
        headers: Mapping[str, str],
        media_type: str,
        done: Callable[[], Awaitable[object]],
    ) -> None:
        super().__init__(
            pieces, headers={**headers, "Content-Length": str(length)}, media_type=media_type
        )
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._done()
