"""Where a picture was taken goes, the rest stays, in every format."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from superres.imageio import WRITABLE, Limits, Metadata, OutputOptions, Scratch, decode, encode
from superres.imageio.exif import parse
from superres.imageio.ifd import EXIF, GPS
from superres.imageio.location import (
    exif_without_location,
    iptc_without_location,
    without_location,
    xmp_without_location,
)
from tests.unit.imageio.pictures import opened, photo, saved

PLACE = b"Funchal"
XMP = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/"
   xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
   xmlns:gps="http://example.com/gps/" xmlns:dc="http://purl.org/dc/elements/1.1/"
   exif:GPSLatitude="32,39.1N" exif:FNumber="28/10" photoshop:City='Funchal > here'>
  <exif:GPSLongitude>16,54.5W</exif:GPSLongitude>
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">A boat</rdf:li></rdf:Alt></dc:title>
  <p:LocationCreated xmlns:p="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><rdf:Bag>
   <rdf:li><p:Sublocation/><p:City>Funchal</p:City></rdf:li></rdf:Bag></p:LocationCreated>
  <photoshop:Country/><gps:Note>kept</gps:Note>
 </rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def dataset(record: int, number: int, data: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(data)) + data


IIM = (
    dataset(1, 90, b"\x1b%G")
    + dataset(2, 5, b"A boat")
    + dataset(2, 90, PLACE)
    + dataset(2, 101, b"Portugal")
    + b"\x1c\x02\x78\x80\x02\x00\x05hello"  # a length of two more bytes
)


def resource(kind: int, data: bytes, name: bytes = b"\0\0") -> bytes:
    return (
        b"8BIM"
        + struct.pack(">H", kind)
        + name
        + struct.pack(">I", len(data))
        + data
        + (b"\0" * (len(data) % 2))
    )


IPTC = (
    b"Photoshop 3.0\0"
    + resource(0x03ED, b"resolution here.")
    + resource(0x0404, IIM)
    + resource(0x0422, b"exif of " + PLACE)
    + resource(0x0424, b"xmp of " + PLACE)
)


def exif_of_a_phone() -> bytes:
    exif = Image.Exif()
    exif[271] = "Maker"
    exif[306] = "2024:05:06 07:08:09"
    details = exif.get_ifd(EXIF)
    details[33434] = 0.004  # ExposureTime
    details[0x927C] = b"Nikon\0" + PLACE  # MakerNote
    place = exif.get_ifd(GPS)
    place[1], place[2] = "N", (32.0, 39.0, 6.0)
    place[3], place[4] = "W", (16.0, 54.0, 30.0)
    place[28] = b"ASCII\0\0\0" + PLACE  # GPSAreaInformation
    return exif.tobytes()


@pytest.fixture
def jpeg() -> bytes:
    """A file as a phone and an editor would leave it."""
    plain = saved(photo(), "JPEG", exif=exif_of_a_phone(), xmp=XMP)
    return plain[:2] + b"\xff\xed" + struct.pack(">H", 2 + len(IPTC)) + IPTC + plain[2:]


@pytest.mark.parametrize("kind", WRITABLE)
def test_the_place_goes_and_the_rest_stays(kind, jpeg, tmp_path):
    with Scratch(tmp_path) as scratch:
        picture = decode(jpeg, Limits(), scratch)
        assert PLACE in (picture.metadata.iptc or b"")
        told = encode(picture.pixels, picture.metadata, None, kind)
        silent = encode(
            picture.pixels, picture.metadata, None, kind, OutputOptions(strip_location=True)
        )
        assert told
        assert silent
        before, after = opened(told).getexif(), opened(silent).getexif()
        assert before.get_ifd(GPS)[1] == "N"
        assert after[271] == "Maker"
        assert float(after.get_ifd(EXIF)[33434]) == 0.004
        assert not after.get_ifd(GPS)
        found = decode(silent, Limits(), scratch).metadata
    everything = b"".join(block or b"" for block in (found.exif, found.xmp, found.iptc)) + silent
    assert PLACE not in everything
    assert b"32,39.1N" not in everything
    assert b"A boat" in (found.xmp or b"")
    if kind == "jpeg":  # the one that gives IPTC back whole
        assert b"A boat" in (found.iptc or b"")


def test_the_colour_profile_and_resolution_stay():
    metadata = Metadata(icc=b"profile", resolution=(3.0, 4.0), exif=exif_of_a_phone())
    rest = without_location(metadata)
    assert (rest.icc, rest.resolution) == (b"profile", (3.0, 4.0))
    assert rest.xmp is None


def test_exif_keeps_all_other_values():
    _, before = parse(exif_of_a_phone())
    _, after = parse(exif_without_location(exif_of_a_phone()) or b"")
    assert set(before) - set(after) == {GPS}
    assert before[271] == after[271]
    assert set(before[EXIF]) - set(after[EXIF]) == {0x927C}


@pytest.mark.parametrize("exif", [b"", b"garbage", b"Exif\0\0", b"II*\0\xff\xff\xff\x7f"])
def test_exif_that_cannot_be_read_goes_whole(exif):
    assert exif_without_location(exif) is None


def test_exif_of_nothing_but_a_place_goes_whole():
    exif = Image.Exif()
    exif.get_ifd(GPS)[1] = "N"
    assert exif_without_location(exif.tobytes()) is None


def test_xmp_keeps_every_other_byte():
    expected = (
        XMP.replace(b' exif:GPSLatitude="32,39.1N"', b"")
        .replace(b" photoshop:City='Funchal > here'", b"")
        .replace(b"<exif:GPSLongitude>16,54.5W</exif:GPSLongitude>", b"")
        .replace(b"<photoshop:Country/>", b"")
    )
    start = expected.index(b"<p:LocationCreated")
    end = expected.index(b"</p:LocationCreated>") + len(b"</p:LocationCreated>")
    expected = expected[:start] + expected[end:]
    # Also the attribute's leading line break or blank belongs to it.
    assert (xmp_without_location(XMP) or b"").split() == expected.split()


def test_xmp_without_a_place_is_untouched():
    xmp = b'<a xmlns:gps="x"><b gps:c="1" d=">"/><e/></a>'
    assert xmp_without_location(xmp) == xmp


@pytest.mark.parametrize(
    ("xmp", "rest"),
    [
        (b"<a><City/></a>", b"<a></a>"),
        (b"<a><City x='>'/><b/></a>", b"<a><b/></a>"),
        (b"<a><City ><City>x</City ></City\n></a>", b"<a></a>"),
        (b"<a><b><City>x</City></b></a>", b"<a><b></b></a>"),
        (b"<City/>", b""),
        (b"\xef\xbb\xbf<a City = '1'\n b='2'/>", b"\xef\xbb\xbf<a\n b='2'/>"),
        (
            "<ü:ä ü:City='ß' ü:b='é'><ü:State>ß</ü:State></ü:ä>".encode(),
            "<ü:ä ü:b='é'></ü:ä>".encode(),
        ),
        (b"<a drone-dji:GpsLatitude='+1' geo:long='2'/>\0\0", b"<a/>"),
    ],
)
def test_xmp_elements_and_attributes(xmp, rest):
    assert xmp_without_location(xmp) == rest


@pytest.mark.parametrize(
    "xmp",
    [
        b"",
        b"<a>",
        b"\xff\xfe<\0a\0/\0>\0",
        b"<!DOCTYPE a [<!ENTITY p 'Funchal'>]><a>&p;</a>",
        b"<a b='\xe9'/>",
    ],
)
def test_xmp_that_is_not_looked_through_goes_whole(xmp):
    assert xmp_without_location(xmp) is None


def test_a_long_packet_takes_linear_time():
    xmp = b"<a>" + b"<b City='x'/><City>y</City>" * 40_000 + b"</a>"
    assert xmp_without_location(xmp) == b"<a>" + b"<b/>" * 40_000 + b"</a>"


def test_iptc_in_both_forms():
    kept = dataset(1, 90, b"\x1b%G") + dataset(2, 5, b"A boat") + IIM[-12:]
    assert iptc_without_location(IIM) == kept
    assert iptc_without_location(IIM + b"\0\0") == kept
    assert iptc_without_location(IPTC) == b"Photoshop 3.0\0" + resource(
        0x03ED, b"resolution here."
    ) + resource(0x0404, kept)


@pytest.mark.parametrize(
    "iptc",
    [
        b"",
        b"?",
        dataset(2, 90, PLACE),
        IIM[:-3],
        b"Photoshop 3.0\0" + resource(0x0404, IIM)[:-3],
        b"Photoshop 3.0\0" + b"8BIM\x04\x04",
    ],
)
def test_iptc_that_cannot_be_read_goes_whole(iptc):
    assert iptc_without_location(iptc) is None


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_stop_it(junk, at):
    for start in (b"", XMP[: at * 3], IIM[:at], IPTC[:at], exif_of_a_phone()[:at]):
        without_location(Metadata(exif=start + junk, xmp=start + junk, iptc=start + junk))


def test_strip_says_more_than_strip_location(jpeg, tmp_path):
    with Scratch(tmp_path) as scratch:
        picture = decode(jpeg, Limits(), scratch)
        both = OutputOptions(strip=True, strip_location=True)
        data = encode(np.asarray(picture.pixels), picture.metadata, None, "png", both)
    assert data is not None
    assert not opened(data).getexif()
