"""The page people use in a browser: one document, its scripts and its style, nothing built.

Everything is served from memory and from this package alone. The content security policy
allows no other origin, no inline script or style, and no way to turn text into markup
(Trusted Types), so that neither a file's name nor a server's message can ever become code.
"""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources

from fastapi import APIRouter, Request, Response

from superres.app import App
from superres.settings import Settings

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Always asked for again, and answered "not modified": an upgrade is seen at once.
    "Cache-Control": "no-cache",
}


_LIMITS = b"$limits"
_FORM = 64 << 10  # what the fields of a form, and what is between them, take at most


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def _load() -> dict[str, _File]:
    """Every file of ``assets``, by its name."""
    files = {}
    for entry in resources.files(__package__).joinpath("assets").iterdir():
        media_type = MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            files[entry.name] = _File(entry.read_bytes(), media_type)
    return files


def _limits(settings: Settings) -> bytes:
    """What the page must know before it sends anything: pictures and bytes of one job, bytes of
    one picture, and how long results are kept.
    """
    limits = {
        "items": settings.jobs.max_items,
        "bytes": max(1, settings.jobs.max_body_bytes - _FORM),
        "file": max(1, settings.server.max_body_bytes - _FORM),
        "seconds": settings.server.result_lifetime,
    }
    return html.escape(json.dumps(limits)).encode()


def _answer(request: Request, file: _File) -> Response:
    headers = HEADERS | {"ETag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def router(app: App) -> APIRouter:
    """The routes ``/`` and ``/assets/web/{name}``.

    The page needs nothing of the service but its limits: it speaks to ``/v1`` like any other
    client.
    """
    files = _load()
    page = files.pop("page.html")
    page = replace(page, content=page.content.replace(_LIMITS, _limits(app.settings)))
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    def show_page(request: Request) -> Response:
        return _answer(request, page)

    @routes.api_route("/assets/web/{name}", methods=["GET", "HEAD"])
    def show_asset(request: Request, name: str) -> Response:
        file = files.get(name)
        if file is None:
            return Response("No such file.", 404, headers=HEADERS, media_type="text/plain")
        return _answer(request, file)

    return routes
