"""A server with a bucket, and somebody whose bucket it is."""

from __future__ import annotations

import itertools

import pytest

from superres.access import Policy
from tests.dialects.cloud_infinite.client import Client
from tests.dialects.conftest import RunningServer, StartServer

_numbers = itertools.count()


def new_name() -> str:
    """The name of a bucket that is not there yet."""
    return f"tests{next(_numbers)}-1250000000"


def somebody(server: RunningServer, policy: Policy | None = None) -> Client:
    """A new credential, and its client of the service."""
    made = server.access.create(f"somebody {next(_numbers)}")
    if policy is not None:
        server.access.set_policy(made.id, policy)
    return Client(server.host, made.id, made.secret)


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> RunningServer:
    return start_server({"sources.allow_networks": ["127.0.0.0/8"]})


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Client:
    """Who has the bucket; talks to the service."""
    return somebody(server)


@pytest.fixture(scope="module")
def bucket(server: RunningServer, owner: Client) -> str:
    return server.app.buckets.create(new_name(), owner.id).name


@pytest.fixture(scope="module")
def client(owner: Client, bucket: str) -> Client:
    """The owner, talking to the bucket."""
    return owner.on(bucket)
