"""Takes a request in: its query and its body, in whichever form that is.

What the body says wins over what the query says.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import anyio
from starlette.requests import Request

from superres.errors import SourceTooLarge
from superres.server.dialects.picwish.forms import (
    BASE64,
    FILE,
    MAX_VALUE,
    Said,
    understood,
    urlencoded,
)
from superres.server.multipart import Expected, read_form
from superres.server.work import in_thread, save_body
from superres.sources.inline import save_base64

_SETTING = "[picwish] max_bytes"
# Bodies that are looked through at the same time: each takes up to three times its size.
_PARSERS = 2
# A body is more than its picture: base64 is a third longer, escapes make it longer still.
_TIMES, _SPARE = 2, 64 << 10


class Bodies:
    """Takes requests in. One for each application.

    Args:
        names: of the parameters that are no picture; others are passed over.
        max_bytes: that a picture may have.
    """

    def __init__(self, names: Collection[str], max_bytes: int) -> None:
        self._names, self._max_bytes = names, max_bytes
        self._max_body = _TIMES * max_bytes + _SPARE
        self._parsers = anyio.CapacityLimiter(_PARSERS)

    async def take(self, request: Request, folder: Path) -> Said:
        """Read the query and the body; a picture that came along is a file afterwards.

        A file wins over one in base64.

        Args:
            request: its body is not read yet.
            folder: of the request's own.

        Raises:
            BadParameter: not well-formed, or no base64.
            SourceTooLarge: the picture or the body is larger than it may be.
            StorageError: no room on the disk.
            ClientDisconnect: the client went away.
        """
        said = urlencoded(request.scope["query_string"], self._names)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            encoded = await self._form(request, folder, said)
            if said.file is None:
                async with self._parsers:
                    await in_thread(self._decode, said, folder, encoded)
            return said
        body = folder / "body"
        await save_body(request, body, self._max_body, limit=_SETTING)

        def look_through() -> None:
            said.take(understood(body.read_bytes(), kind, self._names))
            body.unlink()
            self._decode(said, folder)

        async with self._parsers:
            await in_thread(look_through)
        return said

    async def _form(self, request: Request, folder: Path, said: Said) -> Path | None:
        """Read a form; the file with its base64 is returned, if there is one."""
        expected = Expected(
            [FILE, BASE64],
            self._names,
            self._max_body,
            setting=_SETTING,
            max_files=2,
            max_value=MAX_VALUE,
        )
        form = await read_form(request, expected, lambda number: folder / f"part{number}")
        values = {name: value.strip() for name, value in form.values.items()}
        said.take(Said({name: value for name, value in values.items() if value}))
        encoded = None
        for upload in form.files:
            if not upload.size:  # what a browser sends when no file was chosen
                continue
            if upload.field == BASE64:
                encoded = upload.path
                continue
            if upload.size > self._max_bytes:
                raise SourceTooLarge(
                    f"{FILE} has {upload.size:,} bytes; it may have at most "
                    f"{self._max_bytes:,} ({_SETTING})."
                )
            said.file = upload.path
        return encoded

    def _decode(self, said: Said, folder: Path, encoded: Path | None = None) -> None:
        """Make a file of the picture in base64, if there is one."""
        text = said.base64 if encoded is None else encoded.read_bytes()
        said.base64 = None
        if text is not None and not text.isspace():
            target = folder / "picture"
            save_base64(text, target, self._max_bytes, setting=_SETTING)
            said.file = target
