"""What FastAPI cannot see of the routes: three forms of a body, answers by Accept, refusals.

The parameters come from the classes that read them, so that the description cannot differ.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from superres.server.v1.fields import Fields, UpscaleFields
from superres.server.v1.multipart import FILE
from superres.server.v1.schemas import ErrorAnswer, Result

# A picture of 16 x 16 pixels, so that the reference's "Try it out" works as it stands.
_EXAMPLE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAgMAAABinRfyAAAACVBMVEX63HjmPDwoWrSquWLJAAAAMklEQVR42mNg"
    "QANaqxgYGVYxXGNiYmBQYGL4vYaBiYGBAZNgDWFg+sfA8ICBQWsVknYAE9gHOk8BIpcAAAAASUVORK5CYII="
)
# Swagger UI fills in every field of a form that it sees, and these do not go together, or need
# what a server may not have. Here it does not see them; among the parameters of the address,
# which may be sent with a form, it does.
_EXCLUDING = (
    *("width", "height", "megapixels", "quality", "lossless"),
    *("restore", "restore_strength"),
)
BINARY = {"type": "string", "format": "binary"}
"""Schema of a file."""
_FACES = {"type": "array", "items": {"$ref": "#/components/schemas/Face"}}

_REFUSED = {
    400: ("bad_parameter", "Something in the request is wrong; the message says what."),
    401: (
        "unauthenticated",
        "No token, or a wrong one. Without one only requests from the server's own machine are "
        "served.",
    ),
    403: ("permission_denied", "The token's policy does not allow this."),
    404: ("not_found", "There is no such thing, or no more."),
    410: ("job_expired", "The time of the job's results is over."),
    406: ("not_acceptable", "The header Accept takes nothing that can be given."),
    413: ("image_too_large", "The body or the picture is over a limit, which the message names."),
    415: ("unsupported_format", "The content is not a picture that can be read."),
    416: ("range_not_satisfiable", "The part asked for is behind the end."),
    422: ("corrupt_image", "The picture is damaged, or nothing usable came from its address."),
    429: ("rate_limited", "Too many requests; Retry-After says when to come again."),
    500: ("internal", "Something went wrong in the server."),
    501: (
        "weights_missing",
        "A network that was asked for is not installed on this server; the message says how.",
    ),
    503: (
        "overloaded",
        "Too much is waiting, or the server is stopping; Retry-After says when to come again.",
    ),
    504: ("deadline_exceeded", "It took longer than it may."),
}
_WAITING = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
_ID = "3f0c2a52-6d1e-4a6b-9d0a-0f6d3a1c2b4e"
_UPSCALE_REFUSALS = (400, 401, 403, 404, 406, 413, 415, 422, 429, 500, 501, 503, 504)

ANONYMOUS: dict[str, list[str]] = {}
"""Beside the token's scheme: no credential at all, on the server's own machine."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that may answer with these statuses."""
    return {status: _refusal(status) for status in statuses}


def upscale_answers() -> dict[int | str, dict[str, Any]]:
    """``responses`` of ``POST /v1/upscale``."""
    milliseconds = {"schema": {"type": "integer", "minimum": 0}}
    done = {
        "model": Result,
        "description": "The enlarged picture, JSON with a link to it, or its progress as "
        "server-sent events: `progress` with stage (queued, decode, upscale, encode), fraction "
        "(0 to 1) and eta_seconds (null while unknown), then `result` with what JSON answers, "
        "or `error` with what a refusal answers.",
        "content": {
            "image/*": {"schema": BINARY},
            "text/event-stream": {"schema": {"type": "string"}},
        },
        "headers": {
            "X-Queue-Time": {
                "description": "Milliseconds waited (not with events).",
                **milliseconds,
            },
            "X-Inference-Time": {
                "description": "Milliseconds the network ran (not with events).",
                **milliseconds,
            },
            "X-Faces": {
                "description": "With the picture itself, if faces were looked for: what `faces` "
                "is in JSON, the largest ones, as many as fit in 4096 bytes.",
                "content": {"application/json": {"schema": _FACES}},
            },
            "X-Faces-Found": {
                "description": "Beside X-Faces: how many faces there are.",
                "schema": {"type": "integer", "minimum": 0},
            },
        },
    }
    return {200: done, **refusals(*_UPSCALE_REFUSALS)}


def upscale_request() -> dict[str, Any]:
    """``openapi_extra`` of ``POST /v1/upscale``."""
    properties = properties_of(UpscaleFields)
    file = {**BINARY, "description": "The picture: JPEG, PNG, WebP, TIFF, BMP, GIF, …"}
    as_json = {
        "type": "object",
        "oneOf": [{"required": ["url"]}, {"required": ["img"]}],
        "properties": {
            "url": {
                "type": "string",
                "maxLength": 8192,
                "description": "The picture's address: http://…, https://… or s3://bucket/key.",
            },
            "img": {
                "type": "string",
                "description": "The picture's file in base64; data:…;base64, may stand before.",
            },
            **properties,
        },
        "additionalProperties": False,
        "examples": [
            {"img": _EXAMPLE, "scale": 2, "format": "png"},
            {"img": _EXAMPLE, "scale": 2, "face": True},
        ],
    }
    return {
        "parameters": beside_a_body(UpscaleFields),
        "requestBody": {
            "required": True,
            "description": "A form, the bare picture (then the parameters go into the address), "
            "or JSON. What kind of picture it is, is told from its content.",
            "content": {
                "multipart/form-data": {"schema": form(UpscaleFields, file)},
                "application/json": {"schema": as_json},
                "application/octet-stream": {"schema": BINARY},
                "image/*": {"schema": BINARY},
            },
        },
        "security": [ANONYMOUS],
    }


def form(fields: type[Fields], file: dict[str, Any]) -> dict[str, Any]:
    """Schema of a form with the field ``file``, which ``file`` describes, and ``fields``."""
    properties = properties_of(fields)
    return {
        "type": "object",
        "required": [FILE],
        "properties": {
            FILE: file,
            **{name: schema for name, schema in properties.items() if name not in _EXCLUDING},
        },
        "anyOf": [{"properties": {name: properties[name] for name in _EXCLUDING}}],
        "unevaluatedProperties": False,
    }


def beside_a_body(fields: type[Fields]) -> list[dict[str, Any]]:
    """``parameters`` that may be in the address or in the body.

    Swagger UI fills in what has an example, and would then send it in both: these have none.
    """
    return [
        {**parameter, "schema": _without_examples(parameter["schema"])}
        for parameter in query(fields)
    ]


def query(fields: type[Fields]) -> list[dict[str, Any]]:
    """``parameters`` that these fields make of a query."""
    required = {name for name, field in fields.model_fields.items() if field.is_required()}
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.pop("description"),
            "schema": schema,
        }
        for name, schema in properties_of(fields).items()
    ]


def _without_examples(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("examples", "default")}


def in_path(name: str, description: str, pattern: str) -> dict[str, Any]:
    """A parameter in the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
    }


def of_link() -> list[dict[str, Any]]:
    """``parameters`` of a link to a result."""
    told = "From the answer that told the link."
    query = [("expires", "[0-9]{1,12}"), ("signature", "[0-9a-f]{64}")]
    return [
        in_path("result_id", told, "[0-9a-f]{32}"),
        *({**in_path(name, told, pattern), "in": "query"} for name, pattern in query),
    ]


def _refusal(status: int) -> dict[str, Any]:
    code, description = _REFUSED[status]
    again = status in (429, 503)
    error = {"code": code, "message": "One sentence that says what to do.", "request_id": _ID}
    example = {"error": error | ({"retry_after": 2} if again else {})}
    answer: dict[str, Any] = {
        "model": ErrorAnswer,
        "description": description,
        "content": {"application/json": {"example": example}},
    }
    if again:
        answer["headers"] = _WAITING
    elif status == HTTPStatus.UNAUTHORIZED:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer


def properties_of(fields: type[Fields]) -> dict[str, dict[str, Any]]:
    """Schemas of the fields. That JSON may also say null for nothing is left unsaid."""
    properties: dict[str, dict[str, Any]] = fields.model_json_schema()["properties"]
    return {name: _plain(schema) for name, schema in properties.items()}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    for kind in schema.get("anyOf", ()):
        if kind != {"type": "null"}:
            plain |= kind
    if plain.get("default", ...) is None:
        del plain["default"]
    return plain
