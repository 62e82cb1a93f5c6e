"""Lists of objects."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import unquote

import pytest

from superres.server.dialects.cloud_infinite import xml
from tests.dialects.cloud_infinite.client import Answer, Client
from tests.dialects.cloud_infinite.conftest import new_name
from tests.dialects.conftest import RunningServer

KEYS = ["a.png", "b/1.png", "b/2.png", "b/c/3.png", "d&<e>.png", "z z.png", "é.png", "写真.png"]


@pytest.fixture(scope="module")
def filled(server: RunningServer, owner: Client) -> Client:
    there = owner.on(server.app.buckets.create(new_name(), owner.id).name)
    for key in KEYS:
        assert there("PUT", key, body=key.encode()).status == 200
    return there


def text(answer: Answer, name: str) -> str | None:
    assert answer.status == 200
    return answer.xml.findtext(name)


def test_a_list_has_everything_there_is_to_say(filled: Client) -> None:
    listed = filled("GET")
    assert listed.xml.tag == "ListBucketResult"
    assert listed.texts("Contents/Key") == KEYS  # in the order of their bytes
    assert text(listed, "Name") == filled.host.partition(".")[0]
    assert text(listed, "MaxKeys") == "1000"
    assert text(listed, "IsTruncated") == "false"
    assert text(listed, "NextMarker") is None
    assert text(listed, "EncodingType") is None
    first = listed.xml.find("Contents")
    assert first is not None
    etag = filled("HEAD", "a.png").headers["etag"]
    assert first.findtext("ETag") == etag
    assert first.findtext("Size") == "5"
    assert first.findtext("StorageClass") == "STANDARD"
    assert first.findtext("Owner/ID") == filled.id
    modified = first.findtext("LastModified")
    assert modified is not None
    assert modified.endswith(".000Z")


def test_a_delimiter_makes_folders(filled: Client) -> None:
    listed = filled("GET", query={"delimiter": "/"})
    assert listed.texts("CommonPrefixes/Prefix") == ["b/"]
    assert listed.texts("Contents/Key") == [key for key in KEYS if not key.startswith("b/")]
    inner = filled("GET", query={"delimiter": "/", "prefix": "b/"})
    assert inner.texts("CommonPrefixes/Prefix") == ["b/c/"]
    assert inner.texts("Contents/Key") == ["b/1.png", "b/2.png"]
    assert text(inner, "Prefix") == "b/"
    assert text(inner, "Delimiter") == "/"


def test_pages_go_on_where_the_last_one_ended(filled: Client) -> None:
    found, marker = [], ""
    for _ in range(10):
        page = filled("GET", query={"max-keys": "3", "marker": marker})
        found += page.texts("Contents/Key")
        assert text(page, "Marker") == marker or (marker == "" and text(page, "Marker") == "")
        if text(page, "IsTruncated") == "false":
            break
        assert text(page, "IsTruncated") == "true"
        marker = text(page, "NextMarker") or ""
        assert marker
    assert found == KEYS


def test_max_keys_may_be_nothing(filled: Client) -> None:
    page = filled("GET", query={"max-keys": "0"})
    assert page.texts("Contents/Key") == []
    assert text(page, "IsTruncated") == "false"


def test_keys_are_percent_encoded_if_that_is_asked_for(filled: Client) -> None:
    page = filled("GET", query={"encoding-type": "url", "prefix": "z z"})
    assert text(page, "EncodingType") == "url"
    assert text(page, "Prefix") == "z%20z"
    assert page.texts("Contents/Key") == ["z%20z.png"]
    every = filled("GET", query={"encoding-type": "url", "max-keys": "5"})
    assert [unquote(key) for key in every.texts("Contents/Key")] == KEYS[:5]
    assert unquote(text(every, "NextMarker") or "") == KEYS[4]


def test_keys_that_xml_cannot_hold_are_encoded_unasked(
    server: RunningServer, owner: Client
) -> None:
    there = owner.on(server.app.buckets.create(new_name(), owner.id).name)
    for key in ("bell\x07", "line\r\nbreak\t"):
        assert there("PUT", key, body=b"x").status == 200
    listed = there("GET")
    assert text(listed, "EncodingType") == "url"
    assert [unquote(key) for key in listed.texts("Contents/Key")] == ["bell\x07", "line\r\nbreak\t"]
    plain = there("GET", query={"prefix": "line"})  # these it can hold
    assert text(plain, "EncodingType") is None
    assert plain.texts("Contents/Key") == ["line\r\nbreak\t"]


@pytest.mark.parametrize(
    "query",
    [
        {"max-keys": "1001"},
        {"max-keys": "-1"},
        {"max-keys": "many"},
        {"max-keys": "٣"},
        {"max-keys": "9" * 5000},
        {"encoding-type": "base64"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(filled: Client, query: dict[str, str]) -> None:
    assert filled("GET", query=query).refusal == (400, "InvalidArgument")


def test_a_query_that_is_not_utf_8_is_refused(filled: Client) -> None:
    got = filled.raw("GET", "/?prefix=%FF", filled.signed("GET"))
    assert got.refusal == (400, "InvalidArgument")


def test_a_long_list_is_not_written_in_the_event_loop(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, where = xml.write, []

    def noting(*given: Any) -> bytes:
        with contextlib.suppress(RuntimeError):
            where.append(asyncio.get_running_loop())
        return write(*given)

    monkeypatch.setattr(xml, "write", noting)
    assert client("GET").status == 200
    assert where == []
