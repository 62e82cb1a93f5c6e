"""Super resolution on upload and of what is stored: what is made, where it goes, what is told."""

from __future__ import annotations

import json
import threading
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from superres.access import Plan, Policy, Quota, Statement
from tests.dialects.cloud_infinite.client import SUFFIX, Client, head
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.cloud_infinite.making import (
    IMAGE_PROCESS,
    PROCESS,
    GatedEngine,
    Watched,
    md5,
    opened,
    operations,
    picture,
    record,
    rule,
    saved,
    until,
)
from tests.dialects.conftest import RunningServer

SMALL = {
    "limits.max_input_bytes": 100_000,
    "limits.max_input_pixels": 20_000,
    "limits.max_output_pixels": 100_000,
}


@pytest.fixture(scope="module")
def executor() -> Watched:
    return Watched(GatedEngine(), settings=SMALL)


@pytest.fixture(scope="module")
def server(start_server, executor) -> RunningServer:
    return start_server({"sources.allow_networks": ["127.0.0.0/8"], **SMALL}, executor)


@pytest.fixture
def bucket(server, owner) -> str:
    """One for each test."""
    return server.app.buckets.create(new_name(), owner.id).name


@pytest.fixture
def client(owner, bucket) -> Client:
    return owner.on(bucket)


@pytest.fixture
def held(executor):
    """Nothing is computed until the test ends, or lets it."""
    executor.engine.gate.clear()
    yield executor
    executor.engine.gate.set()
    until(lambda: executor.idle)


@pytest.fixture
def broken(executor):
    executor.engine.broken = True
    yield executor
    executor.engine.broken = False


def keys(server: RunningServer, bucket: str) -> list[str]:
    return [each.key for each in server.app.buckets.objects.list(bucket).objects]


def put(client: Client, key: str, content: bytes, **headers: str):
    answer = client("PUT", key, body=content, **headers)
    assert answer.status == 200, answer.body
    return answer


def used(server: RunningServer, client: Client) -> int:
    return server.access.usage(client.id)[0].used


# --- what is answered ---------------------------------------------------------------------


def test_upload_result_of_an_upload(client, bucket):
    sent = picture(kind="JPEG", quality=80)
    given = operations(rule("/p2/b.png", 4), rule("c.jpg"), info=1)
    answer = put(client, "p1/a.jpg", sent, content_type="image/jpeg", **given)
    assert answer.headers["server"] == "tencent-ci"
    assert answer.headers["etag"] == f'"{md5(sent)}"'
    assert b"xmlns" not in answer.body
    assert answer.xml.tag == "UploadResult"
    big, small = client("GET", "p2/b.png"), client("GET", "p1/c.jpg")
    average = np.asarray(opened(sent), float).mean((0, 1))
    said = record(answer.xml)
    ave = said["OriginalInfo"]["ImageInfo"].pop("Ave")
    assert np.abs([int(ave[at : at + 2], 16) for at in (2, 4, 6)] - average).max() <= 1
    assert said == {
        "OriginalInfo": {
            "Key": "p1/a.jpg",
            "Location": f"{bucket}.{SUFFIX}/p1/a.jpg",
            "ETag": f'"{md5(sent)}"',
            "ImageInfo": {
                "Format": "JPEG",
                "Width": "20",
                "Height": "12",
                "Quality": "80",
                "Orientation": "0",
            },
        },
        "ProcessResults": {
            "Object": [
                {
                    "Key": "p2/b.png",
                    "Location": f"{bucket}.{SUFFIX}/p2/b.png",
                    "Format": "png",
                    "Width": "80",
                    "Height": "48",
                    "Size": str(len(big.body)),
                    "Quality": "100",
                    "ETag": f'"{md5(big.body)}"',
                },
                {
                    "Key": "p1/c.jpg",
                    "Location": f"{bucket}.{SUFFIX}/p1/c.jpg",
                    "Format": "jpeg",
                    "Width": "40",
                    "Height": "24",
                    "Size": str(len(small.body)),
                    "Quality": "92",
                    "ETag": f'"{md5(small.body)}"',
                },
            ]
        },
    }
    assert big.headers["etag"] == f'"{md5(big.body)}"'
    assert [opened(each.body).size for each in (big, small)] == [(80, 48), (40, 24)]
    assert client("GET", "p1/a.jpg").body == sent


@pytest.mark.parametrize("target", ["/a.png?image_process", "/a.png?image_process="])
def test_upload_result_of_what_is_stored(client, bucket, target):
    sent = picture()
    put(client, "a.png", sent)
    headers = client.signed(
        "POST", "a.png", IMAGE_PROCESS, Content_Length="0", **operations(rule())
    )
    answer = client.send("POST", target, headers)
    assert answer.status == 200, answer.body
    assert answer.headers["server"] == "tencent-ci"
    said = record(answer.xml)
    assert said["OriginalInfo"] == {
        "Key": "a.png",
        "Location": f"{bucket}.{SUFFIX}/a.png",
        "ETag": f'"{md5(sent)}"',
    }
    assert said["ProcessResults"]["Object"]["Key"] == "b.png"
    assert opened(client("GET", "b.png").body).size == (40, 24)


def test_upload_result_of_an_upload_in_parts(server, client, bucket):
    sent = picture(80, 60, compress_level=0)
    upload = client("POST", "p/a.png", {"uploads": ""}, x_cos_meta_by="me").xml.findtext("UploadId")
    etags = []
    for number, part in enumerate((sent[:10_000], sent[10_000:]), 1):
        query = {"partNumber": str(number), "uploadId": upload}
        etags.append(client("PUT", "p/a.png", query, body=part).headers["etag"])
    body = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1)
    )
    body = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>"
    impossible = operations(rule("/x.png"), rule("/y.png", bucket="nobody-1"), info=1)
    refused = client("POST", "p/a.png", {"uploadId": upload}, body=body, **impossible)
    assert refused.refusal == (404, "NoSuchBucket")
    assert keys(server, bucket) == []
    # The upload goes on.
    given = operations(rule("/x.png"), rule("y.webp", 4), info=1)
    answer = client("POST", "p/a.png", {"uploadId": upload}, body=body, **given)
    assert answer.status == 200, answer.body
    assert answer.headers["server"] == "tencent-ci"
    assert answer.xml.tag == "CompleteMultipartUploadResult"
    said = record(answer.xml)
    made = said.pop("ProcessResults")["Object"]
    assert [(each["Key"], each["Format"], each["Width"]) for each in made] == [
        ("x.png", "png", "160"),
        ("p/y.webp", "webp", "320"),
    ]
    info = said.pop("ImageInfo")
    assert (info["Format"], info["Width"], info["Height"], info["Quality"]) == (
        "PNG",
        "80",
        "60",
        "100",
    )
    whole = client("GET", "p/a.png")
    assert whole.body == sent
    assert said == {
        "Location": f"{bucket}.{SUFFIX}/p/a.png",
        "Bucket": bucket,
        "Key": "p/a.png",
        "ETag": whole.headers["etag"],
    }
    assert whole.headers["etag"].endswith('-2"')
    assert whole.headers["x-cos-meta-by"] == "me"


def test_image_info_is_of_the_file_as_it_is_stored(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    sent = picture(30, 20, "JPEG", exif=exif, quality=95)
    answer = put(client, "a.jpg", sent, **operations(rule(), info="1"))
    info = record(answer.xml)["OriginalInfo"]["ImageInfo"]
    assert (info["Width"], info["Height"], info["Orientation"]) == ("30", "20", "6")
    assert opened(client("GET", "b.png").body).size == (40, 60)


def test_location_of_another_bucket(server, owner, client, bucket):
    other = server.app.buckets.create(new_name(), owner.id).name
    answer = put(client, "ä/a.png", picture(), **operations(rule("b c.png", bucket=other)))
    said = record(answer.xml)
    assert said["OriginalInfo"]["Location"] == f"{bucket}.{SUFFIX}/%C3%A4/a.png"
    assert said["ProcessResults"]["Object"]["Location"] == f"{other}.{SUFFIX}/%C3%A4/b%20c.png"
    assert opened(owner.on(other)("GET", "ä/b c.png").body).size == (40, 24)
    assert keys(server, bucket) == ["ä/a.png"]


def test_location_at_a_bare_host(start_server):
    server = start_server(
        {"cloud_infinite.default_bucket": "mine-1", "cloud_infinite.region": "here"}
    )
    client = somebody(server)
    for name in ("mine-1", "other-1"):
        server.app.buckets.create(name, client.id)
    client = Client(server.host, client.id, client.secret, host=server.host)
    answer = put(client, "a.png", picture(), **operations(rule(), rule("c.png", bucket="other-1")))
    said = record(answer.xml)
    assert said["OriginalInfo"]["Location"] == f"{server.host}/a.png"
    assert [each["Location"] for each in said["ProcessResults"]["Object"]] == [
        f"{server.host}/b.png",
        "other-1.cos.here.myqcloud.com/c.png",
    ]


# --- what is made -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fileid",
    ["/übung/写真 & <co> +%2B'\".png", "/a?b=c&d#e.png", "/p//./../x.png", "//lead.png", "/%.png"],
)
def test_keys_of_results(client, fileid):
    answer = put(client, "src/a.png", picture(), **operations(rule(fileid)))
    assert record(answer.xml)["ProcessResults"]["Object"]["Key"] == fileid[1:]
    got = client.send("GET", "/" + quote(fileid[1:], safe=""), client.signed("GET", fileid[1:]))
    assert got.status == 200
    assert opened(got.body).size == (40, 24)


def test_keys_of_results_sent_as_utf_8(client):
    text = json.dumps({"rules": [rule("/写真é.png")]}, ensure_ascii=False)
    put(client, "a.png", picture(), Pic_Operations=text)
    assert client("HEAD", "写真é.png").status == 200


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("fileid", ["/p/a.png", "p/a.png", "a.png"])
def test_overwriting(client, method, fileid):
    sent = picture()
    described = {"x_cos_meta_by": "me", "cache_control": "no-cache"}
    if method == "PUT":
        answer = put(client, "p/a.png", sent, **described, **operations(rule(fileid)))
    else:
        put(client, "p/a.png", sent, **described)
        answer = client("POST", "p/a.png", IMAGE_PROCESS, **operations(rule(fileid)))
    said = record(answer.xml)
    assert said["OriginalInfo"]["ETag"] == f'"{md5(sent)}"'
    got = client("GET", "p/a.png")
    assert opened(got.body).size == (40, 24)
    assert said["ProcessResults"]["Object"]["ETag"] == got.headers["etag"] == f'"{md5(got.body)}"'
    assert got.headers["content-type"] == "image/png"
    assert (got.headers["x-cos-meta-by"], got.headers["cache-control"]) == ("me", "no-cache")


def test_a_result_elsewhere_has_headers_of_its_own(client):
    put(client, "a.png", picture(), x_cos_meta_by="me", **operations(rule("b.jpg")))
    got = client("GET", "b.jpg")
    assert got.headers["content-type"] == "image/jpeg"
    assert "x-cos-meta-by" not in got.headers


def test_transparency_on_white_where_the_format_knows_none(client):
    sent = saved(Image.new("RGBA", (10, 10), (255, 0, 0, 0)))
    rules = rule("a.jpg"), rule("a.webp"), rule("b.png")
    put(client, "a.png", sent, **operations(*rules))
    jpeg, webp, png = (opened(client("GET", key).body) for key in ("a.jpg", "a.webp", "b.png"))
    assert np.asarray(jpeg).min() > 250
    assert np.asarray(webp)[..., 3].max() == np.asarray(png)[..., 3].max() == 0


def test_where_a_photo_was_taken_is_left_out(client):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825)[1] = "N"
    profile = b"not a real profile" * 8
    sent = picture(kind="JPEG", exif=exif, icc_profile=profile)
    put(client, "a.jpg", sent, **operations(rule("b.jpg"), rule("b.png")))
    for key in ("b.jpg", "b.png"):
        assert not opened(client("GET", key).body).getexif()
    assert opened(client("GET", "a.jpg").body).getexif()


def test_alike_rules_are_computed_once(client, executor):
    before = executor.count
    rules = [rule("/1.png"), rule("/2.png", 2), rule("/3", 2), rule("/4.png", 4), rule("/5.jpg")]
    put(client, "a.png", picture(), **operations(*rules))
    assert executor.count - before == 3
    first, second, third = (client("GET", key).body for key in ("1.png", "2.png", "3"))
    assert first == second == third
    # Each has its own bytes.
    client("DELETE", "1.png")
    assert client("GET", "2.png").body == second


def test_an_upload_without_rules_is_an_upload(client):
    answer = put(client, "a.png", b"no picture", Pic_Operations="")
    assert answer.body == b""


# --- what is refused, and what is left then -------------------------------------------------


def test_all_or_nothing(server, client, bucket, executor):
    """Of five rules one makes a picture that is too large: not even the original is stored."""
    before = executor.count
    rules = [rule(f"/{n}.png", 4 if n == 2 else 2) for n in range(5)]
    sent = picture(100, 80)  # x4: 128,000 pixels
    answer = client("PUT", "a.png", body=sent, **operations(*rules))
    assert answer.refusal == (400, "ImageResolutionExceed")
    put(client, "a.png", sent)
    answer = client("POST", "a.png", IMAGE_PROCESS, **operations(*rules))
    assert answer.refusal == (400, "ImageResolutionExceed")
    assert keys(server, bucket) == ["a.png"]
    assert client("GET", "a.png").body == sent
    assert executor.count - before <= 4
    until(lambda: executor.idle)
    assert list(server.app.spool.iterdir()) == []


def test_an_object_that_is_there_stays_when_its_upload_fails(client):
    put(client, "a.png", b"before")
    answer = client("PUT", "a.png", body=b"no picture", **operations(rule("a.png")))
    assert answer.refusal == (400, "InvalidImageFormat")
    assert client("GET", "a.png").body == b"before"


ANIMATED = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
REFUSED = [
    (b"", "InvalidImageFormat"),
    (b"no picture", "InvalidImageFormat"),
    (picture()[:-30], "InvalidImageFormat"),
    (saved(ANIMATED[0], "GIF", save_all=True, append_images=ANIMATED[1:]), "InvalidImageFormat"),
    (picture(compress_level=0) + bytes(100_000), "ImageTooLarge"),
    (picture(201, 100), "ImageResolutionExceed"),
    (picture(101, 100), None),
]


@pytest.mark.parametrize("way", ["download", "upload", "stored"])
@pytest.mark.parametrize(("sent", "code"), REFUSED)
def test_pictures_that_are_refused(server, client, bucket, way, sent, code):
    if way == "upload":
        answer = client("PUT", "a.png", body=sent, **operations(rule()))
    else:
        put(client, "a.png", sent)
        if way == "download":
            answer = client("GET", "a.png", PROCESS)
        else:
            answer = client("POST", "a.png", IMAGE_PROCESS, **operations(rule()))
    if code is None:
        assert answer.status == 200
    else:
        assert answer.refusal == (400, code)
        assert keys(server, bucket) == ([] if way == "upload" else ["a.png"])


def test_too_large_is_told_before_the_body_comes(client):
    headers = client.signed("PUT", "a.png", **operations(rule()))
    headers["Content-Length"] = "100001"
    with client.connection() as there:
        there.sendall(head("PUT", "/a.png", headers))
        assert b"ImageTooLarge" in there.recv(1 << 16)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("{", "InvalidPicOperations"),
        ('{"rules": []}', "InvalidPicOperations"),
        (operations(*[rule(f"{n}") for n in range(6)])["Pic-Operations"], "InvalidPicOperations"),
        (operations(rule(""))["Pic-Operations"], "InvalidPicOperations"),
        (operations(rule("p/"))["Pic-Operations"], "InvalidPicOperations"),
        (operations(rule(magnify=3))["Pic-Operations"], "InvalidArgument"),
        (json.dumps({"rules": [{"fileid": "x", "rule": "ci-process=X"}]}), "InvalidArgument"),
    ],
)
def test_operations_that_are_refused(server, client, bucket, given, code):
    assert client("PUT", "a.png", body=picture(), Pic_Operations=given).refusal == (400, code)
    assert keys(server, bucket) == []
    put(client, "a.png", picture())
    answer = client("POST", "a.png", IMAGE_PROCESS, Pic_Operations=given)
    assert answer.refusal == (400, code)
    assert answer.headers["server"] == "tencent-ci"


def test_operations_are_read_before_the_body(client):
    headers = client.signed("PUT", "a.png", Pic_Operations="{")
    headers["Content-Length"] = "50000"
    with client.connection() as there:
        there.sendall(head("PUT", "/a.png", headers))
        assert b"InvalidPicOperations" in there.recv(1 << 16)


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("PUT", PROCESS),
        ("PUT", {"ci-process=AISuperResolution": ""}),
        ("PUT", IMAGE_PROCESS),
        ("POST", PROCESS),
        ("DELETE", PROCESS),
        ("GET", IMAGE_PROCESS),
        ("HEAD", IMAGE_PROCESS),
    ],
)
def test_parameters_of_another_method_are_not_forgotten(client, method, query):
    there = picture()
    put(client, "a.png", there)
    answer = client(method, "a.png", query, body=b"other" if method == "PUT" else None)
    assert answer.status == 400
    assert method == "HEAD" or answer.code == "InvalidArgument"
    assert client("GET", "a.png").body == there


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_results_overwrite_nothing_where_that_is_forbidden(client, executor, method):
    put(client, "b.png", b"precious")
    more = {"x_cos_forbid_overwrite": "true"}
    if method == "POST":
        put(client, "a.png", picture())
    query = IMAGE_PROCESS if method == "POST" else {}
    body = picture() if method == "PUT" else None
    made = executor.count
    refused = client(method, "a.png", query, body, **operations(rule("b.png")), **more)
    assert refused.refusal == (409, "FileAlreadyExists")
    assert (client("GET", "b.png").body, executor.count) == (b"precious", made)
    assert client(method, "a.png", query, body, **operations(rule("c.png")), **more).status == 200


def test_what_is_stored_needs_operations(client):
    put(client, "a.png", picture())
    assert client("POST", "a.png", IMAGE_PROCESS).refusal == (400, "InvalidPicOperations")


def test_what_is_not_there(server, client, bucket):
    missing = client("POST", "a.png", IMAGE_PROCESS, **operations(rule()))
    assert missing.refusal == (404, "NoSuchKey")
    nowhere = client.on("nobody-1250000000")
    for answer in (
        nowhere("GET", "a.png", PROCESS),
        nowhere("PUT", "a.png", body=picture(), **operations(rule())),
        nowhere("POST", "a.png", IMAGE_PROCESS, **operations(rule())),
        client("PUT", "a.png", body=picture(), **operations(rule(bucket="nobody-1250000000"))),
    ):
        assert answer.refusal == (404, "NoSuchBucket")
    assert keys(server, bucket) == []


def test_a_bucket_on_which_it_is_not_enabled(server, owner, client, bucket, executor):
    put(client, "a.png", picture())
    server.app.buckets.enable_processing(bucket, on=False)
    before = executor.count
    for answer in (
        client("GET", "a.png", PROCESS),
        client("PUT", "c.png", body=picture(), **operations(rule())),
        client("POST", "a.png", IMAGE_PROCESS, **operations(rule())),
    ):
        assert answer.refusal == (403, "NoProcessAuthority")
    assert executor.count == before
    assert keys(server, bucket) == ["a.png"]
    # The bucket that a picture comes from decides.
    enabled = owner.on(server.app.buckets.create(new_name(), owner.id).name)
    put(enabled, "a.png", picture(), **operations(rule("b.png", bucket=bucket)))
    assert keys(server, bucket) == ["a.png", "b.png"]


def test_a_client_that_goes_away_stops_it_and_nothing_is_written(server, client, bucket, held):
    sent = picture()
    headers = client.signed("PUT", "a.png", **operations(rule(), rule("c.png", 4)))
    headers["Content-Length"] = str(len(sent))
    with client.connection() as there:
        there.sendall(head("PUT", "/a.png", headers) + sent)
        until(lambda: held.state().running == 2)
    until(lambda: all(ticket.stopping for ticket in held.tickets[-2:]))
    held.engine.gate.set()
    until(lambda: held.idle)
    until(lambda: list(server.app.spool.iterdir()) == [])
    assert keys(server, bucket) == []


def test_a_fault_of_the_engine(server, client, bucket, broken):
    answer = client("PUT", "a.png", body=picture(), **operations(rule(), rule("c.png")))
    assert answer.refusal == (500, "InternalError")
    assert keys(server, bucket) == []


def test_it_takes_too_long(start_server):
    engine = GatedEngine()
    server = start_server({"server.deadline": 0.5}, Watched(engine))
    client = somebody(server)
    bucket = server.app.buckets.create(new_name(), client.id).name
    client = client.on(bucket)
    engine.gate.clear()
    # Nobody waits for a thread that never ends here; a worker would be ended.
    opening = threading.Timer(1.0, engine.gate.set)
    opening.start()
    answer = client("PUT", "a.png", body=picture(), **operations(rule(), rule("c.png", 4)))
    opening.join()
    assert answer.refusal == (504, "RequestTimeout")
    assert keys(server, bucket) == []


# --- who may, and how often -----------------------------------------------------------------


def allowing(*statements: tuple[str, str]) -> Policy:
    return Policy(tuple(Statement("allow", (action,), (what,)) for action, what in statements))


def test_policy_of_an_upload(server, client, bucket):
    friend = somebody(server, allowing(("cos:PutObject", f"{bucket}/in/*"))).on(bucket)
    sent = picture()
    assert friend("PUT", "in/a.png", body=sent, **operations(rule("b.png"))).status == 200
    denied = friend("PUT", "in/c.png", body=sent, **operations(rule("b.png"), rule("/out/b.png")))
    assert denied.refusal == (403, "AccessDenied")
    assert keys(server, bucket) == ["in/a.png", "in/b.png"]


def test_policy_of_what_is_stored(server, client, bucket):
    put(client, "in/a.png", picture())
    put(client, "secret/a.png", picture())
    reader = ("cos:GetObject", f"{bucket}/in/*")
    friend = somebody(server, allowing(reader, ("cos:PutObject", f"{bucket}/out/*"))).on(bucket)
    ask = operations(rule("/out/b.png"))
    assert friend("POST", "in/a.png", IMAGE_PROCESS, **ask).status == 200
    assert friend("POST", "secret/a.png", IMAGE_PROCESS, **ask).refusal == (403, "AccessDenied")
    ask = operations(rule("b.png"))
    assert friend("POST", "in/a.png", IMAGE_PROCESS, **ask).refusal == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("ci:CreateSuperResolutionJob", True),
        ("ci:CreateAISuperResolutionJob", True),
        ("ci:*", True),
        ("ci:CreateImageJob", False),
        ("cos:PutObject", False),
    ],
)
def test_policy_of_a_download(server, client, bucket, action, allowed):
    put(client, "in/a.png", picture())
    both = allowing(("cos:GetObject", f"{bucket}/in/*"), (action, f"{bucket}/in/*"))
    friend = somebody(server, both).on(bucket)
    answer = friend("GET", "in/a.png", PROCESS)
    assert answer.status == (200 if allowed else 403)
    assert friend("GET", "in/a.png").status == 200
    alone = somebody(server, allowing(("ci:*", f"{bucket}/*"))).on(bucket)
    assert alone("GET", "in/a.png", PROCESS).refusal == (403, "AccessDenied")


def test_buckets_of_others(server, client, bucket):
    put(client, "a.png", picture())
    stranger = somebody(server)
    foreign = stranger.on(bucket)
    own = stranger.on(server.app.buckets.create(new_name(), stranger.id).name)
    for answer in (
        foreign("GET", "a.png", PROCESS),
        foreign("PUT", "b.png", body=picture(), **operations(rule())),
        foreign("POST", "a.png", IMAGE_PROCESS, **operations(rule())),
        own("PUT", "b.png", body=picture(), **operations(rule(bucket=bucket))),
    ):
        assert answer.refusal == (403, "AccessDenied")
    assert keys(server, bucket) == ["a.png"]


def test_every_picture_counts_against_the_quota(server):
    client = somebody(server)
    server.access.set_plan(client.id, Plan(quota=Quota(day=7)))
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    put(client, "a.png", picture())
    assert used(server, client) == 0
    put(client, "b.png", picture(), **operations(rule("/1.png"), rule("/2.png"), rule("/3.png", 4)))
    assert used(server, client) == 3
    ask = operations(rule("/4.png"), rule("/5.png"))
    assert client("POST", "a.png", IMAGE_PROCESS, **ask).status == 200
    assert used(server, client) == 5
    three = operations(rule("/6.png"), rule("/7.png"), rule("/8.png"))
    spent = client("POST", "a.png", IMAGE_PROCESS, **three)
    assert spent.refusal == (403, "QuotaExceeded")
    assert int(spent.headers["retry-after"]) > 0
    assert used(server, client) == 5
    # What was no picture is paid; what the server could not do is not.
    assert client("PUT", "c.png", body=b"x", **operations(rule("/9.png"))).status == 400
    assert used(server, client) == 6


def test_a_fault_of_the_servers_costs_nothing(server, broken):
    client = somebody(server)
    server.access.set_plan(client.id, Plan(quota=Quota(day=7)))
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    put(client, "a.png", picture())
    assert client("PUT", "b.png", body=picture(), **operations(rule("c.png"))).status == 500
    assert client("POST", "a.png", IMAGE_PROCESS, **operations(rule())).status == 500
    assert client("GET", "a.png", PROCESS).status == 500
    assert used(server, client) == 0


def test_too_fast(server):
    client = somebody(server)
    server.access.set_plan(client.id, Plan(rate=0.01, burst=2))
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    for _ in range(5):
        put(client, "a.png", picture())
    assert client("GET", "a.png", PROCESS).status == 200
    assert client("GET", "a.png", PROCESS).status == 200
    for answer in (
        client("GET", "a.png", PROCESS),
        client("PUT", "b.png", body=picture(), **operations(rule())),
        client("POST", "a.png", IMAGE_PROCESS, **operations(rule())),
    ):
        assert answer.refusal == (503, "SlowDown")
        assert int(answer.headers["retry-after"]) > 0


def test_too_much_at_once(start_server):
    engine = GatedEngine()
    executor = Watched(engine, concurrency=1, queue=1)
    server = start_server({}, executor)
    client = somebody(server)
    server.access.set_plan(client.id, Plan(quota=Quota(day=100)))
    bucket = server.app.buckets.create(new_name(), client.id).name
    client = client.on(bucket)
    engine.gate.clear()
    try:
        rules = rule("1.png"), rule("2.png", 4), rule("3.jpg")
        answer = client("PUT", "a.png", body=picture(), **operations(*rules))
        assert answer.refusal == (503, "SlowDown")
        assert int(answer.headers["retry-after"]) > 0
    finally:
        engine.gate.set()
    until(lambda: executor.idle)
    assert keys(server, bucket) == []
    assert used(server, client) == 0
