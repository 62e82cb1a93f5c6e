"""Buckets: made, listed, looked for and deleted."""

from __future__ import annotations

import pytest

from superres.access import Policy, Statement
from tests.dialects.cloud_infinite.client import Client
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.conftest import RunningServer, StartServer


def test_a_bucket_from_its_making_to_its_end(owner: Client) -> None:
    there = owner.on(new_name())
    assert there("HEAD").status == 404
    assert there("GET").refusal == (404, "NoSuchBucket")
    made = there("PUT", content_length="0")
    assert (made.status, made.body) == (200, b"")
    looked = there("HEAD")
    assert (looked.status, looked.body) == (200, b"")
    assert looked.headers["x-cos-bucket-region"] == "local"
    where = there("GET", query={"location": ""})
    assert (where.xml.tag, where.xml.text) == ("LocationConstraint", "local")
    assert there("PUT").refusal == (409, "BucketAlreadyOwnedByYou")
    there("PUT", "key", body=b"x")
    assert there("DELETE").refusal == (409, "BucketNotEmpty")
    there("DELETE", "key")
    assert there("DELETE").status == 204
    assert there("DELETE").refusal == (404, "NoSuchBucket")
    assert there("PUT", "key", body=b"x").refusal == (404, "NoSuchBucket")


def test_a_name_of_somebody_else_is_taken(server: RunningServer, bucket: str) -> None:
    other = somebody(server).on(bucket)
    assert other("PUT").refusal == (409, "BucketAlreadyExists")
    for method in ("GET", "DELETE"):
        assert other(method).refusal == (403, "AccessDenied")
    assert other("HEAD").status == 403


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "a_b", "a.b", "a" * 64])
def test_names_that_no_bucket_can_have(owner: Client, name: str) -> None:
    assert owner.on(name)("PUT").refusal == (400, "InvalidBucketName")
    assert owner.on(name)("GET").refusal == (404, "NoSuchBucket")


def test_public_buckets_are_not_made(owner: Client) -> None:
    there = owner.on(new_name())
    assert there("PUT", x_cos_acl="public-read").refusal == (400, "InvalidArgument")
    assert there("HEAD").status == 404
    assert there("PUT", x_cos_acl="private").status == 200


def test_there_is_a_most_of_buckets(start_server: StartServer) -> None:
    small = start_server({"buckets.max_buckets": 1})
    owner = somebody(small)
    assert owner.on(new_name())("PUT").status == 200
    assert owner.on(new_name())("PUT").refusal == (400, "TooManyBuckets")


@pytest.mark.parametrize(
    "host",
    [
        "service.cos.myqcloud.com",
        "cos.ap-test.myqcloud.com",
        "service.cos.ap-test.myqcloud.com",
        "cos.localhost",
        "service.cos.localhost:80",
    ],
)
def test_the_service_lists_what_is_the_callers(server: RunningServer, host: str) -> None:
    person = somebody(server)
    names = sorted(server.app.buckets.create(new_name(), person.id).name for _ in range(3))
    at_service = Client(person.address, person.id, person.secret, host)
    listed = at_service("GET")
    assert listed.xml.tag == "ListAllMyBucketsResult"
    assert listed.texts("Buckets/Bucket/Name") == names
    assert listed.texts("Owner/ID") == [person.id]
    assert set(listed.texts("Buckets/Bucket/Location")) == {"local"}
    assert all(date.endswith("Z") for date in listed.texts("Buckets/Bucket/CreationDate"))
    page = at_service("GET", query={"max-keys": "2"})
    assert page.texts("Buckets/Bucket/Name") == names[:2]
    assert page.texts("IsTruncated") == ["true"]
    rest = at_service("GET", query={"marker": page.texts("NextMarker")[0]})
    assert rest.texts("Buckets/Bucket/Name") == names[2:]
    assert rest.texts("IsTruncated") == ["false"]


def test_without_buckets_there_is_an_empty_list(server: RunningServer) -> None:
    listed = somebody(server)("GET")
    assert listed.xml.find("Buckets") is not None
    assert listed.texts("Buckets/Bucket/Name") == []


def test_a_policy_shows_the_buckets_it_speaks_of(server: RunningServer, bucket: str) -> None:
    allowed = Statement("allow", ("cos:GetService", "cos:HeadBucket"), ("/", f"{bucket}/"))
    guest = somebody(server, Policy((allowed,)))
    assert guest("GET").texts("Buckets/Bucket/Name") == [bucket]
    assert guest.on(bucket)("HEAD").status == 200
    assert guest.on(bucket)("GET").refusal == (403, "AccessDenied")


def test_the_service_has_nothing_but_its_list(owner: Client) -> None:
    for method, key in (("PUT", ""), ("GET", "key"), ("DELETE", ""), ("POST", "")):
        assert owner(method, key).refusal == (404, "NoSuchBucket")
