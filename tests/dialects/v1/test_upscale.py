"""Three ways to send a picture, three ways to be answered."""

import base64
import io
import os
import re
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from superres.server import observe
from tests.dialects.conftest import StartServer
from tests.dialects.v1.conftest import error_of, opened, picture

JSON = {"Accept": "application/json"}


def test_a_form_gives_the_picture(client):
    response = client.post(
        "/v1/upscale",
        files={"file": ("holiday/photo.png", picture())},
        data={"scale": "2", "model": "general", "fidelity": "0.5", "format": "jpeg"},
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["content-disposition"] == 'attachment; filename="photo_x2.jpg"'
    assert int(response.headers["content-length"]) == len(response.content)
    assert int(response.headers["x-queue-time"]) >= 0
    assert int(response.headers["x-inference-time"]) >= 0
    assert response.headers["x-content-type-options"] == "nosniff"
    image = opened(response.content)
    assert (image.format, image.size) == ("JPEG", (48, 32))


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/png", "image/jpeg", "application/octet-stream", "text/plain", "nonsense", None),
        # What curl --data-binary says if nobody tells it otherwise.
        "application/x-www-form-urlencoded",
    ],
)
def test_a_bare_picture_gives_the_picture(client, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = client.post("/v1/upscale?scale=3", content=picture(), headers=headers)
    assert response.status_code == 200
    assert response.headers["content-disposition"] == 'attachment; filename="image_x3.png"'
    assert opened(response.content).size == (72, 48)


def test_json_with_base64_gives_the_picture(client):
    image = "data:image/jpeg;base64," + base64.b64encode(picture()).decode()
    body = {"img": image, "scale": 1.5, "model": None, "url": None}
    response = client.post("/v1/upscale", json=body)
    assert response.status_code == 200
    assert opened(response.content).size == (36, 24)


def test_json_with_an_address_gives_the_picture(client, server):
    server.app.store.put("photos", "summer/a b.png", picture())
    credential = server.access.create("reader")
    response = client.post(
        "/v1/upscale",
        json={"url": "s3://photos/summer/a b.png", "scale": 2},
        headers={"Authorization": f"Bearer {credential.token}"},
    )
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"] == 'attachment; filename="a b_x2.png"'
    assert opened(response.content).size == (48, 32)


def test_addresses_are_fetched(start_server, tmp_path_factory):
    import functools
    import http.server
    import threading

    folder = tmp_path_factory.mktemp("web")
    (folder / "été.png").write_bytes(picture())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}/%C3%A9t%C3%A9.png"
        allowing = start_server({"sources.allow_networks": ["127.0.0.0/8"]})
        refusing = start_server()
        found = httpx.post(f"{allowing.url}/v1/upscale", json={"url": address}, headers=JSON)
        refused = httpx.post(f"{refusing.url}/v1/upscale", json={"url": address})
        missing = httpx.post(f"{allowing.url}/v1/upscale", json={"url": address + "x"})
        web.shutdown()
    assert found.json()["name"] == "été_x4.png"
    assert (refused.status_code, error_of(refused)["code"]) == (400, "source_refused")
    assert (missing.status_code, error_of(missing)["code"]) == (422, "source_unreachable")


def test_json_is_answered_with_a_link(client, server):
    before = datetime.now(UTC)
    response = client.post(
        "/v1/upscale", files={"file": ("a.jpg", picture())}, data={"scale": "2"}, headers=JSON
    )
    assert response.status_code == 200
    told = response.json()
    assert set(told) == {
        *("id", "url", "name", "format", "media_type", "width", "height"),
        *("source_width", "source_height", "bytes", "seconds", "inference_seconds"),
        *("queue_seconds", "model", "fidelity", "scale", "expires", "faces"),
    }
    assert (told["width"], told["height"]) == (48, 32)
    assert (told["source_width"], told["source_height"]) == (24, 16)
    assert (told["name"], told["format"], told["media_type"]) == ("a_x2.png", "png", "image/png")
    assert (told["model"], told["scale"]) == ("general", 2.0)
    assert 0 <= told["inference_seconds"] <= told["seconds"]
    assert re.fullmatch(
        rf"/v1/results/{told['id']}\?expires=[0-9]{{10}}&signature=[0-9a-f]{{64}}", told["url"]
    )
    left = (datetime.fromisoformat(told["expires"]) - before).total_seconds()
    assert left == pytest.approx(server.app.settings.server.result_lifetime, abs=5)
    loaded = client.get(told["url"])
    assert loaded.status_code == 200
    assert len(loaded.content) == told["bytes"]
    assert opened(loaded.content).size == (48, 32)


def test_links_are_absolute_where_the_address_is_known(start_server):
    server = start_server({"server.public_url": "http://localhost:9999/pictures/"})
    told = httpx.post(f"{server.url}/v1/upscale", content=picture(), headers=JSON).json()
    link = f"http://localhost:9999/pictures/v1/results/{told['id']}?expires="
    assert told["url"].startswith(link)


@pytest.mark.parametrize(
    ("fields", "size", "name"),
    [
        ({}, (96, 64), "image_x4.png"),
        ({"scale": "1"}, (24, 16), "image_x1.png"),
        ({"scale": "2.5"}, (60, 40), "image_x2.5.png"),
        ({"width": "50"}, (50, 33), "image_50x33.png"),
        ({"width": "50", "height": "32"}, (48, 32), "image_48x32.png"),
        ({"megapixels": "0.006144"}, (96, 64), "image_96x64.png"),
    ],
)
def test_sizes(client, fields, size, name):
    response = client.post("/v1/upscale", params=fields, content=picture())
    assert opened(response.content).size == size
    assert f'"{name}"' in response.headers["content-disposition"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"format": "png"}, "PNG"),
        ({"format": "JPG", "quality": "50"}, "JPEG"),
        ({"format": "webp", "lossless": "true"}, "WEBP"),
        ({"format": "webp", "lossless": "False", "quality": "80"}, "WEBP"),
        ({"format": "tif", "colour_lock": "false"}, "TIFF"),
    ],
)
def test_formats(client, fields, kind):
    response = client.post("/v1/upscale", params=fields, content=picture())
    assert response.status_code == 200, response.text
    assert opened(response.content).format == kind
    assert response.headers["content-type"] == f"image/{kind.lower()}"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/webp", "image/webp"),
        ("image/jpeg, image/png;q=0.5", "image/jpeg"),
        ("image/avif,image/webp,image/*,*/*;q=0.8", "image/png"),
        ("application/json, text/plain, */*", "application/json"),  # axios
        ("application/json;q=0.9, image/*", "image/png"),
    ],
)
def test_accept_chooses_the_answer(client, accept, answered):
    response = client.post(
        "/v1/upscale", content=picture(), headers={"Accept": accept} if accept else {}
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == answered


def test_noise_and_orientations(client):
    """The fake engine repeats pixels: what differs is what it was given."""
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(120, 20, (64, 64, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "PNG")

    def spread(**fields):
        response = client.post("/v1/upscale", params=fields, content=buffer.getvalue())
        assert response.status_code == 200, response.text
        return np.asarray(opened(response.content)).std()

    as_it_is = spread(denoise=0)
    assert as_it_is == pytest.approx(noisy.std(), rel=0.01)
    assert spread(denoise=0, tta="true") == as_it_is
    assert spread(fidelity=0.5) == as_it_is
    assert spread(denoise=0.3, fidelity=0.5) < as_it_is
    assert spread(denoise=1) < spread() < 0.7 * as_it_is


def test_the_first_frame_only_if_asked(client):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    refused = client.post("/v1/upscale", content=buffer.getvalue())
    assert refused.status_code in (400, 415)
    taken = client.post("/v1/upscale?first_frame=true", content=buffer.getvalue())
    assert opened(taken.content).convert("RGB").getpixel((3, 3))[0] > 200


def jpeg_with_place() -> bytes:
    exif = Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (32.0, 39.0, 6.0)
    return picture(kind="JPEG", exif=exif.tobytes())


@pytest.mark.parametrize(
    ("strip", "maker", "place"),
    [(None, True, False), ("location", True, False), ("none", True, True), ("all", False, False)],
)
def test_the_place_goes_by_default(client, strip, maker, place):
    params = {"format": "jpeg"} | ({"strip": strip} if strip else {})
    response = client.post("/v1/upscale", params=params, content=jpeg_with_place())
    exif = opened(response.content).getexif()
    assert (271 in exif) is maker
    assert bool(exif.get_ifd(0x8825)) is place


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("../../etc/passwd", 'attachment; filename="passwd_x4.png"'),
        ("C:\\Users\\me\\photo.jpg", 'attachment; filename="photo_x4.png"'),
        ("", 'attachment; filename="image_x4.png"'),
        ("..", 'attachment; filename="image_x4.png"'),
        ("Été.jpg", "attachment; filename=\"_t__x4.png\"; filename*=UTF-8''%C3%89t%C3%A9_x4.png"),
        ("a%22b.png", 'attachment; filename="a_b_x4.png"'),
    ],
)
def test_names_of_results(client, name, header):
    # By hand: httpx would escape the name in its own way.
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode().replace(b"%22", b'\\"').replace(b"C:\\", b"C:\\")
        + b'"\r\n\r\n'
        + picture()
        + b"\r\n--b--\r\n"
    )
    response = client.post(
        "/v1/upscale", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"] == header


def test_names_in_the_address_go_with_every_form(client):
    body = {"img": base64.b64encode(picture()).decode()}
    assert opened(client.post("/v1/upscale?scale=2", json=body).content).size == (48, 32)
    form = {"file": ("a.png", picture())}
    response = client.post("/v1/upscale?scale=2", files=form, data={"format": "webp"})
    assert (opened(response.content).size, response.headers["content-type"]) == (
        (48, 32),
        "image/webp",
    )


def test_nothing_is_left_on_the_disk(client, server):
    for headers in ({}, JSON, {"Accept": "text/event-stream"}):
        client.post("/v1/upscale", files={"file": ("a.png", picture())}, headers=headers)
        client.post("/v1/upscale", content=b"no picture", headers=headers)
        client.post("/v1/upscale", files={"fil": ("a.png", picture())}, headers=headers)
    assert list(server.app.spool.iterdir()) == []


def test_the_request_id_is_the_clients_own(client):
    response = client.post(
        "/v1/upscale", content=picture(), headers={"X-Request-Id": "my-own-request-1"}
    )
    assert response.headers["x-request-id"] == "my-own-request-1"


def test_range_does_not_concern_a_post(client):
    response = client.post("/v1/upscale", content=picture(), headers={"Range": "bytes=0-3"})
    assert response.status_code == 200
    assert opened(response.content).size == (96, 64)


# ---------------------------------------------------------------- results


@pytest.fixture(scope="module")
def link(client) -> str:
    return client.post("/v1/upscale", content=picture(), headers=JSON).json()["url"]


def test_head_of_a_result(client, link):
    whole, head = client.get(link), client.head(link)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-length", "content-type", "etag", "content-disposition"):
        assert head.headers[name] == whole.headers[name]


def test_results_are_private_and_inert(client, link):
    headers = client.get(link).headers
    assert headers["cache-control"].startswith("private, max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert headers["content-disposition"] == 'inline; filename="image_x4.png"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=0-99999999", slice(0, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
def test_parts_of_a_result(client, link, asked, part):
    whole = client.get(link).content
    response = client.get(link, headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == whole[part]
    assert response.headers["content-range"].endswith(f"/{len(whole)}")


@pytest.mark.parametrize(
    "asked",
    ["bytes=9-3", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes", "bytes=²-"],
)
def test_ranges_that_are_no_ranges_count_as_none(client, link, asked):
    response = client.get(link, headers={"Range": asked.encode()})
    assert response.status_code == 200
    assert response.content == client.get(link).content


@pytest.mark.parametrize("asked", ["bytes=9999999-", "bytes=-0", f"bytes={10**17}-"])
def test_parts_behind_the_end(client, link, asked):
    response = client.get(link, headers={"Range": asked})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(client.get(link).content)}"
    assert error_of(response)["code"] == "range_not_satisfiable"


def test_a_changed_result_is_not_continued(client, link):
    etag = client.get(link).headers["etag"]
    part = client.get(link, headers={"Range": "bytes=0-3", "If-Range": etag})
    assert part.status_code == 206
    for other in ('"other"', f"W/{etag}", "Sat, 01 Jan 2000 00:00:00 GMT"):
        for asked in ("bytes=0-3", "bytes=9999999-"):
            whole = client.get(link, headers={"Range": asked, "If-Range": other})
            assert whole.status_code == 200


def test_what_the_client_has_is_not_sent_again(client, link):
    etag = client.get(link).headers["etag"]
    response = client.get(link, headers={"If-None-Match": f'"x", {etag}'})
    assert (response.status_code, response.content) == (304, b"")


def test_results_expire(start_server: StartServer):
    import time

    server = start_server({"server.result_lifetime": 1})
    told = httpx.post(f"{server.url}/v1/upscale", content=picture(), headers=JSON).json()
    assert httpx.get(server.url + told["url"]).status_code == 200
    time.sleep(1.1)
    response = httpx.get(server.url + told["url"])
    assert (response.status_code, error_of(response)["code"]) == (404, "object_not_found")


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=2-5"}])
def test_results_that_expire_while_they_are_asked_for(client, server, monkeypatch, asked):
    link = client.post("/v1/upscale", content=picture(), headers=JSON).json()["url"]
    found = server.app.blobs.open

    def expiring(result_id):
        blob = found(result_id)
        server.app.blobs.delete(result_id)
        return blob

    with monkeypatch.context() as patch:
        patch.setattr(server.app.blobs, "open", expiring)
        response = client.get(link, headers=asked)
    assert (response.status_code, error_of(response)["code"]) == (404, "object_not_found")


def kept(server, tmp_path, content):
    (tmp_path / "result").write_bytes(content)
    blob = server.app.blobs.keep(tmp_path / "result", "a.png", "image/png", 60)
    return blob, server.url + server.app.links.path(blob.id, blob.expires)


def test_results_that_expire_while_they_are_sent_are_sent_whole(server, tmp_path):
    content = bytes(range(256)) * (16 << 10)  # more than connections hold
    blob, link = kept(server, tmp_path, content)
    with httpx.stream("GET", link) as response:
        server.app.blobs.delete(blob.id)
        assert response.read() == content


@pytest.mark.parametrize("how", ["a bit", "shorter", "removed"])
def test_damaged_results_are_never_sent_as_if_whole(client, server, tmp_path, how):
    content = os.urandom(4 << 20)
    blob, link = kept(server, tmp_path, content)
    folder = server.app.settings.server.data_dir / "objects" / "superres" / "blobs"
    (file,) = folder.glob(f"{blob.id}*")
    if how == "removed":
        file.unlink()
    else:
        changed = bytes([content[0] ^ 1]) + content[1:] if how == "a bit" else content[:-1]
        file.write_bytes(changed)
    if how == "a bit":  # seen at the end only: then the answer stays without its end
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(link)
        return
    response = client.get(link)
    assert (response.status_code, error_of(response)["code"]) == (500, "storage_error")
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.partition("?")[0],
        lambda url: url.partition("&")[0],
        lambda url: url.replace("expires=", "expires=9"),
        lambda url: url.replace("signature=", "signature=0"),
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: re.sub("results/.{32}", "results/" + "0" * 32, url),
        lambda url: url.replace("expires", "Expires"),
        lambda url: url.replace("signature=", "signature=%ff%00"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_links_that_are_not_ours_lead_nowhere(client, link, change, method):
    response = client.request(method, change(link))
    assert response.status_code == 404
    if method == "GET":
        assert error_of(response)["code"] == "object_not_found"


def test_links_of_another_server_lead_nowhere(client, server, start_server, tmp_path):
    other = start_server({})
    blob, link = kept(server, tmp_path, b"x")
    theirs = other.app.links.path(blob.id, blob.expires)
    assert client.get(link).status_code == 200
    assert client.get(theirs).status_code == 404


def test_links_work_where_something_is_added(client, link):
    """Chat programs and such add their own."""
    assert client.get(link + "&utm_source=x").status_code == 200


def test_what_is_logged_is_no_link(client, link, monkeypatch):
    lines, mine = [], {"X-Request-Id": "logged-is-no-link"}
    monkeypatch.setattr(observe.log, "info", lambda event, **more: lines.append(more))
    for url in (link, link[:-2]):
        client.get(url, headers=mine)
    client.request("DELETE", link, headers=mine)
    # A line is written after its answer was sent: the last test's may come only now.
    end = time.monotonic() + 10
    while len(seen := [one for one in lines if one["request_id"] in mine.values()]) < 3:
        assert time.monotonic() < end, lines
        time.sleep(0.01)
    assert [line["path"] for line in seen[:2]] == ["/v1/results/****"] * 2
    assert len(seen) == 3
    assert "signature" not in str(seen)
    assert link.rpartition("=")[2] not in str(seen)


@pytest.mark.parametrize(
    "path", ["/v1/results/..%2f..%2fsuperres.db", "/v1/results/%00", "/v1/results/" + "0" * 32]
)
def test_paths_are_no_results(client, path):
    assert client.get(path).status_code == 404


def test_sixteen_bits_survive(client):
    from tests.pictures.files import png16, read_png16

    ramp = np.linspace(0, 65535, 64 * 16 * 3).astype(np.uint16).reshape(16, 64, 3)
    response = client.post("/v1/upscale?scale=2", content=png16(ramp))
    assert len(np.unique(read_png16(response.content))) > 256


def test_temporary_files_of_the_system_are_not_used(client, monkeypatch, tmp_path):
    import tempfile

    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    seen: list[Path] = []
    big = picture() + b"\0" * (3 << 20)  # more than a spooled file keeps in memory
    real = tempfile.NamedTemporaryFile

    def watched(*args: object, **kwargs: object) -> object:
        seen.append(Path(str(kwargs)))
        return real(*args, **kwargs)

    monkeypatch.setattr(tempfile, "TemporaryFile", watched)
    response = client.post("/v1/upscale", files={"file": ("a.png", big)}, data={"scale": "2"})
    assert response.status_code == 200
    assert seen == []
    assert list(folder.iterdir()) == []


def test_a_polyglot_is_what_its_content_says(client):
    # A PNG that calls itself a TIFF, with a web page behind its end.
    data = picture() + b"<html><script>alert(1)</script></html>"
    response = client.post(
        "/v1/upscale", files={"file": ("page.html", data, "image/tiff")}, data={"scale": "2"}
    )
    assert response.headers["content-type"] == "image/png"
    assert b"script" not in response.content
    (length,) = struct.unpack(">I", response.content[8:12])
    assert length == 13
