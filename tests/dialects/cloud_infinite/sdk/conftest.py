"""A server that both of Tencent's SDKs talk to, and a bucket on it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.dialects.cloud_infinite.sdk.clients import NodeSdk, PythonSdk, Sdk
from tests.dialects.cloud_infinite.sdk.node import Node
from tests.dialects.cloud_infinite.sdk.terms import Identity
from tests.dialects.conftest import RunningServer

_numbers = itertools.count()


def new_name() -> str:
    """The name of a bucket that is not there yet."""
    return f"photos{next(_numbers)}-1250000000"


def png(width: int = 20, height: int = 12, kind: str = "PNG", **how: Any) -> bytes:
    """A picture with something on it."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 9 % 256, y * 13 % 256, (x + y) * 5 % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("node") / "stderr.log")
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(start_server: Callable[..., RunningServer]) -> RunningServer:
    return start_server({"sources.allow_networks": ["127.0.0.0/8"]})


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Identity:
    """Who has the buckets."""
    made = server.access.create("owner")
    return Identity(made.id, made.secret)


@pytest.fixture(scope="module")
def bucket(server: RunningServer, owner: Identity) -> str:
    return server.app.buckets.create(new_name(), owner.id).name


MakeSdk = Callable[..., Sdk]


@pytest.fixture(scope="module")
def make_sdk(
    request: pytest.FixtureRequest, server: RunningServer, owner: Identity, bucket: str
) -> Iterator[MakeSdk]:
    """``make_sdk("python", who, bucket, …)``: a client, of the owner and the bucket by default."""
    with ExitStack() as stack:

        def make(name: str, who: Identity | None = None, bucket: str = bucket, **more: Any) -> Sdk:
            if name == "python":
                made = PythonSdk(more.pop("server", server), who or owner, bucket, **more)
                stack.callback(made.close)
                return made
            node = request.getfixturevalue("node")
            return NodeSdk(node, more.pop("server", server), who or owner, bucket, **more)

        yield make


@pytest.fixture(scope="module", params=["python", "node"])
def sdk(request: pytest.FixtureRequest, make_sdk: MakeSdk) -> Sdk:
    """Each of the two, as the owner of the bucket."""
    return make_sdk(request.param)


@pytest.fixture(scope="module")
def python(make_sdk: MakeSdk) -> PythonSdk:
    made = make_sdk("python")
    assert isinstance(made, PythonSdk)
    return made


@pytest.fixture(scope="module")
def nodejs(make_sdk: MakeSdk) -> NodeSdk:
    made = make_sdk("node")
    assert isinstance(made, NodeSdk)
    return made
