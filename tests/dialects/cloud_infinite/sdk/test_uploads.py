"""Uploads in parts through Tencent's SDKs: by hand, by their own methods, resumed."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from tests.dialects.cloud_infinite.sdk.terms import REGION, Refusal

PART = os.urandom(1 << 20)
LAST = b"the last part may be small"


def etag_of(*parts: bytes) -> str:
    """The ETag of an object of these parts."""
    together = hashlib.md5(b"".join(hashlib.md5(each).digest() for each in parts))
    return f'"{together.hexdigest()}-{len(parts)}"'


def test_an_object_of_parts(sdk):
    key = f"parts/ü 1&2 {sdk.name}.bin"
    upload = sdk.initiate(key, ContentType="image/png")
    assert (key, upload) in sdk.list_uploads("parts/")
    second = sdk.upload_part(key, upload, 2, LAST)
    sdk.upload_part(key, upload, 1, b"replaced")
    first = sdk.upload_part(key, upload, 1, PART)
    assert first == f'"{hashlib.md5(PART).hexdigest()}"'
    assert sdk.list_parts(key, upload) == [(1, len(PART), first), (2, len(LAST), second)]
    with pytest.raises(Refusal) as unseen:
        sdk.head(key)
    assert unseen.value.status == 404
    done = sdk.complete(key, upload, [(1, first), (2, second)])
    assert done["ETag"] == etag_of(PART, LAST)
    assert done["Key"] == key
    assert done["Bucket"] == sdk.bucket
    assert done["Location"]
    content, headers = sdk.get(key)
    assert content == PART + LAST
    assert headers["etag"] == etag_of(PART, LAST)
    assert headers["content-type"] == "image/png"
    assert sdk.get(key, Range=f"bytes={len(PART) - 3}-{len(PART) + 2}")[0] == PART[-3:] + LAST[:3]
    assert sdk.list_uploads("parts/") == []
    with pytest.raises(Refusal) as over:
        sdk.list_parts(key, upload)
    assert (over.value.status, over.value.code) == (404, "NoSuchUpload")


def test_an_upload_is_dropped(sdk):
    upload = sdk.initiate("dropped")
    sdk.upload_part("dropped", upload, 1, PART)
    sdk.abort("dropped", upload)
    for call in (
        lambda: sdk.abort("dropped", upload),
        lambda: sdk.list_parts("dropped", upload),
        lambda: sdk.upload_part("dropped", upload, 1, PART),
        lambda: sdk.complete("dropped", upload, [(1, f'"{hashlib.md5(PART).hexdigest()}"')]),
    ):
        with pytest.raises(Refusal) as refused:
            call()
        assert (refused.value.status, refused.value.code) == (404, "NoSuchUpload")
    assert sdk.list_uploads("dropped") == []


def test_what_cannot_be_completed(sdk):
    upload = sdk.initiate("incomplete")
    etag = sdk.upload_part("incomplete", upload, 1, PART)
    for parts, code in (
        ([(1, f'"{"0" * 32}"')], "InvalidPart"),
        ([(1, etag), (2, etag)], "InvalidPart"),
        ([(2, etag), (1, etag)], "InvalidPartOrder"),
    ):
        with pytest.raises(Refusal) as refused:
            sdk.complete("incomplete", upload, parts)
        assert (refused.value.status, refused.value.code) == (400, code)
    sdk.complete("incomplete", upload, [(1, etag)])


def test_lists_of_uploads_and_parts_in_pages(python):
    key = "paged"
    uploads = [python.initiate(key) for _ in range(3)]
    seen: list[str] = []
    key_marker = upload_marker = ""
    for _ in range(3):
        page = python.do(
            "list_multipart_uploads",
            Prefix=key,
            KeyMarker=key_marker,
            UploadIdMarker=upload_marker,
            MaxUploads=1,
        )
        seen += [each["UploadId"] for each in page["Upload"]]
        if page["IsTruncated"] == "true":
            key_marker, upload_marker = page["NextKeyMarker"], page["NextUploadIdMarker"]
    assert page["IsTruncated"] == "false"
    assert sorted(seen) == sorted(uploads)
    for number in range(1, 4):
        python.upload_part(key, uploads[0], number, b"a")
    first = python.do("list_parts", Key=key, UploadId=uploads[0], MaxParts=2)
    assert (first["IsTruncated"], first["NextPartNumberMarker"]) == ("true", "2")
    rest = python.do("list_parts", Key=key, UploadId=uploads[0], MaxParts=2, PartNumberMarker=2)
    assert [each["PartNumber"] for each in rest["Part"]] == ["3"]
    assert rest["IsTruncated"] == "false"
    for each in uploads:
        python.abort(key, each)


# --------------------------------------------------------------- as the SDKs do it themselves


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory):
    """A file of 60 MB and a bit, and its MD5."""
    file = tmp_path_factory.mktemp("large") / "large.bin"
    md5 = hashlib.md5()
    with file.open("wb") as out:
        for number in range(60):
            block = os.urandom(1 << 14) * 64 + bytes([number])
            md5.update(block)
            out.write(block)
    return file, md5.hexdigest()


def md5_of(file) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def test_python_uploads_a_large_file_is_interrupted_and_goes_on(python, large, tmp_path):
    file, md5 = large
    real, sent = python.client.upload_part, []
    lock = threading.Lock()

    def breaking(bucket, key, body, number, *more, **headers):
        with lock:
            sent.append(number)
            if len(sent) > 20:
                raise OSError("the cable was pulled")
        return real(bucket, key, body, number, *more, **headers)

    asked = {"PartSize": 1, "MAXThread": 4, "EnableMD5": True}
    python.client.upload_part = breaking
    try:
        with pytest.raises(Exception, match="please upload_file again"):
            python.do("upload_file", Key="large/py", LocalFilePath=str(file), **asked)
    finally:
        del python.client.upload_part
    ((_, upload),) = python.list_uploads("large/py")
    assert len(python.list_parts("large/py", upload)) == 20

    sent.clear()

    def counting(bucket, key, body, number, *more, **headers):
        with lock:
            sent.append(number)
        return real(bucket, key, body, number, *more, **headers)

    python.client.upload_part = counting
    try:
        done = python.do("upload_file", Key="large/py", LocalFilePath=str(file), **asked)
    finally:
        del python.client.upload_part
    assert len(sent) == 41  # of 61
    assert done["ETag"].endswith('-61"')
    assert python.list_uploads("large/py") == []
    target = tmp_path / "down"
    python.do(
        "download_file",
        Key="large/py",
        DestFilePath=str(target),
        PartSize=7,
        MAXThread=4,
        DumpRecordDir=str(tmp_path / "records"),
    )
    assert md5_of(target) == md5


def test_python_copies_and_streams_a_large_file(python, large):
    file, md5 = large
    with file.open("rb") as stream:
        done = python.do("upload_file_from_buffer", Key="large/stream", Body=stream, PartSize=16)
    assert done["ETag"].endswith('-4"')
    source = {"Bucket": python.bucket, "Key": "large/stream", "Region": REGION}
    upload = python.initiate("large/copy")
    middle = 31 << 20
    etags = []
    for number, span in enumerate(
        (f"bytes=0-{middle - 1}", f"bytes={middle}-{file.stat().st_size - 1}"), 1
    ):
        part = python.do(
            "upload_part_copy",
            Key="large/copy",
            PartNumber=number,
            UploadId=upload,
            CopySource=source,
            CopySourceRange=span,
        )
        etags.append((number, part["ETag"]))
    python.complete("large/copy", upload, etags)
    content, _ = python.get("large/copy")
    assert hashlib.md5(content).hexdigest() == md5


def test_node_uploads_a_large_file_goes_on_and_downloads_it(nodejs, large, tmp_path):
    file, md5 = large
    key = "large/node ü"
    # What is left of an upload that was broken off: parts of the same file, three of them.
    upload = nodejs.initiate(key)
    with file.open("rb") as content:
        for number in range(1, 4):
            nodejs.upload_part(key, upload, number, content.read(4 << 20))
    before = nodejs.do("headBucket")["sent"]
    assert before == 1
    done = nodejs.do(
        "sliceUploadFile", Key=key, FilePath=str(file), ChunkSize=4 << 20, AsyncLimit=4
    )
    assert done["UploadId"] == upload
    assert done["ETag"].endswith('-16"')
    assert done["sent"] == 1 + 1 + 13 + 1  # uploads, parts, the rest of them, complete
    target = tmp_path / "down"
    nodejs.do("downloadFile", Key=key, FilePath=str(target), ChunkSize=8 << 20)
    assert md5_of(target) == md5


def test_node_copies_a_large_file_in_parts(nodejs, python, large):
    file, md5 = large
    python.do("upload_file", Key="large/to copy", LocalFilePath=str(file), PartSize=30)
    host = f"{nodejs.bucket}.cos.{REGION}.myqcloud.com"
    nodejs.do(
        "sliceCopyFile",
        Key="large/node copy",
        CopySource=f"{host}/large/to%20copy",
        CopyChunkSize=20 << 20,
        CopySliceSize=1 << 20,
    )
    content, headers = python.get("large/node copy")
    assert hashlib.md5(content).hexdigest() == md5
    assert headers["etag"].endswith('-4"')


def test_node_drops_the_uploads_of_a_key(nodejs):
    for _ in range(2):
        nodejs.initiate("to drop")
    done = nodejs.do("abortUploadTask", Key="to drop", Level="file")
    assert len(done["successList"]) == 2
    assert nodejs.list_uploads("to drop") == []


def test_small_files_go_in_one_piece(sdk, tmp_path):
    file = tmp_path / "small.txt"
    file.write_bytes(b"small")
    if sdk.name == "python":
        sdk.do("upload_file", Key="small", LocalFilePath=str(file))
    else:
        sdk.do("uploadFile", Key="small", FilePath=str(file))
    content, headers = sdk.get("small")
    assert content == b"small"
    assert headers["etag"] == f'"{hashlib.md5(b"small").hexdigest()}"'
