"""Takes the request for a job in, in either of its two forms."""

from __future__ import annotations

from pathlib import Path

import anyio
from starlette.requests import Request

from superres.access import Caller
from superres.app import App
from superres.errors import BadParameter
from superres.server import multipart
from superres.server.multipart import Expected
from superres.server.names import stem_of
from superres.server.v1.fields import once, together
from superres.server.v1.jobs.asked import MAX_JSON, Asked, Picture, read_json
from superres.server.v1.jobs.fields import MAX_ADDRESS, JobFields
from superres.server.v1.multipart import FILE, refuse
from superres.server.work import in_thread, save_body

# JSON bodies being parsed at the same time: each may take thirty times its size in memory.
_PARSERS = 4


class Intake:
    """Takes requests in. One for each application."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._parsers = anyio.CapacityLimiter(_PARSERS)

    async def take(self, request: Request, folder: Path, caller: Caller) -> Asked:
        """Read the body; what it names is not fetched yet.

        Args:
            request: its body is not read yet.
            folder: where files go.
            caller: who asks.

        Raises:
            BadParameter: the request says something wrong.
            ModelNotFound: no such model.
            SourceTooLarge: the body is too large.
            StorageError: no room on the disk.
            ClientDisconnect: the client closed the connection.
        """
        query = once(request.query_params.multi_items())
        # Refused before the body is read, if that can be.
        self._check(JobFields.of_text(query), caller)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            asked = await self._form(request, folder, query)
        elif kind == "application/json":
            asked = await self._json(request, folder, query)
        else:
            raise BadParameter(
                f"Send a form (multipart/form-data) with each picture in a field {FILE!r}, or JSON "
                "(application/json) with their addresses as images."
            )
        self._check(asked.fields, caller)
        return asked

    async def _form(self, request: Request, folder: Path, query: dict[str, str]) -> Asked:
        settings, names = self._app.settings, list(JobFields.model_fields)
        expected = Expected(
            files=[FILE],
            fields=names,
            max_bytes=settings.jobs.max_body_bytes,
            setting="[jobs] max_body_bytes",
            max_files=settings.jobs.max_items,
            max_file_bytes=settings.server.max_body_bytes,
            max_value=MAX_ADDRESS,
            # A field that comes before the pictures is refused before they are read.
            check=lambda name, value: JobFields.of_text({name: value}),
            unknown=refuse(names),
        )
        form = await multipart.read_form(request, expected, lambda at: folder / f"picture-{at}")
        # What a browser sends where no file was chosen.
        files = [file for file in form.files if file.name or file.size]
        if not files:
            raise BadParameter(f"The pictures are missing: send each in a field {FILE!r}.")
        fields = together(query, form.values, JobFields.of_text(form.values))
        return Asked([Picture(file.path, stem_of(file.name)) for file in files], fields)

    async def _json(self, request: Request, folder: Path, query: dict[str, str]) -> Asked:
        body = folder / "body"
        await save_body(request, body, MAX_JSON, limit="of JSON; pictures go in a form")
        most = self._app.settings.jobs.max_items
        async with self._parsers:
            pictures, values = await in_thread(read_json, body, most)
        fields = together(query, values, JobFields.of_json(values))
        return Asked(pictures, fields)

    def _check(self, fields: JobFields, caller: Caller) -> None:
        fields.options(self._app.settings)
        fields.check_webhook(caller)
