"""The signature check against what real clients sign, and against everything else."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import urllib3.util
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path
from hypothesis import assume, given
from hypothesis import strategies as st

from superres.server.dialects.ai_solution_kit import sigv4
from superres.server.dialects.ai_solution_kit.errors import Refused
from tests.dialects.ai_solution_kit.captures import (
    KEY,
    REGION,
    SECRET,
    SIGNERS,
    Captured,
    capturing,
)

PATH = "/iam/image_super_resolution"
BODY = '{"url": "https://example.com/a.png", "note": "größer"}'.encode()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def wire():
    with capturing() as (address, captured):
        yield address, captured


def sent_by(wire, signer: str, path: str = PATH, body: bytes = BODY, **how) -> Captured:
    address, captured = wire
    SIGNERS[signer](address + path, body, **how)
    return captured.pop()


def check(request: Captured, secret: str = SECRET, region: str = REGION, now=None) -> str:
    """Verify as the door does; returns the access key."""
    signature = sigv4.read(
        request.method, request.path, request.query, request.headers,
        region=region, now=now or datetime.now(UTC),
    )  # fmt: skip
    signature.confirm(secret, hashlib.sha256(request.body).hexdigest())
    return signature.access_key


def refusal(request: Captured, **how) -> tuple[str | None, str]:
    with pytest.raises(Refused) as caught:
        check(request, **how)
    answer = caught.value.answer
    assert answer.status == 403
    return answer.error_type, answer.message


MISMATCH = (
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details.",
)


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain;  charset=utf-8"])
@pytest.mark.parametrize("token", [None, "session/token+with=signs"])
def test_what_clients_sign_is_accepted(wire, signer, content_type, token):
    assert check(sent_by(wire, signer, content_type=content_type, token=token)) == KEY


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize(
    "path",
    [
        PATH + "/",
        PATH + "?b=2",
        PATH + "?key=a%20b%2Fc~d",
        PATH + "?empty=",
        "/iam/a%20b%2Cc/%E5%9B%BE",
    ],
)
def test_paths_and_queries(wire, signer, path):
    if signer == "curl" and "%" in path.partition("?")[0]:
        pytest.skip("curl 7.88 encodes a path once where AWS asks for twice")
    assert check(sent_by(wire, signer, path=path)) == KEY


@pytest.mark.parametrize("signer", [name for name in SIGNERS if name != "curl"])
@pytest.mark.parametrize(
    "query", ["b=2&a=1&a=0&B=3", "a=b+c&d=%2B", "a-b=1&a=2&a.b=3", "z=%41&z=@,:"]
)
def test_queries_are_sorted(wire, signer, query):
    if signer == "aws-requests-auth" and "a-b" in query:
        pytest.skip("aws-requests-auth sorts '-' before '=', which AWS does not")
    assert check(sent_by(wire, signer, path=f"{PATH}?{query}")) == KEY


@pytest.mark.parametrize("signer", SIGNERS)
def test_empty_body(wire, signer):
    assert check(sent_by(wire, signer, body=b"")) == KEY


@pytest.mark.parametrize("signer", SIGNERS)
def test_tampering_is_noticed(wire, signer):
    request = sent_by(wire, signer, path=PATH + "?a=1", content_type="application/json")
    changes = {
        "body": dataclasses.replace(request, body=request.body + b" "),
        "method": dataclasses.replace(request, method="PUT"),
        "path": dataclasses.replace(request, path=b"/prod/image_super_resolution"),
        "query": dataclasses.replace(request, query=request.query + b"&c=1"),
        "host": with_header(request, b"Host", b"example.com"),
    }
    if signer != "aws-requests-auth":  # which signs Host and the date only
        changes["content type"] = with_header(request, b"Content-Type", b"text/plain")
    for what, changed in changes.items():
        assert refusal(changed) == MISMATCH, what
    assert refusal(request, secret=SECRET + "x") == MISMATCH


def with_header(request: Captured, name: bytes, value: bytes | None) -> Captured:
    kept = [pair for pair in request.headers if pair[0].lower() != name.lower()]
    return dataclasses.replace(
        request, headers=(*kept, (name, value)) if value is not None else tuple(kept)
    )


def test_a_body_hash_that_is_signed_is_not_believed(wire):
    """What was signed for one body does not pass another, though its header says so."""
    request = sent_by(wire, "requests-aws4auth")
    assert any(name == b"x-amz-content-sha256" for name, _ in request.headers)
    assert refusal(dataclasses.replace(request, body=b'{"url": "https://evil"}')) == MISMATCH


def test_an_unsigned_body_hash_is_ignored(wire):
    request = sent_by(wire, "aws-requests-auth")
    assert check(with_header(request, b"x-amz-content-sha256", b"nonsense")) == KEY


def signed_here(
    *, now: datetime = NOW, service="execute-api", region=REGION, headers=None, unsigned=False
) -> Captured:
    """By botocore, of any time, region and service."""
    request = AWSRequest("POST", "http://localhost" + PATH, headers=headers or {}, data=BODY)
    signer = SigV4Auth(Credentials(KEY, SECRET), service, region)
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    if unsigned:
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    if "Date" not in request.headers:
        request.headers["X-Amz-Date"] = request.context["timestamp"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    sent = [(name.encode(), str(value).encode()) for name, value in request.headers.items()]
    return Captured("POST", PATH.encode(), b"", (*sent, (b"Host", b"localhost")), BODY)


def test_unsigned_payload_is_refused():
    assert refusal(signed_here(unsigned=True), now=NOW) == MISMATCH


def test_date_header_instead_of_x_amz_date():
    request = signed_here(headers={"Date": "Fri, 02 Jan 2026 03:04:05 GMT"})
    assert check(request, now=NOW) == KEY


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_clocks_may_differ_by_five_minutes(seconds):
    assert check(signed_here(now=NOW + timedelta(seconds=seconds)), now=NOW) == KEY


def test_too_old():
    assert refusal(signed_here(now=NOW - timedelta(seconds=301)), now=NOW) == (
        "InvalidSignatureException",
        "Signature expired: 20260102T025904Z is now earlier than 20260102T025905Z "
        "(20260102T030405Z - 5 min.)",
    )


def test_too_new():
    assert refusal(signed_here(now=NOW + timedelta(seconds=301)), now=NOW) == (
        "InvalidSignatureException",
        "Signature not yet current: 20260102T030906Z is still later than 20260102T030905Z "
        "(20260102T030405Z + 5 min.)",
    )


def test_wrong_service():
    assert refusal(signed_here(service="s3"), now=NOW) == (
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'execute-api'.",
    )


def test_wrong_region():
    assert refusal(signed_here(region="eu-west-1"), now=NOW) == (
        "InvalidSignatureException",
        "Credential should be scoped to a valid region.",
    )
    assert check(signed_here(region="cn-north-1"), region="cn-north-1", now=NOW) == KEY


def changed_header(old: str, new: str) -> Captured:
    request = signed_here()
    value = dict(request.headers)[b"Authorization"].decode()
    assert old in value
    return with_header(request, b"Authorization", value.replace(old, new).encode())


@pytest.mark.parametrize(
    ("old", "new", "error_type", "message"),
    [
        (
            "SignedHeaders=host;x-amz-date",
            "SignedHeaders=x-amz-date",
            "InvalidSignatureException",
            "'Host' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            "/20260102/",
            "/20260101/",
            "InvalidSignatureException",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            "HTTP: '20260101' != '20260102', from '20260102T030405Z'.",
        ),
        (
            "aws4_request",
            "aws5_request",
            "InvalidSignatureException",
            "Credential should be scoped with a valid terminator: 'aws4_request'.",
        ),
        (
            "/20260102/us-east-1",
            "/20260102",
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited parts, e.g. "
            f"keyid/date/region/service/term, got '{KEY}/20260102/execute-api/aws4_request'",
        ),
        (
            ", Signature=",
            ", Signature=0, Signature=",
            "IncompleteSignatureException",
            "Authorization header has more than one 'Signature'.",
        ),
    ],
)
def test_malformed(old, new, error_type, message):
    assert refusal(changed_header(old, new), now=NOW) == (error_type, message)


@pytest.mark.parametrize("signature", ["", "0" * 64, "é" * 64, "F" * 64, "0" * 63])
def test_signatures_of_any_shape(signature):
    value = dict(signed_here().headers)[b"Authorization"].decode().rpartition("=")[0]
    request = with_header(signed_here(), b"Authorization", f"{value}={signature}".encode())
    assert refusal(request, now=NOW)[0] in (
        "InvalidSignatureException",
        "IncompleteSignatureException",
    )


def test_not_sigv4():
    request = with_header(signed_here(), b"Authorization", b"Basic c2VjcmV0OnBhc3N3b3Jk")
    request = with_header(request, b"X-Amz-Date", None)
    error_type, message = refusal(request, now=NOW)
    assert error_type == "IncompleteSignatureException"
    assert message.startswith(
        "Authorization header requires 'Credential' parameter. Authorization header requires "
        "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    )
    assert "c2VjcmV0" not in message, "somebody's password"


def test_no_date():
    request = with_header(signed_here(), b"X-Amz-Date", None)
    error_type, message = refusal(request, now=NOW)
    assert error_type == "IncompleteSignatureException"
    assert message.startswith("Authorization header requires existence of either a 'X-Amz-Date'")


@pytest.mark.parametrize(
    "date", ["20260230T000000Z", "2026-01-02T03:04:05Z", "20260102T030405", "٢٠٢٦٠١٠٢T030405Z", " "]
)
def test_dates_are_read_strictly(date):
    request = with_header(signed_here(), b"X-Amz-Date", date.encode())
    assert refusal(request, now=NOW)[0] == "IncompleteSignatureException"


def test_nothing_signed():
    request = with_header(signed_here(), b"Authorization", None)
    assert refusal(request, now=NOW) == (
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


def test_spaces_in_headers_are_folded_and_repeated_ones_joined():
    request = signed_here(headers={"X-Amz-Meta": "a b,c"})
    kept = [pair for pair in request.headers if pair[0] != b"X-Amz-Meta"]
    twice = [(b"x-amz-meta", b"  a    b "), (b"X-Amz-Meta", b"\tc")]
    assert check(dataclasses.replace(request, headers=(*twice, *kept)), now=NOW) == KEY


class TestPresigned:
    def test_lives_as_long_as_it_says(self, wire):
        request = sent_by(wire, "botocore presigned")  # botocore says an hour
        now = datetime.now(UTC)
        assert check(request, now=now + timedelta(minutes=59)) == KEY
        error_type, message = refusal(request, now=now + timedelta(minutes=61))
        assert error_type == "InvalidSignatureException"
        assert message.startswith("Signature expired: ")
        assert message.endswith(" - 3600 sec.)")

    def test_longer_life_needs_a_new_signature(self, wire):
        request = sent_by(wire, "botocore presigned")
        query = request.query.replace(b"X-Amz-Expires=3600", b"X-Amz-Expires=7200")
        assert refusal(dataclasses.replace(request, query=query)) == MISMATCH

    @pytest.mark.parametrize("expires", [b"0", b"604801", b"-1", b"1e3", b"", b"9" * 5000])
    def test_expires(self, wire, expires):
        request = sent_by(wire, "botocore presigned")
        query = request.query.replace(b"X-Amz-Expires=3600", b"X-Amz-Expires=" + expires)
        changed = dataclasses.replace(request, query=query)
        assert refusal(changed)[0] == "IncompleteSignatureException"

    def test_parts_are_named(self, wire):
        request = dataclasses.replace(sent_by(wire, "botocore presigned"), query=b"X-Amz-Date=1")
        assert refusal(request) == (
            "IncompleteSignatureException",
            "AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', "
            "'X-Amz-SignedHeaders', 'X-Amz-Signature'.",
        )

    def test_algorithm(self, wire):
        request = sent_by(wire, "botocore presigned")
        query = request.query.replace(b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256")
        changed = dataclasses.replace(request, query=query)
        assert refusal(changed)[0] == "IncompleteSignatureException"


# ------------------------------------------------------------------------- hostile


def attempt(authorization: bytes | None, date: bytes = b"", query: bytes = b"") -> None:
    """Let it in, or raise; nothing but Refused may be raised."""
    headers = [(b"host", b"h"), (b"x-amz-date", date or b"20260102T030405Z")]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    signature = sigv4.read("POST", b"/", query, headers, region=REGION, now=NOW)
    signature.confirm(SECRET, "0" * 64)


@given(st.binary(max_size=300), st.binary(max_size=40), st.binary(max_size=100))
def test_garbage(authorization, date, query):
    with pytest.raises(Refused):
        attempt(authorization, date, query)


_PIECES = st.sampled_from(
    [
        "AWS4-HMAC-SHA256", " ", ",", "=", "/", "Credential", "SignedHeaders", "Signature", ";",
        "host", "key/20260102/us-east-1/execute-api/aws4_request", "x-amz-date", "\u00e9", "0" * 64,
        "Credential=key/20260102/us-east-1/execute-api/aws4_request", "SignedHeaders=host",
        "Signature=" + "0" * 64, "\x00", "%",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map(lambda p: "AWS4-HMAC-SHA256 " + "".join(p)))
def test_nearly_right(authorization):
    with pytest.raises(Refused):
        attempt(authorization.encode("latin-1"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Algorithm", "Credential", "Date", "Expires", "SignedHeaders",
                             "Signature", "Security-Token"]),
            st.sampled_from(["AWS4-HMAC-SHA256", "host", "key%2F20260102%2Fus-east-1%2Fexecute-api"
                             "%2Faws4_request", "20260102T030405Z", "99", "%FF%00", ""]),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_nearly_right_in_the_query(pairs):
    query = "&".join(f"X-Amz-{name}={value}" for name, value in pairs).encode()
    with pytest.raises(Refused):
        attempt(None, query=query)


@given(
    path=st.text("abc/%2 ~é()+", max_size=12).map(lambda t: "/" + t.lstrip("/")),
    values=st.dictionaries(st.text("abA-.~ é%&=+/", min_size=1, max_size=5), st.text(max_size=5)),
)
def test_the_same_canonical_request_as_botocore(path, values):
    """Any path and any query, encoded by urllib3 and signed by botocore."""
    url = urllib3.util.parse_url("http://localhost" + path)
    assume(url.path and normalize_url_path(url.path) == url.path)
    request = AWSRequest("POST", f"http://localhost{url.path}", params=values, data=b"")
    prepared = request.prepare()
    request = AWSRequest("POST", prepared.url, data=b"")
    SigV4Auth(Credentials(KEY, SECRET), "execute-api", REGION).add_auth(request)
    sent_path, _, query = prepared.url.removeprefix("http://localhost").partition("?")
    sent = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    headers = ((b"host", b"localhost"), *sent)
    assert check(Captured("POST", sent_path.encode(), query.encode(), headers, b"")) == KEY
