"""What is refused, and how."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from superres.access import Policy, Statement
from tests.dialects.cloud_infinite.client import Client, head
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.conftest import RunningServer, StartServer


def test_an_error_is_told_as_cos_does(client: Client) -> None:
    refused = client("GET", "p1/missing & <é>.png")
    assert refused.refusal == (404, "NoSuchKey")
    assert [each.tag for each in refused.xml] == [
        "Code",
        "Message",
        "Resource",
        "RequestId",
        "TraceId",
    ]
    assert refused.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert b"xmlns" not in refused.body
    assert "content-encoding" not in refused.headers
    assert refused.headers["server"] == "tencent-cos"


def test_who_does_not_sign_is_refused(client: Client, owner: Client) -> None:
    for key in ("", "key"):
        bare = client.raw("GET", f"/{key}", {"Host": client.host})
        assert bare.refusal == (403, "AccessDenied")
    at_service = client.raw("GET", "/", {"Host": owner.host})
    assert at_service.refusal == (403, "AccessDenied")


def test_an_unknown_id_and_a_wrong_signature(client: Client) -> None:
    unknown = Client(client.address, "AKID" + "x" * 32, client.secret, client.host)
    assert unknown("GET").refusal == (403, "InvalidAccessKeyId")
    wrong = Client(client.address, client.id, "wrong", client.host)("GET")
    assert wrong.refusal == (403, "SignatureDoesNotMatch")
    assert wrong.texts("Message") == ["The Signature you specified is invalid."]


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "acl"),
        ("PUT", "cors"),
        ("GET", "versioning"),
        ("PUT", "tagging"),
        ("GET", "lifecycle"),
        ("DELETE", "policy"),
        ("GET", "versions"),
        ("POST", ""),
        ("PATCH", ""),
    ],
)
def test_what_is_not_here_is_405(client: Client, method: str, query: str) -> None:
    asked = {query: ""} if query else {}
    client("PUT", "there", body=b"x")
    for key in ("", "there"):
        assert client(method, key, asked).refusal == (405, "MethodNotAllowed")
    assert client("GET", "there").body == b"x"
    assert client("GET", "there", {"versionId": "1"}).refusal == (405, "MethodNotAllowed")
    assert client("GET", "there", {"versionId": "null"}).status == 200


def test_a_missing_bucket_comes_before_rights_and_offers(owner: Client) -> None:
    nowhere = owner.on(new_name())
    for answer in (
        nowhere("GET", "key"),
        nowhere("GET", query={"acl": ""}),
        nowhere("PUT", "key", body=b"x"),
        nowhere("POST", "key", {"uploads": ""}),
        nowhere("GET", "key", {"ci-process": "AISuperResolution"}),
    ):
        assert answer.refusal == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("action", "allowed", "refused"),
    [
        ("cos:GetObject", ("GET", "a/key", {}), ("HEAD", "a/key", {})),
        ("cos:HeadObject", ("HEAD", "a/key", {}), ("GET", "a/key", {})),
        ("cos:PutObject", ("PUT", "a/new", {}), ("PUT", "b/new", {})),
        ("cos:DeleteObject", ("DELETE", "a/none", {}), ("DELETE", "b/none", {})),
        ("cos:GetBucket", ("GET", "", {"prefix": "a/"}), ("GET", "", {})),
        ("cos:ListMultipartUploads", ("GET", "", {"uploads": "", "prefix": "a/"}), ("GET", "", {})),
        ("cos:InitiateMultipartUpload", ("POST", "a/x", {"uploads": ""}), ("PUT", "a/x", {})),
    ],
)
def test_policies_speak_of_actions_and_prefixes(
    server: RunningServer, client: Client, action: str, allowed: tuple, refused: tuple
) -> None:
    client("PUT", "a/key", body=b"x")
    bucket = client.host.partition(".")[0]
    policy = Policy((Statement("allow", (action,), (f"{bucket}/a/*",)),))
    guest = somebody(server, policy).on(bucket)
    method, key, query = allowed
    assert guest(method, key, query, body=b"" if method == "PUT" else None).status in (200, 204)
    method, key, query = refused
    denied = guest(method, key, query, body=b"" if method == "PUT" else None)
    assert denied.status == 403
    if method != "HEAD":
        assert denied.code == "AccessDenied"


def test_a_body_is_not_read_for_who_may_not_send_it(server: RunningServer, client: Client) -> None:
    stranger = somebody(server).on(client.host.partition(".")[0])
    headers = {
        **stranger.signed("PUT", "key", content_length="1000000000"),
        "Expect": "100-continue",
    }
    assert stranger.raw("PUT", "/key", headers).refusal == (403, "AccessDenied")


def test_a_refusal_arrives_although_the_body_was_sent_all_the_same(
    server: RunningServer, client: Client
) -> None:
    stranger = somebody(server).on(client.host.partition(".")[0])
    assert stranger("PUT", "key", body=b"x" * 30_000_000).refusal == (403, "AccessDenied")
    assert stranger("PUT", "key", body=b"x" * 3_000_000).refusal == (403, "AccessDenied")


def test_a_server_that_has_enough_to_do_says_slow_down(start_server: StartServer) -> None:
    busy = start_server({"server.max_requests": 3})
    owner = somebody(busy)
    there = owner.on(busy.app.buckets.create(new_name(), owner.id).name)
    headers = there.signed("PUT", "slow", content_length="10")
    with ExitStack() as stack:
        waiting = [stack.enter_context(there.connection()) for _ in range(3)]
        for each in waiting:
            each.sendall(head("PUT", "/slow", headers) + b"12345")
        until = time.monotonic() + 20
        while (refused := there("GET")).status == 200:
            assert time.monotonic() < until
        assert refused.refusal == (503, "SlowDown")
        assert int(refused.headers["retry-after"]) >= 1
        for each in waiting:
            each.sendall(b"67890")
            assert each.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_body_that_stops_is_given_up(start_server: StartServer) -> None:
    hasty = start_server({"server.body_timeout": 0.5})
    owner = somebody(hasty)
    there = owner.on(hasty.app.buckets.create(new_name(), owner.id).name)
    headers = there.signed("PUT", "slow", content_length="10")
    assert there.raw("PUT", "/slow", headers, b"12345").refusal == (400, "RequestTimeout")
    assert there("HEAD", "slow").status == 404
