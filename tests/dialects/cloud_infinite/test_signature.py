"""Signatures, made by the vendor's own signers for Python and Node, and by nobody."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shutil
import string
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_auth import CosS3Auth

from superres.server.dialects.cloud_infinite import signature
from superres.server.dialects.cloud_infinite.errors import Refused
from tests.dialects.cloud_infinite.sdk.node import MODULES
from tests.dialects.cloud_infinite.wire import Wire, catcher, read, verify

ID = "SRAKABCDEFGHIJKLMNOP"
SECRET = "s3cret" * 6 + "abcd"
OTHER = "x" + SECRET[1:]
BUCKET = "photos-1250000000"
HOST = f"{BUCKET}.cos.ap-test.myqcloud.com"
TOKEN = "abc_DEF-123"
METHODS = ("GET", "PUT", "POST", "HEAD", "DELETE")

# A segment of dots alone does not survive the HTTP library that the SDK uses.
keys = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
).filter(lambda key: not {".", ".."} & set(key.split("/")) and key.strip("/"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# What begins with q- or is called sign would be taken for the signature in an address.
names = texts.filter(lambda name: name and name.lower() != "sign" and name[:2].lower() != "q-")
parameters = st.dictionaries(names, texts, max_size=5).filter(
    lambda found: len({quote(name, "").lower() for name in found}) == len(found)
)
values = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(
    lambda value: value.strip(" ")
)
metadata = st.dictionaries(
    st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=9).map(
        lambda name: f"x-cos-meta-{name}"
    ),
    values,
    max_size=4,
).filter(lambda found: len({name.lower() for name in found}) == len(found))


def config(**more: Any) -> CosConfig:
    given = {"Region": "ap-test", "SecretId": ID, "SecretKey": SECRET, "Scheme": "http"}
    return CosConfig(**{**given, "EnableOldDomain": True, "EnableInternalDomain": False, **more})


def sent_by_python(
    method: str,
    key: str,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Wire:
    """What the Python SDK sends: signed by its own signer, prepared by its own HTTP library."""
    conf = config(**more)
    prepared = requests.Request(
        method,
        conf.uri(bucket=BUCKET, path=key),
        params=params,
        headers={name: value.encode() for name, value in (headers or {}).items()},
        auth=CosS3Auth(conf, key, params or {}),
    ).prepare()
    return wire_of(method, prepared.url, dict(prepared.headers))


def wire_of(method: str, url: str, headers: dict[str, str | bytes] | None = None) -> Wire:
    found = urlsplit(url)
    given = {"host": found.netloc, **(headers or {})}
    rest = url.split("/", 3)[3]
    path, _, query = rest.partition("?")
    return Wire(
        method,
        b"/" + path.encode(),
        query.encode(),
        [
            (name.lower().encode(), (v if isinstance(v, bytes) else v.encode("latin-1")).strip())
            for name, v in given.items()
        ],
    )


def authorization(wire: Wire) -> bytes:
    found = wire.header(b"authorization")
    assert found is not None
    return found


def refusal(wire: Wire, secret: str = SECRET, now: datetime | None = None) -> tuple[int, str, str]:
    with pytest.raises(Refused) as caught:
        verify(wire, secret, now)
    answer = caught.value.answer
    return answer.status, answer.code, answer.message


NO_MATCH = (403, "SignatureDoesNotMatch", "The Signature you specified is invalid.")


# ------------------------------------------------------------- what Python's signer signs


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(METHODS), keys, parameters, metadata)
@example("GET", "a b+c/%2F/é/日本/?#&=;", {"a b": "c d", "A:": "", "a0": "+%"}, {})
@example("PUT", "//a//b", {}, {"x-cos-meta-e": "é  日", "x-cos-meta-empty": ""})
def test_whatever_python_signs_verifies(
    method: str, key: str, params: dict[str, str], headers: dict[str, str]
) -> None:
    wire = sent_by_python(method, key, params, headers)
    verify(wire, SECRET)
    assert read(wire).credential_id == ID
    assert refusal(wire, OTHER) == NO_MATCH


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(METHODS), keys, parameters, metadata, st.booleans())
def test_whatever_address_python_presigns_verifies(
    method: str, key: str, params: dict[str, str], headers: dict[str, str], sign_host: bool
) -> None:
    url = CosS3Client(config()).get_presigned_url(
        BUCKET, key, method, Params=params, Headers=dict(headers), SignHost=sign_host
    )
    # As a browser or requests sends it.
    sent = requests.Request(method, url).prepare().url
    wire = wire_of(method, sent, {name: value.encode() for name, value in headers.items()})
    verify(wire, SECRET)
    assert refusal(wire, OTHER) == NO_MATCH


@settings(max_examples=200, deadline=None)
@given(keys, parameters, metadata, st.data())
def test_whatever_is_changed_does_not_verify(
    key: str, params: dict[str, str], headers: dict[str, str], data: st.DataObject
) -> None:
    wire = sent_by_python("PUT", key, params, headers)
    verify(wire, SECRET)
    kinds = ["path", "method", "authorization", "secret"]
    kinds += ["value"] * any(params.values()) + ["header"] * any(headers.values())
    kind = data.draw(st.sampled_from(kinds))
    if kind == "secret":
        changed = flipped(SECRET.encode(), data)
        assume(max(changed) < 128)
        assert refusal(wire, changed.decode()) == NO_MATCH
        return
    if kind == "path":
        path = flipped(key.lstrip("/").encode(), data)
        wire = replace(wire, path=b"/" + quote(path, "").encode())
    elif kind == "method":
        wire = replace(wire, method=data.draw(st.sampled_from(["GET", "HEAD", "POST", "DELETE"])))
    elif kind == "authorization":
        wire = wire.having(b"authorization", changed_field(authorization(wire), data))
    elif kind == "value":
        name = data.draw(st.sampled_from([name for name in params if params[name]]))
        items = {n.encode(): v.encode() for n, v in params.items()}
        items[name.encode()] = flipped(items[name.encode()], data)
        query = "&".join(f"{quote(n, '')}={quote(v, '')}" for n, v in items.items())
        wire = replace(wire, query=query.encode())
    else:
        name = data.draw(st.sampled_from([name for name in headers if headers[name]]))
        wire = wire.having(name.lower().encode(), flipped(headers[name].encode(), data))
    with pytest.raises(Refused) as caught:
        verify(wire, SECRET)
    assert 400 <= caught.value.answer.status < 404


def flipped(content: bytes, data: st.DataObject) -> bytes:
    at = data.draw(st.integers(0, len(content) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def changed_field(header: bytes, data: st.DataObject) -> bytes:
    """One bit of one of the values that say when it was signed, and how."""
    fields = dict(part.partition(b"=")[::2] for part in header.split(b"&"))
    name = data.draw(st.sampled_from([b"q-sign-time", b"q-key-time", b"q-signature"]))
    fields[name] = flipped(fields[name], data)
    assume(b"&" not in fields[name])
    return b"&".join(name + b"=" + value for name, value in fields.items())


# --------------------------------------------------------------------- made by nobody


def test_an_unsigned_request_is_denied() -> None:
    for headers in ({}, {"authorization": ""}, {"authorization": "Bearer srk_abc"}):
        wire = wire_of("GET", f"http://{HOST}/a", headers)
        assert refusal(wire)[:2] == (403, "AccessDenied")


PERIOD = "1700000000;1700000900"
GOOD = {
    "q-sign-algorithm": "sha1",
    "q-ak": ID,
    "q-sign-time": PERIOD,
    "q-key-time": PERIOD,
    "q-header-list": "host",
    "q-url-param-list": "",
    "q-signature": "0" * 40,
}
THEN = datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "SignatureDoesNotMatch"),
        ({"q-header-list": None, "q-url-param-list": None}, "SignatureDoesNotMatch"),
        ({"q-header-list": ";;é%;%zz;host"}, "SignatureDoesNotMatch"),
        ({"q-signature": "é"}, "SignatureDoesNotMatch"),
        ({"q-sign-algorithm": "sha256"}, "AccessDenied"),
        ({"q-ak": None}, "AccessDenied"),
        ({"q-ak": ""}, "AccessDenied"),
        ({"q-signature": ""}, "AccessDenied"),
        ({"q-sign-time": None}, "AccessDenied"),
        ({"q-key-time": "1700000000"}, "AccessDenied"),
        ({"q-key-time": "-1;5"}, "AccessDenied"),
        ({"q-key-time": "1700000000;1700000900;"}, "AccessDenied"),
        ({"q-key-time": "1e9;2e9"}, "AccessDenied"),
        ({"q-key-time": "٠;٩"}, "AccessDenied"),
        ({"q-key-time": "0;" + "9" * 5000}, "AccessDenied"),
        ({"q-header-list": "a;" * 5000}, "AccessDenied"),
        ({"q-url-param-list": "a;" * 5000}, "AccessDenied"),
    ],
)
def test_a_malformed_signature_is_refused_with_a_code(
    changes: dict[str, str | None], code: str
) -> None:
    fields = {name: v for name, v in {**GOOD, **changes}.items() if v is not None}
    header = "&".join(f"{name}={value}" for name, value in fields.items())
    in_header = wire_of("GET", f"http://{HOST}/a", {"authorization": header.encode()})
    assert refusal(in_header, now=THEN)[:2] == (403, code)
    query = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
    in_address = wire_of("GET", f"http://{HOST}/a?{query}")
    assert refusal(in_address, now=THEN)[:2] == (403, code)
    at_once = wire_of("GET", f"http://{HOST}/a?sign={quote(header, '')}")
    assert refusal(at_once, now=THEN)[:2] == (403, code)


def test_fields_and_headers_of_authorization_stand_once() -> None:
    wire = sent_by_python("GET", "a")
    header = authorization(wire)
    twice = wire.having(b"authorization", header + b"&q-ak=" + ID.encode())
    assert refusal(twice)[:2] == (403, "AccessDenied")
    two = replace(wire, headers=[*wire.headers, (b"authorization", header)])
    assert refusal(two)[:2] == (403, "AccessDenied")


pieces = st.sampled_from(
    [
        *b"& = ; % %3b %253b + q- sign= 1;2 host \xff \r \xc3\xa9".split(b" "),
        PERIOD.encode(),
        ID.encode(),
        *(name.encode() for name in GOOD),
    ]
)
noise = st.lists(pieces | st.binary(max_size=4), max_size=8).map(b"".join)
whole = st.sampled_from([f"{name}={value}".encode() for name, value in GOOD.items()])
fields = st.lists(whole | noise, max_size=9).map(b"&".join)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=8),
    fields,
    fields,
    st.lists(st.tuples(noise, noise), max_size=2),
    st.text(st.characters(max_codepoint=255), max_size=12),
)
def test_whatever_the_bytes_it_is_a_403(
    key: str, query: bytes, header: bytes, more: list[tuple[bytes, bytes]], host: str
) -> None:
    assume(key.isprintable())
    for given_header in (header, b"q-sign-algorithm=sha1&" + header):
        headers = [(b"authorization", given_header), (b"host", host.encode("latin-1")), *more]
        with pytest.raises(Refused) as caught:
            signature.read("GET", key, query, headers, host=host, now=THEN).confirm(SECRET)
        answer = caught.value.answer
        assert answer.status == 403
        assert answer.code in ("AccessDenied", "SignatureDoesNotMatch", "RequestTimeTooSkewed")
        assert answer.message


# ------------------------------------------------------------------------------- times


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(time.time() + seconds, UTC)


def test_an_expired_request_says_so_in_the_words_that_clients_know() -> None:
    # The Python SDK's signatures last 10,000 seconds.
    wire = sent_by_python("GET", "a")
    verify(wire, SECRET, at(9_900))
    with pytest.raises(Refused) as caught:
        verify(wire, SECRET, at(10_010))
    answer = caught.value.answer
    assert (answer.status, answer.code, answer.message) == (
        403,
        "AccessDenied",
        "Request has expired",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.details["ServerTime"])


def test_a_clock_may_be_a_quarter_of_an_hour_ahead() -> None:
    wire = sent_by_python("GET", "a")  # from a minute ago on
    verify(wire, SECRET, at(-900))
    assert refusal(wire, now=at(-1000))[:2] == (403, "RequestTimeTooSkewed")


@pytest.mark.parametrize("name", ["q-sign-time", "q-key-time"])
def test_both_times_must_hold(name: str) -> None:
    for period, code in (
        ("1699999000;1699999999", "AccessDenied"),
        ("1700000901;1700009000", "RequestTimeTooSkewed"),
    ):
        fields = {**GOOD, name: period}
        header = "&".join(f"{n}={v}" for n, v in fields.items())
        wire = wire_of("GET", f"http://{HOST}/a", {"authorization": header})
        assert refusal(wire, now=THEN)[:2] == (403, code)


def test_the_period_of_the_key_may_be_longer_than_that_of_the_signature() -> None:
    # COS's documentation has it so; both SDKs sign with one period only, so this is by hand.
    now = int(time.time())
    key_time, sign_time = f"{now - 1000};{now + 1000}", f"{now - 10};{now + 10}"
    key = hmac.new(SECRET.encode(), key_time.encode(), "sha1").hexdigest()
    text = hashlib.sha1(f"get\n/a\n\nhost={HOST}\n".encode()).hexdigest()
    made = hmac.new(key.encode(), f"sha1\n{sign_time}\n{text}\n".encode(), "sha1").hexdigest()
    fields = {**GOOD, "q-key-time": key_time, "q-sign-time": sign_time, "q-signature": made}
    header = "&".join(f"{n}={v}" for n, v in fields.items())
    verify(wire_of("GET", f"http://{HOST}/a", {"authorization": header}), SECRET)
    swapped = {**fields, "q-key-time": sign_time, "q-sign-time": key_time}
    header = "&".join(f"{n}={v}" for n, v in swapped.items())
    assert refusal(wire_of("GET", f"http://{HOST}/a", {"authorization": header})) == NO_MATCH


# ------------------------------------------------- what the SDK for Python sends, caught


@pytest.fixture(scope="module")
def caught_from_python() -> dict[str, Wire]:
    """What the client sends, by a word for the case."""
    found: dict[str, Wire] = {}
    with catcher() as (port, caught):
        local = {"IP": "127.0.0.1", "Port": port}
        bare = {"Domain": f"127.0.0.1:{port}"}
        proxy = {"Proxies": {"http": f"http://127.0.0.1:{port}"}}
        part = {"PartNumber": 3, "UploadId": "U+p/1="}
        operations = '{"is_pic_info":1,"rules":[{"fileid":"/é b.png","rule":"magnify=2"}]}'

        def keep(case: str, place: dict[str, Any], method: str, *args: Any, **more: Any) -> None:
            getattr(CosS3Client(config(KeepAlive=False, **place)), method)(*args, **more)
            found[case] = caught.pop()
            assert not caught

        keep("get", local, "get_object", BUCKET, "a/b c.png")
        keep("bare", bare, "get_object", BUCKET, "a.png")
        keep("proxy", proxy, "get_object", BUCKET, "a//é.png")
        keep("part", local, "upload_part", BUCKET, "a.png", b"x", **part)
        keep("put", local, "put_object", BUCKET, b"x", "é%2F+", PicOperations=operations)
        keep("token", {**local, "Token": TOKEN}, "head_object", BUCKET, "a.png")
        keep("stored", local, "ci_image_process", BUCKET, "a.png", PicOperations=operations)
        bare |= {"SignHost": False, "SignParams": False}
        keep("unsigned", bare, "head_object", BUCKET, "a.png", VersionId="null")
    return found


def test_every_request_of_the_python_client_verifies(caught_from_python: dict[str, Wire]) -> None:
    for wire in caught_from_python.values():
        verify(wire, SECRET)
        assert refusal(wire, OTHER) == NO_MATCH


def test_python_signs_names_in_lower_case_that_the_address_has_in_capitals(
    caught_from_python: dict[str, Wire],
) -> None:
    wire = caught_from_python["part"]
    assert b"q-url-param-list=partnumber;uploadid&" in authorization(wire)
    assert wire.query.startswith(b"partNumber=3&uploadId=")
    assert refusal(replace(wire, query=wire.query.replace(b"=3", b"=4"))) == NO_MATCH


def test_python_signs_the_host_without_the_port(caught_from_python: dict[str, Wire]) -> None:
    wire = caught_from_python["bare"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", wire.host)
    assert b"q-header-list=host&" in authorization(wire)
    other = wire.having(b"host", wire.host.replace("127", "128").encode())
    assert refusal(other) == NO_MATCH


def test_python_need_not_sign_host_and_parameters(caught_from_python: dict[str, Wire]) -> None:
    wire = caught_from_python["unsigned"]
    assert b"q-header-list=&q-url-param-list=&" in authorization(wire)
    assert wire.query == b"versionId=null"
    verify(replace(wire.having(b"host", b"elsewhere"), query=b"magnify=2"), SECRET)


def test_python_signs_its_token(caught_from_python: dict[str, Wire]) -> None:
    wire = caught_from_python["token"]
    assert b"q-header-list=host;x-cos-security-token&" in authorization(wire)
    assert read(wire).session_token == TOKEN
    assert refusal(wire.having(b"x-cos-security-token", b"other")) == NO_MATCH


def test_python_sends_a_proxy_the_whole_address(caught_from_python: dict[str, Wire]) -> None:
    assert caught_from_python["proxy"].path.startswith(b"http://" + HOST.encode() + b"/a//")


def test_image_process_is_signed_with_and_without_its_equals_sign(
    caught_from_python: dict[str, Wire],
) -> None:
    wire = caught_from_python["stored"]
    assert wire.query == b"image_process="
    verify(replace(wire, query=b"image_process"), SECRET)


def test_presigned_by_python_semicolons_are_escaped() -> None:
    url = CosS3Client(config()).get_presigned_url(
        BUCKET, "a", "GET", Params={"ci-process": "AISuperResolution", "a;b": "1"}
    )
    assert re.search(r"q-sign-time=\d+%3B\d+&", url)
    assert "q-url-param-list=a%253bb%3Bci-process&" in url
    verify(wire_of("GET", url), SECRET)


# --------------------------------------------------- what the SDK for Node makes and sends

NODE_KEYS = [
    "a.png",
    "/a",
    "a//b",
    "é/日本/🙂",
    "a b+c%2F%é",
    "?&=#;:@,!'()*~$",
    "tab\tline\n",
]
NODE_QUERIES: list[dict[str, str]] = [
    {},
    {"ci-process": "AISuperResolution", "detect-url": "http://x/?a=%20 b+c"},
    {"uploadId": "U", "partNumber": "2"},
    {"empty": "", "É": "é", "a b": "c d"},
    # Signed in the order of the plain names, listed in that of the escaped ones.
    {"a0": "1", "a:": "2", "Z": "3", "a;b": "4", "100%": "5", "%41": "6"},
]
NODE_HEADERS: list[dict[str, str]] = [
    {},
    {"Content-Type": "image/png", "x-cos-meta-a!": "é  b", "Range": "bytes=0-1", "User-Agent": "x"},
]


def node_cases() -> dict[str, dict[str, Any]]:
    """What the SDK is to do, by a word for the case."""
    cases: dict[str, dict[str, Any]] = {}
    place = {"Bucket": BUCKET, "Region": "ap-test"}
    for number, key in enumerate(NODE_KEYS):
        for query_number, query in enumerate(NODE_QUERIES):
            for header_number, headers in enumerate(NODE_HEADERS):
                args = {**place, "Method": "PUT", "Key": key, "Query": query, "Headers": headers}
                for kind in ("authorization", "url", "url_sync"):
                    case = f"{kind} {number} {query_number} {header_number}"
                    cases[case] = {"kind": kind, "args": args}
    session = {
        "TmpSecretId": ID,
        "TmpSecretKey": SECRET,
        "SecurityToken": TOKEN,
        "StartTime": int(time.time()),
        "ExpiredTime": int(time.time()) + 1800,
    }
    cases["url token"] = {
        "kind": "url",
        "options": {"Session": session},
        "args": {**place, "Key": "a", "Query": {"ci-process": "x"}},
    }
    of_a = {**place, "Key": "a.png"}
    put_a = {**of_a, "Body": "x"}
    part = {**put_a, "UploadId": "U+p/1=", "PartNumber": 3}
    operations = '{"rules":[{"fileid":"/é b.png","rule":"ci-process=AISuperResolution"}]}'
    with_operations = {"Headers": {"Pic-Operations": operations}}
    stored = {**of_a, "Method": "POST", "Action": "image_process", **with_operations}
    for case, call, args, options in (
        ("get", "getObject", of_a, {}),
        ("process", "getObject", {**of_a, "QueryString": "ci-process=AISuperResolution"}, {}),
        ("bare", "getObject", of_a, {"Ip": None, "Domain": "127.0.0.1:PORT"}),
        ("proxy", "getObject", of_a, {"Ip": None, "Proxy": "http://127.0.0.1:PORT"}),
        ("port", "getObject", of_a, {"Domain": f"{HOST}:80"}),
        ("token", "headObject", of_a, {"Session": session}),
        ("put", "putObject", {**place, "Key": "é %2F+", "Body": "x"}, {}),
        ("meta", "putObject", {**put_a, "Headers": {"x-cos-meta-a!": "é"}}, {}),
        ("operations", "putObject", {**put_a, **with_operations}, {}),
        ("init", "multipartInit", of_a, {}),
        ("part", "multipartUpload", part, {}),
        ("list", "getBucket", {**place, "Prefix": "a/é ", "Delimiter": "/"}, {}),
        ("delete", "deleteObject", of_a, {}),
        ("stored", "request", stored, {}),
    ):
        cases[case] = {"kind": "sent", "call": call, "args": args, "options": options}
    return cases


@pytest.fixture(scope="module")
def node() -> dict[str, Any]:
    """What the SDK makes of each case: an authorization, an address, or the request it sends."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    if not (MODULES / "cos-nodejs-sdk-v5").is_dir():
        pytest.skip("cos-nodejs-sdk-v5 is not installed (scripts/test_tools.sh)")
    cases = node_cases()
    with catcher() as (port, caught):
        order = {"secretId": ID, "secretKey": SECRET, "port": port, "cases": list(cases.values())}
        done = subprocess.run(
            [program, Path(__file__).with_name("node_signer.js")],
            input=json.dumps(order).encode(),
            env={"NODE_PATH": str(MODULES)},
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
    results = dict(zip(cases, json.loads(done.stdout), strict=True))
    sent = [case for case in cases if cases[case]["kind"] == "sent"]
    return {**results, **dict(zip(sent, caught, strict=True))}


@pytest.mark.parametrize("kind", ["authorization", "url", "url_sync"])
def test_whatever_node_signs_verifies(node: dict[str, Any], kind: str) -> None:
    for case, order in node_cases().items():
        if order["kind"] != kind:
            continue
        args = order["args"]
        made = node[case]
        headers = {n: v.encode() for n, v in args.get("Headers", {}).items()}
        headers = {n.encode().decode("latin-1"): v for n, v in headers.items()}
        if kind == "authorization":
            query = "&".join(f"{quote(n, '')}={quote(v, '')}" for n, v in args["Query"].items())
            url = f"http://{HOST}/{quote(args['Key'].removeprefix('/'))}?{query}"
            wire = wire_of("PUT", url, {**headers, "authorization": made})
        else:
            wire = wire_of(args.get("Method", "GET"), made, headers)
        try:
            verify(wire, SECRET)
        except Refused as exc:
            raise AssertionError(f"{case}: {args} made {made}") from exc
        assert refusal(wire, OTHER) == NO_MATCH
        assert refusal(replace(wire, path=wire.path + b"x")) == NO_MATCH


def test_every_request_of_the_node_client_verifies(node: dict[str, Any]) -> None:
    caught = {case: each for case, each in node.items() if isinstance(each, Wire)}
    assert len(caught) == 14
    for wire in caught.values():
        verify(wire, SECRET)
        assert refusal(wire, OTHER) == NO_MATCH


def test_node_signs_the_host_with_the_port(node: dict[str, Any]) -> None:
    wire = node["bare"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", wire.host)
    assert b"q-header-list=host&" in authorization(wire)
    assert refusal(wire.having(b"host", b"127.0.0.1:1")) == NO_MATCH


def test_node_leaves_the_processing_unsigned(node: dict[str, Any]) -> None:
    wire = node["process"]
    assert wire.query == b"ci-process=AISuperResolution"
    assert b"q-url-param-list=&" in authorization(wire)


def test_node_sends_its_token_unsigned(node: dict[str, Any]) -> None:
    wire = node["token"]
    assert read(wire).session_token == wire.header(b"x-cos-security-token").decode() == TOKEN
    assert b"security-token" not in authorization(wire)


def test_node_appends_its_token_to_an_address_unsigned(node: dict[str, Any]) -> None:
    wire = wire_of("GET", node["url token"])
    assert f"&x-cos-security-token={TOKEN}&".encode() in wire.query
    assert b"q-url-param-list=ci-process&" in wire.query
    verify(wire, SECRET)
    assert read(wire).session_token == TOKEN


def test_presigned_by_node_semicolons_are_plain_in_times(node: dict[str, Any]) -> None:
    query = wire_of("PUT", node["url 0 2 0"]).query
    assert re.search(rb"q-sign-time=\d+;\d+&", query)
    assert b"q-url-param-list=partnumber%3buploadid&" in query
    assert b"q-url-param-list=partnumber;uploadid&" in wire_of("PUT", node["url_sync 0 2 0"]).query


def test_node_sends_an_empty_header_that_it_does_not_sign(node: dict[str, Any]) -> None:
    wire = node["put"]
    assert wire.header(b"cache-control") == b""
    assert b"cache-control" not in authorization(wire)


def test_node_sends_latin_1_and_signs_utf_8(node: dict[str, Any]) -> None:
    wire = node["operations"]
    assert b"/\xe9 b.png" in wire.header(b"pic-operations")
    assert b"pic-operations" in authorization(wire)
    changed = wire.header(b"pic-operations").replace(b"\xe9", b"\xe8")
    assert refusal(wire.having(b"pic-operations", changed)) == NO_MATCH


def test_node_sends_a_proxy_the_whole_address(node: dict[str, Any]) -> None:
    assert node["proxy"].path == f"http://{HOST}/a.png".encode()


# -------------------------------------------------------- what may be added, and what not


def test_what_is_not_signed_may_be_added() -> None:
    wire = sent_by_python("GET", "a.png")
    wire = replace(wire, query=b"ci-process=AISuperResolution&magnify=2")
    verify(wire.having(b"range", b"bytes=0-1"), SECRET)


def test_what_is_signed_cannot_be_taken_away_or_sent_twice() -> None:
    wire = sent_by_python("GET", "a", {"x": "1"}, {"x-cos-meta-a": "b"})
    verify(wire, SECRET)
    assert refusal(wire.without(b"x-cos-meta-a")) == NO_MATCH
    for twice in ((b"x-cos-meta-a", b"c"), (b"X-Cos-Meta-A", b"b")):
        assert refusal(replace(wire, headers=[*wire.headers, twice])) == NO_MATCH
        assert refusal(replace(wire, headers=[twice, *wire.headers])) == NO_MATCH
    for query in (b"", b"x=1&x=2", b"x=2&x=1", b"x=1&X=1", b"x=1&%58=2"):
        assert refusal(replace(wire, query=query)) == NO_MATCH


def test_the_lists_cannot_be_changed() -> None:
    wire = sent_by_python("GET", "a", {"x": "1"}, {"x-cos-meta-a": "b"})
    header = authorization(wire)
    for old, new in (
        (b"url-param-list=x", b"url-param-list="),
        (b"url-param-list=x", b"url-param-list=x;x"),
        (b"header-list=host;x-cos-meta-a", b"header-list=host"),
        (b"header-list=host;x-cos-meta-a", b"header-list=x-cos-meta-a"),
        (b"header-list=host;x-cos-meta-a", b"header-list=host;x-cos-meta-a;accept"),
    ):
        assert old in header
        assert refusal(wire.having(b"authorization", header.replace(old, new))) == NO_MATCH


def test_a_method_is_not_another() -> None:
    wire = sent_by_python("GET", "a")
    for method in ("HEAD", "PUT", "get "):
        assert refusal(replace(wire, method=method)) == NO_MATCH


def test_lists_of_names_may_be_missing_from_an_address() -> None:
    # Some that pass addresses on leave out what is empty.
    url = CosS3Client(config()).get_presigned_url(BUCKET, "a", "GET", SignHost=False)
    assert "&q-header-list=&q-url-param-list=&" in url
    verify(wire_of("GET", url.replace("&q-header-list=&q-url-param-list=", "")), SECRET)


def test_the_whole_authorization_in_one_parameter() -> None:
    wire = sent_by_python("GET", "a")
    sign = quote(authorization(wire), "").encode()
    alone = replace(wire.without(b"authorization"), query=b"sign=" + sign)
    verify(alone, SECRET)
    assert refusal(alone, OTHER) == NO_MATCH


def test_ipv6_hosts_and_the_scheme_s_own_port() -> None:
    for sent, signed in (("[::1]:8000", "::1"), ("h", "h:80"), ("h", "h:443"), ("H.X:8000", "h.x")):
        conf = config()
        prepared = requests.Request(
            "GET", "http://h/a", headers={"Host": signed}, auth=CosS3Auth(conf, "a")
        ).prepare()
        wire = wire_of("GET", prepared.url, dict(prepared.headers))
        wire = wire.having(b"host", sent.encode())
        wire = wire.without(b"Host")
        verify(wire, SECRET)
