"""What a request for a job says: its JSON, its fingerprint."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from superres.access import ANONYMOUS, Caller
from superres.errors import BadParameter
from superres.server.v1.fields import UpscaleFields
from superres.server.v1.jobs.asked import Asked, Picture, read_json
from superres.server.v1.jobs.fields import JobFields

URL = "https://example.com/a/photo.jpg"
FOLDER_IS_SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, text: str | bytes, most: int = 3) -> tuple[list[Picture], dict]:
    body = folder / "body"
    body.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read_json(body, most)


@pytest.mark.parametrize(
    ("images", "pictures"),
    [
        ([URL], [Picture(URL, "photo")]),
        ([{"url": URL}], [Picture(URL, "photo")]),
        ([{"url": URL, "name": None}], [Picture(URL, "photo")]),
        ([{"url": URL, "name": "ä/ö.png"}], [Picture(URL, "ö")]),
        (
            ["S3://b/k.png", "HTTP://x"],
            [Picture("S3://b/k.png", "k"), Picture("HTTP://x", "image")],
        ),
        ([URL, URL, URL], [Picture(URL, "photo")] * 3),
    ],
)
def test_pictures(tmp_path, images, pictures):
    text = json.dumps({"images": images, "scale": 2})
    assert read(tmp_path, text) == (pictures, {"scale": 2})
    assert read(tmp_path, "\ufeff" + text) == (pictures, {"scale": 2})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "expected, an object"),
        ("[]", "expected, an object"),
        ("7", "expected, an object"),
        ("null", "expected, an object"),
        ("{", "expected, an object"),
        ("{}", "images is missing"),
        ('{"images": null}', "images is missing"),
        ('{"images": []}', "1 to 3 pictures .*, not 0"),
        ('{"images": ["%(url)s", "%(url)s", "%(url)s", "%(url)s"]}', "1 to 3 pictures .*, not 4"),
        ('{"images": "%(url)s"}', "must be a list"),
        ('{"images": {"url": "%(url)s"}}', "must be a list"),
        ('{"images": ["%(url)s", 7]}', r"images\[1\] must be an address"),
        ('{"images": [null]}', r"images\[0\] must be an address"),
        ('{"images": [{}]}', r"images\[0\] must be an address"),
        ('{"images": [{"name": "x"}]}', r"images\[0\] must be an address"),
        ('{"images": [{"url": 7}]}', r"images\[0\] must be an address"),
        ('{"images": [["%(url)s"]]}', "not a list or an object"),
        ('{"images": [{"url": "%(url)s", "name": 7}]}', "name must be a text"),
        ('{"images": [{"url": "%(url)s", "nam": "x"}]}', "did you mean 'name'"),
        ('{"images": [{"url": "%(url)s", "url": "%(url)s"}]}', "'url' is given twice"),
        ('{"images": ["%(url)s"], "images": ["%(url)s"]}', "'images' is given twice"),
        ('{"images": ["photo.jpg"]}', "must begin with https://"),
        ('{"images": [""]}', "must begin with https://"),
        ('{"images": ["file:///etc/passwd"]}', "must begin with https://"),
        ('{"images": ["data:image/png;base64,AAAA"]}', "a form, each in a field 'file'"),
        ('{"img": "AAAA"}', "img is not taken here; send pictures themselves as a form"),
        ('{"images": [{"img": "AAAA"}]}', "img is not taken here"),
        ('{"image": "AAAA"}', "image is not taken here"),
        ('{"images": ["https://x/' + "y" * 9000 + '"]}', "longer than 8,192"),
        ('{"images": ["%(url)s"], "scal": 2}', "did you mean 'scale'"),
        ('{"images": ["%(url)s"], "scale": [2]}', "scale must be a plain value"),
        ('{"images": ["%(url)s"], "webhook": "\\ud800"}', "surrogates"),
        ('{"images": ["https://x/\\ud800"]}', "surrogates"),
        ('{"images": ["%(url)s"], "\\ud800": 2}', "no parameter"),
        ('{"images": ["%(url)s"], "scale": NaN}', "expected, an object"),
        ('{"images": ["%(url)s"], "scale": ' + "9" * 5000 + "}", "expected, an object"),
        ("[" * 500_000, "expected, an object"),
        ('{"images":' * 100_000, "expected, an object"),
        (b"\xff\xfe{\0}\0", "expected, an object"),
    ],
)
def test_what_is_refused(tmp_path, text, hint):
    with pytest.raises(BadParameter, match=hint):
        read(tmp_path, text if isinstance(text, bytes) else text.replace("%(url)s", URL))


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["images", "url", "name", "img", *JobFields.model_fields])


@FOLDER_IS_SHARED
@given(st.dictionaries(NAMES, NESTED | st.lists(st.dictionaries(NAMES, NESTED) | st.just(URL))))
@example({"images": [URL], "priority": True})
@example({"images": [URL], "priority": 1e400})
def test_no_json_breaks_the_reader(tmp_path, values):
    with contextlib.suppress(BadParameter):
        pictures, rest = read(tmp_path, json.dumps(values))
        assert 1 <= len(pictures) <= 3
        assert "images" not in rest
        JobFields.of_json(rest)


@FOLDER_IS_SHARED
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path, junk):
    with contextlib.suppress(BadParameter):
        read(tmp_path, junk)


@FOLDER_IS_SHARED
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["https://a/", "http://b/c/", "s3://d/"]), st.text(max_size=30)
        ).map("".join),
        min_size=1,
        max_size=3,
    )
)
def test_every_address_is_read(tmp_path, addresses):
    pictures, _ = read(tmp_path, json.dumps({"images": addresses}, ensure_ascii=False))
    assert [picture.source for picture in pictures] == addresses
    assert all("/" not in picture.stem for picture in pictures)


# ---------------------------------------------------------------- fields


def test_the_fields_are_those_of_an_upscale_and_two():
    assert set(JobFields.model_fields) == {*UpscaleFields.model_fields, "priority", "webhook"}
    assert JobFields.of_text({"priority": "9"}) == JobFields.of_json({"priority": 9})
    assert JobFields().priority == 5


@pytest.mark.parametrize("value", [-1, 10, 1.0, True, "3", 10**30])
def test_priorities_that_are_none(value):
    with pytest.raises(BadParameter, match="priority is"):
        JobFields.of_json({"priority": value})


def test_webhooks():
    known = Caller("SRAK1", "known")
    for good in ("https://example.com/x", "http://example.com", "HTTPS://x", None):
        JobFields(webhook=good).check_webhook(known)
    JobFields().check_webhook(ANONYMOUS)
    for bad in ("", "example.com", "ftp://x", "s3://b/k", "https://x\r\nHost: y", "https://x\0"):
        with pytest.raises(BadParameter, match="begins with https://"):
            JobFields(webhook=bad).check_webhook(known)
    with pytest.raises(BadParameter, match="needs a credential"):
        JobFields(webhook="https://example.com").check_webhook(ANONYMOUS)
    with pytest.raises(BadParameter, match="webhook is"):
        JobFields.of_json({"webhook": "https://" + "x" * 3000})


# ---------------------------------------------------------------- fingerprints


def test_fingerprints(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"one")
    second.write_bytes(b"one")
    fields = JobFields(scale=2)
    same = [
        Asked([Picture(file, "a")], fields).fingerprint()
        for file in (first, second)  # the place does not matter, the content does
    ]
    assert len(set(same)) == 1
    assert len(same[0]) == 64
    second.write_bytes(b"two")
    others = [
        Asked([Picture(second, "a")], fields),
        Asked([Picture(first, "b")], fields),
        Asked([Picture(first, "a"), Picture(first, "a")], fields),
        Asked([Picture(first, "a")], JobFields(scale=3)),
        Asked([Picture(first, "a")], JobFields(scale=2, priority=4)),
        Asked([Picture(first, "a")], JobFields(scale=2, webhook="https://x")),
        Asked([Picture("https://x/a", "a")], fields),
        Asked([Picture("https://x/b", "a")], fields),
        Asked([Picture("https://x/b", "a"), Picture("https://x/a", "a")], fields),
        Asked([Picture("https://x/a", "a"), Picture("https://x/b", "a")], fields),
    ]
    assert len({*same, *(asked.fingerprint() for asked in others)}) == len(others) + 1


def test_a_fingerprint_outlives_new_fields():
    class Later(JobFields):
        new: bool = False

    pictures = [Picture(URL, "a")]
    old = Asked(pictures, JobFields(scale=2)).fingerprint()
    assert Asked(pictures, Later(scale=2)).fingerprint() == old
    assert Asked(pictures, Later(scale=2, new=True)).fingerprint() != old
    assert Asked(pictures, JobFields(scale=2, face=True)).fingerprint() != old
