"""The contract, row by row, on a real server; the pictures too."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import logging
import re
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import numpy as np
import pytest
import structlog
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from PIL import Image

from superres.access import Plan, Policy, Quota
from superres.access.policy import statement
from superres.engines.fake import FakeEngine
from superres.errors import BadParameter
from superres.executors.inline import InlineExecutor
from superres.pipeline import Upscaler
from superres.server.dialects.ai_solution_kit import answers
from superres.settings import load
from tests.dialects.ai_solution_kit.captures import by_botocore_presigned
from tests.dialects.ai_solution_kit.conftest import MAX_BODY, picture_of, png, request_body

SENT_BACK = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "*",
}


def send(url, body=b"", headers=None, method="POST"):
    return urllib3.request(
        method, url, body=body, headers=headers or {}, retries=False, timeout=60, redirect=False
    )


def signed(
    url,
    body=b"",
    *,
    key,
    secret,
    region="us-east-1",
    service="execute-api",
    late=0.0,
    method="POST",
):
    """Headers of a request signed ``late`` seconds ago."""
    request = AWSRequest(method, url, data=body)
    signer = SigV4Auth(Credentials(key, secret), service, region)
    stamp = (datetime.now(UTC) - timedelta(seconds=late)).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = request.headers["X-Amz-Date"] = stamp
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return dict(request.headers)


@pytest.fixture
def sign(kit):
    return partial(signed, key=kit.credential.id, secret=kit.credential.secret)


@pytest.fixture
def logged():
    """Everything that is logged, at every level."""
    usual = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    with structlog.testing.capture_logs() as entries:
        yield entries
    structlog.configure(**usual)


def refused(response, status, error_type, message, name="message"):
    assert (response.status, json.loads(response.data)) == (status, {name: message})
    assert response.headers.get("x-amzn-ErrorType") == error_type
    assert response.headers["Content-Type"] == "application/json"
    uuid.UUID(response.headers["x-amzn-RequestId"])
    for header, value in SENT_BACK.items():
        assert response.headers[header] == value


def at_fault(response, message):
    """400 in plain text, as the real kit has it."""
    assert (response.status, response.data.decode()) == (400, message)
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


# ------------------------------------------------------------------------ the answer


@pytest.mark.parametrize(("width", "height"), [(20, 12), (1, 1), (17, 31), (64, 1)])
@pytest.mark.parametrize("scale", [None, 2, 4, "2", "4"])
def test_answer(kit, width, height, scale):
    fields = {} if scale is None else {"scale": scale}
    response = send(kit.url(), request_body(png(width, height), **fields))
    assert response.status == 200, response.data
    picture = picture_of(response.data)
    times = int(scale or 2)
    assert (picture.format, picture.size) == ("PNG", (width * times, height * times))
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(response.data)
    assert response.headers["x-amzn-RequestId"] == response.headers["X-Request-Id"]
    assert response.headers["X-Queue-Time"].isdigit()
    assert response.headers["X-Inference-Time"].isdigit()
    for header, value in SENT_BACK.items():
        assert response.headers[header] == value


def test_pixels_are_the_pictures_own(kit):
    sent = np.asarray(Image.open(io.BytesIO(png(16, 16))), np.int16)
    came = np.asarray(picture_of(send(kit.url(), request_body(png(16, 16), scale=4)).data))
    assert np.abs(came[::4, ::4].astype(np.int16) - sent).max() <= 2  # the fake engine repeats


@pytest.mark.parametrize("file_format", ["JPEG", "BMP", "WEBP", "TIFF"])
def test_formats_taken(kit, file_format):
    response = send(kit.url(), request_body(png(24, 16, format=file_format)))
    assert picture_of(response.data).size == (48, 32)


def test_where_a_photo_was_taken_is_not_told(kit):
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.9), 3: "E", 4: (2.0, 17.0, 40.2)}
    exif[0x0112] = 6  # turned
    sent = png(24, 16, format="JPEG", exif=exif)
    picture = picture_of(send(kit.url(), request_body(sent)).data)
    assert picture.size == (32, 48), "upright"
    assert not picture.getexif().get_ifd(0x8825)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "text/plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "nonsense",
    ],
)
def test_content_type_is_no_matter(kit, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert send(kit.url(), request_body(), headers).status == 200


@pytest.mark.parametrize(("face", "found"), [("true", 1), (True, 1), (False, 0), (None, 0)])
def test_face_is_applied(watched, portrait, face, found):
    url, reports = watched
    answer = send(url, request_body(portrait, face=face, scale=2))
    assert picture_of(answer.data).size == (400, 440)
    assert len(reports.pop().faces) == found


@pytest.fixture(scope="module")
def watched(start_server):
    """A server's address, and what its upscales report."""
    reports = []

    class Noting(InlineExecutor):
        def submit(self, work, *, on_progress=None):
            running = super().submit(work, on_progress=on_progress)
            running.future.add_done_callback(lambda done: reports.append(done.result().report))
            return running

    executor = Noting(Upscaler(load(), engine=FakeEngine()))
    return f"{start_server(executor=executor).url}/prod/image_super_resolution", reports


@pytest.mark.parametrize(
    "path", ["/prod/image_super_resolution/", "/prod/image%5Fsuper_resolution"]
)
def test_other_ways_to_write_the_path(kit, path):
    assert send(kit.server.url + path, request_body()).status == 200


def test_chunked(kit):
    body = request_body()
    pieces = (body[n : n + 100] for n in range(0, len(body), 100))
    assert urllib3.request("POST", kit.url(), body=pieces, retries=False, timeout=60).status == 200


def test_requests_leave_nothing_behind(kit):
    send(kit.url(), request_body())
    send(kit.url(), request_body(b"no picture"))
    send(kit.url(), b"x" * (MAX_BODY + 1))
    waited = time.monotonic() + 5
    while left := list(kit.server.app.spool.iterdir()):
        assert time.monotonic() < waited, left
        time.sleep(0.02)


def test_the_client_may_name_the_request(kit):
    response = send(kit.url(), request_body(), {"X-Request-Id": "my-own-request.1"})
    assert response.headers["x-amzn-RequestId"] == "my-own-request.1"


# ------------------------------------------------------------------ at fault: the request


def test_no_json(kit):
    at_fault(
        send(kit.url(), b"url=x"),
        'invalid param: The body must be a JSON object, like {"url": "https://...", "scale": 2}.',
    )


def test_no_picture(kit):
    at_fault(
        send(kit.url(), b"{}"),
        'invalid param: Give the picture as "url" (an address) or as "img" (the file in base64).',
    )


def test_wrong_scale(kit):
    at_fault(
        send(kit.url(), request_body(scale=3)), "invalid param: scale is 3; it must be 2 or 4."
    )


def test_illegal_url(kit):
    at_fault(
        send(kit.url(), request_body(url="file:///etc/passwd")),
        "parameter `url` illegal: it must begin with http://, https:// or s3://.",
    )


def test_too_many_pixels(kit):
    response = send(kit.url(), request_body(png(65, 8)))
    assert response.status == 400
    assert re.match(r"invalid param: .*64", response.data.decode())


@pytest.mark.parametrize("sent", [b"no picture", png()[:-60], b"GIF89a"])
def test_broken_pictures(kit, sent):
    response = send(kit.url(), request_body(sent))
    assert response.status == 400
    assert response.data.decode().startswith("invalid param: ")


@pytest.mark.parametrize("url", ["http://\ud800/", "http://[", "http://a b/", "http://x:99999/"])
def test_urls_that_are_none(kit, url):
    body = json.dumps({"url": url}).encode()
    assert send(kit.url(), body).status == 400


# ----------------------------------------------------------------------- picture by url


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A web server with a picture on it."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "a.png").write_bytes(png(10, 8))

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_url_on_the_web(kit, pictures):
    response = send(kit.url(), request_body(url=pictures + "/a.png", img="ignored", scale=4))
    assert picture_of(response.data).size == (40, 32)


def test_a_page_of_another_site_does_not_reach_allowed_networks(kit, pictures):
    body = request_body(url=pictures + "/a.png")
    foreign = send(kit.url(), body, {"Origin": "https://evil.example"})
    assert foreign.status == 400
    assert foreign.data.decode().startswith("parameter `url` illegal: ")
    assert foreign.headers["Access-Control-Allow-Origin"] == "*"
    own = send(kit.url(), body, {"Origin": kit.server.url})
    assert picture_of(own.data).size == (20, 16)
    sent_along = send(kit.url(), request_body(png(10, 8)), {"Origin": "https://evil.example"})
    assert picture_of(sent_along.data).size == (20, 16)


def test_url_that_answers_an_error(kit, pictures):
    response = send(kit.url(), request_body(url=pictures + "/missing.png"))
    assert response.status == 400
    assert response.data.decode().startswith("invalid param: ")


def test_private_addresses_are_refused(start_server, pictures):
    server = start_server({"ai_solution_kit.stages": {"prod": "NONE"}})
    url = f"{server.url}/prod/image_super_resolution"
    response = send(url, request_body(url=pictures + "/a.png"))
    assert response.status == 400
    assert response.data.decode().startswith("parameter `url` illegal: ")


class TestObjects:
    def test_of_an_open_bucket(self, kit):
        kit.server.app.store.put("open", "a/b.png", png(10, 8))
        response = send(kit.url(), request_body(url="s3://open/a/b.png"))
        assert picture_of(response.data).size == (20, 16)

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
    def test_pages_of_other_sites_need_a_credential(self, kit, origin):
        kit.server.app.store.put("open", "a/b.png", png(10, 8))
        body = request_body(url="s3://open/a/b.png")
        response = send(kit.url(), body, {"Origin": origin})
        message = json.loads(response.data)["Message"]
        refused(response, 403, "AccessDeniedException", message, name="Message")
        assert "other sites" in message
        keyed = send(kit.url("keyed"), body, {"Origin": origin, "x-api-key": kit.credential.token})
        assert picture_of(keyed.data).size == (20, 16)
        own = send(kit.url(), body, {"Origin": kit.server.url})
        assert picture_of(own.data).size == (20, 16)

    def test_other_buckets_need_a_credential(self, kit, sign):
        kit.server.app.store.put("closed", "b.png", png(10, 8))
        body = request_body(url="s3://closed/b.png")
        response = send(kit.url(), body)
        message = json.loads(response.data)["Message"]
        refused(response, 403, "AccessDeniedException", message, name="Message")
        assert "anonymous_buckets" in message
        by_key = send(kit.url("keyed"), body, {"x-api-key": kit.credential.token})
        assert picture_of(by_key.data).size == (20, 16)
        by_signature = send(kit.url("iam"), body, sign(kit.url("iam"), body))
        assert picture_of(by_signature.data).size == (20, 16)

    def test_policy(self, kit):
        kit.server.app.store.put("closed", "b.png", png(10, 8))
        other = kit.server.access.create("other")
        allowed = {"effect": "allow", "actions": ["execute-api:Invoke"], "resources": ["*"]}
        kit.server.access.set_policy("other", Policy.from_record({"statements": [allowed]}))
        body = request_body(url="s3://closed/b.png")
        refused(
            send(kit.url("keyed"), body, {"x-api-key": other.token}),
            403,
            "AccessDeniedException",
            "User: other is not authorized to perform: s3:GetObject on resource: closed/b.png",
            name="Message",
        )

    def test_missing(self, kit):
        response = send(kit.url(), request_body(url="s3://open/missing.png"))
        assert response.status == 400
        assert response.data.decode().startswith("invalid param: ")


# -------------------------------------------------------------- the table, from the top

MISSING = (403, "MissingAuthenticationTokenException", "Missing Authentication Token")


def test_no_auth_on_an_iam_stage(kit):
    refused(send(kit.url("iam"), request_body()), *MISSING)


@pytest.mark.parametrize(
    "path",
    [
        "/prod/image_super_resolutions",
        "/prod/",
        "/prod",
        "/prod/a/b/c?d",
        "/prod//image_super_resolution",
        "/iam/unknown",
        "/keyed/api-explorer/",
    ],
)
def test_unknown_path(kit, path):
    refused(send(kit.server.url + path, request_body()), *MISSING)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("stage", ["prod", "iam", "keyed"])
def test_wrong_method(kit, method, stage):
    refused(send(kit.url(stage), method=method), *MISSING)


def test_authorization_not_sigv4(kit):
    response = send(kit.url("iam"), request_body(), {"Authorization": "Bearer " + "x" * 30})
    assert response.status == 403
    assert response.headers["x-amzn-ErrorType"] == "IncompleteSignatureException"
    assert json.loads(response.data)["message"].startswith(
        "Authorization header requires 'Credential' parameter. Authorization header requires "
        "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
    )


MISMATCH = (
    403,
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details.",
)


def test_signed(kit, sign):
    body = request_body()
    assert send(kit.url("iam"), body, sign(kit.url("iam"), body)).status == 200


def test_signed_in_the_address(kit):
    how = {"key": kit.credential.id, "secret": kit.credential.secret}
    assert by_botocore_presigned(kit.url("iam"), request_body(), **how).status == 200
    wrong = {**how, "secret": "wrong"}
    refused(by_botocore_presigned(kit.url("iam"), request_body(), **wrong), *MISMATCH)


def test_bad_signature(kit, sign):
    url, body = kit.url("iam"), request_body()
    refused(send(url, body, sign(url, body, secret="wrong")), *MISMATCH)


def test_tampered_body(kit, sign):
    url, body = kit.url("iam"), request_body()
    refused(send(url, request_body(scale=4), sign(url, body)), *MISMATCH)


def test_a_signature_for_one_stage_is_none_for_another(kit, sign):
    body = request_body()
    refused(send(kit.url("iam"), body, sign(kit.url("prod"), body)), *MISMATCH)


@pytest.mark.parametrize(
    ("late", "begins", "ends"),
    [
        (400, "Signature expired: ", " - 5 min.)"),
        (-400, "Signature not yet current: ", " + 5 min.)"),
    ],
)
def test_skew(kit, sign, late, begins, ends):
    url, body = kit.url("iam"), request_body()
    response = send(url, body, sign(url, body, late=late))
    message = json.loads(response.data)["message"]
    refused(response, 403, "InvalidSignatureException", message)
    assert message.startswith(begins)
    assert message.endswith(ends)


def test_unknown_access_key(kit, sign):
    url, body = kit.url("iam"), request_body()
    for key in ("SRAKAAAAAAAAAAAAAAAA", "AKIDEXAMPLE", "x" * 2000, "%00"):
        refused(
            send(url, body, sign(url, body, key=key)),
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )


def test_revoked(kit):
    revoked = kit.server.access.create("revoked")
    kit.server.access.revoke(revoked.id)
    url, body = kit.url("iam"), request_body()
    headers = signed(url, body, key=revoked.id, secret=revoked.secret)
    assert send(url, body, headers).headers["x-amzn-ErrorType"] == "UnrecognizedClientException"
    response = send(kit.url("keyed"), body, {"x-api-key": revoked.token})
    refused(response, 403, "ForbiddenException", "Forbidden")


def test_an_expired_session_token(kit):
    made = kit.server.access.temporary(kit.credential.id, timedelta(minutes=5))
    url, body = kit.url("iam"), request_body()
    headers = signed(url, body, key=made.id, secret=made.secret)
    headers["x-amz-security-token"] = made.session_token
    assert send(url, body, headers).status == 200
    ended = made.expires_at.timestamp()
    with mock.patch.object(kit.server.access._credentials, "_clock", return_value=ended):
        refused(
            send(url, body, headers),
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        )


def test_the_policy_of_a_session_narrows(kit):
    policy = Policy((statement("allow", ["execute-api:*"], ["keyed/*"]),))
    made = kit.server.access.temporary(kit.credential.id, timedelta(minutes=5), policy)
    url, body = kit.url("iam"), request_body()
    headers = signed(url, body, key=made.id, secret=made.secret)
    headers["x-amz-security-token"] = made.session_token
    response = send(url, body, headers)
    assert response.status == 403
    assert "not authorized" in response.data.decode()


def test_wrong_service(kit, sign):
    url, body = kit.url("iam"), request_body()
    refused(
        send(url, body, sign(url, body, service="lambda")),
        403,
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'execute-api'.",
    )


def test_wrong_region(kit, sign):
    url, body = kit.url("iam"), request_body()
    refused(
        send(url, body, sign(url, body, region="eu-west-1")),
        403,
        "InvalidSignatureException",
        "Credential should be scoped to a valid region.",
    )


def test_no_permission(kit):
    limited = kit.server.access.create("limited")
    allowed = {
        "effect": "allow",
        "actions": ["execute-api:Invoke"],
        "resources": ["keyed/POST/image_super_resolution"],
    }
    kit.server.access.set_policy("limited", Policy.from_record({"statements": [allowed]}))
    url, body = kit.url("iam"), request_body()
    refused(
        send(url, body, signed(url, body, key=limited.id, secret=limited.secret)),
        403,
        "AccessDeniedException",
        "User: limited is not authorized to perform: execute-api:Invoke on resource: "
        "iam/POST/image_super_resolution",
        name="Message",
    )
    assert send(kit.url("keyed"), body, {"x-api-key": limited.token}).status == 200


@pytest.mark.parametrize("token", [None, "", "wrong", "srk_" + "A" * 43])
def test_api_key_missing_or_wrong(kit, token):
    headers = {} if token is None else {"x-api-key": token}
    refused(send(kit.url("keyed"), request_body(), headers), 403, "ForbiddenException", "Forbidden")


def test_api_key(kit):
    headers = {"X-API-Key": kit.credential.token}
    assert send(kit.url("keyed"), request_body(), headers).status == 200


def test_the_secret_is_no_api_key(kit):
    for text in (kit.credential.secret, kit.credential.id):
        response = send(kit.url("keyed"), request_body(), {"x-api-key": text})
        assert response.status == 403


@pytest.mark.parametrize("stage", ["keyed", "iam"])
@pytest.mark.parametrize(
    ("plan", "error_type", "message"),
    [
        (Plan(rate=0.001, burst=2), "TooManyRequestsException", "Too Many Requests"),
        (Plan(quota=Quota(day=2)), "LimitExceededException", "Limit Exceeded"),
    ],
)
def test_plans(kit, stage, plan, error_type, message):
    access = kit.server.access
    customer = access.create(f"customer of {message} {stage}")
    access.set_plan(customer.id, plan)
    url, body = kit.url(stage), request_body()
    headers = (
        {"x-api-key": customer.token}
        if stage == "keyed"
        else signed(url, body, key=customer.id, secret=customer.secret)
    )
    assert [send(url, body, headers).status for _ in range(2)] == [200, 200]
    response = send(url, body, headers)
    refused(response, 429, error_type, message)
    assert int(response.headers["Retry-After"]) >= 1


def test_wrong_signatures_do_not_use_up_a_plan(kit):
    access = kit.server.access
    customer = access.create("attacked")
    access.set_plan(customer.id, Plan(quota=Quota(day=1)))
    url, body = kit.url("iam"), request_body()
    for _ in range(3):
        send(url, body, signed(url, body, key=customer.id, secret="guess"))
    assert send(url, body, signed(url, body, key=customer.id, secret=customer.secret)).status == 200


TOO_LONG = (413, "RequestTooLargeException", "Request Too Long")


def test_body_over_the_limit(kit):
    refused(send(kit.url(), b" " * (MAX_BODY + 1)), *TOO_LONG)
    exact = request_body()
    assert send(kit.url(), exact + b" " * (MAX_BODY - len(exact))).status == 200


def test_body_over_the_limit_in_chunks(kit):
    pieces = (b" " * 1000 for _ in range(MAX_BODY // 1000 + 2))
    response = urllib3.request("POST", kit.url(), body=pieces, retries=False, timeout=60)
    refused(response, *TOO_LONG)


class SlowEngine(FakeEngine):
    """Takes half a second for each tile."""

    def load(self, program, precision):
        session = super().load(program, precision)
        submit = session.submit

        def slowly(image):
            time.sleep(0.5)
            return submit(image)

        session.submit = slowly
        return session


def inline(engine, **how):
    return InlineExecutor(Upscaler(load(), engine=engine), **how)


def test_took_too_long(start_server):
    server = start_server({"server.deadline": 0.2}, executor=inline(SlowEngine()))
    response = send(f"{server.url}/prod/image_super_resolution", request_body())
    refused(response, 504, None, "Endpoint request timed out")


class BrokenEngine(FakeEngine):
    """Answers with what is no number."""

    def load(self, program, precision):
        session = super().load(program, precision)
        submit = session.submit

        def wrongly(image):
            return submit(np.full_like(image, np.nan))

        session.submit = wrongly
        return session


def test_crashed(start_server):
    server = start_server({}, executor=inline(BrokenEngine()))
    response = send(f"{server.url}/prod/image_super_resolution", request_body())
    refused(response, 502, None, "Internal server error")


def test_queue_is_full(start_server):
    server = start_server({}, executor=inline(SlowEngine(), concurrency=1, queue=1))
    url = f"{server.url}/prod/image_super_resolution"
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda _: send(url, request_body()), range(6)))
    turned_away = [response for response in responses if response.status != 200]
    assert 0 < len(turned_away) < 6
    for response in turned_away:
        refused(response, 429, "TooManyRequestsException", "Too Many Requests")
        assert int(response.headers["Retry-After"]) >= 1


# ------------------------------------------------------------------------------- CORS


@pytest.mark.parametrize("stage", ["prod", "iam", "keyed"])
def test_preflight(kit, stage):
    headers = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-amz-date",
    }
    response = send(kit.url(stage), headers=headers, method="OPTIONS")
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert (
        response.headers["Access-Control-Allow-Headers"]
        == "Content-Type,X-Amz-Date,Authorization,X-Api-Key"
    )
    assert response.headers["Access-Control-Allow-Methods"] == "POST,OPTIONS"


# -------------------------------------------------------- who may not ask stores nothing


def head_only(kit, path: str, headers: dict[str, str], length: int) -> tuple[int, float]:
    """Status of the answer to a request whose body never comes, and how long that took."""
    connection = http.client.HTTPConnection(kit.server.host, timeout=10)
    started = time.monotonic()
    connection.putrequest("POST", path)
    for name, value in {**headers, "Content-Length": str(length)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status, time.monotonic() - started


def test_refused_before_the_body_comes(kit, sign):
    url = kit.url("iam")
    cases = {
        "/keyed/image_super_resolution": {"x-api-key": "wrong"},
        "/iam/image_super_resolution": {},
        "/iam/image_super_resolution?": sign(url, key="SRAKAAAAAAAAAAAAAAAA"),
        "/prod/unknown": {},
    }
    for path, headers in cases.items():
        status, seconds = head_only(kit, path, headers, MAX_BODY)
        assert (status, seconds < 5) == (403, True), path
    status, seconds = head_only(kit, "/prod/image_super_resolution", {}, MAX_BODY + 1)
    assert (status, seconds < 5) == (413, True)


def test_a_connection_goes_on_after_a_refusal(kit):
    """What is left of a body that was refused unread is not taken for the next request."""
    with socket.create_connection(
        (kit.server.host.split(":")[0], int(kit.server.host.split(":")[1]))
    ) as raw:
        raw.settimeout(10)
        body = b"POST /prod/image_super_resolution HTTP/1.1\r\nHost: x\r\n\r\n"
        raw.sendall(
            b"POST /iam/image_super_resolution HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        raw.sendall(
            b"GET /prod/image_super_resolution HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        came = b""
        while piece := raw.recv(65536):
            came += piece
    assert came.count(b"HTTP/1.1 403 ") == came.count(b"HTTP/1.1 ") <= 2


def test_a_client_that_leaves_in_the_middle(kit):
    before = kit.server.url
    for _ in range(3):
        raw = socket.create_connection(tuple(kit.server.host.split(":")))
        raw.sendall(
            b"POST /prod/image_super_resolution HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"
        )
        raw.close()
    assert send(before + "/prod/image_super_resolution", request_body()).status == 200


def posted(server, body: bytes) -> socket.socket:
    """A connection over which a request was sent; its answer was not read."""
    host, port = server.host.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    head = f"POST /prod/image_super_resolution HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    connection.sendall(head.encode() + b"\r\n\r\n" + body)
    return connection


def emptied(folder) -> bool:
    waited = time.monotonic() + 10
    while any(folder.iterdir()):
        if time.monotonic() > waited:
            return False
        time.sleep(0.01)
    return True


def test_a_client_that_leaves_while_its_picture_is_enlarged(start_server, logged):
    server = start_server({}, executor=inline(SlowEngine()))
    connection = posted(server, request_body())
    waited = time.monotonic() + 10
    while not server.app.executor.state().running:
        assert time.monotonic() < waited
        time.sleep(0.01)
    connection.close()
    assert emptied(server.app.spool)
    assert not server.app.executor.state().running
    assert not [entry for entry in logged if entry["log_level"] == "error"]


def test_a_client_that_leaves_in_the_middle_of_the_answer(start_server, logged):
    server = start_server({"limits.max_output_pixels": 1 << 24})
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    sent = io.BytesIO()
    Image.fromarray(noise).save(sent, "PNG")
    with posted(server, request_body(sent.getvalue(), scale=4)) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"
        assert any(server.app.spool.iterdir()), "the answer is larger than what is under way"
    assert emptied(server.app.spool)
    assert not [entry for entry in logged if entry["log_level"] == "error"]


# ---------------------------------------------------------------------------- settings


@pytest.mark.parametrize("name", ["v1", "docs", "assets", "metrics"])
def test_a_stage_may_not_hide_the_servers_own_paths(start_server, name):
    with pytest.raises(BadParameter, match=f"stages has '{name}'"):
        start_server({"ai_solution_kit.stages": {name: "NONE"}})


def test_large_answers_are_made_piece_by_piece(tmp_path):
    file = tmp_path / "result"
    content = np.random.default_rng(1).bytes(3 * (answers._PIECE) + 1000)
    file.write_bytes(content)
    sent, done = [], []

    async def play():
        async def send(message):
            sent.append(message)

        async def receive():
            await asyncio.sleep(60)

        async def finish():
            done.append(True)

        response = answers.picture_answer(file, {}, finish)
        await response({"type": "http", "method": "POST"}, receive, send)

    asyncio.run(play())
    bodies = [m["body"] for m in sent if m["type"] == "http.response.body"]
    assert max(map(len, bodies)) < 1 << 21
    whole = b"".join(bodies)
    assert base64.b64decode(json.loads(whole)["result"]) == content
    assert int(dict(sent[0]["headers"])[b"content-length"]) == len(whole)
    assert done == [True]


def test_nothing_secret_is_logged(kit, sign, logged):
    """Neither the strings of a credential nor a signature, whatever becomes of the request."""
    url, body = kit.url("iam"), request_body()
    headers = sign(url, body)
    assert send(url, body, headers).status == 200
    assert send(url, b"tampered", headers).status == 403
    for token in (kit.credential.token, kit.credential.token + "x"):
        send(kit.url("keyed"), body, {"x-api-key": token})
    how = {"key": kit.credential.id, "secret": kit.credential.secret}
    assert by_botocore_presigned(url, body, **how).status == 200
    send(url, body, {"Authorization": "Basic c2VjcmV0OnBhc3N3b3Jk"})
    waited = time.monotonic() + 5
    while len([entry for entry in logged if entry["event"] == "request"]) < 6:
        assert time.monotonic() < waited
        time.sleep(0.01)
    shown = repr(logged)
    assert "/iam/image_super_resolution" in shown
    signature = headers["Authorization"].rpartition("=")[2]
    hidden = (kit.credential.secret, kit.credential.token, signature, "X-Amz-Signature", "c2VjcmV0")
    assert [text for text in hidden if text in shown] == []
