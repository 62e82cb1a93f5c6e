"""Keys of every kind, through Tencent's SDKs: put, found, listed, read and removed as they are."""

from __future__ import annotations

import hashlib
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialects.cloud_infinite.making import opened
from tests.dialects.cloud_infinite.sdk.clients import NodeSdk
from tests.dialects.cloud_infinite.sdk.conftest import png
from tests.dialects.cloud_infinite.sdk.terms import operations, rule

# Python's SDK takes this out of whatever an XML answer holds.
NAMESPACE = "{http://www.qcloud.com/document/product/436/7751}a"
KEYS = [
    "a b",
    " a ",
    "a+b",
    "a%b",
    "a%2Fb",
    "a%252Fb",
    "%",
    "a//b",
    "/leading",
    "//leading",
    "trailing/",
    "a/",
    "a?b",
    "?",
    "a#b",
    "#",
    "a&b=c;d",
    "a,b:c@d$e!f*g'h(i)j",
    'a"b',
    "a'b",
    "a<b>c",
    "a\\b",
    "a|b^c`d{e}f[g]",
    "~a-b_c.d",
    "ü",
    unicodedata.normalize("NFD", "ü"),
    "写真/一枚.png",
    "😀/👩‍👩‍👧.png",
    "e\u0301\u0323",
    "\u202eright to left",
    "a\nb",
    "a\tb",
    "a\rb",
    "a\x01b",
    "a\x7fb",
    "a\ufffeb",
    "\ufeffa",
    "€" * 283 + "a",
    ".a",
    "..a",
    "a/./b",
    "a/../b",
    "./a",
    "../a",
    "v1/upscale",
    "healthz",
    "docs",
    "uploads",
    "&amp;",
    "<![CDATA[a]]>",
    NAMESPACE,
    "null",
    "1e5",
]
CANNOT_BE_NAMED_IN_XML = [key for key in KEYS if any(c in key for c in "\x01\r\ufffe")]


@pytest.fixture(scope="module")
def raw(make_sdk, server) -> NodeSdk:
    """Node, without its habit of leaving out the first slash."""
    made = make_sdk("node", config={"Ip": server.host, "UseRawKey": True})
    assert isinstance(made, NodeSdk)
    return made


def named(name: str, key: str) -> str:
    """The key to hand to an SDK: Python's leaves out the first slash."""
    return f"/{key}" if name == "python" and key.startswith("/") else key


def content_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


@pytest.fixture(scope="module", params=["python", "node"])
def writer(request, python):
    return python if request.param == "python" else request.getfixturevalue("raw")


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_a_key_goes_and_comes(writer, key):
    given = named(writer.name, key)
    writer.put(given, content_of(key))
    try:
        assert writer.get(given)[0] == content_of(key)
        assert writer.head(given)["content-length"] == "32"
        assert listed(writer, key) == [key]
    finally:
        writer.delete(given)
    assert listed(writer, key) == []


def listed(sdk, prefix: str = "") -> list[str]:
    """The keys of a listing; Node leaves decoding to its users."""
    if sdk.name == "python":
        return sdk.list(prefix).keys
    found = sdk.do("getBucket", Prefix=prefix, EncodingType="url")
    assert found["EncodingType"] == "url"
    assert unquote(found["Prefix"]) == prefix
    return [unquote(each["Key"]) for each in found["Contents"]]


def test_what_one_writes_the_other_reads(python, raw):
    for writer, reader in ((python, raw), (raw, python)):
        for key in KEYS:
            writer.put(named(writer.name, key), content_of(key))
        everything = sorted(KEYS, key=str.encode)
        assert listed(reader) == everything
        for key in KEYS:
            assert reader.get(named(reader.name, key))[0] == content_of(key)
        nameable = [key for key in KEYS if key not in (*CANNOT_BE_NAMED_IN_XML, NAMESPACE)]
        deleted, errors = reader.delete_many(nameable)
        assert (sorted(deleted), errors) == (sorted(nameable), [])
        for key in (*CANNOT_BE_NAMED_IN_XML, NAMESPACE):
            reader.delete(named(reader.name, key))
        assert listed(writer) == []


def test_a_list_that_is_not_encoded(raw):
    """Node reads keys as they stand in the XML; entities and blanks included."""
    keys = [key for key in KEYS if key not in CANNOT_BE_NAMED_IN_XML]
    for key in keys:
        raw.put(key, b"")
    try:
        page = raw.list()
        assert "EncodingType" not in page.content
        assert page.keys == sorted(keys, key=str.encode)
    finally:
        raw.delete_many(keys)


def test_uploads_in_parts_of_such_keys(writer):
    for key in ("a b+%&?#", "写真/😀.png", "a\nb", "/leading"):
        given = named(writer.name, key)
        upload = writer.initiate(given)
        if writer.name == "python":
            assert writer.list_uploads(key) == [(key, upload)]
        etag = writer.upload_part(given, upload, 1, content_of(key))
        assert writer.list_parts(given, upload) == [(1, 32, etag)]
        done = writer.complete(given, upload, [(1, etag)])
        assert done["Key"] == key
        assert writer.get(given)[0] == content_of(key)
        writer.delete(given)


@pytest.mark.parametrize("key", ["p 1/a+b%2F.png", "写真/一枚 #1.png", "a&b/c?d.png"])
def test_such_keys_are_super_resolved(writer, key):
    writer.put(key, png())
    assert opened(writer.super_resolve(key)[0]).size == (40, 24)
    folder = key.rpartition("/")[0]
    result = writer.process(key, operations(rule("2x ü&<>.png")))
    made = f"{folder}/2x ü&<>.png"
    assert result["ProcessResults"]["Object"]["Key"] == made
    assert result["OriginalInfo"]["Key"] == key
    assert opened(writer.get(made)[0]).size == (40, 24)
    writer.delete(key)
    writer.delete(made)


def fits(key: str) -> bool:
    """Whether it is a key, and one that urllib3 does not take a piece of its path from."""
    return (
        0 < len(key.encode()) <= 850
        and not key.startswith("/")
        and key.rpartition("/")[2] not in (".", "..")
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.text(
        st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=80
    ).filter(fits)
)
def test_any_key(python, key):
    python.put(key, content_of(key))
    assert python.get(key)[0] == content_of(key)
    assert key in python.list(key).keys
    python.delete(key)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text("ab/.%+ ?#&=;ü😀", max_size=30).filter(fits))
def test_any_key_of_those_that_go_wrong(python, raw, key):
    raw.put(key, content_of(key))
    assert python.get(key)[0] == content_of(key)
    assert listed(raw, key)[0] == key
    python.delete(key)
