"""A client of the door that sends what it is told to, signed by the Python SDK's own signer."""

from __future__ import annotations

import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from qcloud_cos import CosConfig
from qcloud_cos.cos_auth import CosS3Auth

SUFFIX = "cos.ap-test.myqcloud.com"


@dataclass(frozen=True)
class Answer:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def xml(self) -> ET.Element:
        assert self.headers["content-type"] == "application/xml"
        return ET.fromstring(self.body)

    @property
    def code(self) -> str:
        """Of an error, which must have all that every error has."""
        root = self.xml
        assert root.tag == "Error"
        for name in ("Code", "Message", "Resource", "RequestId", "TraceId"):
            assert root.findtext(name), f"{name} is empty"
        assert self.headers["x-cos-trace-id"] == root.findtext("TraceId")
        assert self.headers["x-cos-request-id"] == root.findtext("RequestId")
        assert int(self.headers["content-length"]) == len(self.body)
        assert {"date", "server"} <= set(self.headers)
        assert "x-cos-error-code" not in self.headers
        return root.findtext("Code") or ""

    def texts(self, path: str) -> list[str]:
        """Of all elements at a path."""
        return [each.text or "" for each in self.xml.findall(path)]

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code."""
        return self.status, self.code


@dataclass(frozen=True)
class Client:
    """Somebody who signs.

    Args:
        address: host and port that are connected to, whatever ``host`` says.
        id, secret: of a credential.
        host: that requests name.
    """

    address: str
    id: str
    secret: str = field(repr=False)
    host: str = SUFFIX
    pool: urllib3.HTTPConnectionPool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name, _, port = self.address.partition(":")
        pool = urllib3.HTTPConnectionPool(name, int(port), maxsize=16, retries=False)
        object.__setattr__(self, "pool", pool)

    def on(self, bucket: str) -> Client:
        """The same with a bucket's host."""
        return replace(self, host=f"{bucket}.{SUFFIX}")

    def signed(
        self, method: str, key: str = "", query: Mapping[str, str] | None = None, **headers: str
    ) -> dict[str, str]:
        """Headers with a host and a signature."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = SimpleNamespace(method=method, headers={"Host": self.host, **named})
        conf = CosConfig(Region="ap-test", SecretId=self.id, SecretKey=self.secret)
        CosS3Auth(conf, f"/{key}", query or {})(request)
        return request.headers

    def __call__(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        body: Any = None,
        **headers: str,
    ) -> Answer:
        """A signed request: ``client("PUT", "a/b", {"uploads": ""}, x_cos_acl="private")``."""
        target = "/" + quote(key) + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        return self.send(method, target, self.signed(method, key, query, **headers), body)

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Any = None
    ) -> Answer:
        """A request just so; headers leave as UTF-8."""
        sent: dict[str, Any] = {name: value.encode() for name, value in headers.items()}
        answer = self.pool.urlopen(method, target, body, sent, redirect=False, timeout=60)
        known = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, known, answer.data)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A socket, for what no client sends."""
        name, _, port = self.address.partition(":")
        with socket.create_connection((name, int(port)), timeout=60) as there:
            yield there

    def raw(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """A request whose line and headers go out as they are."""
        with self.connection() as there:
            there.sendall(head(method, target, {**headers, "Connection": "close"}) + body)
            received = b"".join(iter(lambda: there.recv(1 << 16), b""))
        above, _, content = received.partition(b"\r\n\r\n")
        status, *lines = above.decode("latin-1").split("\r\n")
        known = (line.split(": ", 1) for line in lines)
        return Answer(
            int(status.split()[1]), {name.lower(): value for name, value in known}, content
        )


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The beginning of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
