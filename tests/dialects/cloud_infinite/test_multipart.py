"""Uploads in parts."""

from __future__ import annotations

import hashlib
from urllib.parse import unquote

import pytest

from tests.dialects.cloud_infinite.client import Answer, Client
from tests.dialects.cloud_infinite.conftest import new_name
from tests.dialects.conftest import RunningServer, StartServer

GONE = "0" * 32


def begin(client: Client, key: str, **headers: str) -> str:
    begun = client("POST", key, {"uploads": ""}, content_length="0", **headers)
    assert begun.status == 200
    assert begun.xml.tag == "InitiateMultipartUploadResult"
    assert begun.texts("Key") == [key]
    assert begun.texts("Bucket") == [client.host.partition(".")[0]]
    return begun.texts("UploadId")[0]


def put(client: Client, key: str, upload: str, number: object, content: bytes) -> Answer:
    return client("PUT", key, {"partNumber": str(number), "uploadId": upload}, content)


def complete(
    client: Client, key: str, upload: str, *parts: tuple[object, str], **headers: str
) -> Answer:
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in parts
    )
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
    return client("POST", key, {"uploadId": upload}, document.encode(), **headers)


def test_parts_become_an_object(client: Client) -> None:
    key, contents = "parts/é & co.bin", [b"a" * 1_200_000, b"b" * 1_100_000, b"c"]
    upload = begin(client, key, content_type="image/tiff", **{"x-cos-meta-who": "me"})
    etags = [
        put(client, key, upload, n, content).headers["etag"]
        for n, content in enumerate(contents, 1)
    ]
    assert client("GET", key).refusal == (404, "NoSuchKey")
    made = complete(client, key, upload, *enumerate(etags, 1))
    assert made.xml.tag == "CompleteMultipartUploadResult"
    digests = b"".join(hashlib.md5(content).digest() for content in contents)
    etag = f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert made.texts("ETag") == [etag]
    assert made.texts("Key") == [key]
    assert made.texts("Location") == [f"{client.host}/parts/%C3%A9%20%26%20co.bin"]
    got = client("GET", key)
    assert got.body == b"".join(contents)
    assert got.headers["etag"] == etag
    assert got.headers["content-type"] == "image/tiff"
    assert got.headers["x-cos-meta-who"] == "me"
    assert client("GET", key, range="bytes=1199998-1200001").body == b"aabb"
    assert complete(client, key, upload, *enumerate(etags, 1)).refusal == (404, "NoSuchUpload")


def test_parts_are_listed_page_by_page(client: Client) -> None:
    upload = begin(client, "listed")
    etags = [put(client, "listed", upload, n, b"x" * n).headers["etag"] for n in (1, 2, 5)]
    every = client("GET", "listed", {"uploadId": upload})
    assert every.xml.tag == "ListPartsResult"
    assert every.texts("Part/PartNumber") == ["1", "2", "5"]
    assert every.texts("Part/Size") == ["1", "2", "5"]
    assert every.texts("Part/ETag") == etags
    assert every.texts("IsTruncated") == ["false"]
    assert every.texts("UploadId") == [upload]
    assert every.texts("Initiator/ID") == [client.id]
    page = client("GET", "listed", {"uploadId": upload, "max-parts": "2"})
    assert page.texts("Part/PartNumber") == ["1", "2"]
    assert page.texts("IsTruncated") == ["true"]
    following = {"uploadId": upload, "part-number-marker": page.texts("NextPartNumberMarker")[0]}
    assert client("GET", "listed", following).texts("Part/PartNumber") == ["5"]
    client("DELETE", "listed", {"uploadId": upload})


def test_a_part_sent_again_replaces_the_first(client: Client) -> None:
    upload = begin(client, "again")
    first = put(client, "again", upload, 1, b"first").headers["etag"]
    second = put(client, "again", upload, 1, b"second").headers["etag"]
    assert complete(client, "again", upload, (1, first)).refusal == (400, "InvalidPart")
    assert complete(client, "again", upload, (1, second.strip('"'))).status == 200
    assert client("GET", "again").body == b"second"


def test_an_aborted_upload_is_over(client: Client) -> None:
    upload = begin(client, "aborted")
    etag = put(client, "aborted", upload, 1, b"x").headers["etag"]
    assert client("DELETE", "aborted", {"uploadId": upload}).status == 204
    for answer in (
        client("DELETE", "aborted", {"uploadId": upload}),
        client("GET", "aborted", {"uploadId": upload}),
        put(client, "aborted", upload, 2, b"x"),
        complete(client, "aborted", upload, (1, etag)),
    ):
        assert answer.refusal == (404, "NoSuchUpload")
    assert client("GET", "aborted").refusal == (404, "NoSuchKey")


def test_an_upload_is_of_its_key_and_bucket_alone(
    client: Client, owner: Client, server: RunningServer
) -> None:
    upload = begin(client, "mine")
    other = owner.on(server.app.buckets.create(new_name(), owner.id).name)
    assert put(client, "yours", upload, 1, b"x").refusal == (404, "NoSuchUpload")
    assert put(other, "mine", upload, 1, b"x").refusal == (404, "NoSuchUpload")
    for unknown in (GONE, "", "\0", "é" * 32, "x" * 5000):
        assert put(client, "mine", unknown, 1, b"x").refusal == (404, "NoSuchUpload")
    client("DELETE", "mine", {"uploadId": upload})


@pytest.mark.parametrize("number", [0, 10_001, -1, "one", ""])
def test_part_numbers_are_1_to_10000(client: Client, number: object) -> None:
    assert put(client, "x", GONE, number, b"x").refusal == (400, "InvalidArgument")


def test_completing_needs_the_parts_in_order(client: Client) -> None:
    upload = begin(client, "order")
    one, two = (put(client, "order", upload, n, b"x").headers["etag"] for n in (1, 2))
    for wrong in ([(2, two), (1, one)], [(1, one), (1, one)]):
        refused = complete(client, "order", upload, *wrong)
        assert refused.refusal == (400, "InvalidPartOrder")
    for wrong in ([(1, one), (3, two)], [(1, two + "x")]):
        assert complete(client, "order", upload, *wrong).refusal == (400, "InvalidPart")
    for wrong in ([], [("one", one)], [(1, "")]):
        assert complete(client, "order", upload, *wrong).refusal == (400, "MalformedXML")
    assert complete(client, "order", upload, (2, two)).status == 200  # not every part is needed
    assert client("GET", "order").body == b"x"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<Other/>",
        b"\xff\xfe<CompleteMultipartUpload/>",
        b"<CompleteMultipartUpload>" * 100_000,
        b"<CompleteMultipartUpload>" + b"<Part/>" * 50_000 + b"</CompleteMultipartUpload>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><CompleteMultipartUpload><Part><PartNumber>1</PartNumber>'
        b"<ETag>&b;</ETag></Part></CompleteMultipartUpload>",
        b" " * (3 << 20),
    ],
)
def test_documents_that_are_none_are_refused(client: Client, document: bytes) -> None:
    upload = begin(client, "documents")
    refused = client("POST", "documents", {"uploadId": upload}, document)
    assert refused.refusal in ((400, "MalformedXML"), (400, "EntityTooLarge"))
    client("DELETE", "documents", {"uploadId": upload})


def test_an_upload_can_be_kept_from_replacing_an_object(client: Client) -> None:
    upload = begin(client, "kept")
    etag = put(client, "kept", upload, 1, b"second").headers["etag"]
    client("PUT", "kept", body=b"first")
    kept = {"x-cos-forbid-overwrite": "true"}
    assert complete(client, "kept", upload, (1, etag), **kept).refusal == (409, "FileAlreadyExists")
    assert client("GET", "kept").body == b"first"
    assert complete(client, "kept", upload, (1, etag)).status == 200
    assert client("GET", "kept").body == b"second"


def test_a_namespace_and_blanks_in_a_document_do_not_matter(client: Client) -> None:
    upload = begin(client, "namespace")
    etag = put(client, "namespace", upload, 1, b"x").headers["etag"]
    document = f"""\ufeff<?xml version="1.0" encoding="utf-8"?>
        <CompleteMultipartUpload xmlns="http://www.qcloud.com/document/product/436/7751">
            <Part><ETag>{etag.replace('"', "&quot;")}</ETag><PartNumber> 1 </PartNumber></Part>
        </CompleteMultipartUpload>"""
    done = client("POST", "namespace", {"uploadId": upload}, document.encode())
    assert done.status == 200


def test_uploads_are_listed_page_by_page(server: RunningServer, owner: Client) -> None:
    there = owner.on(server.app.buckets.create(new_name(), owner.id).name)
    begun = [(key, begin(there, key)) for key in ("a/1", "a/1", "a/é 2", "b")]
    every = there("GET", query={"uploads": ""})
    assert every.xml.tag == "ListMultipartUploadsResult"
    assert _listed(every) == begun
    assert every.texts("IsTruncated") == ["false"]
    some = there("GET", query={"uploads": "", "prefix": "a/", "encoding-type": "url"})
    assert [(unquote(key), upload) for key, upload in _listed(some)] == begun[:3]
    assert some.texts("Prefix") == ["a/"]
    found, markers = [], {}
    for _ in begun:
        page = there("GET", query={"uploads": "", "max-uploads": "1", **markers})
        found += _listed(page)
        if page.texts("IsTruncated") == ["false"]:
            break
        markers = {
            "key-marker": page.texts("NextKeyMarker")[0],
            "upload-id-marker": page.texts("NextUploadIdMarker")[0],
        }
    assert found == begun
    assert there("DELETE").refusal == (409, "BucketNotEmpty")


def test_a_part_can_be_copied(client: Client) -> None:
    client("PUT", "source", body=b"0123456789")
    upload = begin(client, "of copies")
    source = {"x-cos-copy-source": f"{client.host}/source"}
    where = {"partNumber": "1", "uploadId": upload}
    part = client("PUT", "of copies", where, **source, **{"x-cos-copy-source-range": "bytes=2-4"})
    assert part.xml.tag == "CopyPartResult"
    whole = client("PUT", "of copies", {**where, "partNumber": "2"}, **source)
    etags = [each.texts("ETag")[0] for each in (part, whole)]
    assert complete(client, "of copies", upload, *enumerate(etags, 1)).status == 200
    assert client("GET", "of copies").body == b"2340123456789"
    outside = client(
        "PUT", "of copies", where, **source, **{"x-cos-copy-source-range": "bytes=10-11"}
    )
    assert outside.refusal == (404, "NoSuchUpload")


def test_a_part_has_a_largest_size(start_server: StartServer) -> None:
    from tests.dialects.cloud_infinite.conftest import somebody

    small = start_server({"buckets.max_object_bytes": 1000})
    owner = somebody(small)
    there = owner.on(small.app.buckets.create(new_name(), owner.id).name)
    upload = begin(there, "large")
    assert put(there, "large", upload, 1, b"x" * 1001).refusal == (400, "EntityTooLarge")
    etags = [put(there, "large", upload, n, b"x" * 1000).headers["etag"] for n in (1, 2)]
    assert complete(there, "large", upload, *enumerate(etags, 1)).status == 200
    assert there("HEAD", "large").headers["content-length"] == "2000"
    assert there("PUT", "large", body=b"x" * 1001).refusal == (400, "EntityTooLarge")
    headers = there.signed("PUT", "large", transfer_encoding="chunked")
    endless = there.send("PUT", "/large", headers, (b"x" * 100 for _ in range(20)))
    assert endless.refusal == (400, "EntityTooLarge")


def test_a_part_is_refused_what_an_object_is(client: Client) -> None:
    upload = begin(client, "framed")
    query = {"partNumber": "1", "uploadId": upload}
    framed = client("PUT", "framed", query, b"1\r\nx\r\n0\r\n\r\n", content_encoding="aws-chunked")
    assert framed.refusal == (400, "InvalidArgument")
    assert client("GET", "framed", {"uploadId": upload}).texts("Part") == []


def _listed(page: Answer) -> list[tuple[str, str]]:
    return list(zip(page.texts("Upload/Key"), page.texts("Upload/UploadId"), strict=True))
