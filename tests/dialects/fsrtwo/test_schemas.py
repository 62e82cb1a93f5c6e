"""The parser of this door alone."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from superres.errors import BadParameter
from superres.server.dialects.fsrtwo.schemas import MAX_BODY, Asked, read

FOLDER_IS_SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
GOOD = {"images": ["https://a/b.png"], "file_ext": "png", "priority": 1}


def parsed(folder, body: bytes | str) -> Asked:
    file = folder / "body"
    file.write_bytes(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    return read(file)


@FOLDER_IS_SHARED
@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=20),
    st.sampled_from(["jpg", "JPG", "Png", "png"]),
    st.integers(0, 9),
    st.dictionaries(st.text().filter(lambda name: name not in GOOD), st.none() | st.text()),
    st.booleans(),
)
def test_every_good_request_is_read(tmp_path, images, file_ext, priority, more, ascii_only):
    fields = {**more, "images": images, "file_ext": file_ext, "priority": priority}
    asked = parsed(tmp_path, json.dumps(fields, ensure_ascii=ascii_only))
    wanted = "png" if file_ext.lower() == "png" else "jpeg"
    assert asked == Asked(tuple(images), wanted, priority)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@FOLDER_IS_SHARED
@given(st.sampled_from(sorted(GOOD)), JSON)
@example("priority", 10**5000 // 10**1000)
@example("file_ext", "\ud800")
@example("images", ["\ud800\0"])
def test_any_value_is_read_or_refused_in_words_that_can_be_sent(tmp_path, name, value):
    asked = refusal = None
    try:
        asked = parsed(tmp_path, json.dumps({**GOOD, name: value}))
    except BadParameter as exc:
        refusal = exc.public_message
    if asked is None:
        assert len(refusal.encode()) < 300  # UTF-8 holds no lone surrogates
        return
    assert 1 <= len(asked.images) <= 20
    assert all(isinstance(link, str) for link in asked.images)
    assert asked.format in ("png", "jpeg")
    assert asked.priority in range(10)
    assert type(asked.priority) is int


@FOLDER_IS_SHARED
@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ ue10-.imagesfl_xtprioy\n', max_size=60)
)
def test_no_bytes_stop_the_reader(tmp_path, body):
    with contextlib.suppress(BadParameter):
        parsed(tmp_path, body)


def filled(piece: str, before: str = "", after: str = "") -> str:
    return before + piece * ((MAX_BODY - len(before) - len(after)) // len(piece)) + after


@pytest.mark.parametrize(
    "bomb",
    [
        filled("["),
        filled('{"a":'),
        filled("[],", '{"images":[', "[]]}"),
        filled("{},", '{"images":[', "{}]}"),
        filled('"",', '{"images":[', '""]}'),
        filled("1e9,", '{"images":[', "1]}"),
        filled('"x":1,', "{", '"x":1}'),
        "{" + ",".join(f'"{n:x}":1' for n in range(90_000)) + "}",
        filled("9", '{"priority":', "}"),
        filled("\\u0000", '{"file_ext":"', '"}'),
        filled(" ", "", "{"),
    ],
    ids=range(11),
)
def test_bombs(tmp_path, bomb):
    """The longest body takes a moment and some megabytes, whatever is in it."""
    assert len(bomb) <= MAX_BODY
    body = tmp_path / "body"
    body.write_text(bomb)
    begun = time.perf_counter()
    with pytest.raises(BadParameter):
        read(body)
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    try:
        with pytest.raises(BadParameter):
            read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < 3  # on an idle machine a third of one
    assert peak < 64 << 20
