"""Which bucket and which key a request is about, and which requests are this door's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from superres.server.dialects.cloud_infinite.addressing import Addresses, key_of
from superres.server.dialects.cloud_infinite.errors import Refused
from superres.settings import CloudInfiniteSettings
from tests.dialects.cloud_infinite.client import SUFFIX, Client
from tests.dialects.cloud_infinite.conftest import somebody
from tests.dialects.conftest import RunningServer, StartServer

DEFAULT = CloudInfiniteSettings().suffixes


@pytest.mark.parametrize(
    ("host", "bucket", "suffix"),
    [
        ("a-1.cos.ap-x.myqcloud.com", "a-1", "cos.ap-x.myqcloud.com"),
        ("A-1.COS.ap-x.MyQCloud.com.:8000", "a-1", "cos.ap-x.myqcloud.com"),
        ("a-1.cos.localhost:1", "a-1", "cos.localhost"),
        ("a.b.cos.localhost", "a.b", "cos.localhost"),
        ("a-1.cos.x.y.myqcloud.com", "default", None),
        ("cos.x.myqcloud.com", None, "cos.x.myqcloud.com"),
        ("service.cos.x.myqcloud.com", None, "cos.x.myqcloud.com"),
        ("service.cos.myqcloud.com", None, "cos.myqcloud.com"),
        ("service.cos.tencentcos.cn", None, "cos.tencentcos.cn"),
        ("a-1.cos-internal.ap-x.tencentcos.cn", "a-1", "cos-internal.ap-x.tencentcos.cn"),
        ("xcos.localhost", "default", None),
        ("127.0.0.1:8000", "default", None),
        ("[::1]:8000", "default", None),
        ("", "default", None),
        (".cos.localhost", "default", None),
    ],
)
def test_hosts(host: str, bucket: str | None, suffix: str | None) -> None:
    assert Addresses(DEFAULT, "default").place(host) == (bucket, suffix)


def test_a_host_that_never_ends_is_read_at_once() -> None:
    addresses = Addresses(DEFAULT)
    for host in ("cos." * 15_000, "a" * 60_000 + ".cos.", "cos.a." * 10_000 + "myqcloud.com."):
        addresses.place(host)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (b"/", ""),
        (b"/a", "a"),
        (b"//a", "/a"),
        (b"/a%2Fb%2fc", "a/b/c"),
        (b"/%252F", "%2F"),
        (b"/a+b", "a+b"),
        (b"/../a/./b", "../a/./b"),
        (b"http://host:80/a/b", "a/b"),
        (b"HTTPS://host", ""),
        (b"/http://host/a", "http://host/a"),
        (b"/%E5%86%99", "写"),
        ("/写".encode(), "写"),
        (b"/a%0Ab", "a\nb"),
    ],
)
def test_keys(path: bytes, key: str) -> None:
    assert key_of(path) == key


@pytest.mark.parametrize("path", [b"/%", b"/a%2", b"/%zz", b"/%FF", b"/%ED%A0%80", b"/%00", b"*"])
def test_paths_that_hold_no_key(path: bytes) -> None:
    with pytest.raises(Refused) as refused:
        key_of(path)
    assert (refused.value.answer.status, refused.value.answer.code) == (400, "InvalidURI")


@pytest.mark.parametrize("target", ["/%", "/%FF", "/a%00b"])
def test_such_paths_are_refused_in_words_of_cos(client: Client, target: str) -> None:
    assert client.raw("GET", target, client.signed("GET")).refusal == (400, "InvalidURI")


def test_paths_are_taken_as_they_are_sent(client: Client) -> None:
    for target, key in (
        ("/raw%2Fkey", "raw/key"),
        ("/raw/../up", "raw/../up"),
        ("/raw//twice/", "raw//twice/"),
        ("/%72aw", "raw"),
        ("/line%0abreak", "line\nbreak"),
        ("/healthz", "healthz"),
        ("/v1/models", "v1/models"),
        ("/docs", "docs"),
    ):
        length = {"content_length": str(len(key))}
        signed = client.signed("PUT", key, **length)
        assert client.raw("PUT", target, signed, key.encode()).status == 200, target
        assert client("GET", key).body == key.encode()
        got = client.raw("GET", target, client.signed("GET", key))
        assert (got.status, got.body) == (200, key.encode())


def test_the_form_for_proxies_names_the_same_object(client: Client) -> None:
    client("PUT", "p/é.png", body=b"x")
    for target in (f"http://{client.host}/p/%C3%A9.png", f"http://{client.host}:80/p%2F%C3%A9.png"):
        got = client.raw("GET", target, client.signed("GET", "p/é.png"))
        assert (got.status, got.body) == (200, b"x")


def test_two_hosts_are_none(client: Client) -> None:
    # A proxy might take the second, and with it another bucket's limits and caches.
    client("PUT", "hosts", body=b"x")
    for other in ("other-1.cos.ap-test.myqcloud.com", client.host):
        both = {**client.signed("GET", "hosts"), "host": other}
        assert client.raw("GET", "/hosts", both).refusal == (400, "InvalidArgument")


def test_other_hosts_have_the_other_doors(client: Client, server: RunningServer) -> None:
    plain = client.raw("GET", "/healthz", {"Host": server.host})
    assert (plain.status, plain.body) == (200, b'{"status":"ok"}')
    missing = client.raw("GET", "/no/such/page", {"Host": "example.org"})
    assert (missing.status, missing.headers["content-type"]) == (404, "application/json")
    ours = client.raw("GET", "/healthz", {"Host": client.host})
    assert ours.refusal == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/key", {"Authorization": "q-sign-algorithm=sha1&q-ak=x"}),
        ("/key?q-sign-algorithm=sha1", {}),
        ("/key?a=b&ci-process=AISuperResolution", {}),
        ("/key?image_process", {}),
        ("/key", {"Pic-Operations": "{}"}),
        ("/key", {"X-Cos-Security-Token": "x"}),
    ],
)
def test_a_bare_host_is_ours_when_it_is_spoken_to_as_cos(
    client: Client, server: RunningServer, target: str, headers: dict[str, str]
) -> None:
    got = client.raw("GET", target, {"Host": server.host, **headers})
    assert got.headers["server"] == "tencent-cos"
    assert got.refusal == (403, "AccessDenied")


@pytest.fixture(scope="module")
def bare(start_server: StartServer) -> Iterator[Client]:
    """Somebody at the bare host of a server with a default bucket."""
    there = start_server({"cloud_infinite.default_bucket": "default-1"})
    owner = somebody(there)
    there.app.buckets.create("default-1", owner.id)
    return Client(owner.address, owner.id, owner.secret, there.host)


def test_a_bare_host_has_the_default_bucket(bare: Client) -> None:
    assert bare("PUT", "v1/upscale", body=b"x").status == 200
    assert bare("GET", "v1/upscale").body == b"x"
    assert bare("GET").texts("Contents/Key") == ["v1/upscale"]
    assert bare.on("default-1")("GET", "v1/upscale").body == b"x"
    missing = bare("GET", "missing")
    assert missing.refusal == (404, "NoSuchKey")
    assert missing.texts("Resource") == [f"{bare.host}/missing"]
    source = {"x-cos-copy-source": f"{bare.host}/v1/upscale"}
    assert bare("PUT", "copy", **source).status == 200


def test_without_a_default_bucket_a_bare_host_lists_buckets(
    server: RunningServer, client: Client, bucket: str
) -> None:
    there = Client(client.address, client.id, client.secret, server.host)
    assert bucket in there("GET").texts("Buckets/Bucket/Name")
    assert there("GET", "key").refusal == (404, "NoSuchBucket")
    process = {"ci-process": "AISuperResolution", "detect-url": "http://example.org/a.png"}
    assert there("GET", "", process).refusal == (404, "NoSuchBucket")
    assert there("PUT", "key", body=b"x").refusal == (404, "NoSuchBucket")


def test_suffixes_can_be_ones_own(start_server: StartServer) -> None:
    there = start_server({"cloud_infinite.suffixes": ["buckets.example.org"]})
    owner = somebody(there)
    there.app.buckets.create("own-1", owner.id)
    client = Client(owner.address, owner.id, owner.secret, "own-1.buckets.example.org")
    assert client("PUT", "a", body=b"x").status == 200
    assert client("GET", "a").body == b"x"
    foreign = client.raw("GET", "/a", {"Host": f"own-1.{SUFFIX}"})
    assert foreign.headers["content-type"] == "application/json"
