"""The parsers of this door alone: JSON, forms, names, Accept, fields."""

import asyncio
import contextlib
import json
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from superres.errors import BadParameter, ModelNotFound, SourceTooLarge
from superres.server.multipart import Form
from superres.server.names import disposition, stem_of, stem_of_address
from superres.server.v1.accept import Wanted, wanted
from superres.server.v1.fields import EstimateFields, UpscaleFields, once, together
from superres.server.v1.jsonbody import read_members, scalar
from superres.server.v1.multipart import read_form
from superres.settings import Settings

KNOWN = ["url", "img", "scale", "model", "lossless"]
FOLDER_IS_SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

# ---------------------------------------------------------------- JSON


def flat(folder: Path, text: str | bytes) -> dict[str, object]:
    body = folder / "body"
    body.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return {name: scalar(name, value) for name, value in read_members(body, KNOWN).items()}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        " { } \n",
        '{"scale": 2}',
        '{"scale":-1.5e3 , "lossless" :true,"model":null, "img":""}',
        '{"img": "a\\"b\\\\c\\u00e9\\ud83d\\ude00 }{", "url": "[ü😀]"}',
        '\ufeff{"scale": 2}',
    ],
)
def test_json_as_the_library_reads_it(tmp_path, text):
    assert flat(tmp_path, text) == json.loads(text.removeprefix("\ufeff"))


@FOLDER_IS_SHARED
@given(
    st.dictionaries(
        st.sampled_from(KNOWN),
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    ),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
def test_every_flat_object_is_read(tmp_path, values, ascii_only, indent):
    from hypothesis import assume

    assume(not any(isinstance(v, float) and math.isinf(v) for v in values.values()))
    text = json.dumps(values, ensure_ascii=ascii_only, indent=indent)
    if any(isinstance(v, int) and len(str(v)) > 60 for v in values.values()):
        return
    assert flat(tmp_path, text) == values


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "object"),
        ("[]", "object"),
        ("7", "object"),
        ('"x"', "object"),
        ("null", "object"),
        ("{", "cut off"),
        ('{"scale"', "cut off"),
        ('{"scale":', "cut off"),
        ('{"scale":2', "cut off"),
        ('{"scale":2,', "cut off"),
        ('{"scale":2,}', "name"),
        ('{"scale" 2}', "colon"),
        ('{"scale":2 "model":"x"}', "comma"),
        ('{"scale":2}x', "behind"),
        ('{"scale":2}{}', "behind"),
        ('{"scale":[2]}', "list or an object"),
        ('{"scale":{}}', "list or an object"),
        ('{"scale":2,"scale":2}', "twice"),
        ('{"scale":2,"sc\\u0061le":2}', "twice"),
        ('{"scal":2}', "did you mean 'scale'"),
        ('{"' + "x" * 1000 + '":2}', "too long"),
        ('{"scale":NaN}', "JSON's"),
        ('{"scale":-Infinity}', "JSON's"),
        ('{"scale":0x10}', "JSON's"),
        ('{"scale":01}', "JSON's"),
        ('{"scale":+1}', "JSON's"),
        ('{"scale":1.}', "JSON's"),
        ('{"scale":tru}', "JSON's"),
        ('{"scale":' + "9" * 5000 + "}", "comma"),
        ("{'scale':2}", "name"),
        ('{"img":"a\nb"}', "JSON's"),
        ('{"img":"a', "JSON's"),
        ('{"img":"\\x"}', "JSON's"),
        ('{"img":"\\ud800"}', "surrogates"),
        ('{"scale":2 /* two */}', "comma"),
    ],
)
def test_json_that_is_refused(tmp_path, text, hint):
    with pytest.raises(BadParameter, match=hint):
        flat(tmp_path, text)


@pytest.mark.parametrize("data", [b"\xff\xfe{\0}\0", b'{"img":"\xe9"}', b"\0"])
def test_json_in_another_encoding_is_refused(tmp_path, data):
    with pytest.raises(BadParameter):
        flat(tmp_path, data)


@FOLDER_IS_SHARED
@given(st.text(alphabet='{}[]",:\\ ue10-.nsculrmdogtfa\n', max_size=60))
@example('{"scale":1e999}')
def test_no_text_stops_the_reader(tmp_path, text):
    with contextlib.suppress(BadParameter):
        assert flat(tmp_path, text) == json.loads(text)


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 4_000_000,
        '{"img":' * 500_000,
        '{"img":[' + "[]," * 1_000_000 + "[]]}",
        "{" + ",".join(f'"x{i}":1' for i in range(200_000)) + "}",
        "{" + '"scale":1,' * 300_000 + '"scale":1}',
        '{"scale":' + "9" * 4_000_000 + "}",
        '{"' + "n" * 4_000_000 + '":1}',
        " " * 4_000_000 + "{",
    ],
)
def test_bombs_make_no_more_than_their_text(tmp_path, bomb):
    body = tmp_path / "body"
    body.write_text(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(BadParameter):
            read_members(body, KNOWN)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The bytes and the text read from them, and what reading a file takes beside.
    assert peak < 3 * len(bomb) + 100_000


# ---------------------------------------------------------------- forms

FORM_NAMES = ["scale", "model"]


def parse(
    folder: Path,
    body: bytes,
    content_type: str = "multipart/form-data; boundary=b",
    chunk: int = 7,
    max_bytes: int = 100_000,
) -> tuple[Form, bytes]:
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]

    async def receive() -> dict[str, object]:
        piece = chunks.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(chunks)}

    scope = {"type": "http", "headers": [(b"content-type", content_type.encode("latin-1"))]}
    file = folder / "file"
    form = asyncio.run(read_form(Request(scope, receive), file, FORM_NAMES, max_bytes))
    return form, file.read_bytes()


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = b"--b--\r\n"
FILE = part("file", b"\x89PNG\r\n--a not yet\r\n-", '; filename="a.png"')


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 10_000])
@pytest.mark.parametrize("order", [0, 1])
def test_a_form_in_pieces_of_any_size(tmp_path, chunk, order):
    fields = part("scale", b"2") + part("model", "général".encode())
    body = (FILE + fields if order else fields + FILE) + END
    form, content = parse(tmp_path, body, chunk=chunk)
    assert form.values == {"scale": "2", "model": "général"}
    assert (form.files[0].name, content) == ("a.png", b"\x89PNG\r\n--a not yet\r\n-")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("", ""),
        ('; filename=""', ""),
        ('; filename="é.png"', "é.png"),
        ("; filename=a.png", "a.png"),
        ("; filename*=UTF-8''x.png", ""),  # forbidden in forms, RFC 7578
        ("\r\nContent-Type: image/png", ""),
        ('; filename="a.png"\r\nContent-Transfer-Encoding: binary', "a.png"),
    ],
)
def test_how_clients_name_the_file(tmp_path, more, name):
    form, content = parse(tmp_path, part("file", b"x", more) + END)
    assert (form.files[0].name, content) == (name, b"x")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "cut off"),
        (FILE, "cut off"),
        (FILE[:-5], "cut off"),
        (FILE + part("scale", b"2"), "cut off"),
        (END, "missing"),
        (part("scale", b"2") + END, "missing"),
        (FILE + FILE + END, "'file' is given twice"),
        (FILE + part("scale", b"2") + part("scale", b"2") + END, "'scale' is given twice"),
        (part("image", b"x", '; filename="a.png"') + END, "goes in the field 'file'"),
        (part("sale", b"2") + FILE + END, "did you mean 'scale'"),
        (part("", b"2") + FILE + END, "no parameter ''"),
        (part("scale", b"2" * 2000) + FILE + END, "longer than 1024"),
        (part("scale", b"\xff") + FILE + END, "not UTF-8"),
        (b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" + END, "no name"),
        (b"--b\r\n\r\nx\r\n" + END, "no name"),
        (b"nonsense", "not a well-formed"),
        (b"--c\r\n\r\n", "not a well-formed"),
        (b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\nx\r\n" + END, "not a well-formed"),
        (b"--b\r\nX: " + b"y" * 90_000 + b"\r\n\r\nx\r\n" + END, "not a well-formed"),
        (b"--b\r\n" + b"n" * 90_000, "not a well-formed"),
    ],
)
def test_forms_that_are_refused(tmp_path, body, hint):
    with pytest.raises(BadParameter, match=hint):
        parse(tmp_path, body, chunk=1000)
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size < 100


@pytest.mark.parametrize(
    "content_type",
    [f"multipart/form-data{more}" for more in ("", "; boundary=", f"; boundary={'b' * 5000}")],
)
def test_forms_without_a_usable_boundary(tmp_path, content_type):
    with pytest.raises(BadParameter, match="well-formed"):
        parse(tmp_path, FILE + END, content_type)


@pytest.mark.parametrize("where", [FILE + END + bytes(3000), part("file", bytes(3000)) + END])
def test_forms_count_all_that_arrives(tmp_path, where):
    with pytest.raises(SourceTooLarge, match="max_body_bytes"):
        parse(tmp_path, where, max_bytes=2000, chunk=500)


@FOLDER_IS_SHARED
@given(st.binary(max_size=120), st.integers(0, 200), st.integers(1, 50))
def test_no_bytes_stop_the_form_reader(tmp_path, junk, at, chunk):
    whole = part("scale", b"2") + FILE + END
    with contextlib.suppress(BadParameter):
        parse(tmp_path, whole[:at] + junk + whole[at:], chunk=chunk)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        (None, "image"),
        ("", "image"),
        ("photo.jpg", "photo"),
        ("photo", "photo"),
        ("a.b.c.png", "a.b.c"),
        ("my.holiday pictures", "my.holiday pictures"),
        (".bashrc", "bashrc"),
        ("...", "image"),
        ("a/b/c.png", "c"),
        ("a\\b\\c.png", "c"),
        ("/", "image"),
        ("x\r\nSet-Cookie: a=b.png", "xSet-Cookie_ a=b"),
        ("\u202egnp.exe", "gnp"),
        ('a"b<c>d|e?f*g:h', "a_b_c_d_e_f_g_h"),
        ("e\u0301.png", "é"),
        ("x" * 500 + ".png", "x" * 80),
        ("\ud800.png", "image"),
    ],
)
def test_stems(name, stem):
    assert stem_of(name) == stem


@pytest.mark.parametrize(
    ("address", "stem"),
    [
        ("https://example.com/a/photo.jpg?size=3#x", "photo"),
        ("https://example.com/", "image"),
        ("https://example.com", "image"),
        ("https://example.com/%C3%A9t%C3%A9.png", "été"),
        ("https://example.com/..%2f..%2fetc%2fpasswd", "passwd"),
        ("s3://bucket/a/b.png", "b"),
        ("http://[", "image"),
    ],
)
def test_stems_of_addresses(address, stem):
    assert stem_of_address(address) == stem


@given(st.text())
def test_no_name_breaks_the_header(name):
    header = disposition("attachment", stem_of(name) + "_x4.png")
    header.encode("ascii")
    assert not set(header) & set("\r\n\0\\")
    assert header.count('"') == 2
    assert len(header) < 1200


# ---------------------------------------------------------------- Accept


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (None, Wanted("picture")),
        ("", Wanted("picture")),
        ("*/*", Wanted("picture")),
        ("IMAGE/*", Wanted("picture")),
        ("image/png", Wanted("picture", ("png",))),
        ("image/jpg", Wanted("picture", ("jpeg",))),
        ("image/png;q=0.3, image/webp", Wanted("picture", ("webp", "png"))),
        ("image/png, */*;q=0.1", Wanted("picture")),
        ("image/avif, image/webp", Wanted("picture", ("webp",))),
        ("application/json", Wanted("json")),
        ("application/json; charset=utf-8", Wanted("json")),
        ("application/json, text/plain, */*", Wanted("json")),
        ("*/*, application/json", Wanted("json")),
        ("application/json;q=0.5, */*", Wanted("picture")),
        ("image/*, application/json", Wanted("picture")),
        ("application/json, image/*", Wanted("json")),
        ("text/event-stream", Wanted("events")),
        ("text/event-stream, application/json", Wanted("events")),
        ("text/html, text/*;q=0.1", Wanted("events")),
        ("image/png;q=1.0;level=1", Wanted("picture", ("png",))),
        (",,image/*,", Wanted("picture")),
    ],
)
def test_accept(header, answer):
    assert wanted(header) == answer


@given(st.text(max_size=200))
def test_no_accept_breaks_it(header):
    with contextlib.suppress(HTTPException):
        assert wanted(header).kind in ("picture", "json", "events")


def test_a_format_among_those_accepted():
    assert Wanted("picture", ("webp", "png")).choose(None) == "webp"
    assert Wanted("picture", ("webp", "png")).choose("png") == "png"
    assert Wanted("picture").choose(None) is None
    assert Wanted("json", None).choose("tiff") == "tiff"
    with pytest.raises(HTTPException):
        Wanted("picture", ("webp",)).choose("png")


# ---------------------------------------------------------------- fields


def test_fields_have_the_librarys_defaults():
    from superres.imageio import OutputOptions
    from superres.pipeline import UpscaleOptions

    options = UpscaleFields().options(Settings())
    assert options == UpscaleOptions(output=OutputOptions(strip_location=True))


@given(st.dictionaries(st.sampled_from(list(UpscaleFields.model_fields)), st.text(max_size=20)))
@example({"scale": "1_0"})
def test_no_text_breaks_the_fields(values):
    for kind in (UpscaleFields, EstimateFields):
        with contextlib.suppress(BadParameter, ModelNotFound):
            kind.of_text(values).options(Settings())


def test_the_same_in_text_and_json():
    text = {"scale": "2.5", "quality": "80", "format": "webp", "first_frame": "true"}
    values = {"scale": 2.5, "quality": 80, "format": "webp", "first_frame": True, "model": None}
    assert UpscaleFields.of_text(text) == UpscaleFields.of_json(values)


def test_query_and_body_together():
    fields = UpscaleFields.of_json({"scale": 2})
    both = together({"format": "webp"}, {"scale": 2}, fields)
    assert both == UpscaleFields(scale=2, format="webp")
    with pytest.raises(BadParameter, match="once"):
        together({"scale": "2"}, {"scale": 2}, fields)
    with pytest.raises(BadParameter, match="twice"):
        once([("a", "1"), ("b", "2"), ("a", "1")])
