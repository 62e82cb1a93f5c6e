"""Requests as real signing clients put them on the wire."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
import urllib3
from aws_requests_auth.aws_auth import AWSRequestsAuth
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests_aws4auth import AWS4Auth

KEY, SECRET, REGION = "SRtestkey00000000000", "not/a+secret=but&shaped$like%one", "us-east-1"


@dataclass(frozen=True)
class Captured:
    """One request, byte for byte where it matters."""

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@contextmanager
def capturing() -> Iterator[tuple[str, list[Captured]]]:
    """A server that keeps what it gets and answers ``{}``; yields its address and the list."""
    captured: list[Captured] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _keep(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, _, query = self.path.partition("?")
            headers = tuple(
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in self.headers.raw_items()
            )
            captured.append(Captured(self.command, path.encode(), query.encode(), headers, body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = _keep  # noqa: N815 -- the base class names it so

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", captured
        finally:
            server.shutdown()


def by_aws_requests_auth(url, body, *, key=KEY, secret=SECRET, token=None, content_type=None):
    """The vendor's own sample."""
    host = urllib3.util.parse_url(url).netloc
    auth = AWSRequestsAuth(key, secret, host, REGION, "execute-api", aws_token=token)
    headers = {"Content-Type": content_type} if content_type else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks utcnow() for the time
        return requests.post(url, data=body, auth=auth, headers=headers, timeout=60)


def by_requests_aws4auth(url, body, *, key=KEY, secret=SECRET, token=None, content_type=None):
    # It adds the token to a set of the class, for all that come after.
    known = set(AWS4Auth.default_include_headers)
    try:
        auth = AWS4Auth(key, secret, REGION, "execute-api", session_token=token)
    finally:
        AWS4Auth.default_include_headers = known
    headers = {"Content-Type": content_type} if content_type else {}
    # As text: it then sets a content type of its own.
    return requests.post(url, data=body.decode(), auth=auth, headers=headers, timeout=60)


def by_botocore(url, body, *, key=KEY, secret=SECRET, token=None, content_type=None):
    headers = {"Content-Type": content_type} if content_type else {}
    request = AWSRequest("POST", url, headers=headers, data=body)
    SigV4Auth(Credentials(key, secret, token), "execute-api", REGION).add_auth(request)
    return _send(request, body)


def by_botocore_presigned(url, body, *, key=KEY, secret=SECRET, token=None, content_type=None):
    """An address that whoever has it may post this body to, for an hour."""

    class Presigner(SigV4QueryAuth):
        def payload(self, _):
            # Its own would move the body's fields into the query.
            return hashlib.sha256(body).hexdigest()

    headers = {"Content-Type": content_type} if content_type else {}
    request = AWSRequest("POST", url, headers=headers)
    Presigner(Credentials(key, secret, token), "execute-api", REGION).add_auth(request)
    return _send(request, body)


def _send(request, body):
    prepared = request.prepare()
    headers = dict(prepared.headers)
    headers.pop("Content-Length", None)  # a presigned address knows of no body
    return urllib3.request(
        "POST", prepared.url, headers=headers, body=body, retries=False, timeout=60
    )


def by_curl(url, body, *, key=KEY, secret=SECRET, token=None, content_type=None):
    command = [
        "curl", "-sS", "--max-time", "60", "-X", "POST", url, "--data-binary", "@-",
        "--aws-sigv4", f"aws:amz:{REGION}:execute-api", "--user", f"{key}:{secret}",
        "-o", "-", "-w", "\n%{http_code}",
    ]  # fmt: skip
    if token:
        command += ["-H", f"X-Amz-Security-Token: {token}"]
    if content_type:
        command += ["-H", f"Content-Type: {content_type}"]
    done = subprocess.run(command, input=body, capture_output=True, check=True, timeout=90)
    text, _, status = done.stdout.rpartition(b"\n")
    return urllib3.HTTPResponse(text, status=int(status))


SIGNERS: dict[str, Callable[..., object]] = {
    "aws-requests-auth": by_aws_requests_auth,
    "requests-aws4auth": by_requests_aws4auth,
    "botocore": by_botocore,
    "botocore presigned": by_botocore_presigned,
    "curl": by_curl,
}
