from __future__ import annotations

import base64
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superres.errors import BadParameter, SourceTooLarge
from superres.sources import inline, save_base64

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
PREFIXES = [
    "",
    "data:;base64,",
    "data:image/png;base64,",
    "DATA:image/jpeg;charset=utf-8;BASE64,",
    " \r\n data:image/svg+xml;name=\"x\" ; base64, \n",
]  # fmt: skip


@pytest.fixture(params=[7, 1 << 18], ids=["small slices", "slices"])
def slices(request, monkeypatch):
    monkeypatch.setattr(inline, "_SLICE", request.param)


@SHARED
@given(
    data=st.binary(min_size=1, max_size=100),
    prefix=st.sampled_from(PREFIXES),
    every=st.integers(1, 80),
    space=st.sampled_from(["", " ", "\n", "\r\n", "\t"]),
    padded=st.booleans(),
    for_urls=st.booleans(),
    as_bytes=st.booleans(),
)
def test_round_trips(slices, target, data, prefix, every, space, padded, for_urls, as_bytes):
    text = (base64.urlsafe_b64encode if for_urls else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    target.unlink(missing_ok=True)
    text = prefix + space.join(text[at : at + every] for at in range(0, len(text), every)) + space
    assert save_base64(text.encode() if as_bytes else text, target, len(data)) == len(data)
    assert target.read_bytes() == data
    target.unlink()
    with pytest.raises(SourceTooLarge):
        save_base64(text, target, len(data) - 1)
    assert not target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \r\n",
        "=",
        "====",
        "data:image/png;base64,",
        "data:image/png,AAAA",
        "data:image/png;base64",
        "data:image/png;base32,AAAA",
        "data:" + "a" * 5000 + ";base64,AAAA",
        "A",
        "AAAAA",
        "AA=",
        "AAA==",
        "AAAA=",
        "AAAA====",
        "AA==AA==",
        "AAAAAA=AAAAA",
        "AA=A",
        "=AAA",
        "A=AA",
        "AA\x00A",
        "AA\x0bA",
        "AA.A",
        "ÄÖÜß",
        "AAAÄ",
        "AAA\ud800",
        "ＡＡＡＡ",
        "https://example.com/a.png",
        '{"a": 1}',
        "data:image/png;base64,data:image/png;base64,AAAA",
    ],
)
def test_what_is_no_base64(slices, target, text):
    with pytest.raises(BadParameter):
        save_base64(text, target, 1000)
    assert not target.exists()


def test_bytes_that_are_no_base64(target):
    with pytest.raises(BadParameter):
        save_base64(b"\xff\xfe\xfd\xfc", target, 1000)


@SHARED
@given(st.text() | st.binary() | st.text("AZaz09+/=-_, \n;:datbse64", max_size=80))
def test_anything_is_taken_or_refused(slices, target, text):
    target.unlink(missing_ok=True)
    try:
        size = save_base64(text, target, 10)
    except (BadParameter, SourceTooLarge):
        assert not target.exists()
    else:
        assert 0 < size <= 10
        assert target.stat().st_size == size


def test_large_ones_take_no_memory_of_their_own(target):
    text = "QUJD" * (1 << 20)  # 4 MiB
    tracemalloc.start()
    try:
        assert save_base64(text, target, 3 << 20) == 3 << 20
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(SourceTooLarge, match=r"\[server\] max_body_bytes"):
        save_base64(text, target, 1000, setting="[server] max_body_bytes")


def test_spaces_cost_no_more_than_what_they_are(target):
    assert save_base64(" " * (8 << 20) + "QUJD" + "\n" * (8 << 20), target, 3) == 3
    assert target.read_bytes() == b"ABC"
