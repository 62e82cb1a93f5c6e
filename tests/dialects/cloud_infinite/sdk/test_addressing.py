"""The ways in which Tencent's SDKs are pointed at a server that is not Tencent's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from superres.settings.sections import CloudInfiniteSettings
from tests.dialects.cloud_infinite.making import opened
from tests.dialects.cloud_infinite.sdk.clients import NodeSdk, PythonSdk
from tests.dialects.cloud_infinite.sdk.conftest import new_name, png
from tests.dialects.cloud_infinite.sdk.terms import REGION, Identity, Refusal, operations, rule
from tests.dialects.conftest import RunningServer

DEFAULT = "default-1250000000"
LATER = "later-1250000000"


@pytest.fixture(scope="module")
def server(start_server: Callable[..., RunningServer]) -> RunningServer:
    return start_server(
        {
            "cloud_infinite.default_bucket": DEFAULT,
            "cloud_infinite.suffixes": [*CloudInfiniteSettings().suffixes, "cos.local"],
        }
    )


@pytest.fixture(scope="module")
def default(server, owner) -> str:
    return server.app.buckets.create(DEFAULT, owner.id).name


def place(server: RunningServer) -> tuple[str, int]:
    host, _, port = server.host.partition(":")
    return host, int(port)


def places(server: RunningServer) -> dict[str, tuple[str, dict[str, object]]]:
    """Ways to virtual hosts."""
    host, port = place(server)
    ip = {"IP": host, "Port": port}
    proxy = {"Proxies": {"http": server.url}}
    return {
        "python IP": ("python", {**ip, "EnableOldDomain": True}),
        "python IP, newer hosts": (
            "python",
            {**ip, "EnableOldDomain": False, "EnableInternalDomain": False},
        ),
        "python IP, internal hosts": ("python", {**ip, "EnableOldDomain": False}),
        "python IP, endpoint": ("python", {**ip, "Endpoint": "cos.local"}),
        "python proxy": ("python", proxy),
        "python proxy, endpoint": ("python", {**proxy, "Endpoint": "cos.local"}),
        "python proxy, host not signed": ("python", {**proxy, "SignHost": False}),
        "python IP, parameters not signed": ("python", {**ip, "SignParams": False}),
        "python IP, no keep-alive": ("python", {**ip, "KeepAlive": False}),
        "node Ip": ("node", {"Ip": server.host}),
        "node Ip, domain": ("node", {"Ip": server.host, "Domain": "{Bucket}.cos.local"}),
        "node Ip, domain with a port": (
            "node",
            {"Ip": server.host, "Domain": f"{{Bucket}}.cos.local:{port}"},
        ),
        "node proxy": ("node", {"Proxy": server.url}),
        "node proxy, domain": ("node", {"Proxy": server.url, "Domain": "{Bucket}.cos.local"}),
        "node Ip, host not signed": ("node", {"Ip": server.host, "ForceSignHost": False}),
        "node Ip, no keep-alive": ("node", {"Ip": server.host, "KeepAlive": False}),
    }


WAYS = places(RunningServer("http://127.0.0.1:80", None))  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_a_virtual_host(make_sdk, server, default, way):
    name, config = places(server)[way]
    sdk = make_sdk(name, config=config).on(new_name())
    sdk.create_bucket()
    works(sdk)
    sdk.delete_bucket()
    server.app.buckets.create(sdk.bucket, sdk.who.id)


def works(sdk) -> None:
    """Everything that depends on how a request is addressed."""
    key = "folder ü/a+b%2F#?.png"
    sdk.put(key, png())
    try:
        assert sdk.get(key)[0] == png()
        assert sdk.list("folder ü/").keys == [key]
        assert opened(sdk.super_resolve(key, 4)[0]).size == (80, 48)
        result = sdk.process(key, operations(rule("/made.png")))
        assert opened(sdk.get("made.png")[0]).size == (40, 24)
        assert result["OriginalInfo"]["Location"].partition("/")[2]
        assert sdk.head_bucket()
        upload = sdk.initiate(key)
        etag = sdk.upload_part(key, upload, 1, b"a")
        assert sdk.complete(key, upload, [(1, etag)])["Key"] == key
    finally:
        sdk.delete_many([key, "made.png"])
    assert sdk.list().keys == []


@pytest.mark.parametrize("name", ["python", "node"])
def test_the_default_bucket(make_sdk, server, default, name):
    """``Domain`` without a bucket: the only way the SDKs have to a bare address."""
    sdk = make_sdk(name, bucket="unsaid-1250000000", config={"Domain": server.host})
    works(sdk)
    sdk.put("a.png", b"a")
    assert server.app.buckets.objects.get(DEFAULT, "a.png").size == 1
    result = sdk.put_processed("b.png", png(), operations(rule("/c.png")))
    assert result["ProcessResults"]["Object"]["Location"] == f"{server.host}/c.png"
    sdk.delete_many(["a.png", "b.png", "c.png"])


def test_without_a_default_bucket(start_server, node):
    server = start_server()
    made = server.access.create("owner")
    who = Identity(made.id, made.secret)
    python = PythonSdk(server, who, LATER, config={"Domain": server.host})
    try:
        for sdk in (python, NodeSdk(node, server, who, LATER, {"Domain": server.host})):
            with pytest.raises(Refusal) as refused:
                sdk.get("a")
            assert (refused.value.status, refused.value.code) == (404, "NoSuchBucket")
    finally:
        python.close()


def test_the_list_of_buckets_is_found(make_sdk, server, owner, default):
    for newer in (False, True):
        config = {"Proxies": {"http": server.url}, "EnableOldDomain": not newer}
        found = make_sdk("python", config=config).client.list_buckets()
        assert DEFAULT in [each["Name"] for each in found["Buckets"]["Bucket"]]
    for config in ({"Ip": server.host}, {"Proxy": server.url}):
        sdk = make_sdk("node", config=config)
        for params in ({}, {"Region": REGION}):
            found = sdk.node.call(sdk.options, "getService", **params)
            assert DEFAULT in [each["Name"] for each in found["Buckets"]]


def test_a_host_that_is_none_of_ours(make_sdk, server, default):
    """It is a bare one: the default bucket, since the request is signed as COS's are."""
    host, port = place(server)
    sdk = make_sdk("python", config={"IP": host, "Port": port, "Endpoint": "example.com"})
    sdk.put("elsewhere", b"a")
    assert server.app.buckets.objects.get(DEFAULT, "elsewhere").size == 1
    sdk.delete("elsewhere")


def test_python_copies_with_a_proxy(make_sdk, server, default):
    """Its ``copy`` looks at the source at the source's own host."""
    sdk = make_sdk("python", bucket=DEFAULT, config={"Proxies": {"http": server.url}})
    sdk.put("copy/a", b"a", ContentType="text/plain")
    source = {"Bucket": DEFAULT, "Key": "copy/a", "Region": REGION}
    done = sdk.do("copy", Key="copy/b", CopySource=source)
    assert done["ETag"] == sdk.head("copy/b")["etag"]
    sdk.delete_many(["copy/a", "copy/b"])
