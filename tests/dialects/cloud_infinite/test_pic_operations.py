"""The header Pic-Operations: what is read of it, and what is refused with which word."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.server.dialects.cloud_infinite.errors import Refused
from superres.server.dialects.cloud_infinite.pic_operations import PicOperations, Rule, read

BUCKET, KEY = "photos-1250000000", "p1/a.png"
RULE = "ci-process=AISuperResolution"


def header(*rules: object, **more: object) -> str:
    return json.dumps({"rules": list(rules), **more})


def rule(fileid: object = "b.png", rule: object = RULE, **more: object) -> dict[str, object]:
    return {"fileid": fileid, "rule": rule, **more}


def one(fileid: object = "b.png", said: object = RULE, key: str = KEY, **more: object) -> Rule:
    (found,) = read(header(rule(fileid, said, **more)), BUCKET, key).rules
    return found


def refused(text: str, key: str = KEY) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        read(text, BUCKET, key)
    answer = caught.value.answer
    assert answer.status == 400
    assert answer.message.startswith("Pic-Operations")
    assert answer.message.endswith(".")
    assert len(answer.message) < 300
    return answer.code, answer.message


def invalid(text: str, hint: str) -> None:
    code, message = refused(text)
    assert code == "InvalidPicOperations"
    assert hint in message


def test_the_vendors_example():
    text = """
        {
        "is_pic_info": 1,
        "rules": [{
        "fileid": "exampleobject",
        "rule": "ci-process=AISuperResolution&magnify=2"
        }]
        }"""
    assert read(text, BUCKET, "filename.jpg") == PicOperations(
        True, (Rule(BUCKET, "exampleobject", 2, "png"),)
    )


@pytest.mark.parametrize(
    ("fileid", "key"),
    [
        ("/p2/test2.jpg", "p2/test2.jpg"),
        ("p2/test2.jpg", "p1/p2/test2.jpg"),
        ("test2.jpg", "p1/test2.jpg"),
        ("/test2.jpg", "test2.jpg"),
        ("//test2.jpg", "/test2.jpg"),
        ("../x.png", "p1/../x.png"),
        ("/p2/./x//y.png", "p2/./x//y.png"),
        ("/照片/übergröße é.png", "照片/übergröße é.png"),
        ("/a b+c%20d&e=f?#ä'\"<>.png", "a b+c%20d&e=f?#ä'\"<>.png"),
        # Equal to the object's own key: it is overwritten.
        ("p1/a.png", "p1/a.png"),
        ("/p1/a.png", "p1/a.png"),
        ("a.png", "p1/a.png"),
    ],
)
def test_where_a_result_is_put(fileid, key):
    assert (one(fileid).bucket, one(fileid).key) == (BUCKET, key)


def test_beside_an_object_in_the_root():
    assert one("b.png", key="a.png").key == "b.png"
    assert one("a.png", key="a.png").key == "a.png"
    assert one("sub/a.png", key="a.png").key == "sub/a.png"


def test_another_bucket():
    assert one(bucket="other-1").bucket == "other-1"
    assert one(bucket=None).bucket == one(bucket="").bucket == BUCKET


@pytest.mark.parametrize(
    ("fileid", "kind"),
    [
        *[("/x.jpg", "jpeg"), ("/x.JPEG", "jpeg"), ("/x.png", "png"), ("/x.webp", "webp")],
        *[("/x", "png"), ("/x.gif", "png"), ("/x.jpg/y", "png"), ("/x.jpg.bak", "png")],
        *[("/jpg", "png"), ("/.jpg", "jpeg"), ("/a.tif", "png")],
    ],
)
def test_format_by_extension(fileid, kind):
    assert one(fileid).format == kind


@pytest.mark.parametrize(
    ("said", "magnify"),
    [
        ("ci-process=AISuperResolution", 2),
        ("ci-process=AISuperResolution&magnify=2", 2),
        ("ci-process=AISuperResolution&magnify=4", 4),
        ("ci-process = AISuperResolution & magnify = 4", 4),
        ("  magnify=4&ci-process=AISuperResolution  ", 4),
        ("&ci-process=AISuperResolution&", 2),
        ("ci-process=AISuper%52esolution&magnify=%34", 4),
        ("CI-Process=AISuperResolution&Magnify=4", 4),
    ],
)
def test_rule(said, magnify):
    assert one(said=said).magnify == magnify


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("ci-process=AISuperResolution&magnify=3", '"3"'),
        ("ci-process=AISuperResolution&magnify=", "2 or 4"),
        ("ci-process=AISuperResolution&magnify=2.0", "2 or 4"),
        ("ci-process=AISuperResolution&magnify", "2 or 4"),
        ("ci-process=AIEnhanceImage", "AISuperResolution alone"),
        ("ci-process=aisuperresolution", "AISuperResolution alone"),
        ("ci-process=", "AISuperResolution alone"),
        ("magnify=2", "lacks ci-process"),
        ("imageMogr2/thumbnail/!50p", "unknown"),
        ("ci-process=AISuperResolution&magnfy=4", '"magnfy"'),
        ("ci-process=AISuperResolution&magnify=2&magnify=4", "twice"),
        ("ci-process=AISuperResolution&magnify=%ff", "UTF-8"),
        ("=AISuperResolution", "ci-process and magnify"),
    ],
)
def test_rules_that_are_not_offered(said, hint):
    code, message = refused(header(rule(), rule("/c.png", said)))
    assert code == "InvalidArgument"
    assert "rules[1]" in message
    assert hint in message or hint == "unknown"


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        *[(0, False), (1, True), ("0", False), ("1", True), (False, False), (True, True)],
        *[(None, False), ("true", True)],
    ],
)
def test_is_pic_info(flag, told):
    assert read(header(rule(), is_pic_info=flag), BUCKET, KEY).is_pic_info is told


def test_is_pic_info_can_be_left_out():
    assert read(header(rule()), BUCKET, KEY).is_pic_info is False


@pytest.mark.parametrize("flag", [2, -1, "yes", "", [], {}, 1.5, 1e300])
def test_is_pic_info_that_is_none(flag):
    invalid(header(rule(), is_pic_info=flag), "is_pic_info must be 0 or 1")


def test_five_rules_and_no_more():
    five = [rule(f"/{n}.png") for n in range(5)]
    found = read(header(*five), BUCKET, KEY).rules
    assert [each.key for each in found] == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    invalid(header(*five, rule("/6.png")), "1 to 5 rules")


@pytest.mark.parametrize("text", ['{"is_pic_info": 1}', '{"rules": []}', '{"rules": null}', "{}"])
def test_no_rule(text):
    invalid(text, "1 to 5 rules")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("rules", "not valid JSON"),
        (header(rule()) + "x", "not valid JSON"),
        ('{"rules": [{"fileid": "a", "fileid": "b"}]}', "stands twice"),
        ('{"is_pic_info": NaN}', "NaN"),
        ('{"is_pic_info": -Infinity}', "Infinity"),
        ("[" * 60_000, "nested too deeply"),
        ('{"a":' * 20_000, "nested too deeply"),
        ("9" * 60_000, "not valid JSON"),
        ("[]", "must be an object"),
        ("1", "must be an object"),
        ('"a"', "must be an object"),
        ('{"rules": {}}', "1 to 5 rules"),
        ('{"rules": ["a"]}', "rules[0] must be an object"),
        ('{"rules": [null]}', "rules[0] must be an object"),
        ('{"rule": []}', 'unknown member "rule"'),
        (header(rule(file="x")), 'unknown member "file"'),
        (header({"rule": RULE}), "rules[0].fileid must be a text"),
        (header({"fileid": "x"}), "rules[0].rule must be a text"),
        (header(rule("")), "rules[0].fileid must be a text"),
        (header(rule(), rule(7)), "rules[1].fileid must be a text"),
        (header(rule("/")), "must not end with /"),
        (header(rule("p2/")), "must not end with /"),
        (header(rule("/" + "x" * 851)), "850 are the most"),
        (header(rule("x" * 848)), "851 bytes"),
        (header(rule("/" + "é" * 426)), "850 are the most"),
        (header(rule("\ud800.png")), "surrogate"),
        (header(rule("a\0b")), "NUL"),
        (header(rule("b", 1)), "rules[0].rule must be a text"),
        (header(rule("b", "  ")), "rules[0].rule must be a text"),
        (header(rule(bucket=5)), "rules[0].bucket must be a text"),
        (header(rule(bucket="No_Bucket")), "no name of a bucket"),
        (header(rule(bucket="\udfff-a")), "no name of a bucket"),
        (header(rule("b.png"), rule("c.png"), rule("/p1/b.png")), "that of rules[0]"),
        (header(rule("b.png"), rule("b.png", bucket=BUCKET)), "rules[1].fileid names the same"),
    ],
)
def test_what_is_no_pic_operations(text, hint):
    invalid(text, hint)


def test_the_longest_key():
    assert len(one("/" + "x" * 850).key) == 850


def test_same_name_in_two_buckets():
    two = read(header(rule("/b"), rule("/b", bucket="other-1")), BUCKET, KEY).rules
    assert [each.bucket for each in two] == [BUCKET, "other-1"]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_characters_as_the_python_sdk_sends_them(ascii_only):
    """Raw UTF-8, or escapes where the program lets json.dumps make them."""
    text = json.dumps({"rules": [rule("/中é😀.png")]}, ensure_ascii=ascii_only)
    assert read(text.encode().decode("latin-1"), BUCKET, KEY).rules[0].key == "中é😀.png"


def test_characters_as_the_node_sdk_sends_them():
    """Node writes what fits as latin-1 (and refuses the rest itself)."""
    text = json.dumps({"rules": [rule("/Größe.png")]}, ensure_ascii=False)
    assert read(text, BUCKET, KEY).rules[0].key == "Größe.png"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
RULES = st.fixed_dictionaries(
    {}, optional={"fileid": VALUES | st.text(), "rule": VALUES | st.text(), "bucket": VALUES}
)


@given(
    st.text(st.characters(max_codepoint=255))
    | VALUES.map(json.dumps)
    | st.fixed_dictionaries(
        {"rules": st.lists(RULES, max_size=7)}, optional={"is_pic_info": VALUES}
    ).map(json.dumps)
)
def test_anything_is_read_or_refused(text):
    with contextlib.suppress(Refused):
        assert 1 <= len(read(text, BUCKET, KEY).rules) <= 5
