"""Objects: put, got, looked at and deleted."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime

import pytest

from tests.dialects.cloud_infinite.client import Client, head
from tests.dialects.conftest import RunningServer


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_what_is_put_comes_back_as_it_was(client: Client) -> None:
    put = client("PUT", "a/photo.jpg", body=b"content", content_type="image/jpeg")
    assert put.status == 200
    assert put.body == b""
    assert put.headers["etag"] == f'"{md5(b"content")}"'
    got = client("GET", "a/photo.jpg")
    assert (got.status, got.body) == (200, b"content")
    assert got.headers["content-type"] == "image/jpeg"
    assert got.headers["etag"] == put.headers["etag"]
    assert got.headers["content-length"] == "7"
    assert got.headers["accept-ranges"] == "bytes"
    assert got.headers["content-security-policy"] == "sandbox"
    assert got.headers["server"] == "tencent-cos"
    age = time.time() - parsedate_to_datetime(got.headers["last-modified"]).timestamp()
    assert -2 < age < 60


def test_every_answer_has_date_length_and_a_request_id(client: Client) -> None:
    for answer in (client("PUT", "b", body=b"x"), client("GET", "b"), client("GET", "missing")):
        assert {"date", "content-length", "x-cos-request-id", "server"} <= set(answer.headers)
        assert answer.headers["x-cos-request-id"] == answer.headers["x-request-id"]


def test_stored_headers_come_back_and_an_empty_one_is_none(client: Client) -> None:
    sent = {
        "Cache-Control": "",
        "Content-Disposition": "attachment; filename=a.png",
        "Content-Encoding": "x-own",
        "Content-Language": "de",
        "Expires": "Thu, 01 Dec 2094 16:00:00 GMT",
        "x-cos-meta-Author": "café",
        "Content-Type": "text/plain",
    }
    assert client("PUT", "described", body=b"x", **sent).status == 200
    for method in ("GET", "HEAD"):
        got = client(method, "described").headers
        assert "cache-control" not in got
        assert got["content-type"] == "text/plain"  # and no charset
        assert got["content-disposition"] == "attachment; filename=a.png"
        assert got["content-encoding"] == "x-own"
        assert got["content-language"] == "de"
        assert got["expires"] == "Thu, 01 Dec 2094 16:00:00 GMT"
        assert got["x-cos-meta-author"].encode("latin-1") == "café".encode()


def test_without_a_type_an_object_is_bytes(client: Client) -> None:
    client("PUT", "typeless", body=b"x")
    assert client("GET", "typeless").headers["content-type"] == "application/octet-stream"
    client("PUT", "typeless", body=b"x", content_type="")
    assert client("GET", "typeless").headers["content-type"] == "application/octet-stream"


def test_metadata_are_two_kilobytes_at_most(client: Client) -> None:
    name = "x-cos-meta-a"
    fits = client("PUT", "meta", body=b"x", **{name: "v" * (2048 - len(name))})
    assert fits.status == 200
    more = client("PUT", "meta", body=b"y", **{name: "v" * (2049 - len(name))})
    assert more.refusal == (400, "MetadataTooLarge")
    assert client("GET", "meta").body == b"x"


def test_other_headers_are_no_more_than_clients_can_read(client: Client) -> None:
    control = "v" * (8192 - len("text/plain"))
    fits = client("PUT", "kept", body=b"x", content_type="text/plain", cache_control=control)
    assert fits.status == 200
    assert client("GET", "kept").headers["cache-control"] == control
    more = client("PUT", "kept", body=b"y", content_type="text/plain", cache_control=control + "v")
    assert more.refusal == (400, "MetadataTooLarge")
    assert client("GET", "kept").body == b"x"


@pytest.mark.parametrize(
    "key",
    [
        "写真/猫 と 犬.png",
        "a+b&c=d;e?f#g%h.png",
        "%2F%41",
        "a//b",
        "/leading",
        "dots/../../etc/./passwd",
        "v1/upscale",
        "healthz",
        "line\nbreak",
        "tab\tand\x7f",
        "folder/",
        "'\"<>\\|{}[]^`~!*()@:$,",
        "x" * 850,
        "é" * 425,
        "😀.png",
    ],
)
def test_any_key_can_be_used(client: Client, key: str) -> None:
    content = key.encode()
    assert client("PUT", key, body=content).status == 200
    assert client("GET", key).body == content
    listed = client("GET", query={"prefix": key, "encoding-type": "url"})
    assert listed.status == 200
    assert client("HEAD", key).headers["content-length"] == str(len(content))
    assert client("DELETE", key).status == 204
    assert client("GET", key).refusal == (404, "NoSuchKey")


def test_a_key_of_851_bytes_is_too_long(client: Client) -> None:
    assert client("PUT", "x" * 851, body=b"x").refusal == (400, "KeyTooLong")
    assert client("PUT", "é" * 425 + "x", body=b"x").refusal == (400, "KeyTooLong")


def test_a_missing_object_is_404_and_deleting_it_is_fine(client: Client) -> None:
    missing = client("GET", "not/there & <here>")
    assert missing.refusal == (404, "NoSuchKey")
    assert missing.texts("Resource") == [f"{client.host}/not/there & <here>"]
    looked = client("HEAD", "not/there")
    assert (looked.status, looked.body) == (404, b"")
    assert looked.headers["x-cos-trace-id"]
    assert looked.headers["x-cos-request-id"]
    assert looked.headers["content-length"] == "0"
    deleted = client("DELETE", "not/there")
    assert (deleted.status, deleted.body) == (204, b"")


@pytest.mark.parametrize(
    ("asked", "status", "content", "described"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=9-99", 206, b"9", "bytes 9-9/10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=5-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
    ],
)
def test_ranges(
    client: Client, asked: str, status: int, content: bytes, described: str | None
) -> None:
    client("PUT", "digits", body=b"0123456789")
    got = client("GET", "digits", range=asked)
    assert (got.status, got.body) == (status, content)
    assert got.headers.get("content-range") == described
    assert got.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0", "bytes=11-12"])
def test_a_range_outside_is_416(client: Client, asked: str) -> None:
    client("PUT", "digits", body=b"0123456789")
    got = client("GET", "digits", range=asked)
    assert got.refusal == (416, "InvalidRange")
    assert got.headers["content-range"] == "bytes */10"
    client("PUT", "empty", body=b"")
    assert client("GET", "empty", range="bytes=0-").refusal == (416, "InvalidRange")
    assert client("GET", "empty").body == b""


def test_if_range_gives_the_whole_of_another_object(client: Client) -> None:
    etag = client("PUT", "ranged", body=b"0123456789").headers["etag"]
    assert client("GET", "ranged", range="bytes=2-3", if_range=etag).body == b"23"
    assert client("GET", "ranged", range="bytes=2-3", if_range='"other"').body == b"0123456789"


def test_conditions(client: Client) -> None:
    etag = client("PUT", "conditional", body=b"x").headers["etag"]
    before, after = (
        formatdate(time.time() - 3600, usegmt=True),
        formatdate(time.time() + 3600, usegmt=True),
    )
    expected = {
        ("if_match", etag): 200,
        ("if_match", '"other"'): 412,
        ("if_match", "*"): 200,
        ("if_none_match", etag): 304,
        ("if_none_match", etag.strip('"')): 304,
        ("if_none_match", f'"other", {etag}'): 304,
        ("if_none_match", '"other"'): 200,
        ("if_modified_since", before): 200,
        ("if_modified_since", after): 304,
        ("if_unmodified_since", before): 412,
        ("if_unmodified_since", after): 200,
        ("if_modified_since", "yesterday"): 200,
    }
    for (name, value), status in expected.items():
        for method in ("GET", "HEAD"):
            got = client(method, "conditional", **{name: value})
            assert got.status == status, (method, name, value)
            assert got.body == b"" or got.status != 304
            if status == 304:
                assert got.headers["etag"] == etag
    refused = client("GET", "conditional", if_match='"other"')
    assert refused.refusal == (412, "PreconditionFailed")


def test_headers_of_an_answer_can_be_asked_for(client: Client) -> None:
    client("PUT", "plain", body=b"x", content_type="image/png")
    asked = {
        "response-content-type": "text/html",
        "response-content-disposition": "attachment; filename=é.html",
        "response-cache-control": "no-store",
    }
    got = client("GET", "plain", asked).headers
    assert got["content-type"] == "text/html"
    assert got["content-disposition"].encode("latin-1").decode() == "attachment; filename=é.html"
    assert got["cache-control"] == "no-store"
    assert got["content-security-policy"] == "sandbox"
    split = client("GET", "plain", {"response-content-type": "a\r\nSet-Cookie: x=1"})
    assert split.refusal == (400, "InvalidArgument")


def test_a_body_must_be_what_content_md5_says(client: Client) -> None:
    right = base64.b64encode(hashlib.md5(b"content").digest()).decode()
    assert client("PUT", "checked", body=b"content", content_md5=right).status == 200
    wrong = client("PUT", "checked", body=b"another", content_md5=right)
    assert wrong.refusal == (400, "BadDigest")
    assert client("GET", "checked").body == b"content"
    for nonsense in ("x", "AAAA", "é"):
        refused = client("PUT", "checked", body=b"content", content_md5=nonsense)
        assert refused.refusal == (400, "InvalidDigest")


def test_a_body_needs_a_length_or_chunks(client: Client) -> None:
    bare = client.raw("PUT", "/lengthless", client.signed("PUT", "lengthless"))
    assert bare.refusal == (411, "MissingContentLength")
    pieces = (bytes([n]) * 100_000 for n in range(30))
    headers = client.signed("PUT", "chunked", transfer_encoding="chunked")
    assert client.send("PUT", "/chunked", headers, pieces).status == 200
    assert client("GET", "chunked").body == b"".join(bytes([n]) * 100_000 for n in range(30))


def test_an_object_can_be_kept_from_being_replaced(client: Client) -> None:
    kept = {"x-cos-forbid-overwrite": "true"}
    assert client("PUT", "once", body=b"first", **kept).status == 200
    assert client("PUT", "once", body=b"second", **kept).refusal == (409, "FileAlreadyExists")
    assert client("GET", "once").body == b"first"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-cos-acl", "public-read"),
        ("x-cos-grant-read", 'id="1"'),
        ("x-cos-server-side-encryption", "AES256"),
        ("x-cos-tagging", "a=b"),
        ("content-encoding", "aws-chunked"),
        ("content-encoding", "gzip, AWS-chunked"),
    ],
)
def test_what_is_not_offered_is_refused_and_not_forgotten(
    client: Client, name: str, value: str
) -> None:
    assert client("PUT", "acl", body=b"x", **{name: value}).refusal == (400, "InvalidArgument")
    assert client("HEAD", "acl").status == 404


def test_private_and_the_standard_class_are_taken(client: Client) -> None:
    more = {"x-cos-acl": "private", "x-cos-storage-class": "STANDARD"}
    assert client("PUT", "private", body=b"x", **more).status == 200


def test_a_client_that_goes_leaves_nothing(client: Client, server: RunningServer) -> None:
    headers = client.signed("PUT", "half", content_length="2000000")
    with client.connection() as there:
        there.sendall(head("PUT", "/half", headers) + b"x" * 1_500_000)
        assert _comes_true(lambda: list(server.app.spool.glob("request-*/body")))
    assert _comes_true(lambda: not list(server.app.spool.glob("request-*")))
    assert client("HEAD", "half").status == 404


def test_many_at_once_leave_one_of_them_whole(client: Client) -> None:
    contents = [bytes([n]) * 300_000 for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda content: client("PUT", "shared", body=content), contents))
    assert {answer.status for answer in answers} == {200}
    got = client("GET", "shared")
    assert got.body in contents
    assert got.headers["etag"] == f'"{md5(got.body)}"'


def test_a_reader_has_one_object_while_others_replace_it(client: Client) -> None:
    contents = {bytes([n]) * 3_000_000 for n in range(4)}
    stop = threading.Event()
    client("PUT", "busy", body=bytes(3_000_000))

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                client("PUT", "busy", body=content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            got = client("GET", "busy")
            assert got.status == 200
            assert got.body in contents
            assert got.headers["etag"] == f'"{md5(got.body)}"'
    finally:
        stop.set()
        writer.join()


def _comes_true(condition, patience: float = 20.0) -> bool:
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
