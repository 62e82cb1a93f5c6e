"""The three ways to super-resolve, through Tencent's SDKs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote

import numpy as np
import pytest
import requests

from tests.dialects.cloud_infinite.making import opened
from tests.dialects.cloud_infinite.sdk.conftest import new_name, png
from tests.dialects.cloud_infinite.sdk.terms import Refusal, operations, rule


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web site with pictures."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "a b.png").write_bytes(png())
    (folder / "text.html").write_bytes(b"<html>no picture</html>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def listed(found: object) -> list[dict]:
    """What both SDKs make of one element, and of several."""
    return found if isinstance(found, list) else [found]


def md5(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


# ------------------------------------------------------------------------------ 1: on download


@pytest.mark.parametrize(("magnify", "size"), [(None, (40, 24)), (2, (40, 24)), (4, (80, 48))])
def test_on_download(sdk, magnify, size):
    sdk.put("one/a.jpg", png(kind="JPEG", quality=95), ContentType="image/jpeg")
    content, headers = sdk.super_resolve("one/a.jpg", magnify)
    picture = opened(content)
    assert (picture.format, picture.size) == ("PNG", size)
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(content))
    assert headers["x-cos-request-id"]


def test_the_pixels_are_the_pictures_own(sdk):
    sdk.put("one/exact.png", png())
    content, _ = sdk.super_resolve("one/exact.png")
    given = np.asarray(opened(png()))
    assert np.array_equal(np.asarray(opened(content)), given.repeat(2, 0).repeat(2, 1))


def test_the_second_time_it_is_a_file_read(sdk, server, monkeypatch):
    sdk.put("one/cached.png", png(30, 20))
    first, _ = sdk.super_resolve("one/cached.png", 4)
    with monkeypatch.context() as patch:
        patch.setattr(type(server.app.executor), "submit", None)  # nothing is enlarged any more
        second, _ = sdk.super_resolve("one/cached.png", 4)
        assert second == first
    sdk.put("one/cached.png", png(10, 10))
    third, _ = sdk.super_resolve("one/cached.png", 4)
    assert opened(third).size == (40, 40)


def test_node_asks_with_a_query_string(nodejs):
    nodejs.put("one/raw.png", png())
    found = nodejs.do(
        "getObject", Key="one/raw.png", QueryString="ci-process=AISuperResolution&magnify=4"
    )
    assert opened(found["Body"]).size == (80, 48)


def test_node_writes_it_to_a_file(nodejs, tmp_path):
    nodejs.put("one/raw.png", png())
    out = tmp_path / "out.png"
    nodejs.do(
        "getObject",
        Key="one/raw.png",
        QueryString="ci-process=AISuperResolution",
        Output=str(out),
    )
    assert opened(out.read_bytes()).size == (40, 24)


def test_python_asks_with_a_rule(python, tmp_path):
    """``ci_get_object`` sends the whole rule as the name of one parameter."""
    python.put("one/rule.png", png())
    out = tmp_path / "out.png"
    python.do(
        "ci_get_object",
        Key="one/rule.png",
        DestImagePath=str(out),
        Rule="ci-process=AISuperResolution&magnify=4",
    )
    assert opened(out.read_bytes()).size == (80, 48)


def test_a_presigned_link_super_resolves(sdk, server):
    sdk.put("one/link ü.png", png())
    link = sdk.presigned(
        "GET", "one/link ü.png", query={"ci-process": "AISuperResolution", "magnify": "4"}
    )
    content = fetched(link, sdk, server)
    assert opened(content).size == (80, 48)


def test_a_rule_in_a_link_does_not_win_over_what_was_signed(python, server):
    """Who has a link may add to it; what is signed stays what it is."""
    python.put("one/signed.png", png())
    signed = {"ci-process": "AISuperResolution", "magnify": "2"}
    link = python.presigned("GET", "one/signed.png", query=signed)
    longer = link.replace("?", "?ci-process%3DAISuperResolution%26magnify%3D4=&", 1)
    assert opened(fetched(longer, python, server)).size == (40, 24)


def fetched(link: str, sdk, server) -> bytes:
    """What is behind a presigned link, whose host is no real one."""
    host = f"{sdk.bucket}.cos.ap-test.myqcloud.com"
    link = link.replace(f"http://{host}/", f"{server.url}/")
    answer = requests.get(link, headers={"Host": host}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_picture_of_another_site(sdk, site, times):
    """Tencent's own samples encode the address up to three times."""
    url = f"{site}/a%20b.png"
    for _ in range(times):
        url = quote(url, safe="")
    content, headers = sdk.super_resolve("", url=url)
    assert opened(content).size == (40, 24)
    assert headers["content-type"] == "image/png"
    # The address counts, not the key.
    content, _ = sdk.super_resolve("not there.png", url=url)
    assert opened(content).size == (40, 24)


@pytest.mark.parametrize(
    "process",
    ["imageMogr2/thumbnail/50x", "imageView2/1/w/10", "watermark/2/text/YQ==", "imageInfo", "exif"],
)
def test_other_processing_is_refused(sdk, tmp_path, process):
    """Rather than answered with the original as if that were it."""
    sdk.put("one/other.png", png())
    if sdk.name == "python":
        name, params = "ci_get_object", {"DestImagePath": str(tmp_path / "out"), "Rule": process}
    else:
        name, params = "getObject", {"QueryString": process}
    with pytest.raises(Refusal) as refused:
        sdk.do(name, Key="one/other.png", **params)
    assert (refused.value.status, refused.value.code) == (400, "InvalidArgument")


def test_python_has_methods_for_other_processing(python):
    python.put("one/other.png", png())
    for name, params in (
        ("ci_get_image_info", {}),
        ("ci_get_image_exif_info", {}),
        ("ci_download_compress_image", {"DestImagePath": "none", "CompressType": "tpg"}),
        ("ci_image_assess_quality", {}),
    ):
        with pytest.raises(Refusal) as refused:
            python.do(name, Key="one/other.png", **params)
        assert (refused.value.status, refused.value.code) == (400, "InvalidArgument")


def test_who_answers(python, nodejs):
    """``Server`` tells the two services apart."""
    python.put("who/a.png", png())
    header = operations(rule("/who/b.png"))
    put, _ = python.do("ci_put_object", Key="who/a.png", Body=png(), PicOperations=header)
    stored, _ = python.do("ci_image_process", Key="who/a.png", PicOperations=header)
    plain = python.do("put_object", Key="who/c.png", Body=png())
    assert [each["Server"] for each in (put, stored, plain)] == [
        "tencent-ci",
        "tencent-ci",
        "tencent-cos",
    ]
    assert put["Content-Type"] == stored["Content-Type"] == "application/xml"
    found = nodejs.do(
        "request",
        Method="POST",
        Key="who/a.png",
        Action="image_process",
        Headers={"Pic-Operations": header},
    )
    assert found["headers"]["server"] == "tencent-ci"
    assert found["headers"]["content-type"] == "application/xml"
    assert found["RequestId"] == found["headers"]["x-cos-request-id"]


# -------------------------------------------------------------------------------- 2: on upload


def test_on_upload(sdk):
    result = sdk.put_processed("two/p1/a.png", png(), operations(rule("/two/p2/b.png", 2), info=1))
    assert result.keys() == {"OriginalInfo", "ProcessResults"}
    original = result["OriginalInfo"]
    host = f"{sdk.bucket}.cos.ap-test.myqcloud.com"
    assert original["Key"] == "two/p1/a.png"
    assert original["Location"] == f"{host}/two/p1/a.png"
    assert original["ETag"] == md5(png())
    info = original["ImageInfo"]
    assert (info["Format"], info["Width"], info["Height"]) == ("PNG", "20", "12")
    assert info.keys() == {"Format", "Width", "Height", "Quality", "Ave", "Orientation"}
    (made,) = listed(result["ProcessResults"]["Object"])
    content, headers = sdk.get("two/p2/b.png")
    picture = opened(content)
    assert (picture.format, picture.size) == ("PNG", (40, 24))
    assert headers["content-type"] == "image/png"
    assert made["Key"] == "two/p2/b.png"
    assert made["Location"] == f"{host}/two/p2/b.png"
    assert (made["Width"], made["Height"]) == ("40", "24")
    assert (made["Size"], made["ETag"]) == (str(len(content)), md5(content))
    assert made["Format"].lower() == "png"
    assert headers["etag"] == md5(content)
    assert sdk.get("two/p1/a.png")[0] == png()


def test_the_example_of_the_vendors_page(sdk):
    header = """{
"is_pic_info": 1,
"rules": [{
"fileid": "exampleobject",
"rule": "ci-process=AISuperResolution&magnify=2"
}]
}""".replace("\n", "")
    result = sdk.put_processed("two/example/filename.jpg", png(kind="JPEG"), header)
    (made,) = listed(result["ProcessResults"]["Object"])
    assert made["Key"] == "two/example/exampleobject"
    assert opened(sdk.get("two/example/exampleobject")[0]).format == "PNG"


def test_five_rules(sdk, server, owner):
    other = sdk.on(server.app.buckets.create(new_name(), owner.id).name)
    header = operations(
        rule("/five/absolute.webp", 4),
        rule("relative.jpg"),
        rule("deeper/relative.jpeg", 2),
        rule("other.png", 2, bucket=other.bucket),
        {"fileid": "blanks", "rule": "ci-process = AISuperResolution & magnify = 4"},
    )
    result = sdk.put_processed("five/in/a.png", png(), header)
    assert "ImageInfo" not in result["OriginalInfo"]
    made = listed(result["ProcessResults"]["Object"])
    assert [each["Key"] for each in made] == [
        "five/absolute.webp",
        "five/in/relative.jpg",
        "five/in/deeper/relative.jpeg",
        "five/in/other.png",
        "five/in/blanks",
    ]
    assert made[3]["Location"].startswith(f"{other.bucket}.cos.")
    kinds = ["WEBP", "JPEG", "JPEG", "PNG", "PNG"]
    for each, kind, place in zip(made, kinds, [sdk, sdk, sdk, other, sdk], strict=True):
        content, headers = place.get(each["Key"])
        picture = opened(content)
        assert picture.format == kind
        assert picture.size == (int(each["Width"]), int(each["Height"]))
        assert each["ETag"] == headers["etag"] == md5(content)
        assert headers["content-type"] == f"image/{kind.lower()}"
    with pytest.raises(Refusal):
        sdk.head("five/in/other.png")


@pytest.mark.parametrize("fileid", ["/three/over.png", "three/over.png", "over.png"])
def test_the_result_replaces_the_original(sdk, fileid):
    """``<ObjectKey>`` with and without its slash, and as a relative path."""
    result = sdk.put_processed("three/over.png", png(), operations(rule(fileid)))
    (made,) = listed(result["ProcessResults"]["Object"])
    assert made["Key"] == "three/over.png"
    assert opened(sdk.get("three/over.png")[0]).size == (40, 24)


def test_python_uploads_a_file_and_processes_it(python, tmp_path):
    file = tmp_path / "local.png"
    file.write_bytes(png())
    _, result = python.do(
        "ci_put_object_from_local_file",
        LocalFilePath=str(file),
        Key="two/local.png",
        EnableMD5=True,
        PicOperations=operations(rule("/two/local.2x.png")),
    )
    assert result["ProcessResults"]["Object"]["Key"] == "two/local.2x.png"


def test_all_or_nothing(sdk):
    header = operations(rule("/nothing/a.png"), rule("/nothing/b.png", bucket="nobody-1250000000"))
    with pytest.raises(Refusal) as refused:
        sdk.put_processed("nothing/c.png", png(), header)
    assert (refused.value.status, refused.value.code) == (404, "NoSuchBucket")
    with pytest.raises(Refusal) as broken:
        sdk.put_processed("nothing/c.png", b"no picture", operations(rule("/nothing/a.png")))
    assert (broken.value.status, broken.value.code) == (400, "InvalidImageFormat")
    assert sdk.list("nothing/").keys == []


def test_keys_of_results_in_any_language(sdk):
    # Node's HTTP takes headers up to U+00FF alone.
    fileid = "/übung/Füße & co.png" if sdk.name == "node" else "/übung/写真 & co.png"
    header = json.dumps({"rules": [rule(fileid)]}, ensure_ascii=False)
    sdk.put_processed("übung/src.png", png(), header)
    assert opened(sdk.get(fileid[1:])[0]).size == (40, 24)
    escaped = json.dumps({"rules": [rule("/übung/写真.png")]})
    sdk.put_processed("übung/src.png", png(), escaped)
    assert opened(sdk.get("übung/写真.png")[0]).size == (40, 24)


# -------------------------------------------------------------------------------- 3: on stored


def test_on_what_is_stored(sdk):
    sdk.put("stored/a.jpg", png(kind="JPEG", quality=90), ContentType="image/jpeg")
    header = operations(rule("/stored/b.png", 4), rule("c.jpg"), info=1)
    result = sdk.process("stored/a.jpg", header)
    original = result["OriginalInfo"]
    assert original["Key"] == "stored/a.jpg"
    assert original["ETag"] == sdk.head("stored/a.jpg")["etag"]
    info = original["ImageInfo"]
    assert (info["Format"], info["Width"], info["Height"]) == ("JPEG", "20", "12")
    assert info["Quality"] == "90"
    made = listed(result["ProcessResults"]["Object"])
    assert [each["Key"] for each in made] == ["stored/b.png", "stored/c.jpg"]
    assert opened(sdk.get("stored/b.png")[0]).size == (80, 48)
    assert opened(sdk.get("stored/c.jpg")[0]).size == (40, 24)


def test_what_is_stored_is_replaced(sdk):
    sdk.put("stored/over.png", png())
    sdk.process("stored/over.png", operations(rule("/stored/over.png")))
    assert opened(sdk.get("stored/over.png")[0]).size == (40, 24)


def test_what_is_not_stored(sdk):
    with pytest.raises(Refusal) as missing:
        sdk.process("stored/not there.png", operations(rule("/stored/b.png")))
    assert (missing.value.status, missing.value.code) == (404, "NoSuchKey")


# ------------------------------------------------------------------------- an upload in parts


def test_an_upload_in_parts_is_processed_in_the_end(sdk):
    header = operations(rule("/parts/b.png", 2), rule("c.png", 4), info=1)
    picture = png(900, 700, compress_level=0)
    assert len(picture) > 1 << 20
    upload = sdk.initiate("parts/a.png", ContentType="image/png", PicOperations=header)
    first = sdk.upload_part("parts/a.png", upload, 1, picture[: 1 << 20])
    second = sdk.upload_part("parts/a.png", upload, 2, picture[1 << 20 :])
    assert sdk.list("parts/").keys == []
    done = sdk.complete("parts/a.png", upload, [(1, first), (2, second)], PicOperations=header)
    if sdk.name == "node":
        info = done["UploadResult"]["OriginalInfo"]["ImageInfo"]
        results = done["UploadResult"]["ProcessResults"]
    else:
        info, results = done["ImageInfo"], done["ProcessResults"]
    assert (info["Format"], info["Width"], info["Height"]) == ("PNG", "900", "700")
    assert [each["Key"] for each in results["Object"]] == ["parts/b.png", "parts/c.png"]
    assert sdk.get("parts/a.png")[0] == picture
    assert done["ETag"] == sdk.head("parts/a.png")["etag"]
    assert opened(sdk.get("parts/b.png")[0]).size == (1800, 1400)
    for key in sdk.list("parts/").keys:
        sdk.delete(key)


def test_node_uploads_a_file_in_parts_and_processes_it(nodejs, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png(900, 700, compress_level=0))
    done = nodejs.do(
        "uploadFile",
        Key="whole/a.png",
        FilePath=str(file),
        SliceSize=1 << 20,
        Headers={"Pic-Operations": operations(rule("/whole/b.png"), info=1)},
    )
    assert done["ETag"].endswith('-2"')
    made = done["UploadResult"]["ProcessResults"]["Object"]
    assert (made["Key"], made["Width"]) == ("whole/b.png", "1800")
