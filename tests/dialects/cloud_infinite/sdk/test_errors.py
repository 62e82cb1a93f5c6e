"""Every row of the contract's table of errors, as Tencent's SDKs report it to their users."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog

from superres.access import Plan, Policy, Quota, Statement
from superres.engines.fake import FakeEngine
from superres.errors import WorkerLost
from superres.executors.inline import InlineExecutor
from superres.pipeline import Upscaler
from superres.settings import load
from tests.dialects.cloud_infinite.making import opened
from tests.dialects.cloud_infinite.sdk.clients import Sdk
from tests.dialects.cloud_infinite.sdk.conftest import new_name, png
from tests.dialects.cloud_infinite.sdk.terms import Identity, Refusal, operations, rule
from tests.dialects.conftest import RunningServer

HOUR = 3600.0
_names = itertools.count()


class Breakable(InlineExecutor):
    """Loses its workers as often as it is told to."""

    failures = 0

    def submit(self, work, *, on_progress=None):
        if Breakable.failures > 0:
            Breakable.failures -= 1
            raise WorkerLost("A worker was told to die.")
        return super().submit(work, on_progress=on_progress)


@pytest.fixture(scope="module")
def server(start_server: Callable[..., RunningServer]) -> RunningServer:
    overrides = {
        "sources.allow_networks": ["127.0.0.0/8"],
        "buckets.max_object_bytes": 300_000,
        "limits.max_input_bytes": 200_000,
        "limits.max_input_pixels": 40_000,
        "limits.max_output_pixels": 200_000,
        "cloud_infinite.cache": False,
    }
    executor = Breakable(Upscaler(load(overrides=overrides), engine=FakeEngine()))
    started = start_server(overrides, executor)
    # Pictures of tracebacks take most of a second each; start_server puts back what was.
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    return started


@pytest.fixture(scope="module")
def stored(make_sdk) -> None:
    """What the rows are about."""
    sdk = make_sdk("python")
    sdk.put("a.png", png())
    sdk.put("text.txt", b"no picture")
    sdk.put("cut.png", png()[:-30])
    sdk.put("gif", b"GIF89a")
    sdk.put("heavy.png", png(200, 150, compress_level=0) + bytes(150_000))
    sdk.put("wide.png", png(301, 201))
    sdk.put("grows.png", png(150, 150))


def refused(call: Callable[[], object]) -> Refusal:
    """The refusal of a call."""
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def check(refusal: Refusal, status: int, code: str) -> None:
    """A 4xx is told once, with everything that somebody who looks into it needs."""
    assert (refusal.status, refusal.code) == (status, code), refusal
    assert refusal.sent == 1
    assert refusal.message
    assert "Unknown" not in refusal.message
    assert refusal.request_id
    fields = {name.lower(): value for name, value in refusal.fields.items() if value}
    said = {name.lower(): each for name, each in fields.get("error", fields).items() if each}
    assert said["code"] == code
    assert said["message"] == refusal.message
    assert said["resource"]
    assert said["requestid"] == refusal.request_id
    assert said["traceid"] not in ("", "Unknown")


# ----------------------------------------------------------------------------------- who asks


def test_an_unknown_secret_id(sdk, make_sdk, owner):
    other = make_sdk(sdk.name, replace(owner, id="AKIDnobody"))
    check(refused(other.list), 403, "InvalidAccessKeyId")
    check(refused(lambda: other.put("a", b"")), 403, "InvalidAccessKeyId")


def test_a_bad_signature(sdk, make_sdk, owner):
    other = make_sdk(sdk.name, replace(owner, secret="another"))
    refusal = refused(other.list)
    check(refusal, 403, "SignatureDoesNotMatch")
    assert refusal.message == "The Signature you specified is invalid."


def test_no_signature(sdk, make_sdk, owner):
    anonymous = make_sdk(sdk.name, replace(owner, anonymous=True))
    check(refused(anonymous.list), 403, "AccessDenied")
    check(refused(lambda: anonymous.put("a", b"")), 403, "AccessDenied")


def test_an_expired_signature_through_python(make_sdk, owner):
    """Its signatures hold for 10,000 seconds, from a minute before."""
    late = make_sdk("python", replace(owner, clock=-4 * HOUR))
    refusal = refused(late.list)
    check(refusal, 403, "AccessDenied")
    assert refusal.message == "Request has expired"


def test_a_signature_of_the_future_through_python(make_sdk, owner):
    early = make_sdk("python", replace(owner, clock=4 * HOUR))
    check(refused(early.list), 403, "RequestTimeTooSkewed")


@pytest.mark.parametrize("wrong", [-4 * HOUR, 4 * HOUR, -20 * 60, 20 * 60])
def test_node_sets_its_clock_by_the_servers(make_sdk, server, owner, wrong):
    """Its signatures hold for 15 minutes; the second request has the right time."""
    skewed = make_sdk("node", replace(owner, clock=wrong), config=only_this_test(server))
    assert skewed.do("getBucket")["sent"] == 2
    assert skewed.do("putObject", Key="clock", Body=b"right")["sent"] == 1
    assert skewed.get("clock")[0] == b"right"


def test_node_reports_an_expired_signature_if_it_may_not_set_its_clock(make_sdk, server, owner):
    config = {**only_this_test(server), "CorrectClockSkew": False}
    late = make_sdk("node", replace(owner, clock=-4 * HOUR), config=config)
    refusal = refused(late.list)
    check(refusal, 403, "AccessDenied")
    assert refusal.message == "Request has expired"
    assert refusal.fields["error"]["ServerTime"].endswith("Z")


def only_this_test(server: RunningServer) -> dict[str, object]:
    """Options that make a client of its own, which has learned nothing yet."""
    return {"Ip": server.host, "UserAgent": f"test {next(_names)}"}


def test_a_policy_that_lacks_the_action(sdk, make_sdk, server):
    made = server.access.create(f"may only look {sdk.name}")
    server.access.set_policy(
        made.id, Policy((Statement("allow", ("cos:GetBucket",), (f"{sdk.bucket}/*",)),))
    )
    other = make_sdk(sdk.name, Identity(made.id, made.secret))
    assert isinstance(other.list().keys, list)
    check(refused(lambda: other.get("a.png")), 403, "AccessDenied")
    check(refused(lambda: other.put("a.png", b"")), 403, "AccessDenied")
    assert refused(lambda: other.head("a.png")).status == 403


# --------------------------------------------------------------------------------- what is asked


ROWS: list[tuple[str, Callable[[Sdk], object], int, str]] = [
    ("missing key", lambda s: s.get("not there"), 404, "NoSuchKey"),
    ("missing key, on download", lambda s: s.super_resolve("not there"), 404, "NoSuchKey"),
    ("missing bucket", lambda s: s.on("nobody-1250000000").get("a"), 404, "NoSuchBucket"),
    ("missing bucket, put", lambda s: s.on("nobody-1250000000").put("a", b""), 404, "NoSuchBucket"),
    ("magnify 3", lambda s: s.super_resolve("a.png", 3), 400, "InvalidArgument"),
    ("magnify words", lambda s: s.super_resolve("a.png", "two"), 400, "InvalidArgument"),
    (
        "unknown ci-process",
        lambda s: s.super_resolve("a.png", process="AIImageColoring"),
        400,
        "InvalidArgument",
    ),
    ("not an image", lambda s: s.super_resolve("text.txt"), 400, "InvalidImageFormat"),
    ("half an image", lambda s: s.super_resolve("cut.png"), 400, "InvalidImageFormat"),
    ("not one of ours", lambda s: s.super_resolve("gif"), 400, "InvalidImageFormat"),
    (
        "detect-url refused",
        lambda s: s.super_resolve("", url="http://10.0.0.1/a.png"),
        400,
        "InvalidImageSource",
    ),
    (
        "detect-url answers nothing",
        lambda s: s.super_resolve("", url="http://127.0.0.1:1/a.png"),
        400,
        "InvalidImageSource",
    ),
    (
        "detect-url of another kind",
        lambda s: s.super_resolve("", url="file:///etc/passwd"),
        400,
        "InvalidImageSource",
    ),
    ("too large", lambda s: s.super_resolve("heavy.png"), 400, "ImageTooLarge"),
    ("too many pixels", lambda s: s.super_resolve("wide.png"), 400, "ImageResolutionExceed"),
    (
        "too many in the end",
        lambda s: s.super_resolve("grows.png", 4),
        400,
        "ImageResolutionExceed",
    ),
    ("range", lambda s: s.get("a.png", Range="bytes=999999-"), 416, "InvalidRange"),
    (
        "Content-MD5",
        lambda s: s.put("b", b"a", ContentMD5=base64.b64encode(bytes(16)).decode()),
        400,
        "BadDigest",
    ),
    ("no such upload", lambda s: s.list_parts("a.png", "0" * 32), 404, "NoSuchUpload"),
    ("no upload's id", lambda s: s.upload_part("a.png", "ü", 1, b"a"), 404, "NoSuchUpload"),
    ("bucket twice", lambda s: s.create_bucket(), 409, "BucketAlreadyOwnedByYou"),
    ("object too large", lambda s: s.put("b", bytes(300_001)), 400, "EntityTooLarge"),
    ("key too long", lambda s: s.put("a" * 851, b""), 400, "KeyTooLong"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_of_the_table(sdk, stored, row):
    _, call, status, code = row
    check(refused(lambda: call(sdk)), status, code)


GOOD = rule("/made.png")
OPERATIONS = {
    "not JSON": "no json",
    "no object": "[]",
    "no rules": "{}",
    "an empty list": operations(),
    "six rules": operations(*[rule(f"/made{n}.png") for n in range(6)]),
    "no fileid": '{"rules": [{"rule": "ci-process=AISuperResolution"}]}',
    "an empty fileid": operations(rule("")),
    "a fileid that ends with /": operations(rule("/made/")),
    "no rule": '{"rules": [{"fileid": "/made.png"}]}',
}


@pytest.mark.parametrize("header", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_pic_operations_that_are_none(sdk, stored, header):
    check(refused(lambda: sdk.process("a.png", header)), 400, "InvalidPicOperations")
    upload = refused(lambda: sdk.put_processed("fresh.png", png(), header))
    check(upload, 400, "InvalidPicOperations")
    assert sdk.list("made").keys == sdk.list("fresh").keys == []


@pytest.mark.parametrize("how", ["magnify=3", "ci-process=Other", "ci-process=Other&magnify=2"])
def test_rules_that_cannot_be_carried_out(sdk, stored, how):
    text = f"ci-process=AISuperResolution&{how}" if how.startswith("magnify") else how
    header = operations(GOOD, {"fileid": "/other.png", "rule": text})
    check(refused(lambda: sdk.process("a.png", header)), 400, "InvalidArgument")
    check(refused(lambda: sdk.put_processed("fresh.png", png(), header)), 400, "InvalidArgument")
    assert sdk.list("made").keys == sdk.list("fresh").keys == []


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("text.txt", "InvalidImageFormat"),
        ("heavy.png", "ImageTooLarge"),
        ("wide.png", "ImageResolutionExceed"),
    ],
)
def test_what_is_stored_and_cannot_be_super_resolved(sdk, stored, key, code):
    check(refused(lambda: sdk.process(key, operations(GOOD))), 400, code)
    content, _ = sdk.get(key)
    check(refused(lambda: sdk.put_processed("fresh.png", content, operations(GOOD))), 400, code)
    assert sdk.list("made").keys == sdk.list("fresh").keys == []


def test_processing_that_is_not_enabled(sdk, stored, server, owner):
    bucket = server.app.buckets.create(new_name(), owner.id, processing=False).name
    other = sdk.on(bucket)
    other.put("a.png", png())
    header = operations(rule("/b.png"))
    for call in (
        lambda: other.super_resolve("a.png"),
        lambda: other.super_resolve("", url="http://127.0.0.1:1/a.png"),
        lambda: other.process("a.png", header),
        lambda: other.put_processed("c.png", png(), header),
    ):
        check(refused(call), 403, "NoProcessAuthority")
    assert other.list().keys == ["a.png"]
    server.app.buckets.enable_processing(bucket)
    assert opened(other.super_resolve("a.png")[0]).size == (40, 24)


# ------------------------------------------------------------------------ limits, and what breaks


def test_a_fault_of_the_server_is_tried_again(make_sdk, stored):
    python = make_sdk("python", retries=1)
    Breakable.failures = 1
    content, _ = python.super_resolve("a.png")
    assert opened(content).size == (40, 24)
    assert Breakable.failures == 0
    node = make_sdk("node")
    Breakable.failures = 3
    found = node.do("getObject", Key="a.png", Query={"ci-process": "AISuperResolution"})
    assert opened(found["Body"]).size == (40, 24)
    assert found["sent"] == 4


def test_a_fault_that_stays_is_reported(make_sdk, stored):
    try:
        Breakable.failures = 100
        python = refused(lambda: make_sdk("python", retries=1).super_resolve("a.png"))
        node = refused(lambda: make_sdk("node").super_resolve("a.png"))
    finally:
        Breakable.failures = 0
    for refusal, sent in ((python, 2), (node, 4)):
        assert (refusal.status, refusal.code) == (500, "InternalError")
        assert refusal.sent == sent
        assert refusal.request_id


def test_a_rate_is_worth_trying_again(server, make_sdk, bucket):
    made = server.access.create("in a hurry")
    server.access.set_plan(made.id, Plan(rate=0.01, burst=1))
    own = server.app.buckets.create(new_name(), made.id).name
    for name, sent in (("python", 1), ("node", 4)):
        more = {"retries": 0} if name == "python" else {}
        sdk = make_sdk(name, Identity(made.id, made.secret), own, **more)
        sdk.put("a.png", png())  # is not counted
        if name == "python":
            sdk.super_resolve("a.png")
        refusal = refused(lambda sdk=sdk: sdk.super_resolve("a.png"))
        assert (refusal.status, refusal.code) == (503, "SlowDown")
        assert refusal.sent == sent
    assert int(refusal.fields["headers"]["retry-after"]) > 1


def test_a_spent_quota_is_not(server, make_sdk):
    made = server.access.create("has two")
    server.access.set_plan(made.id, Plan(quota=Quota(day=2)))
    own = server.app.buckets.create(new_name(), made.id).name
    who = Identity(made.id, made.secret)
    python, node = make_sdk("python", who, own), make_sdk("node", who, own)
    python.put_processed("a.png", png(), operations(rule("/b.png"), rule("/c.png")))
    for sdk in (python, node):
        refusal = refused(lambda sdk=sdk: sdk.super_resolve("a.png"))
        check(refusal, 403, "QuotaExceeded")
    assert node.get("b.png")[0]


def test_what_was_refused_left_nothing_behind(sdk, stored):
    before = sdk.list().keys
    refused(lambda: sdk.put("a.png", b"x", ContentMD5=base64.b64encode(bytes(16)).decode()))
    assert sdk.head("a.png")["etag"] == f'"{hashlib.md5(png()).hexdigest()}"'
    assert sdk.list().keys == before
