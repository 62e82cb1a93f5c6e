"""What FastAPI cannot see of the routes of ``/v1/jobs``."""

from __future__ import annotations

from typing import Any

from superres.server.v1 import events
from superres.server.v1.jobs import schemas
from superres.server.v1.jobs.fields import JOB_ID, JobFields, ListFields
from superres.server.v1.jobs.handing import KEY
from superres.server.v1.openapi import (
    ANONYMOUS,
    BINARY,
    beside_a_body,
    form,
    in_path,
    properties_of,
    query,
    refusals,
)

_EXAMPLE = {
    "images": [
        "https://example.com/photos/one.jpg",
        {"url": "https://example.com/photos/2.jpg", "name": "two"},
    ],
    "scale": 2,
    "format": "png",
    "priority": 5,
}
_NAMED = in_path("job_id", "Of the job.", f"^{JOB_ID.pattern}$")
_EITHER = {"security": [ANONYMOUS]}
_REPLAYED = {
    "description": "true if the job had been handed in before with the same Idempotency-Key.",
    "schema": {"type": "string", "enum": ["true"]},
}


# Before OpenAPI 3.2 the schema of a stream of events is that of each.
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["job", "error"]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/Job"},
                    {"$ref": "#/components/schemas/ErrorAnswer"},
                ]
            },
        },
    },
}


def created() -> dict[int | str, dict[str, Any]]:
    """``responses`` of ``POST /v1/jobs``."""
    location = {"description": "Address of the job.", "schema": {"type": "string"}}
    taken = {
        "model": schemas.Job,
        "description": "The job, taken in for good.",
        "headers": {"Location": location, "Idempotent-Replayed": _REPLAYED},
    }
    return {202: taken, **refusals(400, 401, 403, 410, 413, 422, 429, 500, 501, 503)}


def create() -> dict[str, Any]:
    """``openapi_extra`` of ``POST /v1/jobs``."""
    files = {
        "type": "array",
        "items": BINARY,
        "minItems": 1,
        "description": "The pictures, each in a field of this name.",
    }
    key = {
        "name": KEY,
        "in": "header",
        "required": False,
        "description": "Your own name of this request. Sent again with the same, the first job is "
        "the answer; another request with the same is refused.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }
    return {
        "parameters": [*beside_a_body(JobFields), key],
        "requestBody": {
            "required": True,
            "description": "A form with the pictures, or JSON with their addresses. What is "
            "said beside holds for all of them.",
            "content": {
                "multipart/form-data": {"schema": form(JobFields, files)},
                "application/json": {"schema": _as_json()},
            },
        },
        **_EITHER,
    }


def _as_json() -> dict[str, Any]:
    address = {
        "type": "string",
        "maxLength": 8192,
        "pattern": "^([hH][tT][tT][pP][sS]?|[sS]3)://",
        "description": "http://…, https://… or s3://bucket/key.",
    }
    name = {"type": "string", "maxLength": 1024, "description": "What the result is called."}
    named = {
        "type": "object",
        "required": ["url"],
        "properties": {"url": address, "name": name},
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "required": ["images"],
        "properties": {
            "images": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [address, named]},
                "description": "The pictures' addresses; fetched when their turn comes.",
            },
            **properties_of(JobFields),
        },
        "additionalProperties": False,
        "examples": [_EXAMPLE],
    }


def listing() -> dict[str, Any]:
    """``openapi_extra`` of ``GET /v1/jobs``."""
    return {"parameters": query(ListFields), **_EITHER}


def named(*more: dict[str, Any]) -> dict[str, Any]:
    """``openapi_extra`` of what is done with one job."""
    return {"parameters": [_NAMED, *more], **_EITHER}


def followed() -> dict[int | str, dict[str, Any]]:
    """``responses`` of ``GET /v1/jobs/{job_id}/events``."""
    return {
        200: {
            "description": "Server-sent events: `job` with what GET /v1/jobs/{job_id} answers, "
            "its `id` the version; the last one is final. If the job is deleted meanwhile, "
            "`error` with what a refusal answers.",
            "content": {events.MEDIA_TYPE: {"schema": _EVENT}},
        },
        204: {"description": "The job is finished, and Last-Event-ID says that this is known."},
        **refusals(401, 403, 404, 410),
    }


def last_event() -> dict[str, Any]:
    """The header that a browser sends when it asks for events again."""
    return {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "The `id` of the last event that came; it is not sent again.",
        "schema": {"type": "string"},
    }
