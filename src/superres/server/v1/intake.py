"""Takes a request's picture in, in whichever of the three forms it comes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anyio
from starlette.requests import Request

from superres.access import Caller
from superres.app import App
from superres.errors import BadParameter, ModelNotFound
from superres.server.names import DEFAULT_STEM, stem_of, stem_of_address
from superres.server.v1.fields import UpscaleFields, once, together
from superres.server.v1.jsonbody import read_json
from superres.server.v1.multipart import read_form
from superres.server.work import fetch, in_thread, save_body

# JSON bodies being parsed at the same time: each takes up to three times its size in memory.
_PARSERS = 2


@dataclass(frozen=True)
class Taken:
    """A request's picture, on disk, and what to do with it.

    Attributes:
        source: the file; not looked at yet.
        stem: what to call the result, without extension.
        fields: what was asked.
    """

    source: Path
    stem: str
    fields: UpscaleFields


class Intake:
    """Takes requests in. One for each application."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._max_bytes = app.settings.server.max_body_bytes
        self._parsers = anyio.CapacityLimiter(_PARSERS)

    async def take(self, request: Request, folder: Path, caller: Caller) -> Taken:
        """Read the body, and fetch what it names.

        The content type only tells a form and JSON from a bare picture; what kind of picture
        it is, is told from the content, later.

        Raises:
            BadParameter: the request says something wrong.
            SourceTooLarge: the body or what was fetched is too large.
            SourceRefused, SourceUnreachable, PermissionDenied, BucketNotFound, ObjectNotFound,
                StorageError: of ``url``.
            ClientGone, ClientDisconnect: the client closed the connection.
        """
        query = once(request.query_params.multi_items())
        # Refused before the body is read, if that can be.
        fields = UpscaleFields.of_text(query)
        try:
            fields.options(self._app.settings)
        except ModelNotFound:
            if fields.model is not None:
                raise
            # The default was removed; the body may name another. If not, it is said then.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        source = folder / "source"
        if kind == "multipart/form-data":
            known = list(UpscaleFields.model_fields)
            form = await read_form(request, source, known, self._max_bytes)
            fields = together(query, form.values, UpscaleFields.of_text(form.values))
            return Taken(source, stem_of(form.files[0].name), fields)
        if kind == "application/json":
            return await self._json(request, folder, source, query, caller)
        if await save_body(request, source, self._max_bytes) == 0:
            raise BadParameter(
                "The body is empty: send the picture's bytes, a form with the field 'file', "
                "or JSON with url or img."
            )
        return Taken(source, DEFAULT_STEM, fields)

    async def _json(
        self, request: Request, folder: Path, source: Path, query: dict[str, str], caller: Caller
    ) -> Taken:
        body = folder / "body"
        await save_body(request, body, self._max_bytes)
        async with self._parsers:
            url, values = await in_thread(read_json, body, source, self._max_bytes)
        fields = together(query, values, UpscaleFields.of_json(values))
        fields.options(self._app.settings)
        if url is None:
            return Taken(source, DEFAULT_STEM, fields)
        await self._fetch(request, url, source, caller)
        return Taken(source, stem_of_address(url), fields)

    async def _fetch(self, request: Request, url: str, source: Path, caller: Caller) -> None:
        app = self._app

        def may_read(bucket: str, key: str) -> None:
            app.access.authorise(caller, "s3:GetObject", f"{bucket}/{key}")

        await fetch(request, app, url, source, None if caller.id is None else may_read)
