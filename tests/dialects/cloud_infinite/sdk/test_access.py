"""Whose requests Tencent's SDKs send, and what these may do: policies, temporary ones, links."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from superres.access import Policy, Statement
from tests.dialects.cloud_infinite.making import opened
from tests.dialects.cloud_infinite.sdk.conftest import new_name, png
from tests.dialects.cloud_infinite.sdk.terms import Identity, Refusal, operations, rule


def allowing(*statements: tuple[tuple[str, ...], tuple[str, ...]], deny=()) -> Policy:
    """A policy of (actions, resources)."""
    return Policy(
        tuple(Statement("allow", *each) for each in statements)
        + tuple(Statement("deny", *each) for each in deny)
    )


def refusal_of(call, *args, **named) -> tuple[int, str]:
    with pytest.raises(Refusal) as refused:
        call(*args, **named)
    return refused.value.status, refused.value.code


def denied(call, *args, **named) -> bool:
    return refusal_of(call, *args, **named) == (403, "AccessDenied")


# --------------------------------------------------------------------------------- temporary


def temporary(server, owner: Identity, policy: Policy | None = None) -> Identity:
    made = server.access.temporary(owner.id, timedelta(minutes=20), policy)
    return Identity(made.id, made.secret, made.session_token)


def test_a_temporary_credential_may_what_its_parent_may(sdk, make_sdk, server, owner):
    other = make_sdk(sdk.name, temporary(server, owner))
    other.put("temporary/ü.png", png())
    assert other.get("temporary/ü.png")[0] == png()
    assert other.list("temporary/").keys == ["temporary/ü.png"]
    assert opened(other.super_resolve("temporary/ü.png")[0]).size == (40, 24)
    other.process("temporary/ü.png", operations(rule("2x.png")))
    upload = other.initiate("temporary/parts")
    etag = other.upload_part("temporary/parts", upload, 1, b"a")
    other.complete("temporary/parts", upload, [(1, etag)])
    other.delete_many(["temporary/ü.png", "temporary/2x.png", "temporary/parts"])
    assert sdk.list("temporary/").keys == []


def test_node_gets_a_temporary_credential_when_it_needs_one(make_sdk, server, owner):
    made = server.access.temporary(owner.id, timedelta(minutes=20))
    sts = {
        "TmpSecretId": made.id,
        "TmpSecretKey": made.secret,
        "SecurityToken": made.session_token,
        "StartTime": int(time.time()) - 60,
        "ExpiredTime": int(time.time()) + 900,
    }
    config = {"Ip": server.host, "SecretId": "", "SecretKey": "", "$temporary": sts}
    node = make_sdk("node", config=config)
    node.put("sts", b"a")
    assert node.get("sts")[0] == b"a"


def test_tokens_that_do_not_hold(sdk, make_sdk, server, owner):
    who = temporary(server, owner)
    for wrong, code in (
        (replace(who, token="nonsense"), "InvalidToken"),
        (replace(who, token=None), "InvalidAccessKeyId"),
        (replace(who, token=temporary(server, owner).token), "InvalidToken"),
        (replace(who, secret="wrong"), "SignatureDoesNotMatch"),
    ):
        assert refusal_of(make_sdk(sdk.name, wrong).list) == (403, code)


def test_a_temporary_credential_ends(sdk, make_sdk, server, owner, monkeypatch):
    who = temporary(server, owner)
    other = make_sdk(sdk.name, who)
    other.list()
    credentials = server.access._credentials
    now = credentials._clock
    monkeypatch.setattr(credentials, "_clock", lambda connection: now(connection) + 21 * 60)
    with pytest.raises(Refusal) as over:
        other.list()
    assert (over.value.status, over.value.code) == (403, "ExpiredToken")
    assert over.value.sent == 1


def test_a_temporary_credential_of_less(sdk, make_sdk, server, owner):
    policy = allowing((("cos:GetObject", "cos:PutObject"), (f"{sdk.bucket}/in/*",)))
    other = make_sdk(sdk.name, temporary(server, owner, policy))
    other.put("in/a", b"a")
    assert other.get("in/a")[0] == b"a"
    assert denied(other.put, "out/a", b"a")
    assert denied(other.list)
    assert denied(other.delete, "in/a")
    sdk.delete("in/a")


def test_it_ends_with_its_parent(sdk, make_sdk, server):
    parent = server.access.create(f"parent {sdk.name}")
    own = server.app.buckets.create(new_name(), parent.id).name
    other = make_sdk(sdk.name, temporary(server, Identity(parent.id, parent.secret)), own)
    other.put("a", b"a")
    server.access.set_policy(parent.id, allowing((("cos:GetObject",), ("*",))))
    assert other.get("a")[0] == b"a"
    assert denied(other.put, "b", b"b")
    server.access.revoke(parent.id)
    status, code = refusal_of(other.get, "a")
    assert (status, code) in ((403, "InvalidToken"), (403, "InvalidAccessKeyId"))


# ----------------------------------------------------------------------------------- policies


@pytest.fixture
def guest(sdk, make_sdk, server):
    """``guest(policy)``: the same SDK and bucket, as somebody with that policy."""
    number = 0

    def make(policy: Policy):
        nonlocal number
        number += 1
        made = server.access.create(f"guest {sdk.name} {time.monotonic_ns()} {number}")
        server.access.set_policy(made.id, policy)
        return make_sdk(sdk.name, Identity(made.id, made.secret))

    return make


def test_a_policy_by_prefix(sdk, guest):
    sdk.put("open/a", b"a")
    sdk.put("closed/a", b"a")
    may = guest(
        allowing(
            (("cos:GetObject", "cos:HeadObject", "cos:GetBucket"), (f"{sdk.bucket}/open/*",)),
            deny=[(("*",), (f"{sdk.bucket}/open/secret/*",))],
        )
    )
    assert may.get("open/a")[0] == b"a"
    assert may.head("open/a")
    assert may.list("open/").keys == ["open/a"]
    assert denied(may.get, "closed/a")
    assert denied(may.get, "open/secret/a")
    assert denied(may.list)
    assert denied(may.list, "open")
    assert denied(may.list, "closed/")
    assert denied(may.put, "open/b", b"")
    assert denied(may.delete, "open/a")
    assert denied(may.on(new_existing(sdk)).get, "open/a")


def new_existing(sdk) -> str:
    """Another bucket of the owner's."""
    name = new_name()
    sdk.server.app.buckets.create(name, sdk.who.id)
    return name


def test_many_are_deleted_where_they_may_be(sdk, guest):
    for key in ("mine/1", "mine/2", "yours/1"):
        sdk.put(key, b"")
    may = guest(allowing((("cos:DeleteObject",), (f"{sdk.bucket}/mine/*",))))
    deleted, errors = may.delete_many(["mine/1", "yours/1", "mine/2"])
    assert sorted(deleted) == ["mine/1", "mine/2"]
    ((key, code),) = [(each["Key"], each["Code"]) for each in errors]
    assert (key, code) == ("yours/1", "AccessDenied")
    assert sdk.list("yours/").keys == ["yours/1"]


@pytest.mark.parametrize("job", ["ci:CreateSuperResolutionJob", "ci:CreateAISuperResolutionJob"])
def test_method_one_takes_two_actions(sdk, guest, job):
    sdk.put("actions/a.png", png())
    everything = (f"{sdk.bucket}/*",)
    may = guest(allowing((("cos:GetObject", job), everything)))
    assert opened(may.super_resolve("actions/a.png")[0]).size == (40, 24)
    assert denied(guest(allowing((("cos:GetObject",), everything))).super_resolve, "actions/a.png")
    assert denied(guest(allowing(((job,), everything))).super_resolve, "actions/a.png")


def test_method_two_takes_the_right_to_put_everything_it_puts(sdk, guest):
    may = guest(allowing((("cos:PutObject",), (f"{sdk.bucket}/in/*",))))
    may.put_processed("in/a.png", png(), operations(rule("b.png")))
    assert denied(may.put_processed, "in/a.png", png(), operations(rule("/out/b.png")))
    other = new_existing(sdk)
    elsewhere = operations(rule("/in/b.png", bucket=other))
    assert denied(may.put_processed, "in/c.png", png(), elsewhere)
    with pytest.raises(Refusal):
        sdk.head("in/c.png")


def test_method_three_takes_the_source_and_the_target(sdk, guest):
    sdk.put("source/a.png", png())
    read = (("cos:GetObject",), (f"{sdk.bucket}/source/*",))
    write = (("cos:PutObject",), (f"{sdk.bucket}/target/*",))
    header = operations(rule("/target/b.png"))
    guest(allowing(read, write)).process("source/a.png", header)
    assert opened(sdk.get("target/b.png")[0]).size == (40, 24)
    assert denied(guest(allowing(read)).process, "source/a.png", header)
    assert denied(guest(allowing(write)).process, "source/a.png", header)


def test_each_action_is_asked_for(sdk, guest):
    """An action alone opens its own operation, and without it the operation is closed."""
    sdk.put("each/a", b"a")
    upload = sdk.initiate("each/b")
    etag = sdk.upload_part("each/b", upload, 1, b"b")
    operations_by_action = {
        "cos:GetObject": lambda s: s.get("each/a"),
        "cos:PutObject": lambda s: s.put("each/a", b"a"),
        "cos:GetBucket": lambda s: s.list("each/"),
        "cos:ListMultipartUploads": lambda s: s.list_uploads("each/"),
        "cos:InitiateMultipartUpload": lambda s: s.initiate("each/c"),
        "cos:UploadPart": lambda s: s.upload_part("each/b", upload, 1, b"b"),
        "cos:ListParts": lambda s: s.list_parts("each/b", upload),
        "cos:CompleteMultipartUpload": lambda s: s.complete("each/b", upload, [(1, etag)]),
        "cos:DeleteObject": lambda s: s.delete("each/a"),
    }
    everything = (f"{sdk.bucket}/*",)
    for action, operation in operations_by_action.items():
        others = tuple(set(operations_by_action) - {action})
        assert denied(operation, guest(allowing((others, everything)))), action
        operation(guest(allowing(((action,), everything))))
    heads = {
        "cos:HeadObject": lambda s: s.head("each/b"),
        "cos:HeadBucket": lambda s: s.head_bucket(),
    }
    for action, operation in heads.items():
        with pytest.raises(Refusal) as closed:
            operation(guest(allowing((("cos:GetObject", "cos:GetBucket"), everything))))
        assert closed.value.status == 403
        operation(guest(allowing(((action,), everything))))
    dropped = sdk.initiate("each/d")
    assert denied(guest(allowing((("cos:UploadPart",), everything))).abort, "each/d", dropped)
    guest(allowing((("cos:AbortMultipartUpload",), everything))).abort("each/d", dropped)


# ------------------------------------------------------------------------------ presigned links


def send(sdk, server, method: str, link: str, **how) -> requests.Response:
    """Use a link whose host is no real one."""
    host = f"{sdk.bucket}.cos.ap-test.myqcloud.com"
    place = link.partition("://")[2].partition("/")[2]
    headers = {"Host": host, **how.pop("headers", {})}
    return requests.request(method, f"{server.url}/{place}", headers=headers, timeout=60, **how)


@pytest.mark.parametrize("key", ["link/a", "link/ü +%&?#;=.bin"])
def test_presigned_links(sdk, server, key):
    put = send(sdk, server, "PUT", sdk.presigned("PUT", key), data=b"through a link")
    assert put.status_code == 200, put.text
    got = send(sdk, server, "GET", sdk.presigned("GET", key))
    assert (got.status_code, got.content) == (200, b"through a link")
    head = send(sdk, server, "HEAD", sdk.presigned("HEAD", key))
    assert (head.status_code, head.headers["Content-Length"]) == (200, "14")
    part = send(sdk, server, "GET", sdk.presigned("GET", key), headers={"Range": "bytes=0-6"})
    assert (part.status_code, part.content) == (206, b"through")
    gone = send(sdk, server, "DELETE", sdk.presigned("DELETE", key))
    assert gone.status_code == 204


def test_a_link_is_good_for_what_it_says(sdk, server):
    sdk.put("link/b", b"b")
    link = sdk.presigned("GET", "link/b")
    for changed in (link.replace("link/b", "link/c"), link.replace("/link/b", "/link/b%20")):
        answer = send(sdk, server, "GET", changed)
        assert answer.status_code == 403
        assert "<Code>SignatureDoesNotMatch</Code>" in answer.text
    assert send(sdk, server, "PUT", link, data=b"c").status_code == 403
    assert send(sdk, server, "DELETE", link).status_code == 403
    assert sdk.get("link/b")[0] == b"b"


def test_a_link_ends(sdk, make_sdk, server, owner):
    sdk.put("link/old", b"b")
    before = make_sdk(sdk.name, replace(owner, clock=-400.0))
    answer = send(sdk, server, "GET", before.presigned("GET", "link/old", expires=300))
    assert answer.status_code == 403
    assert "<Message>Request has expired</Message>" in answer.text
    assert "<ServerTime>" in answer.text


def test_a_link_says_how_it_is_to_be_answered(sdk, server):
    sdk.put("link/said", b"b")
    wanted = {"response-content-disposition": 'attachment; filename="ü b.txt"'}
    answer = send(sdk, server, "GET", sdk.presigned("GET", "link/said", query=wanted))
    assert answer.status_code == 200, answer.text
    said = answer.headers["Content-Disposition"].encode("latin-1").decode()
    assert said == 'attachment; filename="ü b.txt"'


def test_a_link_of_a_temporary_credential(make_sdk, server, owner):
    """Node puts the token into the link; Python's users sign it among the parameters."""
    who = temporary(server, owner)
    node, python = make_sdk("node", who), make_sdk("python", who)
    node.put("link/token", b"t")
    link = node.presigned("GET", "link/token")
    assert "x-cos-security-token=" in link
    assert send(node, server, "GET", link).content == b"t"
    token = {"x-cos-security-token": who.token}
    link = python.presigned("GET", "link/token", query=token)
    assert send(python, server, "GET", link).content == b"t"
    bare = python.presigned("GET", "link/token")
    assert send(python, server, "GET", bare).status_code == 403
