"""Batches on a real server that does them, with an engine that repeats pixels."""

from __future__ import annotations

import io
import itertools
import json
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image

from tests.dialects.fsrtwo.conftest import (
    PATIENCE,
    Client,
    GatedEngine,
    executor_of,
    loaded,
    picture,
)

MAX_BYTES = 500_000
DOING = {
    "jobs.concurrency": 3,
    "jobs.poll_interval": 0.05,
    "sources.allow_networks": ["127.0.0.0/8"],
    "fsrtwo.max_bytes": MAX_BYTES,
}


@pytest.fixture(scope="module")
def engine():
    return GatedEngine()


@pytest.fixture(scope="module")
def server(start_server, engine):
    return start_server(DOING, executor=executor_of(engine))


@pytest.fixture(scope="module")
def client(server):
    made = server.access.create("tester")
    return Client(server.url, made.id, made.secret)


def test_as_the_vendors_page_says(client, web):
    """Create, wait as long as one is told, ask again, download."""
    links = [web.put(f"page{n}.png", picture(256 + n)) for n in range(3)]
    # Now it is known how long such pictures take; the queue is looked at once a second.
    client.finished(client.task(links))
    time.sleep(1.1)
    made = requests.post(
        client.host + "/v3/pic/fsrtwo/batch",
        headers=client.headers,
        json={"images": links, "file_ext": "png", "priority": 1},
        timeout=PATIENCE,
    ).json()
    assert made["code"] == 0
    url = client.host + "/v3/pic/fsrtwo/result/" + made["data"]["task_id"]
    polls = 0
    while True:
        seen = requests.get(url, headers=client.headers, timeout=PATIENCE).json()
        polls += 1
        if seen["data"]["status"] not in ("1", "2"):
            break
        assert polls < 60
        time.sleep(int(seen["data"]["wait_time"]))
    assert seen["data"]["status"] == "3"
    for n, one in enumerate(seen["data"]["list"]):
        assert loaded(one["image_result"]).size == ((256 + n) * 8, 2048)


@pytest.mark.parametrize(
    ("width", "height", "kind", "file_ext", "came"),
    [
        (256, 256, "PNG", "png", "PNG"),
        (256, 256, "PNG", "JPG", "JPEG"),
        (300, 517, "JPEG", "PNG", "PNG"),
        (517, 300, "BMP", "jpg", "JPEG"),
        (1023, 256, "JPEG", "jpg", "JPEG"),
        (256, 1023, "PNG", "Jpg", "JPEG"),
    ],
)
def test_eight_times_exactly(client, web, width, height, kind, file_ext, came):
    link = web.put("sized", picture(width, height, kind))
    data = client.finished(client.task([link], file_ext))
    assert data["status"] == "3", data
    (one,) = data["list"]
    result = loaded(one["image_result"])
    assert (result.format, result.size) == (came, (width * 8, height * 8))
    sent = Image.open(io.BytesIO(picture(width, height))).convert("RGB")
    near = result.convert("RGB").resize((width, height), Image.Resampling.BOX)
    apart = np.abs(np.asarray(near, np.int16) - np.asarray(sent, np.int16))
    assert apart.mean() < 6


def test_a_link_needs_nothing_but_itself(client, server, web):
    task = client.task([web.put("link.png", picture())])
    (one,) = client.finished(task)["list"]
    link = urlsplit(one["image_result"])
    assert f"{link.scheme}://{link.netloc}" == server.url
    assert loaded(one["image_result"]).size == (2048, 2048)
    tampered = one["image_result"][:-1] + ("0" if one["image_result"][-1] != "0" else "1")
    assert requests.get(tampered, timeout=PATIENCE).status_code == 404


def test_where_a_photo_was_taken_is_not_told(client, web):
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.9), 3: "E", 4: (2.0, 17.0, 40.2)}
    exif[0x010F] = "The maker"
    link = web.put("gps.jpg", picture(kind="JPEG", exif=exif))
    for file_ext in ("jpg", "png"):
        (one,) = client.finished(client.task([link], file_ext))["list"]
        told = loaded(one["image_result"]).getexif()
        assert 0x8825 not in told
        assert told[0x010F] == "The maker"


# ------------------------------------------------------------------ some fail, alone


@pytest.fixture(scope="module")
def bad(web) -> dict[str, tuple[str, str]]:
    """Links that fail, and what the reason says."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (1000, 1000, 3), np.uint8)
    large = io.BytesIO()
    Image.fromarray(noise).save(large, "PNG")
    assert len(large.getvalue()) > MAX_BYTES
    gone = "http://127.0.0.1:1/a.png"
    return {
        "narrow": (web.put("255.png", picture(255, 300)), "at least 256"),
        "low": (web.put("low.png", picture(300, 255)), "at least 256"),
        "wide": (web.put("1024.png", picture(1024, 300)), "at most 1,023"),
        "high": (web.put("high.jpg", picture(300, 1024, "JPEG")), "at most 1,023"),
        "five to one": (web.put("5.png", picture(1000, 200)), "1,000 x 200"),
        "webp": (web.put("a.webp", picture(kind="WEBP")), "WEBP"),
        "gif": (web.put("a.gif", picture(kind="GIF")), "GIF"),
        "tiff in disguise": (web.put("tiff.png", picture(kind="TIFF")), "TIFF"),
        "text": (web.put("a.txt", b"No picture at all."), ""),
        "nothing": (web.put("empty.png", b""), ""),
        "cut off": (web.put("cut.png", picture(300)[:-200]), ""),
        "too many bytes": (web.put("large.png", large.getvalue()), f"{MAX_BYTES}"),
        "missing": (web.link("missing.png"), "404"),
        "nobody there": (gone, ""),
        "private": ("http://10.0.0.1/a.png", "private"),
        "no address": ("photo.png", "must begin with http"),
        "another scheme": ("ftp://example.com/a.png", "must begin with http"),
        "a file": ("file:///etc/passwd", "must begin with http"),
        "inline": ("data:image/png;base64,AAAA", "must begin with http"),
        "no characters": ("http://\ud800\0/", ""),
        "no host": ("http://[", ""),
        "too long": ("http://example.com/" + "x" * 9000, "too long"),
        "no object": ("s3://bucket", "s3://bucket/key"),
        "missing object": ("s3://bucket/missing.png", ""),
    }


def test_each_failure_is_alone(client, web, bad):
    good = web.put("good.png", picture())
    for at in range(0, len(bad), 9):
        some = list(bad.items())[at : at + 9]
        links = [good, *itertools.chain.from_iterable((link, good) for _, (link, _) in some)]
        data = client.finished(client.task(links))
        assert data["status"] == "3"
        assert len(data["list"]) == len(links)
        for place, one in enumerate(data["list"]):
            if place % 2 == 0:
                assert (one["status"], one["reason"]) == ("3", ""), place
                assert loaded(one["image_result"]).size == (2048, 2048)
                continue
            name, (_, hint) = some[place // 2]
            assert (one["status"], one["image_result"]) == ("4", ""), name
            assert hint in one["reason"], name
            assert one["reason"].endswith((".", "?")), name
            assert str(web.folder) not in one["reason"]


def test_all_fail(client, bad):
    links = [bad[name][0] for name in ("narrow", "text", "missing", "no address")]
    data = client.finished(client.task(links))
    assert (data["status"], data["wait_time"]) == ("4", "0")
    assert [one["status"] for one in data["list"]] == ["4"] * 4


def test_at_the_edges_of_the_rules(client, web):
    least, most = picture(), picture(1023, 256)
    data = client.finished(client.task([web.put("l", least), web.put("m", most)], "jpg"))
    assert [one["status"] for one in data["list"]] == ["3", "3"], data
    exact = web.put("exact.png", least + bytes(MAX_BYTES - len(least)))
    over = web.put("over.png", least + bytes(MAX_BYTES - len(least) + 1))
    data = client.finished(client.task([exact, over]))
    assert [one["status"] for one in data["list"]] == ["3", "4"], data


def test_order_is_kept(client, web):
    sizes = [256 + 7 * (n * 11 % 20) for n in range(20)]
    links = [web.put(f"order{n}.jpg", picture(size, 256, "JPEG")) for n, size in enumerate(sizes)]
    data = client.finished(client.task(links, "jpg"))
    found = [loaded(one["image_result"]).width for one in data["list"]]
    assert found == [size * 8 for size in sizes]


def test_the_same_link_twice(client, web):
    link = web.put("twice.png", picture())
    data = client.finished(client.task([link, link]))
    assert [one["status"] for one in data["list"]] == ["3", "3"]
    assert data["list"][0]["image_result"] != data["list"][1]["image_result"]


def test_transparency_stays_or_is_put_on_white(client, web):
    """A JPG has none."""
    out = io.BytesIO()
    clear = np.zeros((256, 256, 4), np.uint8)
    clear[:, 128:] = (10, 20, 200, 255)
    Image.fromarray(clear).save(out, "PNG")
    link = web.put("clear.png", out.getvalue())
    (one,) = client.finished(client.task([link], "jpg"))["list"]
    flat = loaded(one["image_result"])
    assert flat.mode == "RGB"
    assert flat.getpixel((100, 100)) == (255, 255, 255)
    assert np.abs(np.subtract(flat.getpixel((1500, 100)), (10, 20, 200))).max() <= 3
    (one,) = client.finished(client.task([link], "png"))["list"]
    assert loaded(one["image_result"]).mode == "RGBA"


def test_objects(client, server):
    server.app.store.put("bucket", "a/b c.png", picture(260, 256))
    data = client.finished(client.task(["s3://bucket/a/b c.png"]))
    assert data["status"] == "3", data
    assert loaded(data["list"][0]["image_result"]).size == (2080, 2048)


# ------------------------------------------------------------------------- over time


def test_over_its_life(client, web, engine):
    engine.gate.clear()
    try:
        links = [web.put("life.png", picture()), "no address", web.link("life.png")]
        task = client.task(links)
        data = client.result(task)
        assert data["status"] in ("1", "2")
        assert len(data["list"]) == 3
        data = client.until(task, lambda d: [o["status"] for o in d["list"]] == ["2", "4", "2"])
        assert data["status"] == "2"
        for _ in range(3):
            assert client.result(task)["status"] == "2"
    finally:
        engine.gate.set()
    data = client.finished(task)
    assert [one["status"] for one in data["list"]] == ["3", "4", "3"]
    assert data["status"] == "3"


def test_a_new_task_is_not_complete_at_once(client, web):
    link = web.put("new.png", picture())
    for _ in range(5):
        assert client.result(client.task([link]))["status"] in ("1", "2")


def test_what_is_done_can_be_had_while_the_rest_goes_on(client, web):
    done, held = web.put("done.png", picture()), web.put("slow.png", picture(264))
    web.gate.clear()
    try:
        task = client.task([held, done])
        data = client.until(task, lambda data: data["list"][1]["status"] == "3")
        assert data["status"] == "2"
        assert data["list"][0]["status"] == "2"
        assert loaded(data["list"][1]["image_result"]).size == (2048, 2048)
    finally:
        web.gate.set()
    data = client.finished(task)
    assert loaded(data["list"][0]["image_result"]).size == (2112, 2048)
    assert loaded(data["list"][1]["image_result"]).size == (2048, 2048)


def test_looking_again_shows_the_same(client, web, bad):
    task = client.task([web.put("same.png", picture()), bad["narrow"][0]])
    first = client.finished(task)
    assert [client.result(task) for _ in range(3)] == [first] * 3


def test_closed_half_way(client, web, engine, server):
    done, held = web.put("half.png", picture()), web.put("slow2.png", picture())
    web.gate.clear()
    try:
        task = client.task([held, done])
        client.until(task, lambda data: data["list"][1]["status"] == "3")
        owner = server.access.find("tester").id
        server.app.jobs.cancel(task, owner=owner)
        data = client.result(task)
    finally:
        web.gate.set()
    assert [one["status"] for one in data["list"]] == ["5", "3"]
    assert data["status"] == "3"  # at least one image succeeded
    assert loaded(data["list"][1]["image_result"]).size == (2048, 2048)


def test_the_bodies_are_json_as_the_vendors(client, web):
    task = client.task([web.put("json.png", picture())])
    client.finished(task)
    response = client.poll(task)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    content = json.loads(response.content)
    assert list(content) == ["code", "msg", "data"]
    assert list(content["data"]) == ["status", "wait_time", "list"]
    assert list(content["data"]["list"][0]) == ["image_result", "status", "reason"]
