from __future__ import annotations

import contextlib
import re
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from superres.errors import SourceRefused
from superres.sources.urls import MAX_LENGTH, join, parse


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTP://EXAMPLE.com:80/A", "http://example.com/A"),
        ("https://example.com:443/a?b#c", "https://example.com/a?b"),
        ("https://example.com:/a", "https://example.com/a"),
        ("http://example.com:8080?x=1", "http://example.com:8080/?x=1"),
        ("http://example.com./a", "http://example.com/a"),
        ("http://my_bucket.example.com/", "http://my_bucket.example.com/"),
        ("http://bücher.example/ü b.png", "http://xn--bcher-kva.example/%C3%BC%20b.png"),
        ("http://例え。jp/", "http://xn--r8jz45g.jp/"),
        ("http://example.com/a%2Fb%zz'\"<>", "http://example.com/a%2Fb%zz'%22%3C%3E"),
        ("http://[2606:4700::0001]:81/", "http://[2606:4700::1]:81/"),
        ("http://93.184.216.34/@:/", "http://93.184.216.34/@:/"),
        ("http://a/?url=http://u:p@b/", "http://a/?url=http://u:p@b/"),
    ],
)
def test_normal_form(text, normal):
    url = parse(text)
    assert str(url) == normal
    assert str(parse(normal)) == normal


def test_parts():
    url = parse("https://[::1]:8443/x?y")
    assert url == ("https", "::1", ip_address("::1"), 8443, "/x?y")
    assert url.authority == "[::1]:8443"
    assert parse("http://１２７．０。０.１./").address == ip_address("127.0.0.1")
    assert parse("http://example.com/").address is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com/",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "jar:http://example.com!/",
        "http:example.com",
        "http:/example.com/",
        "http:///example.com/",
        "http://",
        "http://:80/",
        "http://?a",
        " http://example.com/",
        "http://example.com/\r\nHost: b",
        "http://example.com/\t",
        "http://exa\nmple.com/",
        "http://example.com\\@b/",
        "http:\\\\example.com\\",
        "http://example.com/\x00",
        "http://example.com/\x7f",
        "http://example.com/\ud800",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://@example.com/",
        "http://example.com:80@127.0.0.1/",
        "http://example.com:0/",
        "http://example.com:00000/",
        "http://example.com:65536/",
        "http://example.com:808080/",
        "http://example.com:-1/",
        "http://example.com:8o/",
        "http://example.com:80:80/",
        "http://example..com/",
        "http://.example.com/",
        "http://example.com../",
        "http://-a.com/",
        "http://a-.com/",
        "http://ex ample.com/",
        "http://exa%6Dple.com/",
        "http://example.com%2F@b/",
        "http://example.com%00.b/",
        "http://exam'ple.com/",
        "http://*.com/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]a/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]/",
        "http://[]/",
        "http://[v1.a]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0X7F.1/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.1/",
        "http://127.0.1/",
        "http://0/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://example.0x/",
        "http://example.1/",
        "http://①②⑦。1/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 127 + "com/",
        "http://" + "ü" * 300 + ".com/",
        "http://\u2100.com/",
        "http://xn--a\u00fc.com/",
        "http://example.com/" + "a" * MAX_LENGTH,
        "http://example.com/" + "猫" * (MAX_LENGTH // 2),
    ],
)
def test_refused(text):
    with pytest.raises(SourceRefused) as caught:
        parse(text)
    assert len(caught.value.public_message) < 200


@pytest.mark.parametrize(
    ("location", "to"),
    [
        ("/b", "http://example.com:81/b"),
        ("b?c", "http://example.com:81/x/b?c"),
        ("?c", "http://example.com:81/x/y?c"),
        ("../b", "http://example.com:81/b"),
        ("//other.example/b", "http://other.example/b"),
        ("https://other.example", "https://other.example/"),
        ("", "http://example.com:81/x/y"),
        ("/ü", "http://example.com:81/%C3%BC"),
    ],
)
def test_redirects(location, to):
    assert str(join(parse("http://example.com:81/x/y"), location)) == to


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "http://[/",
        "http://[::1",
        "http://user@b/",
        "//127.1/",
        "\\\\b\\c",
        "/a\r\nb",
        "/" + "a" * MAX_LENGTH,
    ],
)
def test_refused_redirects(location):
    with pytest.raises(SourceRefused):
        join(parse("http://example.com/"), location)


def test_no_way_back_from_https():
    base = parse("https://example.com/")
    assert join(base, "https://b/").host == "b"
    with pytest.raises(SourceRefused, match="https to http"):
        join(base, "http://example.com/")


LETTERS = "/\\@:[]%?#.-_01 \t\n\x00ü①。‥ß٠\u200d\u202e"
WORDS = ["http://", "//", "::", "%00", "127.0.0.1", "0x7f", "0177", "80", "65536", "com", "xn--"]
PIECES = st.sampled_from([*LETTERS, *WORDS, "localhost", "a" * 64])
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))


@given(TEXTS.map(lambda tail: "http://" + tail) | TEXTS)
@example("http://a/?" + "[")
def test_any_text_is_taken_apart_or_refused(text):
    try:
        url = parse(text)
    except SourceRefused:
        return
    assert url.scheme in ("http", "https")
    assert re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", url.host)
    assert 0 < url.port < 65536
    assert url.target.startswith("/")
    assert re.fullmatch(r"[\x21-\x7e]+", url.target)
    assert parse(str(url)) == url  # what is sent is what was checked


@given(TEXTS)
def test_any_redirect_too(location):
    base = parse("https://example.com/a")
    with contextlib.suppress(SourceRefused):
        assert join(base, location).scheme == "https"
