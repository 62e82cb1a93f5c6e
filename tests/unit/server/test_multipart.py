"""Forms with one file or many: what is kept, what is passed over, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from superres.errors import BadParameter, SourceTooLarge
from superres.server.multipart import Expected, Form, read_form

END = b"--b--\r\n"
ONE = Expected(["image"], ["scale"], 100_000)
MANY = Expected(["file"], ["scale"], 100_000, "[jobs] max_body_bytes", 3, 5000)


def parse(folder: Path, body: bytes, expected: Expected, chunk: int = 7, **headers: str) -> Form:
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]

    async def receive() -> dict[str, object]:
        piece = chunks.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(chunks)}

    said = {"content-type": "multipart/form-data; boundary=b", **headers}
    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in said.items()],
    }
    return asyncio.run(
        read_form(Request(scope, receive), expected, lambda at: folder / f"file-{at}")
    )


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def files(*contents: bytes, name: str = "file") -> bytes:
    return b"".join(
        part(name, content, f'; filename="{at}.png"') for at, content in enumerate(contents)
    )


@pytest.mark.parametrize("chunk", [1, 7, 64, 100_000])
def test_several_files_each_in_its_place(tmp_path: Path, chunk: int) -> None:
    contents = [b"first\r\n--a not yet", b"", b"\0" * 3000]
    body = files(contents[0]) + part("scale", b"2") + files(*contents[1:]) + END
    form = parse(tmp_path, body, MANY, chunk)
    assert form.values == {"scale": "2"}
    assert [upload.path.read_bytes() for upload in form.files] == contents
    assert [upload.size for upload in form.files] == [18, 0, 3000]
    assert [upload.name for upload in form.files] == ["0.png", "0.png", "1.png"]
    assert [upload.path.name for upload in form.files] == ["file-0", "file-1", "file-2"]


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert parse(tmp_path, part("scale", b"2") + END, ONE) == Form({"scale": "2"}, [])
    assert list(tmp_path.iterdir()) == []


def test_fields_of_other_names_hold_files(tmp_path: Path) -> None:
    either = Expected(["image_file", "image_base64"], [], 1000)
    for name in either.files:
        form = parse(tmp_path, part(name, b"x" * 800) + END, either)
        (upload,) = form.files
        assert (upload.field, upload.name, upload.path.read_bytes()) == (name, "", b"x" * 800)
    with pytest.raises(BadParameter, match="more than 1 files"):
        parse(tmp_path, part("image_file", b"x") + part("image_base64", b"x") + END, either)


def test_what_is_not_known_is_passed_over(tmp_path: Path) -> None:
    body = (
        part("more", b"x" * 5000)
        + part("picture", b"y" * 5000, '; filename="a.png"')
        + part("more", b"\xff")
        + files(b"abc", name="image")
        + END
    )
    form = parse(tmp_path, body, ONE, 1000)
    assert form.values == {}
    assert [upload.path.read_bytes() for upload in form.files] == [b"abc"]
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(BadParameter, match="too many fields"):
        parse(tmp_path, part("more", b"") * 65 + END, ONE, 1000)


def test_values_are_checked_as_they_come(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    def check(name: str, value: str) -> None:
        heard.append((name, value))
        if value == "99":
            raise BadParameter("Too much.")

    strict = Expected(["file"], ["scale", "model"], 1000, check=check)
    parse(tmp_path, part("scale", b"2") + files(b"x") + part("model", b"a") + END, strict)
    assert heard == [("scale", "2"), ("model", "a")]
    with pytest.raises(BadParameter, match="Too much"):
        parse(tmp_path / "never", part("scale", b"99") + files(b"x") + END, strict)


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    heard: list[tuple[str, bool]] = []

    def unknown(name: str, is_file: bool) -> None:
        heard.append((name, is_file))
        raise BadParameter("No.")

    strict = Expected(["file"], [], 1000, unknown=unknown)
    for more in ("", '; filename="a.png"'):
        with pytest.raises(BadParameter, match=r"No\."):
            parse(tmp_path, part("other", b"x", more) + END, strict)
    assert heard == [("other", False), ("other", True)]


@pytest.mark.parametrize(
    ("body", "expected", "hint"),
    [
        (files(b"", b"", b"", b"") + END, MANY, "more than 3 files"),
        (files(b"", b"", name="image") + END, ONE, "'image' is given twice"),
        (part("scale", b"1") * 2 + END, ONE, "'scale' is given twice"),
        (part("scale", b"1" * 1025) + END, ONE, "scale is longer than 1024"),
        (part("scale", b"\xff") + END, ONE, "not UTF-8"),
        (files(b"a", b"b"), MANY, "cut off"),
        (files(b"a" * 50)[:-20], MANY, "cut off"),
        (b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" + END, ONE, "no name"),
        (b"--c\r\n\r\n", MANY, "not a well-formed"),
        (b"", MANY, "cut off"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 10_000])
def test_forms_that_are_refused(
    tmp_path: Path, body: bytes, expected: Expected, hint: str, chunk: int
) -> None:
    with pytest.raises(BadParameter, match=hint):
        parse(tmp_path, body, expected, chunk)


def test_the_file_that_breaks_off_is_removed(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="cut off"):
        parse(tmp_path, files(b"whole", b"half" * 100)[:-30], MANY)
    assert [path.name for path in tmp_path.iterdir()] == ["file-0"]


def test_sizes(tmp_path: Path) -> None:
    parse(tmp_path, files(bytes(5000), bytes(5000)) + END, MANY, 1000)
    with pytest.raises(SourceTooLarge, match="A file of the form is larger than 5,000 bytes"):
        parse(tmp_path, files(bytes(10), bytes(5001)) + END, MANY, 1000)
    with pytest.raises(SourceTooLarge, match=r"\[jobs\] max_body_bytes.*send fewer or smaller"):
        parse(tmp_path, files(bytes(10)) + END + bytes(100_000), MANY, 1000)
    with pytest.raises(SourceTooLarge, match=r"\[server\] max_body_bytes.*a smaller file"):
        parse(tmp_path, b"never read", ONE, **{"content-length": "100001"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120), st.integers(0, 300), st.integers(1, 50))
def test_no_bytes_stop_the_reader(tmp_path: Path, junk: bytes, at: int, chunk: int) -> None:
    whole = part("scale", b"2") + files(b"first", b"second", b"third") + END
    with contextlib.suppress(BadParameter):
        parse(tmp_path, whole[:at] + junk + whole[at:], MANY, chunk)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=3), st.integers(1, 60))
def test_what_is_sent_is_what_is_kept(tmp_path: Path, contents: list[bytes], chunk: int) -> None:
    assume(not any(b"\r\n--b" in b"\r\n" + content for content in contents))
    form = parse(tmp_path, files(*contents) + END, MANY, chunk)
    assert [upload.path.read_bytes() for upload in form.files] == contents
