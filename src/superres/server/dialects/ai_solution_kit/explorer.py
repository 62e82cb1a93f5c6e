"""The API Explorer of a stage: Swagger UI over an OpenAPI document of this door."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from superres import __version__
from superres.server.assets import swagger_page

# A picture of 16 x 16 pixels, so that "Try it out" works as it stands.
_EXAMPLE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAgMAAABinRfyAAAACVBMVEX63HjmPDwoWrSquWLJAAAAMklEQVR42mNg"
    "QANaqxgYGVYxXGNiYmBQYGL4vYaBiYGBAZNgDWFg+sfA8ICBQWsVknYAE9gHOk8BIpcAAAAASUVORK5CYII="
)

_SCHEMES: dict[str, dict[str, Any]] = {
    "NONE": {},
    "API_KEY": {
        "api_key": {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "The token of a credential.",
        }
    },
    "AWS_IAM": {
        "sigv4": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "Signature Version 4 for the service execute-api. This page cannot "
            "sign; use curl --aws-sigv4, Postman or a library.",
            "x-amazon-apigateway-authtype": "awsSigv4",
        }
    },
}


def page(stage: str) -> Response:
    """The explorer of ``stage``, for ``/{stage}/api-explorer``."""
    return swagger_page(
        f"API Explorer – {stage}", "api-explorer/openapi.json", "../assets/swagger-ui"
    )


def document(stage: str, kind: str, max_side: int) -> Response:
    """The OpenAPI document that :func:`page` shows.

    Args:
        stage: its name.
        kind: how it asks for a credential.
        max_side: longest side in pixels that a picture may have.
    """
    return JSONResponse(_document(stage, kind, max_side), headers={"Cache-Control": "no-cache"})


def _document(stage: str, kind: str, max_side: int) -> dict[str, Any]:
    schemes = _SCHEMES[kind]
    found = {"application/json": {"schema": {"$ref": "#/components/schemas/Result"}}}
    answers: dict[str, Any] = {
        "200": {"description": "The enlarged picture.", "content": found},
        "400": {
            "description": "A parameter or the picture is at fault; the text says which.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        "413": _message("The body is too long."),
        "429": _message("Too many requests; Retry-After says when to come again."),
        "502": _message("Something went wrong in the server."),
        "504": _message("It took too long."),
    }
    if schemes:
        answers["403"] = _message("No credential, a wrong one, or one that may not do this.")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Image Super Resolution", "version": __version__},
        # Relative to this document, so that it holds behind a proxy with a prefix.
        "servers": [{"url": f"../../{stage}", "description": f"Stage {stage} ({kind})"}],
        "paths": {
            "/image_super_resolution": {
                "post": {
                    "tags": ["Image Super Resolution"],
                    "summary": "Enlarge a picture 2 or 4 times",
                    "operationId": "imageSuperResolution",
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/Request"},
                                "examples": {
                                    "img": {
                                        "summary": "A picture sent along",
                                        "value": {"img": _EXAMPLE, "scale": 2},
                                    },
                                    "url": {
                                        "summary": "A picture on the web",
                                        "value": {
                                            "url": "https://example.com/photo.jpg",
                                            "scale": 4,
                                        },
                                    },
                                    "face": {
                                        "summary": "A picture of people",
                                        "value": {
                                            "url": "https://example.com/people.jpg",
                                            "scale": 2,
                                            "face": True,
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "responses": dict(sorted(answers.items())),
                }
            }
        },
        "components": {
            **({"securitySchemes": schemes} if schemes else {}),
            "schemas": {
                "Request": {
                    "type": "object",
                    "anyOf": [{"required": ["url"]}, {"required": ["img"]}],
                    "properties": {
                        "url": {
                            "type": "string",
                            "description": "http://…, https://… or s3://bucket/key of a JPEG, "
                            "PNG, BMP, WebP or TIFF picture with sides of at most "
                            f"{max_side} pixels. Wins over img.",
                        },
                        "img": {
                            "type": "string",
                            "description": "The picture's file in base64.",
                        },
                        "scale": {"type": "integer", "enum": [2, 4], "default": 2},
                        "face": {
                            "type": "boolean",
                            "default": False,
                            "description": "Find faces and keep them recognisable.",
                        },
                    },
                },
                "Result": {
                    "type": "object",
                    "required": ["result"],
                    "properties": {
                        "result": {
                            "type": "string",
                            "description": "The enlarged picture, a PNG in base64.",
                        }
                    },
                },
                "Message": {
                    "type": "object",
                    "properties": {"message": {"type": "string"}},
                },
            },
        },
        "security": [{name: []} for name in schemes],
    }


def _message(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Message"}}},
    }
