"""The routes of both doors, and the order in which a request is served."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from superres.access import Plan
from superres.app import App
from superres.jobs import Callback, FromFile, FromUrl, Job, NewItem, NewJob
from superres.server.dialects.picwish import answers, schemas
from superres.server.dialects.picwish.auth import caller_of
from superres.server.dialects.picwish.bodies import Bodies
from superres.server.dialects.picwish.forms import Said
from superres.server.errors import ClientGone, guarded
from superres.server.jobs import base_url, owner_of, until_final
from superres.server.work import disconnected, in_thread, scratch_folder

DOOR = "picwish"
_MARKET, _NATIVE = "/tasks/visual/scale", "/api/tasks/visual/scale"
_URGENT = 9
"""Priority of a task that somebody waits for."""


def router(app: App) -> APIRouter:
    """The routes of both doors.

    Raises:
        BadParameter: ``[picwish] rate`` is no rate.
    """
    routes = APIRouter(route_class=guarded(answers.refusal, DOOR), include_in_schema=False)
    doors = _Doors(app)
    for path, post in ((_MARKET, doors.market), (_NATIVE, doors.native)):
        for each in (path, f"{path}/"):
            routes.add_api_route(each, post, methods=["POST"])
            routes.add_api_route(each, _preflight, methods=["OPTIONS"])
    task = f"{_NATIVE}/{{task_id}}"
    routes.add_api_route(task, doors.poll, methods=["GET"])
    routes.add_api_route(task, _preflight, methods=["OPTIONS"])
    for root in ("/tasks", "/api/tasks"):
        for path in (root, f"{root}/{{rest:path}}"):
            routes.add_route(path, _Nothing(), methods=[])  # type: ignore[arg-type]  # every method
    return routes


async def _preflight() -> Response:
    return answers.preflight()


class _Nothing:
    """What there is for every other path and method, as an ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        Request(scope, receive).state.door = DOOR
        message = "There is nothing here; check the method, the address and the task id."
        await answers.refused(404, message)(scope, receive, send)


class _Doors:
    def __init__(self, app: App) -> None:
        self._app, self._settings = app, app.settings.picwish
        self._bodies = Bodies(schemas.NAMES, self._settings.max_bytes)
        self._rate = Plan(rate=self._settings.rate)

    async def market(self, request: Request) -> Response:
        return await self._serve(request, market=True)

    async def native(self, request: Request) -> Response:
        return await self._serve(request, market=False)

    async def poll(self, request: Request) -> Response:
        """Asking how a task is costs next to nothing, and clients do so every second: it
        counts against no rate.
        """
        app = self._app
        caller = await caller_of(app.access, request, market=False)
        task_id: str = request.path_params["task_id"]
        job = await in_thread(app.jobs.get, task_id, owner=owner_of(caller), door=DOOR)
        return await answers.answer(app, request, job, base_url(request))

    async def _serve(self, request: Request, *, market: bool) -> Response:
        app = self._app
        caller = await caller_of(app.access, request, market=market)
        await in_thread(app.access.admit, caller, default=self._rate)
        async with scratch_folder(app) as folder:
            said = await self._bodies.take(request, folder)
            asked = schemas.read(said.values, market=market, along=said.file is not None)
            new = self._job(owner_of(caller), said, asked, base_url(request))
            job = await in_thread(app.jobs.submit, new)
        if not asked.sync:
            return answers.accepted(job)
        job = await self._finished(request, job, wanted=asked.callback_url is not None)
        return await answers.answer(app, request, job, base_url(request))

    def _job(self, owner: str, said: Said, asked: schemas.Asked, base: str) -> NewJob:
        settings = self._settings
        source: FromFile | FromUrl
        if said.file is not None:
            source = FromFile(said.file)
        else:
            assert asked.url is not None
            source = FromUrl(asked.url, timeout=settings.download_timeout)
        callback = asked.callback_url
        return NewJob(
            door=DOOR,
            owner=owner,
            items=[NewItem(source, schemas.recipe(self._app.settings, asked))],
            priority=_URGENT if asked.sync else 5,
            callback=None if callback is None else Callback(callback),
            details={
                "type": asked.type,
                "scale_factor": asked.scale_factor,
                "return_type": asked.return_type,
                "sync": asked.sync,
                "by_url": asked.url is not None,
                "base": base,
                "deadline": settings.deadline,
            },
            # Nobody waits longer for it, should this process not be there to close it.
            max_wait=max(1.0, settings.deadline) if asked.sync else None,
            max_run=settings.deadline,
        )

    async def _finished(self, request: Request, job: Job, *, wanted: bool) -> Job:
        """``job`` when it is finished, or closed because its time was up.

        A client that goes away closes it, unless somebody is told of its end.

        Raises:
            ClientGone: the client closed the connection.
        """
        app = self._app
        waiting = asyncio.ensure_future(until_final(app, job, self._settings.deadline))
        gone = asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                job = waiting.result()
                return job if job.state.final else await self._close(job)
        finally:
            waiting.cancel()
            gone.cancel()
        if not wanted:
            await self._close(job)
        raise ClientGone("The client closed the connection before the answer was ready.")

    async def _close(self, job: Job) -> Job:
        return await in_thread(self._app.jobs.cancel, job.id, owner=job.owner, door=DOOR)
