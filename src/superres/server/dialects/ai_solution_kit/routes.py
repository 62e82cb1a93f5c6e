"""The routes of every stage, and the order in which a request is served."""

from __future__ import annotations

import hashlib
import time
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from superres.access import ANONYMOUS, Caller
from superres.app import App
from superres.errors import BadParameter, SourceTooLarge
from superres.executors.base import Work
from superres.imageio import OutputOptions
from superres.pipeline import UpscaleOptions
from superres.server.dialects.ai_solution_kit import answers, explorer, schemas, sigv4
from superres.server.dialects.ai_solution_kit.auth import authorise, begin
from superres.server.dialects.ai_solution_kit.errors import Refused
from superres.server.errors import guarded
from superres.server.identity import request_id
from superres.server.work import fetch, in_thread, save_body, scratch_folder, times, upscale
from superres.settings import Settings

DOOR = "ai_solution_kit"
_RESERVED = {"api", "assets", "docs", "healthz", "metrics", "readyz", "tasks", "v1", "v3"}
# Bodies being parsed at the same time: each may take several times its size in memory.
_PARSERS = 4


def router(app: App) -> APIRouter:
    """The routes of all stages.

    Raises:
        BadParameter: a stage has the name of another of the server's paths.
    """
    routes = APIRouter(route_class=guarded(answers.refusal, DOOR), include_in_schema=False)
    parsers = anyio.CapacityLimiter(_PARSERS)
    for stage, kind in app.settings.ai_solution_kit.stages.items():
        if stage in _RESERVED:
            raise BadParameter(
                f"[ai_solution_kit] stages has {stage!r}, which is another of the server's own "
                "paths; choose another name."
            )
        _add_stage(routes, app, stage, kind, parsers)
    return routes


def _add_stage(
    routes: APIRouter, app: App, stage: str, kind: str, parsers: anyio.CapacityLimiter
) -> None:
    async def post(request: Request) -> Response:
        return await _serve(app, stage, request, parsers)

    async def options(request: Request) -> Response:
        return answers.preflight(request)

    async def explore() -> Response:
        return explorer.page(stage)

    async def describe() -> Response:
        return explorer.document(stage, kind, app.settings.ai_solution_kit.max_side)

    for path in (f"/{stage}/image_super_resolution", f"/{stage}/image_super_resolution/"):
        routes.add_api_route(path, post, methods=["POST"])
        routes.add_api_route(path, options, methods=["OPTIONS"])
    routes.add_api_route(f"/{stage}/api-explorer", explore, methods=["GET", "HEAD"])
    routes.add_api_route(f"/{stage}/api-explorer/openapi.json", describe, methods=["GET", "HEAD"])
    for path in (f"/{stage}", f"/{stage}/{{rest:path}}"):
        routes.add_route(path, _Nothing(), methods=[])  # type: ignore[arg-type]  # every method


class _Nothing:
    """What API Gateway answers to a path or method it does not have, as an ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.state.door = DOOR
        await answers.refusal(request, sigv4.missing())(scope, receive, send)


async def _serve(
    app: App, stage: str, request: Request, parsers: anyio.CapacityLimiter
) -> Response:
    settings = app.settings
    started = time.monotonic()
    confirm = await begin(app, stage, request)
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch_folder(app))
        body, source, target = folder / "body", folder / "source", folder / "target"
        caller = await confirm(await _save(request, body, settings))
        request.state.caller = caller.name
        async with parsers:
            asked = await in_thread(schemas.read, body, source, settings.limits.max_input_bytes)
        body.unlink()
        if asked.url is not None:
            await _fetch(request, app, asked.url, source, caller)
        work = Work(
            source,
            target,
            options(settings, asked),
            max_side=settings.ai_solution_kit.max_side,
            deadline=max(0.1, settings.server.deadline - (time.monotonic() - started)),
            request_id=request_id(request),
        )
        await upscale(request, app, work)
        headers = {**answers.headers(request), **times(request)}
        # The folder goes when the answer has been sent.
        return answers.picture_answer(target, headers, stack.pop_all().aclose)


async def _save(request: Request, body: Path, settings: Settings) -> str:
    """Store the body; its SHA-256 in hexadecimal is returned."""
    sha256 = hashlib.sha256()
    limit = settings.ai_solution_kit.max_body_bytes
    try:
        await save_body(request, body, limit, on_chunk=sha256.update)
    except SourceTooLarge as exc:
        raise Refused(413, "Request Too Long", "RequestTooLargeException") from exc
    return sha256.hexdigest()


async def _fetch(request: Request, app: App, url: str, source: Path, caller: Caller) -> None:
    def may_read(bucket: str, key: str) -> None:
        authorise(app.access, caller, "s3:GetObject", f"{bucket}/{key}")

    await fetch(request, app, url, source, None if caller == ANONYMOUS else may_read)


def options(settings: Settings, asked: schemas.Asked) -> UpscaleOptions:
    """What is done for a request.

    The answer is a PNG without EXIF, XMP and IPTC, which may say where a photo was taken; the
    colour profile stays.
    """
    kit = settings.ai_solution_kit
    return UpscaleOptions(
        scale=float(asked.scale),
        model=kit.model or settings.models.default,
        fidelity=kit.fidelity,
        face=asked.face,
        output=OutputOptions(format="png", strip=True),
    )
