"""Requests with COS's signatures, made by the vendor's SDK before the clock starts."""

from __future__ import annotations

from urllib.parse import quote

from qcloud_cos import CosConfig, CosS3Client

from bench.wire import Ask, connected
from tests.e2e.service import Service

BUCKET = "bench-1250000000"
HOST = f"{BUCKET}.cos.localhost"
MB = 1_000_000


class Client:
    """A credential of a running server, and a bucket of its own.

    Attributes:
        port: where the server is, on 127.0.0.1.
    """

    def __init__(self, service: Service) -> None:
        key = service.new_credential("bench")
        self.port = service.address[1]
        self._sdk = CosS3Client(
            CosConfig(
                Endpoint="cos.localhost",
                SecretId=key["id"],
                SecretKey=key["secret"],
                Scheme="http",
            )
        )
        with connected(self.port) as connection:
            connection.ask(self.ask("PUT", ""))

    def ask(self, method: str, key: str, query: str = "", **more: object) -> Ask:
        """A request with a signature that holds for a day; the query is not part of it."""
        auth = self._sdk.get_auth(Method=method, Bucket=BUCKET, Key=key or None, Expired=86_400)
        target = "/" + quote(key) + (f"?{query}" if query else "")
        head = f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {auth}"
        return Ask(head.encode(), expect=(200, 204), **more)
