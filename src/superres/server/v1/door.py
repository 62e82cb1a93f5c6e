"""What the routes of ``/v1`` do."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from superres.app import App
from superres.executors.base import Done, Work
from superres.faces.restore import installed
from superres.imageio import MEDIA_TYPES
from superres.jobs import ItemResult
from superres.models import get_model, list_models
from superres.models.catalog import FAITHFUL
from superres.pipeline import UpscaleOptions
from superres.pipeline.options import looked_for
from superres.server.errors import ClientGone, answer
from superres.server.identity import request_id
from superres.server.v1 import events, schemas
from superres.server.v1.accept import wanted
from superres.server.v1.answers import (
    described,
    faces_headers,
    kept_answer,
    name_of,
    picture_answer,
)
from superres.server.v1.auth import authorise, identify
from superres.server.v1.errors import render
from superres.server.v1.events import Channel, Channels
from superres.server.v1.fields import EstimateFields, once, with_format
from superres.server.v1.intake import Intake
from superres.server.work import in_thread, scratch_folder, times, upscale
from superres.storage.blobs import Blob

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
"""What an X-Request-Id must look like to be taken over, see ``superres.server.identity``."""

# How long the events of a request that has not begun yet are waited for.
_PATIENCE = 2.0


class Door:
    """The handlers of one application's routes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._intake = Intake(app)
        self._channels = Channels()

    async def upscale(self, request: Request) -> Response:
        """Send a picture in one of three forms; the header Accept chooses the answer.

        Closing the connection stops the work.
        """
        app, started = self._app, time.monotonic()
        caller = await authorise(request, app, "superres:Upscale", "v1/upscale")
        how = wanted(request.headers.get("accept"))
        await in_thread(app.access.admit, caller)
        async with AsyncExitStack() as stack:
            channel = stack.enter_context(
                self._channels.open(
                    caller, request_id(request), lambda exc: _body(render(request, exc))
                )
            )
            folder = await stack.enter_async_context(scratch_folder(app))
            taken = await self._intake.take(request, folder, caller)
            options = taken.fields.options(app.settings)
            file_format = how.choose(options.output.format)
            if file_format is not None:
                options = with_format(options, file_format)
            work = Work(
                taken.source,
                folder / "result",
                options,
                deadline=max(0.1, app.settings.server.deadline - (time.monotonic() - started)),
                request_id=request_id(request),
            )
            if how.kind == "events":
                return await self._streamed(request, work, taken.stem, channel, stack.pop_all())
            done = await upscale(request, app, work, channel.post)
            _note(request, done)
            if how.kind == "json":
                result = await self._keep(work, done, taken.stem)
                answered = result.model_dump(mode="json")
                return JSONResponse(
                    answered, headers={**times(request), "Cache-Control": "no-store"}
                )
            channel.finish("done", {})
            report = done.report
            # The folder goes when the answer has been sent.
            return picture_answer(
                work.target,
                MEDIA_TYPES[report.format],
                name_of(taken.stem, options, report),
                {**times(request), **faces_headers(options, report)},
                stack.pop_all().aclose,
            )
        raise AssertionError("unreachable")  # no context above swallows exceptions

    async def _streamed(
        self, request: Request, work: Work, stem: str, channel: Channel, stack: AsyncExitStack
    ) -> Response:
        async def produce() -> None:
            async with stack:
                done = await upscale(request, self._app, work, channel.post)
                _note(request, done)
                result = await self._keep(work, done, stem)
                channel.finish("result", result.model_dump(mode="json"))

        task = asyncio.create_task(produce())
        # It runs as far as it can now: a full queue can still be told by the status.
        await asyncio.sleep(0)
        if task.done():
            await task

        async def stream() -> AsyncIterator[str]:
            try:
                async for event in channel.follow():
                    yield event
                await asyncio.wait({task})
            except asyncio.CancelledError:
                request.state.outcome = ClientGone.code
                raise
            finally:
                task.cancel()
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Exception):
                answer(request, error, render)  # for the log and the metrics

        return StreamingResponse(stream(), headers=events.HEADERS, media_type=events.MEDIA_TYPE)

    async def _keep(self, work: Work, done: Done, stem: str) -> schemas.Result:
        app, report = self._app, done.report
        name = name_of(stem, work.options, report)

        def keep() -> Blob:
            lifetime = app.settings.server.result_lifetime
            return app.blobs.keep(work.target, name, MEDIA_TYPES[report.format], lifetime)

        blob = await in_thread(keep)
        base = app.settings.server.public_url.rstrip("/")
        result = ItemResult.of(done, blob, with_faces=work.options.with_faces)
        return described(blob, base + app.links.path(blob.id, blob.expires), result)

    async def result(self, request: Request) -> Response:
        """No token is asked for: the link is signed, and is not logged."""
        request.state.shown_path = "/v1/results/****"
        app, result_id = self._app, request.path_params["result_id"]
        query = request.query_params
        expires = query.get("expires", "")
        await in_thread(app.links.check, result_id, expires, query.get("signature", ""))
        blob = await in_thread(app.blobs.open, result_id)
        return await kept_answer(request, app.blobs, blob, float(expires))

    async def follow(self, request: Request) -> Response:
        """For a client that sends a picture with an X-Request-Id of its own and wants the
        picture itself as the answer. The last event is `done` or `error`.
        """
        caller = await identify(request, self._app)
        wanted_id = request.path_params["request_id"]
        patience = _PATIENCE if REQUEST_ID.fullmatch(wanted_id) else 0.0
        channel = await self._channels.find(caller, wanted_id, patience)
        if channel is None:
            raise HTTPException(404)
        return StreamingResponse(
            channel.follow(), headers=events.HEADERS, media_type=events.MEDIA_TYPE
        )

    async def models(self, request: Request) -> dict[str, Any]:
        """Every model, the default one among them, and what faces can be restored with."""
        await self._paced(request, "superres:ListModels", "v1/models")
        default = self._app.settings.models.default
        models = {model.name: model for model in list_models()}
        least = models.get(default) or get_model(FAITHFUL)  # somebody may have removed it
        return {
            "default": default,
            "models": [
                {
                    "name": model.name,
                    "title": model.title,
                    "purpose": model.purpose,
                    "scales": list(model.scales),
                    "fidelity": model.fidelity,
                    "faces": looked_for(model),
                    "cost": round(model.mmac_per_pixel / least.mmac_per_pixel, 2),
                    "licence": model.licence,
                    "added": model.added,
                }
                for model in models.values()
            ],
            "restorers": [asdict(each) for each in await in_thread(installed, self._app.settings)],
        }

    async def estimate(self, request: Request) -> object:
        """Size, time and memory of an upscale, from the picture's size alone."""
        await self._paced(request, "superres:Estimate", "v1/estimate")
        fields = EstimateFields.of_text(once(request.query_params.multi_items()))
        options: UpscaleOptions = fields.options(self._app.settings)
        found = self._app.executor.estimate(fields.width, fields.height, options)
        return await asyncio.wrap_future(found)

    async def _paced(self, request: Request, action: str, resource: str) -> None:
        """No picture is enlarged: it counts for the plan's rate, not for its quota."""
        caller = await authorise(request, self._app, action, resource)
        await in_thread(self._app.access.pace, caller)


def _body(response: JSONResponse) -> Any:
    return json.loads(bytes(response.body))


def _note(request: Request, done: Done) -> None:
    report = done.report
    request.state.picture = (
        f"{report.width}x{report.height} to {report.out_width}x{report.out_height}"
    )
