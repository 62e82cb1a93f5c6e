"""Files of others that are served from here: that they are what they should be."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

import pytest
import urllib3

FOLDER = resources.files("superres.server.assets").joinpath("swagger-ui")
RECORDED = dict(
    re.findall(
        r"^\| `(.+?)` \| `([0-9a-f]{64})` \|$",
        FOLDER.joinpath("PROVENANCE.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


@pytest.mark.parametrize("name", RECORDED)
def test_files_are_the_recorded_ones(name):
    assert hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest() == RECORDED[name]


def test_every_file_is_recorded():
    here = {entry.name for entry in FOLDER.iterdir()}
    assert here == set(RECORDED) | {"PROVENANCE.md", "start.js"}


@pytest.fixture(scope="module")
def server(start_server):
    return start_server()


def get(server, path, method="GET", **headers):
    return urllib3.request(
        method, server.url + path, headers=headers, retries=False, redirect=False, timeout=30
    )


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("start.js", "text/javascript; charset=utf-8"),
        ("swagger-ui-bundle.js.LICENSE.txt", "text/plain; charset=utf-8"),
    ],
)
def test_served(server, name, media_type):
    response = get(server, f"/assets/swagger-ui/{name}")
    assert response.status == 200
    assert response.headers["Content-Type"] == media_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.data == FOLDER.joinpath(name).read_bytes()
    again = get(server, f"/assets/swagger-ui/{name}", **{"If-None-Match": response.headers["ETag"]})
    assert (again.status, again.data) == (304, b"")
    assert get(server, f"/assets/swagger-ui/{name}", "HEAD").data == b""


@pytest.mark.parametrize(
    "name", ["PROVENANCE.md", "..", "..%2f__init__.py", "%2e%2e/__init__.py", "none.js", ""]
)
def test_nothing_else_is_served(server, name):
    assert get(server, f"/assets/swagger-ui/{name}").status == 404
