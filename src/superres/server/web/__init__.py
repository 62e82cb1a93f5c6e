"""The page people use in a browser: one document, its scripts and its style, nothing built.

Everything is served from memory and from this package alone. The content security policy
allows no other origin, no inline script or style, and no way to turn text into markup
(Trusted Types), so that neither a file's name nor a server's message can ever become code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from fastapi import APIRouter, Request, Response

from superres.app import App

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


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def _load() -> dict[str, _File]:
    """Every file of ``assets``, by its name."""
    files = {}
    for entry in resources.files(__package__).joinpath("assets").iterdir():
        media_type = MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[entry.name] = _File(content, media_type, etag)
    return files


def _answer(request: Request, file: _File) -> Response:
    headers = HEADERS | {"ETag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def router(_: App) -> APIRouter:
    """The routes ``/`` and ``/assets/web/{name}``.

    The page needs nothing of the service: it speaks to ``/v1`` like any other client.
    """
    files = _load()
    page = files.pop("page.html")
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
