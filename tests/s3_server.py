"""A real server that speaks S3 (moto's), for tests of what keeps objects there.

Tests take the session's one by the fixture ``s3`` of ``tests/conftest.py``.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start one; yields the environment variables that lead the store library there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_open(process, port)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def new_bucket(environment: Mapping[str, str]) -> str:
    """Make a bucket with a name of its own on the server of ``environment``."""
    name = f"test-{uuid.uuid4()}"
    address = f"{environment['AWS_ENDPOINT_URL']}/{name}"
    with urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=10):
        return name


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    waited = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            assert process.poll() is None, "the S3 server ended"
            assert time.monotonic() < waited, "the S3 server did not start in 60 seconds"
            time.sleep(0.05)
