"""The reader that both doors' JSON goes through: what it reads, and that nobody waits for it."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import SuperresError
from superres.server.dialects.ai_solution_kit import schemas
from superres.server.flatjson import _PIECE, Malformed, Nested, NotAnObject, Text, members, utf8
from superres.server.v1.jsonbody import read_json


def read(text: str | bytes) -> list[tuple[str, object]]:
    body = text if isinstance(text, bytes) else text.encode()
    return [
        (name, value.decode() if isinstance(value, Text) else value)
        for name, value in members(body)
    ]


def test_members_as_they_stand():
    text = '{"a": "x\\n", "b": -1.5e3, "a": null, "c": true, "d": [1, 2], "e": 1}'
    assert read(text) == [
        ("a", "x\n"),
        ("b", -1500.0),
        ("a", None),
        ("c", True),
        ("d", Nested("a list")),
    ]
    assert read('{"d": {}') == [("d", Nested("an object"))]


@given(st.dictionaries(st.text(max_size=20), st.none() | st.integers() | st.text(), max_size=9))
def test_what_the_library_writes(values):
    for ascii_only in (True, False):
        assert dict(read(json.dumps(values, ensure_ascii=ascii_only))) == values


@pytest.mark.parametrize("text", ["", " ", "[]", "1", '"a"', "null", "\0"])
def test_not_even_an_object(text):
    with pytest.raises(NotAnObject):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\u12"}',
        b'{"a": "\\u12g4"}',
        b'{"a": "\\x41"}',
        b'{"a": "x\x00"}',
        b'{"a": "x\\"}',
        b'{"a": "x',
        b'{"a": "' + b"x" * (1 << 16) + b'x"}',
        b'{"a": Infinity}',
        b"{" + b'"a":1,' * 256 + b'"a":1}',
    ],
)
def test_malformed(text):
    with pytest.raises(Malformed) as caught:
        read(text)
    assert len(str(caught.value)) < 60


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("unit", ["A\\n", "\\u0041", "\\\\", "A"])
def test_texts_in_pieces(unit, shift):
    text = "x" * shift + unit * (2 * _PIECE // len(unit) + 5)
    ((_, value),) = members(f'{{"a": "{text}"}}'.encode())
    assert isinstance(value, Text)
    assert len(value.cuts) > 2
    assert value.ascii().decode() == json.loads(f'"{text}"')


@pytest.mark.parametrize("letter", ["é", "\\u00e9", "😀", "\\ud83d\\ude00", "\\ud800"])
@pytest.mark.parametrize("before", [0, _PIECE - 2])
def test_texts_that_are_not_ascii(letter, before):
    ((_, value),) = members(f'{{"a": "{"A" * before}{letter}"}}'.encode())
    with pytest.raises(ValueError, match=r"."):
        value.ascii()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_other_encodings(encoding):
    text = json.dumps({"a": "größer 😀" * 40_000}, ensure_ascii=False)
    assert utf8(text.encode(encoding)).decode() == text
    with pytest.raises(Malformed):
        utf8(text.encode(encoding)[:-1])


# ---------------------------------------------------------- nobody waits, nothing is filled


def longest_pause(work: Callable[[], object]) -> float:
    """How long no other thread could run while ``work`` ran in one, in seconds."""
    thread = threading.Thread(target=work)
    longest, before = 0.0, time.perf_counter()
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


KIT_BOMBS = {
    "lists": b'{"a":[' + b"[]," * (10 << 20 >> 2) + b"[]]}",
    "objects": b'{"img":' + b'{"a":1},' * (10 << 20 >> 3),
    "names": b"{" + b'"a":1,' * (1 << 20) + b'"a":1}',
    "escapes": b'{"img":"' + b"A\\n" * (3 << 20) + b'\xf0\x9f\x98\x80"}',
    "unknown": b'{"x":"' + b"\\n" * (5 << 20) + b'"}',
    "wide": ('{"img":"' + "A" * (2 << 20) + '😀"}').encode("utf-32"),
    "url": b'{"url":"' + b"\\u0041" * (10 * 2**20 // 6) + b'"}',
}
V1_BOMBS = {
    "escapes": b'{"img":"' + b"A\\n" * (20 << 20) + b'"}',
    "emoji": b'{"img":"' + b"A" * (60 << 20) + "é😀".encode() + b'"}',
    "spaces": b"{" + b" " * (60 << 20),
    "equals": b'{"img":"' + b"=" * (60 << 20) + b'"}',
}


@pytest.mark.parametrize(
    ("door", "bomb"), [("kit", name) for name in KIT_BOMBS] + [("v1", name) for name in V1_BOMBS]
)
def test_bombs_stop_nobody(tmp_path: Path, door, bomb):
    content = (KIT_BOMBS if door == "kit" else V1_BOMBS)[bomb]
    body, picture = tmp_path / "body", tmp_path / "picture"
    body.write_bytes(content)
    reader = schemas.read if door == "kit" else read_json
    spent: list[float] = []

    def work() -> None:
        started = time.thread_time()
        with pytest.raises(SuperresError):
            reader(body, picture, 1 << 20)
        spent.append(time.thread_time() - started)

    # What else runs on this machine may hold a thread up as well, though not each time.
    for _ in range(3):
        pause = longest_pause(work)
        body.write_bytes(content)
        if pause < 0.25:
            break
    assert pause < 0.25
    assert min(spent) < 8  # on an idle machine about two
    tracemalloc.start()
    try:
        with pytest.raises(SuperresError):
            reader(body, picture, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The body, the text within, and that text growing.
    assert peak < 3.5 * len(content) + (1 << 20)
