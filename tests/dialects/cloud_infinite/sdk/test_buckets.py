"""Buckets through Tencent's SDKs: make, find, list and remove them."""

from __future__ import annotations

import pytest

from tests.dialects.cloud_infinite.sdk.clients import NodeSdk, PythonSdk
from tests.dialects.cloud_infinite.sdk.conftest import new_name
from tests.dialects.cloud_infinite.sdk.terms import REGION, Identity, Refusal


def test_a_bucket_is_made_found_and_removed(sdk):
    name = new_name()
    other = sdk.on(name)
    with pytest.raises(Refusal) as missing:
        other.head_bucket()
    assert missing.value.status == 404
    other.create_bucket()
    assert other.head_bucket()
    other.put("a", b"b")
    with pytest.raises(Refusal) as full:
        other.delete_bucket()
    assert (full.value.status, full.value.code) == (409, "BucketNotEmpty")
    other.delete("a")
    other.delete_bucket()
    with pytest.raises(Refusal) as gone:
        other.list()
    assert (gone.value.status, gone.value.code) == (404, "NoSuchBucket")


def test_a_bucket_made_twice_is_a_conflict(sdk):
    with pytest.raises(Refusal) as twice:
        sdk.create_bucket()
    assert (twice.value.status, twice.value.code) == (409, "BucketAlreadyOwnedByYou")
    assert twice.value.sent == 1


def test_a_bucket_of_somebody_else_is_not_ours(sdk, server, make_sdk):
    made = server.access.create(f"stranger of {sdk.name}")
    stranger = make_sdk(sdk.name, Identity(made.id, made.secret))
    with pytest.raises(Refusal) as taken:
        stranger.create_bucket()
    assert (taken.value.status, taken.value.code) == (409, "BucketAlreadyExists")
    with pytest.raises(Refusal) as listing:
        stranger.list()
    assert (listing.value.status, listing.value.code) == (403, "AccessDenied")


def test_names_that_cannot_be_one(sdk):
    # What both SDKs let through, and no bucket can be called.
    with pytest.raises(Refusal) as refused:
        sdk.on("a" * 60 + "-1250000000").create_bucket()
    assert (refused.value.status, refused.value.code) == (400, "InvalidBucketName")


def test_python_asks_whether_a_bucket_and_an_object_exist(python):
    client = python.client
    assert client.bucket_exists(python.bucket) is True
    assert client.bucket_exists(new_name()) is False
    python.put("there", b"")
    assert client.object_exists(python.bucket, "there") is True
    assert client.object_exists(python.bucket, "not there") is False


def test_the_list_of_buckets(server, make_sdk):
    made = server.access.create("has three")
    who = Identity(made.id, made.secret)
    assert names(make_sdk, server, who) == ([], [])
    wanted = []
    for _ in range(3):
        wanted.append(server.app.buckets.create(new_name(), who.id).name)
        assert names(make_sdk, server, who) == (wanted, wanted)


def names(make_sdk, server, who):
    """The names of ``who``'s buckets as Python and as Node see them."""
    python: PythonSdk = make_sdk("python", who, config={"ServiceDomain": server.host})
    node: NodeSdk = make_sdk("node", who)
    seen = python.client.list_buckets()
    listed = (seen["Buckets"] or {}).get("Bucket", [])
    for each in listed:
        assert each.keys() >= {"Name", "Location", "CreationDate"}
    assert seen["Owner"]["ID"]
    also = node.node.call(node.options, "getService")
    return [each["Name"] for each in listed], [each["Name"] for each in also["Buckets"]]


def test_where_a_bucket_is(python, nodejs, server):
    region = server.app.settings.cloud_infinite.region
    assert python.do("get_bucket_location") == {"LocationConstraint": region}
    assert nodejs.do("getBucketLocation")["LocationConstraint"] == region
    assert region != REGION


@pytest.mark.parametrize(
    "method",
    ["get_bucket_acl", "get_bucket_cors", "get_bucket_versioning", "get_bucket_lifecycle"],
)
def test_what_is_not_offered_is_refused_once(python, method):
    with pytest.raises(Refusal) as refused:
        python.do(method)
    assert (refused.value.status, refused.value.sent) == (405, 1)
    assert refused.value.code == "MethodNotAllowed"


def test_public_buckets_are_not_offered(sdk):
    name = new_name()
    acl = {"ACL": "public-read"}
    with pytest.raises(Refusal) as refused:
        sdk.on(name).do("create_bucket" if sdk.name == "python" else "putBucket", **acl)
    assert (refused.value.status, refused.value.code) == (400, "InvalidArgument")
    with pytest.raises(Refusal):
        sdk.on(name).head_bucket()
    sdk.put("private", b"a", ACL="private")
