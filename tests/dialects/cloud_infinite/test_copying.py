"""Objects copied, and many deleted at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from typing import Any

import pytest

from superres.access import Policy, Statement
from superres.server.dialects.cloud_infinite import xml
from tests.dialects.cloud_infinite.client import Answer, Client
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.cloud_infinite.making import operations, picture, rule
from tests.dialects.conftest import RunningServer


@pytest.fixture(scope="module")
def other(server: RunningServer, owner: Client) -> Client:
    """The owner's other bucket."""
    return owner.on(server.app.buckets.create(new_name(), owner.id).name)


def copy(client: Client, key: str, source: str, **headers: str) -> Answer:
    return client("PUT", key, **{"x-cos-copy-source": source}, **headers)


def test_a_copy_is_like_its_source(client: Client, other: Client) -> None:
    etag = other(
        "PUT",
        "p1/é +%.png",
        body=b"content",
        content_type="image/png",
        **{"x-cos-meta-a": "1", "Cache-Control": "no-store"},
    ).headers["etag"]
    made = copy(client, "copied.png", f"{other.host}/p1/%C3%A9%20%2B%25.png")
    assert made.status == 200
    assert made.xml.tag == "CopyObjectResult"
    assert made.texts("ETag") == [etag]
    assert made.texts("LastModified")[0].endswith("Z")
    got = client("GET", "copied.png")
    assert got.body == b"content"
    assert got.headers["content-type"] == "image/png"
    assert got.headers["x-cos-meta-a"] == "1"
    assert got.headers["cache-control"] == "no-store"


def test_a_copy_can_have_headers_of_its_own(client: Client) -> None:
    client("PUT", "self", body=b"content", **{"x-cos-meta-a": "1"})
    replaced = {"x-cos-metadata-directive": "Replaced", "x-cos-meta-b": "2"}
    assert copy(client, "self", f"{client.host}/self", content_type="a/b", **replaced).status == 200
    got = client("GET", "self")
    assert (got.body, got.headers["content-type"]) == (b"content", "a/b")
    assert got.headers["x-cos-meta-b"] == "2"
    assert "x-cos-meta-a" not in got.headers
    nonsense = {"x-cos-metadata-directive": "Maybe"}
    refused = copy(client, "self", f"{client.host}/self", **nonsense)
    assert refused.refusal == (400, "InvalidArgument")


def test_an_object_in_parts_can_be_copied(client: Client) -> None:
    upload = client("POST", "big", {"uploads": ""}).texts("UploadId")[0]
    part = client("PUT", "big", {"uploadId": upload, "partNumber": "1"}, b"x" * 3_000_000)
    document = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    )
    assert client("POST", "big", {"uploadId": upload}, document.encode()).status == 200
    made = copy(client, "whole", f"https://{client.host}/big?versionId=null")
    assert made.texts("ETag") == [f'"{hashlib.md5(b"x" * 3_000_000).hexdigest()}"']
    assert client("GET", "whole").body == b"x" * 3_000_000


@pytest.mark.parametrize(
    ("source", "refusal"),
    [
        ("{host}/missing", (404, "NoSuchKey")),
        ("nowhere-1.cos.ap-test.myqcloud.com/a", (404, "NoSuchBucket")),
        ("a.bucket.of.s3.example/key", (400, "InvalidArgument")),
        ("cos.ap-test.myqcloud.com/key", (400, "InvalidArgument")),
        ("{host}/", (400, "InvalidArgument")),
        ("{host}", (400, "InvalidArgument")),
        ("{host}/a%", (400, "InvalidURI")),
        ("{host}/a?versionId=3", (400, "InvalidArgument")),
        ("\u00e9/a", (400, "InvalidArgument")),
    ],
)
def test_sources_that_are_none(client: Client, source: str, refusal: tuple[int, str]) -> None:
    refused = copy(client, "target", source.format(host=client.host))
    assert refused.refusal == refusal
    assert client("HEAD", "target").status == 404


def test_conditions_on_the_source(client: Client) -> None:
    etag = client("PUT", "from", body=b"x").headers["etag"]
    for name, value, status in (
        ("If-Match", etag, 200),
        ("If-Match", '"other"', 412),
        ("If-None-Match", etag, 412),
        ("If-None-Match", '"other"', 200),
    ):
        condition = {f"x-cos-copy-source-{name}": value}
        assert copy(client, "to", f"{client.host}/from", **condition).status == status


def test_a_copy_is_not_super_resolved_on_the_way(client: Client) -> None:
    source = f"{client.host}/picture.png"
    client("PUT", "picture.png", body=picture())
    refused = copy(client, "enlarged.png", source, **operations(rule("beside.png")))
    assert refused.refusal == (400, "InvalidArgument")
    for key in ("enlarged.png", "beside.png"):
        assert client("HEAD", key).status == 404


def test_who_copies_must_be_allowed_to_read(server: RunningServer, client: Client) -> None:
    client("PUT", "secret/a", body=b"x")
    bucket = client.host.partition(".")[0]
    write = Statement("allow", ("cos:PutObject", "cos:GetObject"), (f"{bucket}/open/*",))
    guest = somebody(server, Policy((write,))).on(bucket)
    assert copy(guest, "open/a", f"{client.host}/secret/a").refusal == (403, "AccessDenied")
    client("PUT", "open/b", body=b"x")
    assert copy(guest, "open/a", f"{client.host}/open/b").status == 200
    assert copy(guest, "elsewhere", f"{client.host}/open/b").refusal == (403, "AccessDenied")


def delete(client: Client, document: str, **headers: str) -> Answer:
    return client("POST", "", {"delete": ""}, document.encode(), **headers)


def keys(*names: str) -> str:
    return "".join(f"<Object><Key>{name}</Key></Object>" for name in names)


def test_many_are_deleted_at_once(client: Client) -> None:
    for key in ("many/1", "many/&2", "many/kept"):
        client("PUT", key, body=b"x")
    document = f"<Delete>{keys('many/1', 'many/&amp;2', 'many/missing')}</Delete>"
    digest = base64.b64encode(hashlib.md5(document.encode()).digest()).decode()
    done = delete(client, document, content_md5=digest)
    assert done.xml.tag == "DeleteResult"
    assert done.texts("Deleted/Key") == ["many/1", "many/&2", "many/missing"]
    left = client("GET", query={"prefix": "many/"})
    assert left.texts("Contents/Key") == ["many/kept"]
    quiet = delete(client, f"<Delete><Quiet>true</Quiet>{keys('many/kept')}</Delete>")
    assert (quiet.status, len(quiet.xml)) == (200, 0)
    assert client("GET", "many/kept").status == 404


def test_a_long_list_holds_up_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    read, where = xml.read, []

    def noting(*given: Any) -> Any:
        with contextlib.suppress(RuntimeError):
            where.append(asyncio.get_running_loop())
        return read(*given)

    monkeypatch.setattr(xml, "read", noting)
    assert delete(client, f"<Delete>{keys('none')}</Delete>").texts("Deleted/Key") == ["none"]
    assert where == [], "it was read in the event loop"


def test_each_key_has_its_own_right(server: RunningServer, client: Client) -> None:
    bucket = client.host.partition(".")[0]
    mine = Statement("allow", ("cos:DeleteObject",), (f"{bucket}/mine/*",))
    guest = somebody(server, Policy((mine,))).on(bucket)
    for key in ("mine/a", "yours/a"):
        client("PUT", key, body=b"x")
    done = delete(guest, f"<Delete>{keys('mine/a', 'yours/a', 'x' * 900)}</Delete>")
    assert done.texts("Deleted/Key") == ["mine/a"]
    assert done.texts("Error/Key") == ["yours/a", "x" * 900]
    assert done.texts("Error/Code") == ["AccessDenied", "KeyTooLong"]
    assert client("HEAD", "yours/a").status == 200


@pytest.mark.parametrize(
    "document",
    [
        "<Delete/>",
        f"<Delete>{keys('')}</Delete>",
        "<Delete><Object/></Delete>",
        "<Delete><Key>a</Key></Delete>",
        f"<Delete>{keys(*map(str, range(1001)))}</Delete>",
        "<Delete><Object><Key>a</Key><VersionId>1</VersionId></Object></Delete>",
        "<Delete><Object><Key>a<b>c</b></Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "",
    ],
)
def test_lists_that_are_none_delete_nothing(client: Client, document: str) -> None:
    client("PUT", "a", body=b"x")
    assert delete(client, document).refusal == (400, "MalformedXML")
    assert client("HEAD", "a").status == 200


def test_a_list_that_was_damaged_deletes_nothing(client: Client) -> None:
    client("PUT", "a", body=b"x")
    digest = base64.b64encode(hashlib.md5(b"another").digest()).decode()
    refused = delete(client, f"<Delete>{keys('a')}</Delete>", content_md5=digest)
    assert refused.refusal == (400, "BadDigest")
    assert client("HEAD", "a").status == 200
