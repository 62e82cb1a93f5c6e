"""What the server says of requests in its log, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from qcloud_cos import CosConfig, CosS3Client

from superres.access import TemporaryCredential, open_access
from superres.database import open_database
from superres.settings import load
from tests.dialects.cloud_infinite.client import SUFFIX, Client
from tests.dialects.cloud_infinite.making import operations, picture, rule, until
from tests.dialects.conftest import running_command

BUCKET = "logged-1250000000"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logged")


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[Client]:
    """Somebody at a server as people start it, whose log is ``serve.log``."""
    how = {"SUPERRES_ENGINE__DEVICE": "fake", "SUPERRES_SERVER__LOG_LEVEL": "debug"}
    with running_command(place / "data", how) as url:
        made = _access(place).create("alice")
        host = f"{BUCKET}.{SUFFIX}"
        yield Client(url.removeprefix("http://"), made.id, made.secret, host)


def _access(place: Path) -> Any:
    settings = load(overrides={"server.data_dir": str(place / "data")})
    return open_access(settings, open_database(settings))


def logged(place: Path) -> list[dict[str, Any]]:
    """What was said of requests to the door."""
    lines = (place / "serve.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [record for record in records if record.get("door") == "cloud_infinite"]


def test_the_log_tells_the_bucket_whatever_becomes_of_a_request(
    place: Path, client: Client
) -> None:
    assert client("PUT").status == 200
    assert client("PUT", "a.png", body=picture()).status == 200
    assert client("GET", "none").status == 404
    assert replace(client, secret="wrong")("GET", "a.png").status == 403
    odd = replace(client, host=f"e<v>il.{SUFFIX}")
    assert odd("GET", "a.png").status == 404
    until(lambda: len(logged(place)) >= 5)
    assert [(each["path"], each.get("caller"), each.get("bucket")) for each in logged(place)] == [
        ("/", "alice", BUCKET),
        ("/a.png", "alice", BUCKET),
        ("/none", "alice", BUCKET),
        ("/a.png", None, BUCKET),
        # What no bucket is called is not repeated.
        ("/a.png", "alice", None),
    ]


def test_the_log_holds_nothing_to_sign_with(place: Path, client: Client) -> None:
    guest: TemporaryCredential = _access(place).temporary(client.id, timedelta(hours=1))
    token = {"x_cos_security_token": guest.session_token}
    other = replace(client, id=guest.id, secret=guest.secret)
    assert other("PUT", "b.png", body=picture(), **token, **operations(rule())).status == 200
    assert other("GET", "b.png", **{**token, "x_cos_security_token": "x" * 99}).status == 403
    config = CosConfig(Region="ap-test", SecretId=guest.id, SecretKey=guest.secret, Scheme="http")
    address = CosS3Client(config).get_presigned_url(
        BUCKET, "b.png", "GET", Params={"x-cos-security-token": guest.session_token}
    )
    path, _, query = address.partition(client.host)[2].partition("?")
    signature = query.partition("q-signature=")[2].partition("&")[0]
    host = {"Host": client.host}
    assert client.send("GET", f"{path}?{query}", host).status == 200
    assert client.send("GET", f"/no?{query}", host).status == 403
    # Escaped once too often, it is all path; a short one would be logged whole.
    for short in (f"q-signature={signature}", f"x-cos-security-token={guest.session_token}"):
        assert client.send("GET", quote(f"/k?{short}"), host).status == 403
    until(lambda: (place / "serve.log").read_text().count("escaped too often") >= 2)
    said = (place / "serve.log").read_text()
    assert said.count("escaped too often") == 2
    for secret in (client.secret, guest.secret, guest.session_token[:40], signature, "x" * 99):
        assert secret not in said
