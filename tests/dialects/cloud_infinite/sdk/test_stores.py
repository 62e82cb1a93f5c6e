"""The same with bytes in S3 and rows in PostgreSQL, and with the command as people start it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.dialects.cloud_infinite.making import opened
from tests.dialects.cloud_infinite.sdk.clients import NodeSdk, PythonSdk, Sdk
from tests.dialects.cloud_infinite.sdk.conftest import new_name, png
from tests.dialects.cloud_infinite.sdk.terms import Identity, Refusal, operations, rule
from tests.dialects.conftest import RunningServer, running_command
from tests.s3_server import new_bucket
from tests.unit.database.places import POSTGRES, schema


@pytest.fixture(scope="module")
def server(
    start_server: Callable[..., RunningServer], s3: dict[str, str]
) -> Iterator[RunningServer]:
    database_place = schema() if POSTGRES else nullcontext("")
    with pytest.MonkeyPatch.context() as patch, database_place as database:
        for name, value in s3.items():
            patch.setenv(name, value)
        yield start_server(
            {"storage.url": f"s3://{new_bucket(os.environ)}/superres", "database.url": database}
        )


def test_objects_in_s3(sdk):
    content = os.urandom(3 << 20)
    key = f"ü {sdk.name}/a+b.bin"
    sdk.put(key, content, ContentType="image/png", meta={"kind": "first"})
    found, headers = sdk.get(key)
    assert found == content
    assert headers["etag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert (headers["content-type"], headers["x-cos-meta-kind"]) == ("image/png", "first")
    assert sdk.get(key, Range="bytes=1000000-2000000")[0] == content[1_000_000:2_000_001]
    sdk.put(key, b"replaced")
    assert sdk.get(key)[0] == b"replaced"
    assert sdk.list("ü").keys == [key]
    assert sdk.list("", "/").prefixes == [f"ü {sdk.name}/"]
    assert sdk.delete_many([key]) == ([key], [])
    with pytest.raises(Refusal):
        sdk.get(key)


def test_uploads_in_parts_in_s3(sdk):
    parts = [os.urandom(1 << 20), os.urandom(1 << 20), b"end"]
    upload = sdk.initiate("parts")
    etags = [(n, sdk.upload_part("parts", upload, n, part)) for n, part in enumerate(parts, 1)]
    assert sdk.list_uploads() == [("parts", upload)]
    sdk.complete("parts", upload, etags)
    assert sdk.get("parts")[0] == b"".join(parts)
    middle = (1 << 20) - 5
    assert sdk.get("parts", Range=f"bytes={middle}-{middle + 9}")[0] == parts[0][-5:] + parts[1][:5]
    sdk.delete("parts")


def test_all_three_methods_in_s3(sdk):
    everything(sdk, png(), (20, 12))


def everything(sdk: Sdk, picture: bytes, size: tuple[int, int]) -> bytes:
    """All three methods; what method 1 answers."""
    width, height = size
    result = sdk.put_processed("in/a.png", picture, operations(rule("/out/b.png"), info=1))
    assert result["ProcessResults"]["Object"]["Key"] == "out/b.png"
    assert opened(sdk.get("out/b.png")[0]).size == (2 * width, 2 * height)
    sdk.process("in/a.png", operations(rule("/out/c.jpg", 4)))
    assert opened(sdk.get("out/c.jpg")[0]).size == (4 * width, 4 * height)
    first, _ = sdk.super_resolve("in/a.png", 2)
    assert sdk.super_resolve("in/a.png", 2)[0] == first
    assert opened(first).size == (2 * width, 2 * height)
    assert sdk.list().keys == ["in/a.png", "out/b.png", "out/c.jpg"]
    sdk.delete_many(["in/a.png", "out/b.png", "out/c.jpg"])
    assert sdk.list().keys == []
    return first


@pytest.mark.slow
def test_the_command_with_the_real_network(tmp_path, node, photos):
    """``superres serve`` with its defaults; the bucket is made with the SDK."""
    data_dir = tmp_path / "data"
    create = [sys.executable, "-m", "superres", "keys", "create", "one", "--json"]
    made = subprocess.run(
        [*create, "--data-dir", str(data_dir)], capture_output=True, check=True, timeout=60
    )
    credential = json.loads(made.stdout)
    photo = photos["astronaut"][60:124, 170:266]
    file = tmp_path / "photo.png"
    Image.fromarray(photo).save(file)
    who = Identity(credential["id"], credential["secret"])
    with running_command(data_dir, {}) as url:
        server = SimpleNamespace(url=url, host=url.removeprefix("http://"))
        python = PythonSdk(server, who, new_name())
        try:
            python.create_bucket()
            pictures = [
                everything(sdk, file.read_bytes(), (96, 64))
                for sdk in (python, NodeSdk(node, server, who, python.bucket))
            ]
            python.delete_bucket()
        finally:
            python.close()
    for picture in pictures:
        small = opened(picture).resize((96, 64), Image.Resampling.BOX)
        assert np.abs(np.asarray(small, np.float32) - photo).mean() < 6
