from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from superres.errors import BadParameter
from superres.storage.keys import MAX_KEY_BYTES, check, decode, encode

LETTERS = st.characters(exclude_categories=["Cs"])
PIECES = st.sampled_from([*"a.%/+-#\\\x00\x7f\x85ü猫", "..", "//", "%2E", "%-", "%+", "x" * 250])
KEYS = (
    st.text(LETTERS, min_size=1, max_size=60)
    | st.lists(PIECES, min_size=1, max_size=8).map("".join)
).filter(lambda key: len(key.encode()) <= MAX_KEY_BYTES)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("cat.jpg", "cat.jpg"),
        ("photos/2024/cat 1.jpg", "photos/2024/cat 1.jpg"),
        ("照片/猫.jpg", "照片/猫.jpg"),
        (".hidden/.a", ".hidden%/.a"),
        ("cat", "cat%"),
        ("cat/x.jpg", "cat/x.jpg"),
        ("v1.2/x.jpg", "v1.2%/x.jpg"),
        ("/a.jpg", "%-/a.jpg"),
        ("a//b/", "a/%-/b/%-%"),
        ("/", "%-/%-%"),
        ("../../etc/passwd", "%2E.%/%2E.%/etc/passwd%"),
        ("./.", "%2E/%2E%"),
        ("50%.jpg", "50%25.jpg"),
        ("a#1.jpg", "a%231.jpg"),
        ("a\x00\n\x85b.c", "a%00%0A%C2%85b.c"),
        ("C:\\x.y", "C%3A%5Cx.y"),
        ("x" * 250, "x" * 240 + "%+/" + "x" * 10 + "%"),
        ("猫" * 100 + ".jpg", "猫" * 80 + "%+/" + "猫" * 20 + ".jpg"),
        ("x" * 240 + "./a.b", "x" * 240 + "%+/%2E/a.b"),
        ("x" * 240 + "..", "x" * 240 + "%+/%2E."),
    ],
)
def test_paths_on_disk(key, path):
    assert encode(key, on_disk=True) == path
    assert decode(path) == key


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("cat", "cat"),
        ("v1.2/cat", "v1.2/cat"),
        ("a//..", "a/%-/%2E."),
        ("x" * 500, "x" * 500),
        ("50%", "50%25"),
    ],
)
def test_paths_elsewhere(key, path):
    assert encode(key, on_disk=False) == path
    assert decode(path) == key


@given(KEYS, st.booleans())
@example("%" * MAX_KEY_BYTES, True)
@example("/" * MAX_KEY_BYTES, True)
def test_every_key_comes_back(key, on_disk):
    assert decode(encode(key, on_disk=on_disk)) == key


@given(KEYS)
def test_no_path_escapes(key):
    path = encode(key, on_disk=True)
    names = path.split("/")
    assert os.path.normpath(path) == path
    assert not path.startswith("/")
    for name in names:
        assert name not in ("", ".", "..")
        assert len(name.encode()) + len("#9999") <= 255
        assert not set(name) & set('\x00\\#:*?"<>|')
    assert len(path.encode()) < 4096 - 512


def ends(path: str) -> tuple[set[str], str]:
    """Return the folders that a file's path needs, and the path itself."""
    names = path.split("/")
    return {"/".join(names[:count]) for count in range(1, len(names))}, path


def hinder_each_other(one: str, other: str) -> bool:
    (folders, file), (other_folders, other_file) = ends(one), ends(other)
    return file == other_file or file in other_folders or other_file in folders


@given(KEYS, KEYS)
@example("a", "a/b")
@example("a.b", "a.b/c")
@example("a%", "a%/b")
@example("x" * 240 + "%+", "x" * 250)
@example("x" * 240, "x" * 240 + "/a")
def test_no_two_keys_meet(one, other):
    if one != other:
        assert not hinder_each_other(encode(one, on_disk=True), encode(other, on_disk=True))
        assert encode(one, on_disk=False) != encode(other, on_disk=False)


@given(KEYS, PIECES, st.integers(0, 20))
def test_nor_does_one_meet_its_own_folders(key, tail, cut):
    other = (key[:cut] or "a") + "/" + tail
    for begin in (key[:cut], key):
        if begin and begin != other and len(other.encode()) <= MAX_KEY_BYTES:
            assert not hinder_each_other(encode(begin, on_disk=True), encode(other, on_disk=True))


@pytest.mark.parametrize("key", ["", "x" * 1025, "猫" * 342, "\ud800"])
def test_what_is_no_key(key):
    with pytest.raises(BadParameter):
        check(key)
    with pytest.raises(BadParameter):
        encode(key, on_disk=True)


def test_the_longest_key():
    check("x" * 1024)
