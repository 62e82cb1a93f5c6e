"""Answers in COS's form."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from superres.server.dialects.cloud_infinite import xml
from superres.server.dialects.cloud_infinite.call import Address
from superres.server.dialects.cloud_infinite.errors import answer_to
from superres.server.errors import retry_after
from superres.server.identity import request_id

_XML = "application/xml"


def headers(request: Request) -> dict[str, str]:
    """Headers that every answer of this door has."""
    processed = getattr(request.state, "processed", False)
    return {
        "Server": "tencent-ci" if processed else "tencent-cos",
        "x-cos-request-id": request_id(request),
    }


def document(
    request: Request,
    root: str,
    content: xml.Content,
    status: int = 200,
    more: Mapping[str, str] | None = None,
) -> Response:
    """An answer that is an XML document."""
    body = xml.write(root, content)
    return Response(body, status, {**headers(request), **(more or {})}, media_type=_XML)


def empty(request: Request, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    """An answer without a body."""
    return Response(None, status, {**headers(request), **(more or {})})


def refusal(request: Request, error: Exception) -> Response:
    """The answer to a request that failed with ``error``."""
    answer = answer_to(error)
    more = {**answer.headers, "x-cos-trace-id": trace_id(request)}
    if (seconds := retry_after(error)) is not None:
        more["Retry-After"] = str(seconds)
    if request.method == "HEAD":
        return empty(request, answer.status, more)
    content = [
        ("Code", answer.code),
        ("Message", answer.message),
        ("Resource", _resource(request)),
        ("RequestId", request_id(request)),
        ("TraceId", trace_id(request)),
        *answer.details.items(),
    ]
    return document(request, "Error", content, answer.status, more)


def trace_id(request: Request) -> str:
    """What COS has in ``x-cos-trace-id``: here the request's id again, in base64."""
    return base64.b64encode(request_id(request).encode()).decode()


def etag(md5: str) -> str:
    """An ETag as it stands in headers and documents."""
    return f'"{md5}"'


def http_date(moment: float) -> str:
    """Seconds since 1970 as headers have them."""
    return formatdate(moment, usegmt=True)


def iso(moment: float) -> str:
    """Seconds since 1970 as documents have them."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def location(address: Address, bucket: str, key: str) -> str:
    """``<bucket host>/<key>``, with the host that ``bucket`` has beside the one asked for."""
    if bucket == address.bucket or address.suffix is None:
        host = address.host
    else:
        _, _, port = address.host.partition(":")
        host = f"{bucket}.{address.suffix}" + (f":{port}" if port else "")
    return f"{host}/{quote(key)}"


def _resource(request: Request) -> str:
    address: Address | None = getattr(request.state, "address", None)
    if address is None:
        return str(request.scope["path"]) or "/"
    return f"{address.host}/{address.key}"
