"""Objects through Tencent's SDKs."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from email.utils import formatdate, parsedate_to_datetime

import pytest

from tests.dialects.cloud_infinite.sdk.conftest import new_name
from tests.dialects.cloud_infinite.sdk.terms import REGION, Refusal

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()


def test_an_object_comes_back_as_it_went(sdk):
    put = sdk.put("folder/a.bin", CONTENT)
    assert put["ETag"] == f'"{MD5}"'
    content, headers = sdk.get("folder/a.bin")
    assert content == CONTENT
    assert headers["etag"] == f'"{MD5}"'
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["content-type"] == "application/octet-stream"
    assert headers["accept-ranges"] == "bytes"
    assert headers["server"] == "tencent-cos"
    assert headers["x-cos-request-id"]
    assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 10
    assert abs(parsedate_to_datetime(headers["last-modified"]).timestamp() - time.time()) < 60
    head = sdk.head("folder/a.bin")
    for name in ("etag", "content-length", "content-type", "last-modified"):
        assert head[name] == headers[name]


def test_an_empty_object(sdk):
    sdk.put("empty", b"")
    content, headers = sdk.get("empty")
    assert content == b"" if sdk.name == "python" else not content
    assert headers["content-length"] == "0"
    assert headers["etag"] == f'"{hashlib.md5(b"").hexdigest()}"'


def test_what_an_object_was_stored_with(sdk):
    sdk.put(
        "dressed",
        CONTENT,
        ContentType="image/webp",
        CacheControl="max-age=60",
        ContentDisposition="attachment; filename=a.webp",
        ContentEncoding="identity",
        Expires="Thu, 01 Dec 2033 16:00:00 GMT",
        meta={"camera": "Box, 1900; 6x9", "Place": "a=b&c"},
    )
    for headers in (sdk.head("dressed"), sdk.get("dressed")[1]):
        assert headers["content-type"] == "image/webp"
        assert headers["cache-control"] == "max-age=60"
        assert headers["content-disposition"] == "attachment; filename=a.webp"
        assert headers["content-encoding"] == "identity"
        assert headers["expires"] == "Thu, 01 Dec 2033 16:00:00 GMT"
        assert headers["x-cos-meta-camera"] == "Box, 1900; 6x9"
        assert headers["x-cos-meta-place"] == "a=b&c"
    sdk.put("dressed", CONTENT)
    bare = sdk.head("dressed")
    assert bare["content-type"] == "application/octet-stream"
    assert not {"x-cos-meta-camera", "cache-control", "content-disposition"} & bare.keys()


def test_metadata_in_any_language(python):
    python.put("words", b"", meta={"title": "Füße und 写真".encode()})
    value = python.head("words")["x-cos-meta-title"]
    assert value.encode("latin-1").decode() == "Füße und 写真"


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        ("bytes=10000-", 10_000, len(CONTENT)),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
        (f"bytes=5-{10**12}", 5, len(CONTENT)),
    ],
)
def test_a_part_of_an_object(sdk, asked, first, end):
    sdk.put("ranged", CONTENT)
    content, headers = sdk.get("ranged", Range=asked)
    assert content == CONTENT[first:end]
    assert headers["content-range"] == f"bytes {first}-{end - 1}/{len(CONTENT)}"
    assert headers["content-length"] == str(end - first)
    assert headers["etag"] == f'"{MD5}"'


def test_conditions(sdk):
    sdk.put("conditional", CONTENT)
    assert sdk.get("conditional", IfMatch=f'"{MD5}"')[0] == CONTENT
    assert sdk.get("conditional", IfNoneMatch='"0"')[0] == CONTENT
    past, future = formatdate(time.time() - 3600, usegmt=True), formatdate(usegmt=True)
    assert sdk.get("conditional", IfModifiedSince=past)[0] == CONTENT
    for failing in ({"IfMatch": '"0"'}, {"IfUnmodifiedSince": past}):
        with pytest.raises(Refusal) as refused:
            sdk.get("conditional", **failing)
        assert (refused.value.status, refused.value.code) == (412, "PreconditionFailed")
    if sdk.name == "node":
        assert sdk.do("getObject", Key="conditional", IfModifiedSince=future)["NotModified"]
        with pytest.raises(Refusal) as unchanged:
            sdk.get("conditional", IfNoneMatch=f'"{MD5}"')
        assert unchanged.value.status == 304
    else:  # takes what is less than 400 for success; there is no body then
        for same in ({"IfNoneMatch": f'"{MD5}"'}, {"IfModifiedSince": future}):
            with pytest.raises(OSError, match="without Content-Length"):
                sdk.get("conditional", **same)


def test_what_the_answer_is_to_say(sdk):
    sdk.put("said", CONTENT, ContentType="image/png")
    _, headers = sdk.get(
        "said",
        ResponseContentType="text/plain",
        ResponseCacheControl="no-store",
        ResponseContentDisposition='attachment; filename="a b&c.txt"',
        ResponseExpires="Thu, 01 Dec 2033 16:00:00 GMT",
    )
    assert headers["content-type"] == "text/plain"
    assert headers["cache-control"] == "no-store"
    assert headers["content-disposition"] == 'attachment; filename="a b&c.txt"'
    assert headers["expires"] == "Thu, 01 Dec 2033 16:00:00 GMT"


def test_content_md5_is_checked(sdk):
    right = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    sdk.put("checked", CONTENT, ContentMD5=right)
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(Refusal) as refused:
        sdk.put("checked", b"replaced", ContentMD5=wrong)
    assert (refused.value.status, refused.value.code) == (400, "BadDigest")
    assert sdk.get("checked")[0] == CONTENT


def test_python_computes_the_md5_itself(python):
    python.put("itself", CONTENT, EnableMD5=True)
    assert python.get("itself")[0] == CONTENT


def test_an_object_is_deleted_also_if_it_is_not_there(sdk):
    sdk.put("gone", b"a")
    sdk.delete("gone")
    with pytest.raises(Refusal) as refused:
        sdk.get("gone")
    assert (refused.value.status, refused.value.code) == (404, "NoSuchKey")
    sdk.delete("gone")
    with pytest.raises(Refusal) as head:
        sdk.head("gone")
    assert head.value.status == 404


def test_many_are_deleted_at_once(sdk):
    keys = ["many/a", "many/b&<c>", "many/ü d", "many/'\"e"]
    for key in keys:
        sdk.put(key, b"a")
    deleted, errors = sdk.delete_many([*keys[:3], "many/never there"])
    assert sorted(deleted) == sorted([*keys[:3], "many/never there"])
    assert errors == []
    assert sdk.list("many/").keys == keys[3:]
    assert sdk.delete_many(keys[3:], quiet=True) == ([], [])
    assert sdk.list("many/").keys == []


def test_a_list_in_pages(sdk):
    keys = sorted(f"pages/{name}" for name in ("a", "b", "c/1", "c/2", "d/1/2", "e", "ä", "ö 1"))
    for key in keys:
        sdk.put(key, key.encode())
    whole = sdk.list("pages/")
    assert whole.keys == keys
    assert whole.prefixes == []
    assert whole.next_marker is None
    assert whole.content["IsTruncated"] == "false"
    assert whole.content["Name"] == sdk.bucket
    assert whole.content["Prefix"] == "pages/"
    first = whole.content["Contents"][0]
    assert first["ETag"] == f'"{hashlib.md5(b"pages/a").hexdigest()}"'
    assert (first["Size"], first["StorageClass"]) == ("7", "STANDARD")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", first["LastModified"])
    assert first["Owner"]["ID"]
    seen: list[str] = []
    marker, pages = "", 0
    while marker is not None:
        page = sdk.list("pages/", marker=marker, limit=3)
        seen += page.keys
        marker, pages = page.next_marker, pages + 1
    assert (seen, pages) == (keys, 3)


def test_a_list_by_folders(sdk):
    keys = ["tree/a", "tree/b/1", "tree/b/2", "tree/c d/1", "tree/c d/e/1", "tree/f", "tree/ü/1"]
    for key in keys:
        sdk.put(key, b"")
    page = sdk.list("tree/", "/")
    assert page.keys == ["tree/a", "tree/f"]
    assert page.prefixes == ["tree/b/", "tree/c d/", "tree/ü/"]
    keys_seen: list[str] = []
    prefixes_seen: list[str] = []
    marker = ""
    while marker is not None:
        page = sdk.list("tree/", "/", marker, 1)
        assert len(page.keys) + len(page.prefixes) == 1
        keys_seen, prefixes_seen = keys_seen + page.keys, prefixes_seen + page.prefixes
        marker = page.next_marker
    assert keys_seen == ["tree/a", "tree/f"]
    assert prefixes_seen == ["tree/b/", "tree/c d/", "tree/ü/"]
    assert sdk.list("nothing begins so").keys == []
    assert sdk.list("tree/", "ü/").prefixes == ["tree/ü/"]


def test_a_list_of_one_is_a_list(sdk):
    sdk.put("single/one/1", b"")
    assert sdk.list("single/").keys == ["single/one/1"]
    assert sdk.list("single/", "/").prefixes == ["single/one/"]


def test_a_copy(sdk, server, owner):
    sdk.put("copied/from ü&+.txt", CONTENT, ContentType="text/css", meta={"kind": "first"})
    target = sdk.on(server.app.buckets.create(new_name(), owner.id).name)
    host = f"{sdk.bucket}.cos.{REGION}.myqcloud.com"
    if sdk.name == "python":
        source = {"Bucket": sdk.bucket, "Key": "copied/from ü&+.txt", "Region": REGION}
        done = target.do("copy_object", Key="copied/to", CopySource=source)
    else:
        path = "copied/from%20%C3%BC%26%2B.txt"
        done = target.do("putObjectCopy", Key="copied/to", CopySource=f"{host}/{path}")
    assert done["ETag"] == f'"{MD5}"'
    assert done["LastModified"]
    content, headers = target.get("copied/to")
    assert content == CONTENT
    assert (headers["content-type"], headers["x-cos-meta-kind"]) == ("text/css", "first")


def test_python_changes_what_an_object_is_stored_with(python):
    python.put("changed", CONTENT, ContentType="text/css", meta={"kind": "first"})
    python.do(
        "update_object_meta",
        Key="changed",
        ContentType="text/html",
        Metadata={"x-cos-meta-kind": "second"},
    )
    content, headers = python.get("changed")
    assert content == CONTENT
    assert (headers["content-type"], headers["x-cos-meta-kind"]) == ("text/html", "second")


def test_files_and_streams(python, nodejs, tmp_path):
    file = tmp_path / "Übung 1.txt"
    file.write_bytes(CONTENT)
    python.client.put_object_from_local_file(python.bucket, str(file), "file/python", True)
    with file.open("rb") as stream:
        python.client.put_object(python.bucket, stream, "file/stream")
    assert python.get("file/python")[0] == python.get("file/stream")[0] == CONTENT
    nodejs.do("uploadFile", Key="file/node", FilePath=str(file))
    assert nodejs.head("file/node")["content-type"] == "text/plain"
    out = tmp_path / "out"
    nodejs.do("getObject", Key="file/node", Output=str(out))
    assert out.read_bytes() == CONTENT
    python.client.download_file(python.bucket, "file/node", str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == CONTENT


def test_a_body_whose_length_is_not_known(python, nodejs):
    """Both SDKs send it in chunks."""
    python.put("chunked", iter([CONTENT[:1000], CONTENT[1000:]]))
    assert python.get("chunked")[0] == CONTENT
    nodejs.do("putObject", Key="chunked", **{"$stream": "of unknown length"})
    assert nodejs.get("chunked")[0] == b"of unknown length"
