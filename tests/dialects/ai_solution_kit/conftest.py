"""A server with a stage of each kind, and small pictures."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from superres.access import NewCredential
from tests.dialects.conftest import RunningServer

STAGES = {"prod": "NONE", "iam": "AWS_IAM", "keyed": "API_KEY"}
MAX_BODY = 64 << 10


def png(width: int = 20, height: int = 12, **how) -> bytes:
    """A picture with something on it."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 9 % 256, y * 13 % 256, (x + y) * 5 % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, **{"format": "PNG", **how})
    return out.getvalue()


def request_body(picture: bytes | None = None, **fields) -> bytes:
    """The JSON of a request for ``picture``."""
    sent = {"img": base64.b64encode(picture or png()).decode()} if "url" not in fields else {}
    return json.dumps({**sent, **fields}).encode()


def picture_of(answer: bytes) -> Image.Image:
    """The picture in an answer; nothing else may be in it."""
    content = json.loads(answer)
    assert list(content) == ["result"]
    picture = Image.open(io.BytesIO(base64.b64decode(content["result"], validate=True)))
    picture.load()
    return picture


@dataclass(frozen=True)
class Kit:
    """The server under test, and a credential that may do everything."""

    server: RunningServer
    credential: NewCredential

    def url(self, stage: str = "prod") -> str:
        return f"{self.server.url}/{stage}/image_super_resolution"


@pytest.fixture(scope="module")
def kit(start_server) -> Kit:
    server = start_server(
        {
            "ai_solution_kit.stages": STAGES,
            "ai_solution_kit.max_body_bytes": MAX_BODY,
            "ai_solution_kit.max_side": 64,
            "sources.allow_networks": ["127.0.0.0/8"],
            "sources.anonymous_buckets": ["open"],
        }
    )
    return Kit(server, server.access.create("tester"))
