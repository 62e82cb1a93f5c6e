"""XML and queries, without a server."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import BadParameter
from superres.server.dialects.cloud_infinite import xml
from superres.server.dialects.cloud_infinite.call import MAX_PARAMETERS, Query
from superres.server.dialects.cloud_infinite.errors import Refused


@given(st.text())
def test_what_xml_can_hold_is_read_as_it_was_written(text: str) -> None:
    document = xml.write("Root", [("Text", text), ("More", [("Inner", text), ("Number", 3)])])
    root = ET.fromstring(document)
    expected = text if xml.can_hold(text) else None
    for path in ("Text", "More/Inner"):
        found = root.findtext(path)
        assert expected is None or found == expected
    assert root.findtext("More/Number") == "3"


def test_elements_without_a_text_are_closed_at_once() -> None:
    assert xml.write("A", [("B", ""), ("C", [])]).endswith(b"<A><B/><C></C></A>")


def test_a_document_is_read_into_texts() -> None:
    document = '<D xmlns="urn:x"><Quiet> true </Quiet><Object><Key>&lt;é</Key></Object></D>'
    assert xml.read(document.encode(), "D") == [
        ("Quiet", " true "),
        ("Object", [("Key", "<é")]),
    ]


@pytest.mark.parametrize(
    "document",
    [
        "<D>",
        "<E/>",
        "<D/><D/>",
        "<D>&undefined;</D>",
        "<D>\x00</D>",
        "<!DOCTYPE D><D/>",
        "<! doctype D><D/>",
        "<D>" * 20 + "</D>" * 20,
        "<D><A><B>1<C>2</C></B></A></D>",
        "<D><A><B>1</B><B>2</B></A></D>",
        '<?xml version="1.0" encoding="utf-16"?>',
    ],
)
def test_documents_that_are_none(document: str) -> None:
    with pytest.raises(Refused) as refused:
        xml.read(document.encode(), "D")
    assert refused.value.answer.code == "MalformedXML"


def test_a_query_finds_names_of_any_case() -> None:
    query = Query(b"partNumber=1&uploads&A%20b=c%2Bd+e&partnumber=2&&=x&prefix=%E5%86%99")
    assert query["PARTNUMBER"] == "1"
    assert query["uploads"] == ""
    assert query["a b"] == "c+d e"
    assert query["prefix"] == "写"
    assert "missing" not in query
    assert list(query) == ["partNumber", "uploads", "A b", "", "prefix"]
    with pytest.raises(BadParameter):
        Query(b"a=%FF")


def test_no_other_letter_passes_for_one_of_ascii() -> None:
    # The sign for kelvin, which Unicode has as a capital k. A signature tells them apart.
    query = Query(b"max-%E2%84%AAeys=9&max-keys=1")
    assert (query["MAX-KEYS"], len(query)) == ("1", 2)


def test_a_query_has_an_end() -> None:
    most = b"&".join(b"%d" % n for n in range(MAX_PARAMETERS))
    assert len(Query(most)) == len(Query(most).unfolded()) == MAX_PARAMETERS
    for more in (most + b"&x", b"&" * MAX_PARAMETERS):
        with pytest.raises(BadParameter):
            Query(more)
    rules = b"ci-process%3Dx" + b"%26y" * MAX_PARAMETERS
    with pytest.raises(BadParameter):
        Query(rules).unfolded()


def test_a_rule_that_was_sent_as_one_name_is_taken_apart() -> None:
    query = Query(b"ci-process%3DAISuperResolution%26magnify%3D4=&a%26b=c%3Dd").unfolded()
    assert dict(query) == {"ci-process": "AISuperResolution", "magnify": "4", "a&b": "c=d"}
    plain = Query(b"prefix=ci-process%3Dx&uploads")
    assert dict(plain.unfolded()) == dict(plain)
