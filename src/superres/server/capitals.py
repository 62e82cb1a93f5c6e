"""Header names of answers as they are usually written: ``Content-Length``, ``ETag``.

HTTP does not care, but uvicorn writes all of them in lower case, and programs that keep them in
a plain dictionary, the COS SDK for Python among them, do not find them then.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

_NAME = re.compile(rb"(?<=\r\n)(?!x-)[a-z0-9-]+(?=:)")
_ODD = {b"etag": b"ETag", b"www-authenticate": b"WWW-Authenticate", b"content-md5": b"Content-MD5"}


class Capitals:
    """Stands between an answer and its transport, and rewrites the head of the answer.

    Names that begin with ``x-`` stay in lower case, as the vendors' services have them.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._in_head = True

    def write(self, data: bytes) -> None:
        # uvicorn writes a head in one piece.
        if self._in_head and not data.startswith(b"HTTP/1.1 1"):
            self._in_head = False
            data = _NAME.sub(lambda name: _ODD.get(name[0]) or name[0].title(), data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
