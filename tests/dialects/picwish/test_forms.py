"""What bodies and parameters may say, and what is made of everything else."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import BadParameter
from superres.server.dialects.picwish import forms, schemas
from superres.server.dialects.picwish.forms import MAX_VALUE, json_object, understood, urlencoded
from superres.settings import load

URL = "https://example.com/a.png"
NAMES = schemas.NAMES
T = TypeVar("T")


def read(values, *, market=False, along=False) -> schemas.Asked:
    return schemas.read(values, market=market, along=along)


def sensible(ask: Callable[[], T]) -> T | None:
    """What comes of it; None if it is refused, in words that can be shown."""
    try:
        return ask()
    except BadParameter as exc:
        said = exc.public_message
    assert said.isprintable()
    assert len(said) < 400
    return None


# --- urlencoded -------------------------------------------------------------------------


def test_urlencoded():
    body = b"image_url=https%3A%2F%2Fexample.com%2Fa.png%3Fb%3Dc%26d&type=clean&scale_factor=&x=y"
    assert urlencoded(body, NAMES).values == {
        "image_url": "https://example.com/a.png?b=c&d",
        "type": "clean",
    }


def test_urlencoded_in_other_letters():
    body = urlencode({"image_url": "https://example.com/größer bild/图.png"}).encode()
    assert urlencoded(body, NAMES).values["image_url"] == "https://example.com/größer bild/图.png"


@pytest.mark.parametrize("escape", [quote, quote_plus, lambda text: text])
def test_base64_may_be_escaped_or_not(escape):
    content = bytes(range(256)) * 3  # has every symbol
    text = base64.b64encode(content).decode()
    assert "+" in text
    said = urlencoded(f"type=clean&image_base64={escape(text)}".encode(), NAMES)
    assert said.base64 == text.encode()


def test_urlencoded_the_last_of_two_holds():
    assert urlencoded(b"type=clean&type=face", NAMES).values == {"type": "face"}
    assert urlencoded(b"type=clean&type=", NAMES).values == {}


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"type=%ff", "type is not UTF-8"),
        (b"type=" + b"a" * (MAX_VALUE + 1), "type is longer"),
        (b"type=" + b"%20" * MAX_VALUE + b"ab", "type is longer"),
        (b"&".join(b"a%d=1" % n for n in range(300)), "more than 256 fields"),
    ],
)
def test_urlencoded_refused(body, hint):
    with pytest.raises(BadParameter, match=hint):
        urlencoded(body, NAMES)


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(codec="utf-8"), max_size=50)),
    st.sampled_from([quote, quote_plus]),
)
def test_whatever_is_urlencoded_is_read(values, how):
    body = urlencode(values, quote_via=how).encode()
    assert urlencoded(body, NAMES).values == {
        name: text.strip() for name, text in values.items() if text.strip()
    }


@given(st.binary(max_size=200), st.integers(1, 8))
def test_escapes_are_not_cut_in_two(content, piece):
    escaped = "".join(f"%{byte:02x}" for byte in content).encode()
    was, forms._PIECE = forms._PIECE, max(3, piece)
    try:
        assert forms._unescaped(escaped, plus=b" ") == content
    finally:
        forms._PIECE = was


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(body):
    for kind in ("", "application/json", "application/x-www-form-urlencoded"):
        said = sensible(lambda kind=kind: understood(body, kind, NAMES))
        if said is not None:
            sensible(lambda said=said: read(said.values))


def test_large_bodies_take_no_time():
    text = base64.b64encode(bytes(4 << 20)).decode()
    for body in (
        f"image_base64={text.replace('A', '%41')}",
        f"image_base64={text}",
        json.dumps({"image_base64": text}),
        "&" * 250 + "image_base64=" + text,
    ):
        began = time.perf_counter()
        said = understood(body.encode(), "", NAMES)
        assert said.base64 == text.encode()
        assert time.perf_counter() - began < 10


# --- JSON -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_whatever_it_is_called(kind, encoding):
    body = json.dumps({"image_url": URL, "scale_factor": 2}).encode(encoding)
    assert understood(b" \n" * (encoding == "utf-8") + body, kind, NAMES).values == {
        "image_url": URL,
        "scale_factor": 2,
    }


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
def test_json_in_any_of_its_encodings(encoding):
    body = json.dumps({"image_url": URL}).encode(encoding)
    assert understood(body, "application/json", NAMES).values == {"image_url": URL}


def test_json_as_php_writes_it():
    body = rb'{"type":"face","fix_face_only":0,"image_url":"https:\/\/example.com\/a.png"}'
    assert understood(body, "", NAMES).values == {
        "type": "face",
        "fix_face_only": 0,
        "image_url": URL,
    }


def test_json_null_and_empty_are_nothing():
    body = b'{"image_url": null, "type": "", "image_base64": null, "scale_factor": null}'
    said = understood(body, "", NAMES)
    assert (said.values, said.base64) == ({}, None)


def test_json_unknown_names_are_passed_over():
    said = json_object(b'{"a": 1, "type": "face", "image_file": "a.png"}', NAMES)
    assert said.values == {"type": "face"}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"text"',
        b"{",
        b'{"type": }',
        b'{"type": ["clean"]}',
        b'{"other": {}}',
        b'{"type": "\\ud800"}',
        b'{"type": "\xff"}',
        b'{"image_base64": 5}',
        '{"image_base64": "ä"}'.encode(),
        b'{"type": "' + b"a" * 70_000 + b'"}',
        b"[" * 100_000,
    ],
)
def test_json_refused(body):
    with pytest.raises(BadParameter):
        understood(body, "application/json", NAMES)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/xml"])
def test_other_kinds_of_bodies_are_refused(kind):
    with pytest.raises(BadParameter, match="Content-Type"):
        understood(b"\x89PNG\r\n", kind, NAMES)


@pytest.mark.parametrize("kind", ["image/png", "application/json", ""])
@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_an_empty_body_says_nothing(kind, body):
    assert understood(body, kind, NAMES) == forms.Said()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*NAMES, "image_base64", "other"]), JSON), st.booleans())
def test_no_json_does_harm(content, market):
    said = sensible(lambda: understood(json.dumps(content).encode(), "", NAMES))
    if said is None:
        return
    along = said.base64 is not None
    asked = sensible(lambda: read(said.values, market=market, along=along))
    if asked is not None:
        assert asked.type in ("clean", "face")
        assert asked.return_type in (1, 2, 3)
        assert asked.scale_factor in (None, 1, 2, 4)


# --- parameters -------------------------------------------------------------------------


def test_defaults():
    asked = schemas.Asked(URL, "clean", None, False, 1, None, None)
    assert read({"image_url": URL}) == asked
    market = schemas.Asked(URL, "face", None, True, 1, None, None)
    assert read({"image_url": URL, "type": "face"}, market=True) == market


@pytest.mark.parametrize("value", [1, 2, 4, "1", "2", "4", 2.0, "4.0"])
def test_factors(value):
    assert read({"image_url": URL, "scale_factor": value}).scale_factor == int(float(value))


@pytest.mark.parametrize(
    "value", [0, 3, 8, -1, 2.5, True, False, "3", "two", "2x", "auto", "²", 10**400, "9" * 4000]
)
def test_factors_refused(value):
    with pytest.raises(BadParameter, match=r"^scale_factor is .{1,40}; it must be 1, 2 or 4\.$"):
        read({"image_url": URL, "scale_factor": value})


@pytest.mark.parametrize("value", ["clear", "2", 1, True, 0.5])
def test_types_refused(value):
    with pytest.raises(BadParameter, match=r"^type is .*; it must be clean or face\.$"):
        read({"image_url": URL, "type": value})


@pytest.mark.parametrize("value", [1, 1.0, "1", True, "true", "True"])
def test_fix_face_only(value):
    said = {"image_url": URL, "type": "face", "fix_face_only": value}
    assert read(said).fix_face_only
    assert not read(said, market=True).fix_face_only


@pytest.mark.parametrize("value", [None, 0, "0", False, "false", "yes", 2, "²", 10**400])
def test_fix_face_only_is_never_wrong(value):
    assert not read({"image_url": URL, "fix_face_only": value}).fix_face_only


def test_what_faces_make_of_the_recipe():
    settings = load(overrides={"picwish.model": "photo", "picwish.fidelity": 0.25})

    def options(**said):
        return schemas.recipe(settings, read({"image_url": URL, **said})).options

    plain, face = options(), options(type="face")
    only = options(type="face", fix_face_only=1)
    assert (plain.face, plain.model, plain.fidelity) == (False, "photo", 0.25)
    assert (face.face, face.model, face.fidelity) == (True, "photo", 0.25)
    assert (only.face, only.model, only.fidelity) == (True, "faithful", None)
    assert options(fix_face_only=1) == plain


def test_type_is_required_at_the_market():
    with pytest.raises(BadParameter, match="type is missing"):
        read({"image_url": URL}, market=True)


@pytest.mark.parametrize("value", [0, 4, "link", True, "1,2"])
def test_return_types_refused(value):
    with pytest.raises(BadParameter, match=r"return_type is .*; it must be 1, 2 or 3\."):
        read({"image_url": URL, "return_type": value, "sync": 1})


def test_raw_bytes_need_sync():
    with pytest.raises(BadParameter, match="return_type 3 is for sync=1 only"):
        read({"image_url": URL, "return_type": 3})
    assert read({"image_url": URL, "return_type": 3, "sync": "1"}).return_type == 3
    assert read({"image_url": URL, "return_type": 3, "type": "face"}, market=True).return_type == 3


@pytest.mark.parametrize("value", [2, "yes", -1, True])
def test_sync_refused(value):
    with pytest.raises(BadParameter, match="sync is"):
        read({"image_url": URL, "sync": value})


def test_the_market_always_waits():
    assert read({"image_url": URL, "type": "clean", "sync": 0}, market=True).sync


@pytest.mark.parametrize("value", ["webp", "gif", 1, True, "image/png"])
def test_formats_refused(value):
    with pytest.raises(BadParameter, match=r"format is .*; it must be jpg or png\."):
        read({"image_url": URL, "format": value})


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/a", "s3://bucket/key", "file:///etc/passwd", "example.com/a.png", 5, True],
)
@pytest.mark.parametrize("name", ["image_url", "callback_url"])
def test_addresses_refused(url, name):
    with pytest.raises(BadParameter, match=f"{name} must be an address"):
        read({"image_url": URL, name: url})


def test_length_of_addresses_is_counted_in_characters():
    assert read({"image_url": "https://" + "ü" * 504}).url == "https://" + "ü" * 504
    with pytest.raises(BadParameter, match="longer than 512 characters"):
        read({"image_url": "https://" + "a" * 505})


def test_callback_is_of_the_native_door():
    values = {"image_url": URL, "callback_url": "https://example.com/hook", "type": "clean"}
    assert read(values).callback_url == "https://example.com/hook"
    assert read(values, market=True).callback_url is None


def test_no_picture():
    with pytest.raises(BadParameter, match="image_url, image_file or image_base64"):
        read({"type": "clean"})
    assert read({"image_url": "no address"}, along=True).url is None
