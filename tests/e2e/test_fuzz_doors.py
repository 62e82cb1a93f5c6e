"""Whatever is sent to a door, it answers in its own form, and nothing breaks.

The examples are the same in every run, so that a red one can be repeated.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e import bombs
from tests.e2e.service import Service, picture, serving, size_of

REQUEST_ID = re.compile("[A-Za-z0-9._-]{8,64}")
TINY = picture(8)


def fuzzed(examples: int):
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    given_settings = {
        "ai_solution_kit.stages": {"prod": "NONE", "iam": "AWS_IAM", "keyed": "API_KEY"},
        "limits.max_input_pixels": 100_000,
        "limits.max_output_pixels": 1_000_000,
        "server.max_body_bytes": 1 << 20,
    }
    with serving(tmp_path_factory.mktemp("fuzz"), settings=given_settings) as made:
        yield made
        assert made.metric("superres_requests_total", outcome="unexpected") == 0
        assert made.metric("superres_worker_restarts_total") == 0
        assert not re.search('Traceback|"level": "(error|critical)"', made.said()), made.said()
        assert made.in_flight() == []


# ---------------------------------------------------------------- the forms of answers


def well_formed(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"


def of_v1(answer: httpx.Response) -> None:
    well_formed(answer)
    if answer.status_code < 400:
        return
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    error = answer.json()["error"]
    told = f"{answer.request.method} {answer.request.url}: {answer.text}"
    assert error.keys() - {"retry_after"} == {"code", "message", "request_id"}, told
    assert error["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch("[a-z_]+", error["code"])
    assert error["code"] not in ("internal", "error", "input_error")
    assert error["message"].endswith((".", "?"))
    assert len(error["message"]) < 1000
    assert "\n" not in error["message"]


def of_aws(answer: httpx.Response) -> None:
    well_formed(answer)
    assert answer.headers["x-amzn-requestid"] == answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    if answer.status_code == 200:
        return
    assert answer.status_code in (400, 403, 413)
    if answer.status_code == 400:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.startswith(("invalid param: ", "parameter `url` illegal: "))
        assert len(answer.text) < 1000
    else:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json().keys() in ({"message"}, {"Message"})
        assert answer.headers["x-amzn-errortype"].endswith("Exception")


# ---------------------------------------------------------------- what is sent

ALL_TEXT = st.text(max_size=40)  # lone surrogates and all
SENDABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IN_HEADERS = st.text(
    st.characters(max_codepoint=255, exclude_categories=["Cc"]) | st.just("\t"), max_size=60
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ALL_TEXT
    | st.sampled_from(
        [2, 4, "2", 1.5, 10**400, -1, 0, "4 ", "true", "auto", "png", "general", "١", "NaN", "1e3"]
    )
)
ADDRESSES = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        [
            "http://",
            "https://",
            "s3://",
            "HTTP:",
            "file:///",
            "s3:/",
            "//",
            "data:,",
            "gopher://",
            "",
        ]
    ),
    st.sampled_from(
        ["127.0.0.1", "[::1]", "[", "b", "localhost:99999", "a@b@", "%00", "\ud800", ""]
    ),
    st.sampled_from(["/", "", "?x", "#y", "/../..", "/\r\n", "/\u202e", "/%ff"]) | ALL_TEXT,
)
IMAGES = st.sampled_from(
    [
        base64.b64encode(TINY).decode(),
        "data:image/png;base64," + base64.b64encode(TINY).decode(),
        base64.b64encode(TINY).decode()[:-7],
        base64.urlsafe_b64encode(TINY).decode().rstrip("="),
    ]
) | st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ALL_TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = {
    "url": ADDRESSES | JSON,
    "img": IMAGES | JSON,
    "scale": SCALARS | JSON,
    "face": SCALARS,
    "model": SCALARS,
    "fidelity": SCALARS,
    "format": SCALARS,
    "width": SCALARS,
    "height": SCALARS,
    "megapixels": SCALARS,
    "quality": SCALARS,
    "lossless": SCALARS,
    "strip": SCALARS,
    "first_frame": SCALARS,
    "colour_lock": SCALARS,
    "tta": SCALARS,
    "denoise": SCALARS,
    "restore": SCALARS | st.sampled_from(["gfpgan", "codeformer", "../gfpgan"]),
    "restore_strength": SCALARS,
}


def objects(*names: str) -> st.SearchStrategy[dict[str, object]]:
    """Objects of these fields, often with a picture that is right, sometimes with other names."""
    some = st.fixed_dictionaries({}, optional={name: FIELDS[name] for name in names})
    with_image = st.builds(lambda rest, img: {**rest, "img": img}, some, IMAGES)
    return some | with_image | st.dictionaries(ALL_TEXT, JSON, max_size=4)


def bodies(values: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    """JSON, whole or damaged, and anything else."""
    whole = values.map(lambda value: json.dumps(value).encode())
    plain = values.map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )
    cut = st.builds(lambda body, n: body[: n % (len(body) + 1)], whole, st.integers(0, 999))
    return (
        whole | plain | cut | st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode())
    )


CONTENT_TYPES = (
    st.sampled_from(
        [
            "application/json",
            "application/json; charset=utf-16",
            "text/plain; charset=utf-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "image/svg+xml",
            "application/octet-stream",
            "",
        ]
    )
    | IN_HEADERS
)


def sent(headers: dict[str, str]) -> dict[str, bytes]:
    return {name: value.strip().encode("latin-1") for name, value in headers.items()}


# ---------------------------------------------------------------- AWS


@fuzzed(150)
@given(body=bodies(objects("url", "img", "scale", "face")), kind=CONTENT_TYPES)
def test_bodies_at_aws(service: Service, body: bytes, kind: str) -> None:
    answer = service.http.post(
        "/prod/image_super_resolution", content=body, headers=sent({"Content-Type": kind})
    )
    of_aws(answer)
    if answer.status_code == 200:
        assert size_of(base64.b64decode(answer.json()["result"])) in ((16, 16), (32, 32))


CREDENTIALS = st.builds(
    "{}{}Credential={}/{}/us-east-1/execute-api/aws4_request,{}SignedHeaders={},{}Signature={}".format,
    st.sampled_from(["AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256", "AWS4", "Bearer ", ""]),
    st.sampled_from(["", " ", ",", "Credential=x,"]),
    IN_HEADERS,
    st.sampled_from(["20261121", "20260230", "x", ""]),
    st.sampled_from(["", " ", ", "]),
    st.sampled_from(["host;x-amz-date", "host", "host;host", ";", "", "x" * 500]),
    st.sampled_from(["", " "]),
    st.sampled_from(["0" * 64, "", "x", "é"]) | IN_HEADERS,
)


@fuzzed(150)
@given(
    stage=st.sampled_from(["iam", "keyed", "prod"]),
    authorization=CREDENTIALS | IN_HEADERS,
    date=st.sampled_from(["20261121T000000Z", "20261399T999999Z", "Sat, 99 Nov 2026", ""])
    | IN_HEADERS,
    key=IN_HEADERS,
    query=st.lists(
        st.tuples(
            st.sampled_from(
                ["X-Amz-" + n for n in ("Algorithm", "Credential", "Date", "Expires", "Signature")]
                + ["X-Amz-SignedHeaders", "x"]
            ),
            SENDABLE | st.sampled_from(["AWS4-HMAC-SHA256", "20261121T000000Z", "a/b/c/d/e", "9"]),
        ),
        max_size=6,
    ),
    with_header=st.booleans(),
)
def test_credentials_at_aws(
    service: Service,
    stage: str,
    authorization: str,
    date: str,
    key: str,
    query: list[tuple[str, str]],
    with_header: bool,
) -> None:
    headers = {"x-amz-date": date, "x-api-key": key}
    if with_header:
        headers["Authorization"] = authorization
    path = f"/{stage}/image_super_resolution"
    answer = service.http.post(path, params=query, content=b"{}", headers=sent(headers))
    of_aws(answer)
    assert answer.status_code == (400 if stage == "prod" else 403)


# ---------------------------------------------------------------- /v1


@fuzzed(150)
@given(body=bodies(objects(*FIELDS)))
def test_json_at_v1(service: Service, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    of_v1(service.http.post("/v1/upscale", content=body, headers=headers))


@fuzzed(150)
@given(
    pairs=st.lists(
        st.tuples(
            st.sampled_from([*FIELDS, "Scale", "scale[]", ""]) | SENDABLE,
            SENDABLE | st.sampled_from(["2", "1e0", "0x2", "٢", "-0", "inf", "true", "png", "16"]),
        ),
        max_size=4,
    ),
    path=st.sampled_from(["/v1/upscale", "/v1/estimate"]),
)
def test_queries_at_v1(service: Service, pairs: list[tuple[str, str]], path: str) -> None:
    if path == "/v1/upscale":
        of_v1(service.http.post(path, params=pairs, content=TINY))
    else:
        of_v1(service.http.get(path, params=[*pairs, ("width", "8"), ("height", "8")]))
        of_v1(service.http.get(path, params=pairs))


PARTS = st.sampled_from(
    [
        b"--b\r\n",
        b"--b--\r\n",
        b"--b",
        b"\r\n",
        b"\n",
        b"--",
        b"\r\n--b",
        b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n',
        b'Content-Disposition: form-data; name="scale"\r\n',
        b"Content-Disposition: form-data; name=file; filename*=UTF-8''%ff\r\n",
        b'content-disposition: form-data; name="\xff"; filename="\\"\r\n',
        b"Content-Type: image/png\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"X: y\r\n y\r\n",
        b": \r\n",
        b"2",
        TINY,
    ]
)


@fuzzed(150)
@given(
    parts=st.lists(PARTS | st.binary(max_size=8), max_size=14),
    boundary=st.sampled_from(["b", '"b"', "b ", "bb", "b\xe4", ""]),
)
def test_forms_at_v1(service: Service, parts: list[bytes], boundary: str) -> None:
    headers = sent({"Content-Type": f"multipart/form-data; boundary={boundary}"})
    of_v1(service.http.post("/v1/upscale", content=b"".join(parts), headers=headers))


@fuzzed(60)
@given(
    name=SENDABLE,
    scale=st.sampled_from(["2", "3"]),
    data=st.sampled_from([TINY, TINY[:50], b""]),
)
def test_names_of_files_at_v1(service: Service, name: str, scale: str, data: bytes) -> None:
    answer = service.http.post("/v1/upscale", files={"file": (name, data)}, data={"scale": scale})
    of_v1(answer)
    if answer.status_code == 200:
        assert re.match(r'attachment; filename="[^"\\]+"', answer.headers["content-disposition"])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture with some bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from([bombs.whole(kind) for kind in bombs.FORMATS])))
    for _ in range(draw(st.integers(1, 6))):
        # Headers are where it hurts.
        at = draw(st.integers(0, min(len(data), 200)) | st.integers(0, len(data)))
        what = draw(st.sampled_from(["change", "cut", "double", "insert"]))
        if what == "change":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif what == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 400))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
    return bytes(data)


@fuzzed(100)
@given(data=damaged())
def test_damaged_pictures(service: Service, data: bytes) -> None:
    answer = service.http.post("/v1/upscale?scale=2&format=png&first_frame=true", content=data)
    of_v1(answer)
    if answer.status_code == 200:
        size_of(answer.content)
    else:
        assert answer.status_code in (400, 413, 415, 422), answer.text


# ---------------------------------------------------------------- the way there


@fuzzed(120)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]),
    start=st.sampled_from(
        ["/v1", "/v1/", "/v1/results/", "/v1/requests/x/", "/prod/", "/iam", "/"]
    ),
    rest=st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["..", "%2e%2e/", "%00", "//", "models/", "image_super_resolution/x", "*"]),
)
def test_paths(service: Service, method: str, start: str, rest: str) -> None:
    raw = quote(start + rest, safe="/%*.").encode()
    answer = service.http.request(method, httpx.URL(service.url).copy_with(raw_path=raw))
    well_formed(answer)
    path = unquote(answer.request.url.raw_path)
    if "\n" in path:  # is in no route's path: it belongs to no door
        assert answer.status_code in (200, 401, 403, 404, 405)
    elif re.match("/(prod|iam)(/|$)", path) and "api-explorer" not in path:
        of_aws(answer)
    elif path == "/v1" or path.startswith("/v1/"):
        of_v1(answer)
    elif answer.status_code >= 400 and not path.startswith("/assets/"):
        assert answer.json().get("error", {}).keys() >= {"code", "message"}, answer.text


@fuzzed(120)
@given(
    headers=st.fixed_dictionaries(
        {},
        optional={
            "Accept": IN_HEADERS
            | st.sampled_from(["*/*;q=2", "image/*;q=,", "application/json", ",,,", "text/*"]),
            "Range": IN_HEADERS | st.sampled_from(["bytes=0-0,2-", "bytes=-0", "bytes=9-1", "x=1"]),
            "If-Range": IN_HEADERS,
            "If-None-Match": IN_HEADERS,
            "X-Request-Id": IN_HEADERS,
            "Origin": IN_HEADERS | st.sampled_from(["http://[", "null"]),
            "Host": IN_HEADERS.filter(str.strip) | st.sampled_from(["[", "localhost:x", "::1"]),
            "Authorization": IN_HEADERS,
            "Sec-Fetch-Site": IN_HEADERS,
            "Content-Type": CONTENT_TYPES,
            "Content-Encoding": IN_HEADERS,
        },
    ),
    path=st.sampled_from(["/v1/upscale", "/v1/models", "/metrics", "/"]),
)
def test_headers(service: Service, headers: dict[str, str], path: str) -> None:
    if path == "/v1/upscale":
        of_v1(service.http.post(path, content=TINY, headers=sent(headers)))
    else:
        well_formed(service.http.get(path, headers=sent(headers)))


@fuzzed(60)
@given(
    headers=st.dictionaries(
        st.sampled_from(["Range", "If-Range", "If-None-Match", "If-Modified-Since"]),
        IN_HEADERS
        | st.from_regex("bytes=[0-9]{0,3}-[0-9]{0,3}(,[0-9]{0,3}-[0-9]{0,3})?", fullmatch=True)
        | st.sampled_from(["bytes=0-99999999999999999999", 'W/"x"', "*"]),
        max_size=3,
    )
)
def test_parts_of_results(service: Service, headers: dict[str, str]) -> None:
    link = _link(service)
    answer = service.http.get(link, headers=sent(headers))
    of_v1(answer)
    assert answer.status_code in (200, 206, 304, 416)
    if answer.status_code == 206:
        first, last, size = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+)", answer.headers["content-range"]
        ).groups()
        assert len(answer.content) == int(last) - int(first) + 1 <= int(size)


_links: dict[str, str] = {}


def _link(service: Service) -> str:
    if service.url not in _links:
        answer = service.http.post(
            "/v1/upscale", content=TINY, headers={"Accept": "application/json"}
        )
        _links[service.url] = answer.json()["url"]
    return _links[service.url]
