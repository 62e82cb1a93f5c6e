"""What a body may say, and what is made of everything else."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import BadParameter, SourceRefused, SourceTooLarge, SuperresError
from superres.server.dialects.ai_solution_kit import schemas

URL = "https://example.com/a.png"


@pytest.fixture
def read(tmp_path):
    def read(body, max_bytes: int = 1 << 20) -> schemas.Asked:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        (tmp_path / "body").write_bytes(raw)
        return schemas.read(tmp_path / "body", tmp_path / "picture", max_bytes)

    read.picture = tmp_path / "picture"
    return read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_in_any_of_its_encodings(read, encoding):
    asked = read(json.dumps({"url": URL + "/größer"}, ensure_ascii=False).encode(encoding))
    assert asked == schemas.Asked(URL + "/größer", scale=2, face=False)


def test_picture_sent_along(read):
    assert read({"img": base64.b64encode(b"picture").decode()}).url is None
    assert read.picture.read_bytes() == b"picture"


@pytest.mark.parametrize(
    "written",
    [
        "data:image/jpeg;base64,cGlj\ndHVy\r\nZQ==",
        "data:image/svg+xml;base64,cGljdHVyZQ==",
        "cGljdHVyZQ",
        " cGljdHVyZQ== ",
    ],
)
def test_forms_of_base64(read, written):
    read({"img": written})
    assert read.picture.read_bytes() == b"picture"


def test_url_wins_over_img(read):
    assert read({"img": "no base64 at all!", "url": URL}).url == URL
    assert not read.picture.exists()


@pytest.mark.parametrize("url", [None, ""])
def test_an_empty_url_is_none(read, url):
    assert read({"img": "cGljdHVyZQ==", "url": url}).url is None


@pytest.mark.parametrize("url", ["HTTPS://EXAMPLE.COM/A", "s3://bucket/key", "http://[::1]/"])
def test_urls_that_may_be_tried(read, url):
    assert read({"url": url}).url == url


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://example.com/a",
        "//example.com/a",
        "data:image/png;base64,AAAA",
        "http:/example.com",
        "https://",
        " https://example.com",
        "gopher://x",
        "\ud800",
        5,
        True,
        ["https://example.com"],
        {},
    ],
)
def test_illegal_urls(read, url):
    with pytest.raises(SourceRefused):
        read({"url": url})


@pytest.mark.parametrize(
    ("given_", "scale"), [(2, 2), (4, 4), ("2", 2), (" 4 ", 4), (2.0, 2), (None, 2)]
)
def test_scales(read, given_, scale):
    asked = read({"url": URL, "scale": given_})
    assert asked.scale == scale
    assert type(asked.scale) is int


@pytest.mark.parametrize(
    "scale",
    [0, 1, 3, 8, -2, 2.5, True, False, "", "two", "2.0", "２", [], {}, [2], 10**400, "9" * 9999],
)
def test_scales_refused(read, scale):
    with pytest.raises(BadParameter, match=r"^scale is .{1,60}; it must be 2 or 4\.$"):
        read({"url": URL, "scale": scale})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-Infinity"])
def test_numbers_that_are_none(read, number):
    with pytest.raises(BadParameter):
        read(f'{{"url": "{URL}", "scale": {number}}}'.encode())


@pytest.mark.parametrize(
    ("given_", "face"),
    [(True, True), (False, False), ("true", True), ("False", False), (None, False)],
)
def test_face(read, given_, face):
    assert read({"url": URL, "face": given_}).face is face


@pytest.mark.parametrize("face", [0, 1, "yes", "", [], 1.0])
def test_face_refused(read, face):
    with pytest.raises(BadParameter, match=r"face is .*; it must be true or false"):
        read({"url": URL, "face": face})


def test_unknown_fields_are_no_matter(read):
    assert read({"url": URL, "return_binary": True, "scale_factor": 3}).scale == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"scale": [[],[],', "scale is a list; it must be 2 or 4."),
        ('{"face": {"a":', "face is an object; it must be true or false."),
        ('{"img": {', "img must be a text with the file in base64, not an object."),
        ('{"url": [', "it must be a text, not a list."),
        ('{"more": [', '"more" is a list; leave it out.'),
        ('{"url": "' + "x" * 70_000 + '"}', "url cannot be read: a text is longer than 65,536 b"),
        ("[[],[],", "The body must be a JSON object, like "),
        ('{"img": "AAAA\u00e9"}', "img is no base64"),
    ],
)
def test_lists_and_objects_are_refused_at_their_first_character(read, body, said):
    with pytest.raises(SuperresError) as caught:
        read(body.encode())
    assert caught.value.public_message.startswith(said)


def test_the_last_of_two_fields_holds(read):
    assert read(b'{"url": "http://a/b", "scale": 3, "scale": 4}').scale == 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"url=https%3A%2F%2Fexample.com&scale=2",
        b'{"url": "https://a/b"',
        b"{'url': 'https://a/b'}",
        b'{"url": "https://a/b"} trailing',
        b"\xff\xfe\xfa",
        b'{"url": "\xff"}',
        b"[]",
        b"null",
        b'"https://a/b"',
        b"12",
        b"true",
        b"{}",
        b'{"img": ""}',
        b'{"img": 5}',
        b'{"img": ["AAAA"]}',
        b'{"img": "not base64!"}',
        b'{"img": "\\ud800"}',
    ],
)
def test_not_a_request(read, body):
    with pytest.raises(BadParameter) as caught:
        read(body)
    assert len(caught.value.public_message) < 150


def test_img_larger_than_the_limit(read):
    with pytest.raises(SourceTooLarge, match=r"\[limits\] max_input_bytes"):
        read({"img": "A" * 4000}, max_bytes=2999)
    assert not read.picture.exists()
    read({"img": "A" * 4000}, max_bytes=3000)


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b'{"a":' * 500_000 + b"1" + b"}" * 500_000,
        b'{"scale": ' + b"9" * 1_000_000 + b"}",
        b'{"url": "' + b"\\u0041" * 200_000,
        b'{"img": "' + b"=" * 1_000_000 + b'"}',
        b'{"img": "' + b"\\n" * 500_000 + b'"}',
        b'{"img": "data:' + b"," * 1_000_000 + b'"}',
    ],
)
def test_bombs_go_off_quickly_and_quietly(read, bomb):
    started = time.monotonic()
    with pytest.raises(SuperresError):
        read(bomb)
    assert time.monotonic() - started < 5


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(["url", "img", "scale", "face", "other"])


@given(st.dictionaries(_NAMES, _VALUES))
def test_any_object_is_a_request_or_refused(tmp_path_factory, fields):
    folder = tmp_path_factory.getbasetemp()
    (folder / "body").write_text(json.dumps(fields))
    try:
        asked = schemas.read(folder / "body", folder / "picture", 1000)
    except SuperresError:
        return
    assert asked.scale in (2, 4)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory, raw):
    folder = tmp_path_factory.getbasetemp()
    (folder / "body").write_bytes(raw)
    with pytest.raises(SuperresError):
        schemas.read(folder / "body", folder / "picture", 1000)
