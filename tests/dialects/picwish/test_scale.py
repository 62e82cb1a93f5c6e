"""What is made of a picture: sizes, formats, what is answered, on a real server."""

from __future__ import annotations

import base64
import io
import time
import uuid
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from PIL import Image

from tests.dialects.picwish.conftest import (
    MAX_BYTES,
    PATIENCE,
    Native,
    animation,
    base64_of,
    complete,
    failed,
    loaded,
    opened,
    picture,
    png_of,
    refused,
    unfinished,
)


def expected(side: int, factor: int | None) -> int:
    """The contract's two tables, by longest side."""
    if factor is None:
        return 4 if side <= 500 else 2 if side <= 1000 else 1
    return factor if side <= {1: 4096, 2: 1000, 4: 500}[factor] else 1


@pytest.mark.parametrize("factor", [None, 1, 2, 4])
@pytest.mark.parametrize("side", [10, 11, 499, 500, 501, 999, 1000, 1001, 1100, 4095, 4096])
@pytest.mark.parametrize("upright", [True, False])
def test_scale(native, side, factor, upright):
    size = (10, side) if upright else (side, 10)
    fields = {} if factor is None else {"scale_factor": factor}
    data = native.done(picture(*size), **fields)
    times = expected(side, factor)
    assert (data["image_width"], data["image_height"]) == (size[0] * times, size[1] * times)
    assert loaded(data["image"]).size == (size[0] * times, size[1] * times)


@pytest.mark.parametrize(("factor", "times"), [("", 4), ("2", 2), ("4", 4), ("1", 1), ("2.0", 2)])
def test_factor_as_text(either, factor, times):
    assert either.done(picture(20, 12), scale_factor=factor)["image_width"] == 20 * times


@pytest.mark.parametrize(
    "size", [(9, 10), (10, 9), (9, 9), (1, 1), (9, 400), (4097, 10), (10, 4097)]
)
@pytest.mark.parametrize("factor", ["", 1])
def test_sizes_that_are_no_valid_picture(either, size, factor):
    data = either.failed(picture(*size), scale_factor=factor)
    assert data["state"] == -7
    assert "pixels" in data["message"]


def test_pixels_are_the_pictures_own(native):
    sent = picture(16, 16)
    came = np.asarray(loaded(native.done(sent)["image"]), np.int16)
    assert np.abs(came[::4, ::4] - np.asarray(opened(sent), np.int16)).max() <= 2


@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation_is_applied(native, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    sent = picture(40, 12, "JPEG", exif=exif)
    data = native.done(sent)
    upright = (160, 48) if turned < 5 else (48, 160)
    assert (data["image_width"], data["image_height"]) == upright
    image = loaded(data["image"])
    assert image.size == upright
    assert image.getexif().get(0x0112, 1) == 1


def test_where_a_photo_was_taken_is_not_told(native):
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.9), 3: "E", 4: (2.0, 17.0, 40.2)}
    image = loaded(native.done(picture(40, 12, "JPEG", exif=exif))["image"])
    assert not image.getexif().get_ifd(0x8825)


# --- formats ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "asked", "came"),
    [
        ("PNG", None, "PNG"),
        ("JPEG", None, "JPEG"),
        ("BMP", None, "PNG"),
        ("WEBP", None, "PNG"),
        ("TIFF", None, "PNG"),
        ("PNG", "jpg", "JPEG"),
        ("PNG", "JPG", "JPEG"),
        ("PNG", "jpeg", "JPEG"),
        ("JPEG", "png", "PNG"),
        ("WEBP", "jpg", "JPEG"),
        ("TIFF", "PNG", "PNG"),
        ("JPEG", "", "JPEG"),
    ],
)
def test_formats(either, kind, asked, came):
    fields = {} if asked is None else {"format": asked}
    assert loaded(either.done(picture(kind=kind), **fields)["image"]).format == came


def test_transparency_stays_or_is_put_on_white(native):
    out = io.BytesIO()
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(out, "PNG")
    assert loaded(native.done(out.getvalue())["image"]).mode == "RGBA"
    flat = loaded(native.done(out.getvalue(), format="jpg")["image"])
    assert (flat.mode, flat.getpixel((40, 40))) == ("RGB", (255, 255, 255))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused(either, kind):
    assert either.failed(animation(kind))["state"] == -7


def test_other_formats_are_refused(either):
    still = io.BytesIO()
    Image.new("P", (32, 32)).save(still, "GIF")
    for content in (still.getvalue(), picture(kind="AVIF"), b"hello", b"<svg/>", picture()[:60]):
        assert either.failed(content)["state"] == -7


# --- answers ----------------------------------------------------------------------------


def test_link(either):
    before = int(time.time())
    data = either.done(picture(400, 300))
    assert str(uuid.UUID(data["task_id"])) == data["task_id"]
    assert (data["image_width"], data["image_height"], data["type"]) == (1600, 1200, "clean")
    assert before - 1 <= data["created_at"] <= data["completed_at"] <= time.time() + 1
    assert (data["return_type"], data["download_time"]) == (1, 0)
    link = urlsplit(data["image"])
    assert f"{link.scheme}://{link.netloc}" in either.url
    assert loaded(data["image"]).size == (1600, 1200)
    # For one hour.
    assert int(parse_qs(link.query)["expires"][0]) - data["completed_at"] in (3599, 3600, 3601)


def test_time_elapsed_is_in_milliseconds(native):
    began = time.monotonic()
    data = native.done(picture(400, 300))
    assert 0.5 < data["time_elapsed"] < (time.monotonic() - began) * 1000


def test_link_under_the_public_address(start_server, server):
    public = {"server.public_url": "https://pictures.example.com/up/"}
    other = start_server({"database.url": "", **public})
    client = Native(other.url, other.access.create("one").token)
    task_id = client.create(picture())
    assert unfinished(client.poll(task_id))["task_id"] == task_id  # it does no tasks itself
    with other.app.database.connect() as connection:
        [details] = connection.exec_driver_sql("SELECT details FROM jobs").one()
    assert "https://pictures.example.com/up" in details


@pytest.mark.parametrize("return_type", [2, "2"])
def test_base64(either, return_type):
    data = either.done(picture(30, 20), return_type=return_type)
    image = opened(base64.b64decode(data["image"], validate=True))
    assert (image.format, image.size) == ("PNG", (120, 80))


def test_base64_of_every_length(native, server):
    """The pieces of a blob do not end where base64 ends."""
    for side in range(10, 40):
        data = native.done(picture(side, 10), return_type=2, format="jpg")
        assert opened(base64.b64decode(data["image"], validate=True)).size == (side * 4, 40)


def test_base64_of_a_large_result(native):
    noise = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (480, 480, 3), np.uint8)
    Image.fromarray(pixels).save(noise, "JPEG", quality=10)
    response = native.post(noise.getvalue(), return_type=2, format="png")
    data = complete(response, 2)
    content = base64.b64decode(data["image"], validate=True)
    assert len(content) > 300_000  # more than a piece
    assert opened(content).size == (1920, 1920)
    assert int(response.headers["content-length"]) == len(response.content)


@pytest.mark.parametrize(("asked", "media_type"), [("jpg", "image/jpeg"), ("png", "image/png")])
def test_raw_bytes(either, asked, media_type):
    response = either.post(picture(30, 20), return_type=3, format=asked)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert int(response.headers["content-length"]) == len(response.content)
    assert opened(response.content).size == (120, 80)


def test_failures_of_raw_bytes_are_json(either):
    assert failed(either.post(b"hello", return_type=3))["state"] == -7


@pytest.mark.parametrize("kind", ["clean", "face", "FACE"])
def test_type_is_a_string_and_comes_back(either, kind):
    assert either.done(picture(), type=kind)["type"] == kind.lower()


def test_type_is_clean_at_the_native_door(native):
    response = native.send(data={"sync": 1, "image_base64": base64_of(picture())})
    assert complete(response)["type"] == "clean"


def test_faces_are_looked_for(server, either, portrait):
    def result(**fields):
        task = either.done(portrait, scale_factor=2, **fields)["task_id"]
        return server.app.jobs.get(task, owner=None).items[0].result

    assert result(type="clean").faces is None
    (found,) = result(type="face").faces
    assert found.tier == "enhanced"
    assert found.face.x < 72 < found.face.x + found.face.width
    assert found.face.y < 122 < found.face.y + found.face.height


def test_fix_face_only(server, native, portrait):
    """What is no face is enlarged by the model that invents nothing; never a wrong value."""
    for value, model in ((0, "general"), (1, "faithful"), ("true", "faithful"), ("x", "general")):
        task = native.done(portrait, type="face", scale_factor=2, fix_face_only=value)["task_id"]
        result = server.app.jobs.get(task, owner=None).items[0].result
        assert (result.model, len(result.faces)) == (model, 1)
    task = native.done(picture(), fix_face_only=1)["task_id"]  # means nothing without faces
    assert server.app.jobs.get(task, owner=None).items[0].result.model == "general"


# --- tasks ------------------------------------------------------------------------------


def test_create_and_poll(native):
    made = unfinished(native.post(picture(400, 300), sync=0))
    data = complete(native.finished(made["task_id"]))
    assert data["task_id"] == made["task_id"]
    assert data["created_at"] == made["created_at"]
    assert loaded(data["image"]).size == (1600, 1200)


def test_sync_is_0_when_nothing_is_said(native):
    response = native.send(data={"image_base64": base64_of(picture())})
    assert complete(native.finished(unfinished(response)["task_id"]))


def test_create_and_poll_for_base64(native):
    response = native.finished(native.create(picture(30, 20), return_type=2))
    data = complete(response, 2)
    assert opened(base64.b64decode(data["image"], validate=True)).size == (120, 80)


def test_create_and_poll_for_what_fails(native):
    assert failed(native.finished(native.create(b"hello")))["state"] == -7


def test_results_that_were_waited_for_can_be_polled(native, market):
    for client in (native, market):
        data = client.done(picture())
        again = complete(native.poll(data["task_id"]))
        assert again == data | {"image": again["image"]}
        assert loaded(again["image"]).size == (96, 64)
    assert complete(native.poll(market.done(picture(), return_type=2)["task_id"]), 2)
    data = failed(market.post(b"hello"))
    assert failed(native.poll(data["task_id"])) == data


def test_raw_bytes_are_polled_as_a_link(native, server, token):
    task = server.app.jobs.list(owner=server.access.by_token(token).id, limit=1)
    native.post(picture(), return_type=3)
    newest = server.app.jobs.list(owner=server.access.by_token(token).id, limit=1)
    assert [job.id for job in newest] != [job.id for job in task]
    data = complete(native.poll(newest[0].id), 3)
    assert loaded(data["image"]).size == (96, 64)


def test_a_trailing_slash_does_no_harm(either):
    response = requests.post(
        either.url + "/",
        headers=either.headers,
        data={"type": "clean", "sync": 1, "image_base64": base64_of(picture())},
        timeout=PATIENCE,
    )
    assert complete(response)


# --- sources ----------------------------------------------------------------------------


def test_image_url(either, web):
    data = either.done(image_url=web.put("a.png", picture(30, 20)))
    assert loaded(data["image"]).size == (120, 80)
    assert data["download_time"] >= 0


@pytest.mark.parametrize("size", [MAX_BYTES - 1, MAX_BYTES])
def test_largest_files(either, web, size):
    content = png_of(size)
    assert len(content) == size
    either.done(content)
    either.done(image_base64=base64_of(content))
    either.done(image_url=web.put("large.png", content))
    either.done(image_url=web.put("chunked.png", content))


def test_files_one_byte_larger(either, web):
    content = png_of(MAX_BYTES + 1)
    refused(either.post(content), 413, "bytes")
    refused(either.post(image_base64=base64_of(content)), 413, "bytes")
    for name in ("large.png", "chunked.png"):
        assert either.failed(image_url=web.put(name, content))["state"] == -5


def test_longest_url(either, web):
    short = web.link("")
    name = "a" * (512 - len(short))
    assert either.done(image_url=web.put(name, picture()))
    refused(either.post(image_url=web.put(name + "a", picture())), 400, "512 characters")


def test_which_picture_wins(either, web):
    """What was sent wins over what is named, a file over base64."""
    small, middle, large = picture(10, 10), picture(20, 20), picture(30, 30)
    link = web.put("small.png", small)
    text = base64_of(middle)
    assert either.done(large, image_base64=text, image_url=link)["image_width"] == 120
    assert either.done(image_base64=text, image_url=link)["image_width"] == 80
    assert either.done(b"", image_base64="", image_url=link)["image_width"] == 40
    assert either.done(b"", image_base64=text, image_url="")["image_width"] == 80
