"""The two routes of this door, and what there is for every other address below it."""

from __future__ import annotations

import re
from dataclasses import replace

import anyio
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from superres.access import Caller
from superres.app import App
from superres.errors import JobNotFound
from superres.imageio import OutputOptions
from superres.jobs import FromUrl, Job, NewItem, NewJob, Recipe, Rules
from superres.pipeline import UpscaleOptions
from superres.server.dialects.fsrtwo import answers, schemas
from superres.server.dialects.fsrtwo.auth import CREATE, GET, authorise
from superres.server.errors import answer, guarded
from superres.server.identity import is_foreign
from superres.server.jobs import base_url, owner_of
from superres.server.methods import methods_at
from superres.server.names import stem_of_address
from superres.server.work import in_thread, save_body, scratch_folder
from superres.settings import Settings
from superres.sources import object_address

DOOR = "fsrtwo"
ROOT = "/v3/pic/fsrtwo"

_RULES = Rules(formats=("png", "jpeg", "bmp"), min_side=256, max_side=1023, max_aspect=4.0)
_SCALE = 8.0
_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Bodies being parsed at the same time: each may take thirty times its size in memory.
_PARSERS = 4


def router(app: App) -> APIRouter:
    """The routes of this door."""
    routes = APIRouter(route_class=guarded(answers.refusal, DOOR), include_in_schema=False)
    parsers = anyio.CapacityLimiter(_PARSERS)

    async def create(request: Request) -> Response:
        return await _create(app, request, parsers)

    async def result(request: Request, task_id: str) -> Response:
        return await _result(app, request, task_id)

    routes.add_api_route(f"{ROOT}/batch", create, methods=["POST"])
    routes.add_api_route(f"{ROOT}/result/{{task_id}}", result, methods=["GET", "HEAD"])
    nothing = _Nothing(routes)
    for path in (ROOT, f"{ROOT}/{{rest:path}}"):
        routes.add_route(path, nothing, methods=[])  # type: ignore[arg-type]  # every method
    return routes


async def _create(app: App, request: Request, parsers: anyio.CapacityLimiter) -> Response:
    caller = await authorise(request, app, CREATE)
    await in_thread(app.access.pace, caller)
    async with scratch_folder(app) as folder:
        body = folder / "body"
        await save_body(request, body, schemas.MAX_BODY, limit="of a list of links")
        async with parsers:
            asked = await in_thread(schemas.read, body)
    trusted = not is_foreign(request)  # a browser sends what it knows for whoever asks it to
    return answers.created(await in_thread(_submit, app, caller, asked, trusted))


def _submit(app: App, caller: Caller, asked: schemas.Asked, trusted: bool) -> Job:
    """Hand the task in; what it costs is given back if it is not taken.

    Raises:
        PermissionDenied: an object that the caller may not read.
        QuotaExceeded: the caller's plan has not as many pictures left.
        Overloaded: too many pictures wait.
    """
    recipe = recipe_for(app.settings, asked.format)
    items = [
        NewItem(_source(app, caller, link, trusted), recipe, stem_of_address(link))
        for link in asked.images
    ]
    spent = app.access.spend(caller, len(items))
    try:
        return app.jobs.submit(
            NewJob(door=DOOR, owner=owner_of(caller), items=items, priority=asked.priority)
        )
    except Exception:
        app.access.give_back(spent)
        raise


def _source(app: App, caller: Caller, link: str, trusted: bool) -> FromUrl:
    """Where a picture is. What is no link at all is found out when its turn comes."""
    found = object_address(link)
    if found is None:
        return FromUrl(link, trusted=trusted)
    bucket, key = found
    app.access.authorise(caller, "s3:GetObject", f"{bucket}/{key}")
    return FromUrl(link, may_read=True, trusted=trusted)


def recipe_for(settings: Settings, file_format: str) -> Recipe:
    """What is done with each picture: made 8 times as wide and high, if it keeps the rules.

    As everywhere here, what tells where a photo was taken is left out of the result.
    """
    fsrtwo = settings.fsrtwo
    return Recipe(
        options=UpscaleOptions(
            scale=_SCALE,
            model=fsrtwo.model or settings.models.default,
            fidelity=fsrtwo.fidelity,
            # Who asks for JPG has somewhere to put it that knows no transparency.
            output=OutputOptions(
                format=file_format, strip_location=True, background=(255, 255, 255)
            ),
        ),
        rules=replace(_RULES, max_bytes=fsrtwo.max_bytes),
    )


async def _result(app: App, request: Request, task_id: str) -> Response:
    caller = await authorise(request, app, GET)
    if not _TASK_ID.fullmatch(task_id):
        raise JobNotFound("There is no such task.")
    job = await in_thread(app.jobs.get, task_id.lower(), owner=owner_of(caller), door=DOOR)
    return await in_thread(answers.described, app, job, base_url(request))


class _Nothing:
    """What there is for every other path and method, as an ASGI application."""

    def __init__(self, routes: APIRouter) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.state.door = DOOR
        methods = self._methods(scope["path"])
        allow = {"Allow": ", ".join(methods)}
        if methods and request.method == "OPTIONS":
            response = Response(status_code=204, headers=allow)
        else:
            error = HTTPException(405, headers=allow) if methods else HTTPException(404)
            response = answer(request, error, answers.refusal)
        await response(scope, receive, send)

    def _methods(self, path: str) -> list[str]:
        """What may be done at ``path``; nothing if there is none."""
        found = methods_at(self._routes, path)
        return sorted({*found, "OPTIONS"}) if found else []
