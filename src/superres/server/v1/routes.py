"""The routes of ``/v1`` and its reference at ``/docs``."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from superres.app import App
from superres.imageio import MEDIA_TYPES
from superres.server.assets import swagger_page
from superres.server.errors import answer, guarded
from superres.server.methods import methods_at
from superres.server.v1 import events, jobs, openapi, schemas
from superres.server.v1.door import REQUEST_ID, Door
from superres.server.v1.errors import DOOR, render
from superres.server.v1.fields import EstimateFields

_SCHEME = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="The token of a credential: superres keys create NAME.",
)


def router(app: App) -> APIRouter:
    """The routes of this door."""
    routes = APIRouter(route_class=guarded(render, DOOR))
    door = Door(app)
    token = [Depends(_SCHEME)]
    either = {"security": [openapi.ANONYMOUS]}
    routes.add_api_route(
        "/v1/upscale",
        door.upscale,
        methods=["POST"],
        operation_id="upscale",
        summary="Enlarge a picture",
        tags=["pictures"],
        dependencies=token,
        response_class=Response,
        responses=openapi.upscale_answers(),
        openapi_extra=openapi.upscale_request(),
    )
    link = {"parameters": openapi.of_link()}
    binary = {"schema": {"type": "string", "format": "binary"}}
    pictures = dict.fromkeys(MEDIA_TYPES.values(), binary)
    routes.add_api_route(
        "/v1/results/{result_id}",
        door.result,
        methods=["GET"],
        operation_id="getResult",
        summary="Load a finished picture",
        tags=["pictures"],
        response_class=Response,
        responses={
            200: {"description": "The picture.", "content": pictures},
            206: {"description": "The part of it that Range asked for.", "content": pictures},
            304: {"description": "The client has it already (If-None-Match)."},
            **openapi.refusals(404, 416),
        },
        openapi_extra=link,
    )
    routes.add_api_route(
        "/v1/results/{result_id}",
        door.result,
        methods=["HEAD"],
        operation_id="headResult",
        summary="Ask whether a finished picture is still there",
        tags=["pictures"],
        response_class=Response,
        responses={
            200: {"description": "It is."},
            206: {"description": "The part of it that Range asked for."},
            304: {"description": "The client has it already (If-None-Match)."},
            404: {"description": "It is not, or no more."},
            416: {"description": "The part asked for is behind the end."},
        },
        openapi_extra=link,
    )
    routes.add_api_route(
        "/v1/requests/{request_id}/events",
        door.follow,
        methods=["GET"],
        operation_id="followRequest",
        summary="Follow a request that is running",
        tags=["pictures"],
        dependencies=token,
        response_class=Response,
        responses={
            200: {
                "description": "Server-sent events, as of POST /v1/upscale.",
                "content": {events.MEDIA_TYPE: {"schema": {"type": "string"}}},
            },
            **openapi.refusals(401, 404),
        },
        openapi_extra={
            **either,
            "parameters": [
                openapi.in_path("request_id", "The X-Request-Id that was sent.", REQUEST_ID.pattern)
            ],
        },
    )
    routes.add_api_route(
        "/v1/models",
        door.models,
        methods=["GET"],
        operation_id="listModels",
        summary="List the models",
        tags=["models"],
        dependencies=token,
        response_model=schemas.Models,
        response_description="Every model.",
        responses=openapi.refusals(401, 403, 429),
        openapi_extra=either,
    )
    routes.add_api_route(
        "/v1/estimate",
        door.estimate,
        methods=["GET"],
        operation_id="estimate",
        summary="Tell what an upscale would take",
        tags=["models"],
        dependencies=token,
        response_model=schemas.Estimate,
        response_description="Size, time and memory.",
        responses=openapi.refusals(400, 401, 403, 413, 429, 503),
        openapi_extra={**either, "parameters": openapi.query(EstimateFields)},
    )
    jobs.add_routes(routes, app, token)
    routes.add_api_route("/docs", _reference, methods=["GET", "HEAD"], include_in_schema=False)
    nothing = _Nothing(routes)
    for path in ("/v1", "/v1/{rest:path}"):
        routes.add_route(path, nothing, methods=[])  # type: ignore[arg-type]  # every method
    return routes


class _Nothing:
    """What there is for every other path and method, as an ASGI application."""

    def __init__(self, routes: APIRouter) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.state.door = DOOR
        allowed = sorted(methods_at(self._routes, scope["path"]))
        error = HTTPException(405, headers={"Allow": ", ".join(allowed)})
        response = answer(request, error if allowed else HTTPException(404), render)
        await response(scope, receive, send)


async def _reference() -> Response:
    return swagger_page("superres API", "openapi.json", "assets/swagger-ui")
