"""Files of others that pages need, served from here so that no page asks another host.

Swagger UI shows an OpenAPI document and lets people try it; where its files come from is in
``swagger-ui/PROVENANCE.md``.
"""

from __future__ import annotations

import hashlib
from html import escape
from importlib import resources

from fastapi import FastAPI, Request, Response

_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "txt": "text/plain"}
_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "start.js")

# Swagger UI colours its examples with style attributes, and its style sheet holds pictures.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
</head>
<body>
<main id="swagger-ui" data-document="{document}"></main>
<noscript>This page needs JavaScript; the document it shows is at
<a href="{document}">{document}</a>.</noscript>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script src="{assets}/start.js"></script>
</body>
</html>
"""


def mount_assets(server: FastAPI) -> None:
    """Serve Swagger UI's files at ``/assets/swagger-ui/``."""
    folder = resources.files(__package__).joinpath("swagger-ui")
    files = {name: folder.joinpath(name).read_bytes() for name in _FILES}
    etags = {name: f'"{hashlib.sha256(data).hexdigest()[:32]}"' for name, data in files.items()}

    @server.api_route("/assets/swagger-ui/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    def show_swagger_asset(request: Request, name: str) -> Response:
        if name not in files:
            return Response("There is no such file.", 404, media_type="text/plain")
        # Asked for again each time and answered "not modified": an upgrade is seen at once.
        headers = {"Cache-Control": "no-cache", "ETag": etags[name]}
        if etags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
        return Response(files[name], media_type=media_type, headers=headers)


def swagger_page(title: str, document: str, assets: str) -> Response:
    """A page that shows an OpenAPI document.

    Args:
        title: of the page.
        document: address of the OpenAPI document, best relative to the page, so that it holds
            behind a proxy that adds a prefix.
        assets: address of Swagger UI's files, as :func:`mount_assets` serves them, likewise.
    """
    page = _PAGE.format(title=escape(title), document=escape(document), assets=escape(assets))
    headers = {
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(page, media_type="text/html", headers=headers)
