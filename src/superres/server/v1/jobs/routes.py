"""The routes of ``/v1/jobs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from superres.app import App
from superres.server.v1.jobs import openapi, schemas
from superres.server.v1.jobs.door import JobsDoor
from superres.server.v1.openapi import refusals


def add_routes(routes: APIRouter, app: App, dependencies: Sequence[Any]) -> None:
    """Add the routes of jobs to those of ``/v1``.

    Args:
        routes: of the door.
        app: that does the work.
        dependencies: of a route that takes a token.
    """
    door = JobsDoor(app)
    every: dict[str, Any] = {"tags": ["jobs"], "dependencies": dependencies}
    a_job: dict[int | str, dict[str, Any]] = {
        200: {"model": schemas.Job, "description": "The job."},
        **refusals(401, 403, 404, 410, 500, 503),
    }
    routes.add_api_route(
        "/v1/jobs",
        door.create,
        methods=["POST"],
        operation_id="createJob",
        summary="Hand many pictures in, to be enlarged later",
        status_code=202,
        response_class=Response,
        responses=openapi.created(),
        openapi_extra=openapi.create(),
        **every,
    )
    routes.add_api_route(
        "/v1/jobs",
        door.list,
        methods=["GET"],
        operation_id="listJobs",
        summary="List your jobs",
        response_class=Response,
        responses={
            200: {"model": schemas.Jobs, "description": "The newest first."},
            **refusals(400, 401, 403, 404, 500, 503),
        },
        openapi_extra=openapi.listing(),
        **every,
    )
    routes.add_api_route(
        "/v1/jobs/{job_id}",
        door.get,
        methods=["GET"],
        operation_id="getJob",
        summary="Look at a job",
        response_class=Response,
        responses=a_job,
        openapi_extra=openapi.named(),
        **every,
    )
    routes.add_api_route(
        "/v1/jobs/{job_id}",
        door.delete,
        methods=["DELETE"],
        operation_id="deleteJob",
        summary="Stop and forget a job",
        status_code=204,
        response_class=Response,
        responses={
            204: {"description": "It is gone, with all its pictures."},
            **refusals(401, 403, 404, 500, 503),
        },
        openapi_extra=openapi.named(),
        **every,
    )
    routes.add_api_route(
        "/v1/jobs/{job_id}/cancel",
        door.cancel,
        methods=["POST"],
        operation_id="cancelJob",
        summary="Stop a job",
        response_class=Response,
        responses=a_job,
        openapi_extra=openapi.named(),
        **every,
    )
    routes.add_api_route(
        "/v1/jobs/{job_id}/events",
        door.events,
        methods=["GET"],
        operation_id="followJob",
        summary="Follow a job",
        response_class=Response,
        responses=openapi.followed(),
        openapi_extra=openapi.named(openapi.last_event()),
        **every,
    )
