"""What hostile clients try, against a real server: it answers, and afterwards all is well.

After every test here the server must still enlarge pictures, its worker must be the same
process, nothing may be left of any request, its memory must be bounded, and its log may tell
of no error that nobody foresaw.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.e2e import bombs
from tests.e2e.service import PATIENCE, Service, everything, head, picture, serving, size_of, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sockets and /proc of Unix")

BODY = 8 << 20
AWS_BODY = 10 << 20
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "ai_solution_kit.stages": {"prod": "NONE", "iam": "AWS_IAM", "keyed": "API_KEY"},
        "server.header_timeout": 1.0,
        "server.body_timeout": 2.0,
        "server.max_body_bytes": BODY,
        "server.max_requests": 75,
        # The most talkative log, which must not tell secrets either.
        "server.log_level": "debug",
        "limits.max_input_pixels": bombs.PIXELS,
        "limits.max_metadata_bytes": bombs.METADATA,
    }
    with serving(tmp_path_factory.mktemp("hostile"), settings=settings) as made:
        works(made)  # what is loaded with the first request is there
        yield made


@pytest.fixture(scope="module")
def worker(service: Service) -> psutil.Process:
    (found,) = service.workers()
    return found


@pytest.fixture(scope="module")
def memory(service: Service, worker: psutil.Process) -> tuple[int, int]:
    """The most that the server and its worker may ever have taken, in bytes."""
    assert service.process is not None
    return peak(service.process.pid) + (200 << 20), peak(worker.pid) + (500 << 20)


@pytest.fixture(autouse=True)
def unharmed(service: Service, worker: psutil.Process, memory: tuple[int, int]) -> Iterator[None]:
    before = len(service.said())
    yield
    assert service.process is not None
    until(lambda: healthy(service))
    works(service)
    assert service.workers() == [worker], "the worker died"
    assert service.metric("superres_worker_restarts_total") == 0
    until(lambda: service.in_flight() == [], service.in_flight)
    log = service.said()[before:]
    assert not re.search('unexpected|Traceback|"level": "(error|critical)"', log), log
    assert peak(service.process.pid) < memory[0]
    assert peak(worker.pid) < memory[1]


def works(service: Service) -> None:
    answer = service.http.post("/v1/upscale", content=picture())
    assert size_of(answer.content) == (128, 128)


def healthy(service: Service) -> bool:
    return service.http.get("/healthz").status_code == 200


def peak(pid: int) -> int:
    """The most resident memory that a process ever had."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return psutil.Process(pid).memory_info().rss
    return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) * 1024


# ---------------------------------------------------------------- the two doors


def v1(service: Service, content: bytes, **headers: str) -> httpx.Response:
    return service.http.post("/v1/upscale?scale=2", content=content, headers=headers)


def aws(service: Service, stage: str = "prod", **fields: object) -> httpx.Response:
    return service.http.post(f"/{stage}/image_super_resolution", json=fields)


def v1_refuses(answer: httpx.Response, status: int | None = None, code: str = "") -> str:
    """What our own door says, after the form of its refusal was checked."""
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert answer.status_code == (status or answer.status_code), answer.text
    assert error["code"] == (code or error["code"]), answer.text
    return error["message"]


def aws_refuses(answer: httpx.Response, status: int = 400) -> str:
    """The same at AWS's door."""
    assert answer.status_code == status, answer.text
    assert answer.headers["x-amzn-requestid"] == answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    if answer.headers["content-type"].startswith("application/json"):
        (said,) = answer.json().values()
        return said
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.text


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# ---------------------------------------------------------------- slow


REQUEST = b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\n"
CLOSING = REQUEST + b"Connection: close\r\n"
AWS_REQUEST = b"POST /prod/image_super_resolution HTTP/1.1\r\nHost: localhost\r\n"


def test_slow_clients_hold_up_nobody_and_are_let_go(service: Service) -> None:
    starts = [
        b"",
        b"GET /v1/mod",
        REQUEST,
        CLOSING + b"Content-Length: 1000\r\n\r\nslow",
        CLOSING + b"Transfer-Encoding: chunked\r\n\r\n4\r\nslow\r\n",
        CLOSING + b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n4\r\n",
        CLOSING + b"Content-Length: 99\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b",
        AWS_REQUEST + b"Connection: close\r\nContent-Length: 1000\r\n\r\n{",
    ]
    slow = [service.wire(start) for start in starts * 8]
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        works(service)
    for connection in slow:
        answer = everything(connection)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 100")), answer
        connection.close()
    assert time.monotonic() - began < 20


def test_bytes_that_drip(service: Service) -> None:
    """One byte in a while keeps within every pause, and still does not hold for ever."""
    began = time.monotonic()
    with (
        contextlib.suppress(ConnectionError),
        service.wire(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ") as connection,
    ):
        while time.monotonic() - began < 20:
            connection.sendall(b"y")
            time.sleep(0.1)
    assert 0.5 < time.monotonic() - began < 20


AFTER_THE_ANSWER = {
    "empty lines": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"),
    "chunks of a refused body": (
        b"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
    "bytes of a refused body": (
        b"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
        b"x",
    ),
}


def test_a_connection_is_not_held_after_the_answer(service: Service) -> None:
    held = {}
    for name, (request, _) in AFTER_THE_ANSWER.items():
        held[name] = service.wire(request, timeout=20)
        assert head(held[name]).startswith(b"HTTP/1.1 ")
    for name, (_, more) in AFTER_THE_ANSWER.items():
        # This is no request, but it must not count as life either.
        held[name].sendall(more)
    for name, connection in held.items():
        with connection:
            try:
                everything(connection)
            except TimeoutError:
                pytest.fail(f"{name}: nobody has asked for anything for long, and it is connected")


def test_an_answer_that_nobody_reads(service: Service) -> None:
    """A client that asks for much and takes nothing must not keep it waiting for ever."""
    large = picture(700)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(service.address)
    body = json.dumps({"img": in_base64(large), "scale": 4}).encode()
    request = AWS_REQUEST + b"Content-Length: %d\r\n\r\n" % len(body)
    before = service.metric("superres_requests_total", dialect="ai_solution_kit")
    connection.sendall(request + body)
    assert connection.recv(12) == b"HTTP/1.1 200"
    end = time.monotonic() + 20
    while service.metric("superres_requests_total", dialect="ai_solution_kit") == before:
        assert time.monotonic() < end, "20 seconds, and it still waits for the client to read"
        time.sleep(0.1)
    connection.close()


def test_every_connection_taken(service: Service) -> None:
    idle = [service.wire() for _ in range(160)]
    with service.wire(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 503"
    # Those who ask for nothing are let go, and there is room again.
    until(lambda: healthy(service))
    for connection in idle:
        connection.close()


# ---------------------------------------------------------------- HTTP itself


@pytest.mark.parametrize("start", [REQUEST, AWS_REQUEST], ids=["v1", "aws"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: -1", 400),
        (b"Content-Length: +3", 400),
        (b"Content-Length: 3, 3", 400),
        (b"Content-Length: 3\r\nContent-Length: 4", 400),
        (b"Content-Length: 99999999999999999999999999", 400),
        (b"Content-Length: 9999999999999", 413),
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: gzip", 400),
        (b"Transfer-Encoding: chunked, identity", 400),
        (b"Transfer-Encoding: xchunked", 400),
    ],
)
def test_lengths_that_lie(service: Service, start: bytes, headers: bytes, status: int) -> None:
    with service.wire(start + headers + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n") as connection:
        assert head(connection).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "body",
    [
        b"zzz\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"ffffffffffffffffffff\r\nabc\r\n",
        b"3\nabc\n0\n\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("start", [REQUEST, AWS_REQUEST], ids=["v1", "aws"])
def test_chunks_that_are_none(service: Service, start: bytes, body: bytes) -> None:
    with service.wire(start + b"Transfer-Encoding: chunked\r\n\r\n" + body) as connection:
        assert head(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("start", "limit"), [(REQUEST, BODY), (AWS_REQUEST, AWS_BODY)], ids=["v1", "aws"]
)
@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data; boundary=b"])
def test_a_body_without_end(service: Service, start: bytes, limit: int, kind: str) -> None:
    connection = service.wire(
        start + f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    opening = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    connection.sendall(b"%x\r\n%b\r\n" % (len(opening), opening))
    piece = b"%x\r\n" % MEGABYTE + bytes(MEGABYTE) + b"\r\n"
    for _ in range(limit // MEGABYTE + 1):
        connection.sendall(piece)
    answer = head(connection)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 413 "), answer


def test_pipelined(service: Service) -> None:
    upscale = REQUEST + b"Content-Length: %d\r\n\r\n" % len(picture()) + picture()
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: pipelined-%d\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    requests = upscale + b"".join(sent % n for n in range(10)) + last
    with service.wire(requests) as connection:
        answer = everything(connection)
    assert answer.count(b"HTTP/1.1 200") == 12
    places = [answer.index(b"pipelined-%d\r\n" % n) for n in range(10)]
    assert places == sorted(places)


def test_older_and_other_protocols(service: Service) -> None:
    with service.wire(b"GET /healthz HTTP/1.0\r\n\r\n") as connection:
        answer = everything(connection)
    assert b" 200 OK\r\n" in answer
    assert answer.endswith(b'{"status":"ok"}')
    for sent in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        bytes.fromhex("16030100a5010000a10303") + bytes(160),  # TLS
        b"GETX /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"\0" * 100,
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
        b"GET http://127.0.0.1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        with service.wire(sent) as connection:
            assert everything(connection).startswith(b"HTTP/1.1 400 "), sent
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
    for kind in (b"h2c", b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA=="):
        with service.wire(upgrade + kind + b"\r\n\r\n") as connection:
            assert head(connection).startswith(b"HTTP/1.1 200 "), kind


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-Id: abcdefgh\rSet-Cookie: a=b",
        b"X-Request-Id: abcdefgh\nSet-Cookie: a=b\r\n continued",
        b"X-Request-Id: abcd\0efgh",
        b"X-Request-Id : abcdefgh",
        b"Host: other.example\r\n : x",
        b"no colon at all",
        b": no name",
        b"\xff\xfe: x",
    ],
)
def test_headers_that_are_none(service: Service, header: bytes) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n"
    with service.wire(request) as connection:
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"set-cookie" not in answer.lower()


@pytest.mark.parametrize(
    "hosts",
    [[], [""], ["pictures.example"], ["evil.example", "localhost"], ["[::1"]],
    ids=str,
)
def test_whom_a_request_is_for(service: Service, hosts: list[str]) -> None:
    """Our own door is open on this machine only to who asks for this machine."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    with service.wire(f"GET /v1/models HTTP/1.1\r\n{lines}\r\n".encode()) as connection:
        assert re.match(rb"HTTP/1.1 40[01] ", head(connection))


PATHS = [
    b"//v1/models",
    b"//evil.example/v1/models",
    b"/v1/../healthz",
    b"/v1/%2e%2e/healthz",
    b"/v1/./models",
    b"/V1/models",
    b"/v1/models%00",
    b"/v1/models\x01",
    b"/v1/" + b"a" * 60_000,
    b"/" + b"../" * 1000 + b"etc/passwd",
    b"/v1/%ff%fe",
    b"/\xff\xfe",
    b"/assets/../../../../../../etc/passwd",
    b"/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    b"/assets/web/..%2f..%2f..%2fapp.py",
    b"/assets/web//etc/passwd",
    b"/assets/swagger-ui/..%5c..%5capp.py",
    b"/v1/results/..%2f..%2fsecret.key",
    b"/v1/results/%2e%2e%2fsecret.key",
    b"/v1/results/../secret.key",
    b"/v1/results/%00",
    b"/v1/results/" + b"A" * 32,
    b"/v1/results/" + b"0" * 32,
    b"/prod/../v1/models",
    b"/prod/api-explorer/../../v1/models",
    b"/prod%2fimage_super_resolution%00",
    b"/data/secret.key",
    b"/superres.db",
    b"/.git/config",
    b"/docs/../secret.key",
    b"/%25%32%65%25%32%65/secret.key",
    b"/v1/models/%0d%0aSet-Cookie:%20a=b",
    b"*",
    b"v1/models",
]


@pytest.mark.parametrize("path", PATHS, ids=[ascii(path[:40]) for path in PATHS])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_paths_that_lead_nowhere(service: Service, path: bytes, method: bytes) -> None:
    request = b"%b %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with service.wire(request % (method, path)) as connection:
        answer = everything(connection)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer[:200]
    lower = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nset-cookie" not in lower
    assert b"\r\nlocation" not in lower
    assert b"root:" not in answer


# ---------------------------------------------------------------- names that come back


@pytest.mark.parametrize(
    "name",
    [
        'a"; filename="b.html',
        "a\\",
        "../../../etc/passwd",
        "..\\..\\windows\\win.ini",
        "a%0d%0aSet-Cookie: a=b",
        "a%22%3bfilename=x.html",
        "\u202egnp.exe",
        "na\u00efve \u5199\u771f \U0001f5bc.jpg",
        "CON",
        ".htaccess",
        " . . ",
        "x" * 500 + ".png",
        "<script>alert(1)</script>.png",
        "",
    ],
)
def test_a_file_name_comes_back_as_a_name(service: Service, name: str) -> None:
    answer = service.http.post("/v1/upscale?scale=2", files={"file": (name, picture())})
    assert size_of(answer.content) == (64, 64)
    header = answer.headers["content-disposition"]
    encoded = r"(?:; filename\*=UTF-8''[\w.%!#$&+^`|~-]+)?"  # RFC 8187
    form = re.fullmatch(
        rf'attachment; filename="([^"\\\x00-\x1f\x7f]+)"{encoded}', header, re.ASCII
    )
    assert form, header
    plain = form[1]
    assert not re.search(r"[/\\<>%\x80-\U0010ffff]", plain)
    assert plain.endswith("_x2.png")
    assert len(header) < 1500
    assert "set-cookie" not in answer.headers


def test_a_raw_line_break_in_a_file_name(service: Service) -> None:
    opening = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a\r\nX-Evil: 1\r\n.png"'
    )
    body = opening.encode() + b"\r\n\r\n" + picture() + b"\r\n--b--\r\n"
    answer = v1(service, body, **{"Content-Type": "multipart/form-data; boundary=b"})
    assert "x-evil" not in answer.headers
    assert answer.status_code in (200, 400)
    # The same in a link's name, which is kept.
    headers = {"Accept": "application/json"}
    files = {"file": ('a"\r\nX-Evil: 1.png', picture())}
    made = service.http.post("/v1/upscale", files=files, headers=headers)
    answer = service.http.get(made.json()["url"])
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


# ---------------------------------------------------------------- bodies to be parsed

JSON_BOMBS: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b"[" * (9 * MEGABYTE),
    "nested objects": lambda: b'{"a":' * (9 * MEGABYTE // 5),
    "nested in a field": lambda: b'{"img":' + b"[" * (9 * MEGABYTE),
    "three million lists": lambda: b'{"x":[' + b"[]," * (3 * MEGABYTE) + b"[]]}",
    "three million objects": lambda: b'{"x":[' + b"{}," * (3 * MEGABYTE) + b"{}]}",
    "a million names": lambda: (
        b"{" + b",".join(b'"%06x":1' % n for n in range(800_000)) + b',"scale":2}'
    ),
    "the same name": lambda: b"{" + b'"scale":2,' * 900_000 + b'"scale":2}',
    "a number of nine million digits": lambda: b'{"scale":' + b"9" * (9 * MEGABYTE) + b"}",
    "an exponent": lambda: b'{"scale":1e999999999}',
    "NaN": lambda: b'{"scale":NaN,"img":"AAAA"}',
    "spaces": lambda: b'{"scale":' + b" " * (9 * MEGABYTE) + b"2}",
    "escapes": lambda: b'{"img":"' + rb"\u0041" * (MEGABYTE * 3 // 2) + b'"}',
    "half a character": lambda: b'{"img":"\\ud800"}',
    "not UTF-8": lambda: b'{"img":"\xff\xfe"}',
    "UTF-16": lambda: '{"img":"AAAA"}'.encode("utf-16"),
    "no end": lambda: b'{"img":"' + b"A" * (9 * MEGABYTE),
    "not an object": lambda: b'"' + b"A" * MEGABYTE + b'"',
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", JSON_BOMBS)
def test_json_bombs(service: Service, name: str) -> None:
    body = JSON_BOMBS[name]()
    aws_refuses(service.http.post("/prod/image_super_resolution", content=body))
    v1_refuses(v1(service, body[:BODY], **{"Content-Type": "application/json"}))


def test_many_json_bombs_at_once(service: Service) -> None:
    body = JSON_BOMBS["three million objects"]()
    url = "/prod/image_super_resolution"
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: service.http.post(url, content=body), range(8))
        for answer in answers:
            aws_refuses(answer)


@pytest.mark.parametrize(
    "image",
    [
        "!" * 1000,
        "=" * MEGABYTE,
        "A" * 1001,
        "data:image/png;base64,",
        "data:text/html,<script>",
        "data:" + "x" * MEGABYTE,
        "AAAA" * (MEGABYTE // 2) + "\0",
        "AAAA\u0410AAA",
        "\n" * MEGABYTE,
        in_base64(b"no picture"),
        in_base64(b"<svg/>"),
        5,
        ["AAAA"],
        {"a": 1},
        True,
    ],
    ids=lambda image: ascii(str(image)[:12]),
)
def test_base64_that_is_none(service: Service, image: object) -> None:
    aws_refuses(aws(service, img=image))
    answer = service.http.post("/v1/upscale", json={"img": image})
    v1_refuses(answer)


def part(name: str, value: bytes = b"x", more: bytes = b"") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
        name.encode(),
        more,
        value,
    )


FILE = b'; filename="a.png"'
FORMS: dict[str, Callable[[], bytes]] = {
    "10,000 parts": lambda: b"".join(part(f"x{n}") for n in range(10_000)) + b"--b--\r\n",
    "10,000 scales": lambda: part("scale", b"2") * 10_000 + b"--b--\r\n",
    "10,000 files": lambda: part("file", picture(), FILE) * 1000 + b"--b--\r\n",
    "a part's header of a megabyte": lambda: part("file", picture(), b"\r\nX: " + b"y" * MEGABYTE),
    "a part of 10,000 headers": lambda: part("file", picture(), b"\r\nX: y" * 10_000),
    "a name of a megabyte": lambda: part("x" * MEGABYTE),
    "a scale of a megabyte": lambda: part("scale", b"2" * MEGABYTE),
    "no last boundary": lambda: part("file", picture(), FILE),
    "cut in a header": lambda: part("file", picture(), FILE)[:30],
    "no boundary at all": lambda: picture(),
    "another boundary": lambda: part("file", picture(), FILE).replace(b"--b", b"--c"),
    "nested": lambda: part(
        "file", part("file", picture()), b"\r\nContent-Type: multipart/mixed; boundary=b"
    ),
    "no name": lambda: b"--b\r\n\r\n" + picture() + b"\r\n--b--\r\n",
    "only the end": lambda: b"--b--\r\n",
    "hyphens": lambda: b"-" * MEGABYTE,
    "line breaks": lambda: b"\r\n" * (MEGABYTE // 2),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_are_none(service: Service, name: str) -> None:
    body = FORMS[name]()
    answer = v1(service, body, **{"Content-Type": "multipart/form-data; boundary=b"})
    v1_refuses(answer, 400)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=" + "b" * 10_000,
        "multipart/form-data; boundary=\xe4",
        "multipart/form-data; boundary=b; boundary=c",
        "multipart/mixed; boundary=b",
        "application/json; charset=utf-7",
        ";",
    ],
)
def test_content_types_that_are_none(service: Service, kind: str) -> None:
    connection = service.wire(
        REQUEST
        + b"Content-Type: "
        + kind.encode("latin-1")
        + b"\r\nContent-Length: 5\r\n\r\n--c\r\n"
    )
    assert re.match(rb"HTTP/1.1 4(00|15) ", head(connection))
    connection.close()


# ---------------------------------------------------------------- pictures that are bombs


@pytest.mark.parametrize("name", bombs.TOO_LARGE)
def test_pictures_that_are_too_large(service: Service, name: str) -> None:
    content = bombs.TOO_LARGE[name]()
    assert len(content) < BODY
    message = v1_refuses(v1(service, content), 413, "image_too_large")
    assert "[limits]" in message
    said = aws_refuses(aws(service, img=in_base64(content)))
    assert said.startswith("invalid param: The ")


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_pictures_with_more_inside_than_they_say(service: Service, name: str) -> None:
    content = bombs.BOMBS[name]()
    assert len(content) < BODY
    answer = v1(service, content)
    if answer.status_code == 200:
        assert size_of(answer.content) == (128, 128)
        assert len(answer.content) < MEGABYTE
    else:
        v1_refuses(answer)


@pytest.mark.parametrize("kind", bombs.FORMATS)
def test_pictures_cut_off(service: Service, kind: str) -> None:
    content = bombs.whole(kind)
    assert size_of(v1(service, content).content) == (128, 128)
    for length in (1, 4, 12, 20, 30, len(content) // 3, len(content) // 2, len(content) * 9 // 10):
        answer = v1(service, content[:length])
        assert answer.status_code in (415, 422), (length, answer.text)
        v1_refuses(answer)
        aws_refuses(aws(service, img=in_base64(content[:length])))


@pytest.mark.parametrize("name", bombs.POLYGLOTS)
def test_pictures_that_are_something_else_too(service: Service, name: str) -> None:
    answer = v1(service, bombs.POLYGLOTS[name]())
    if answer.status_code == 200:
        assert b"<script>" not in answer.content
        assert size_of(answer.content) == (128, 128)
        assert answer.headers["content-type"].startswith("image/")
        assert answer.headers["x-content-type-options"] == "nosniff"
    else:
        v1_refuses(answer)


def test_what_is_no_picture_is_never_rendered(service: Service) -> None:
    with listening() as target:
        address = f"http://127.0.0.1:{target.getsockname()[1]}/seen.png"
        for name, content in bombs.no_pictures(address).items():
            for kind in ("", "image/svg+xml", "image/png"):
                message = v1_refuses(
                    v1(service, content, **{"Content-Type": kind}), 415, "unsupported_format"
                )
                assert message.startswith("The file is not a picture that can be read"), name
            said = aws_refuses(aws(service, img=in_base64(content)))
            assert said.startswith("invalid param: The file is not a picture"), name
        assert unseen(target)
    assert not Path("/tmp/superres-was-here").exists()


# ---------------------------------------------------------------- where addresses lead


def listening() -> socket.socket:
    """A server that must not be reached."""
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def unseen(target: socket.socket) -> bool:
    """Whether nobody has connected."""
    try:
        target.accept()[0].close()
    except BlockingIOError:
        return True
    return False


ADDRESSES = [
    "http://127.0.0.1:{port}/a.png",
    "http://localhost:{port}/a.png",
    "http://LOCALHOST:{port}/a.png",
    "http://localhost.:{port}/a.png",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/",
    "http://127.0.0.1%2f:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http:///a.png",
    "http://",
    "https://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "data:image/png;base64,AAAA",
    "jar:http://127.0.0.1:{port}!/",
    "//127.0.0.1:{port}/",
    "/etc/passwd",
    "127.0.0.1:{port}",
    "http://127.0.0.1:{port}/\r\nHost: evil",
    "\u0000http://127.0.0.1:{port}/",
]


@pytest.mark.parametrize("address", ADDRESSES, ids=ascii)
def test_addresses_that_lead_inside(service: Service, address: str) -> None:
    with listening() as target:
        url = address.format(port=target.getsockname()[1])
        said = aws_refuses(aws(service, url=url))
        assert said.startswith("parameter `url` illegal: "), said
        answer = service.http.post("/v1/upscale", json={"url": url})
        v1_refuses(answer, 400, "source_refused")
        assert unseen(target)


def test_the_server_does_not_ask_itself(service: Service) -> None:
    before = service.metric("superres_requests_total", dialect="server")
    url = service.url + "/assets/web/icon.svg"
    assert aws_refuses(aws(service, url=url)).startswith("parameter `url` illegal: ")
    answer = service.http.post("/v1/upscale", json={"url": url})
    v1_refuses(answer, 400, "source_refused")
    # Reading the metric was a request too.
    assert service.metric("superres_requests_total", dialect="server") == before + 1


@pytest.mark.parametrize(
    "key", ["a.png", "../../secret.key", "..%2fsecret.key", "/etc/passwd", "%"]
)
def test_buckets_are_not_for_anonymous_callers(service: Service, key: str) -> None:
    url = f"s3://private/{key}"
    said = aws_refuses(aws(service, url=url), 403)
    assert "private" not in said or "not authorized" in said or "credential" in said
    answer = service.http.post("/v1/upscale", json={"url": url})
    v1_refuses(answer, 403, "permission_denied")


def test_keys_do_not_lead_out_of_the_store(service: Service) -> None:
    key = {"x-api-key": service.new_credential("reader")["token"]}
    url = "/keyed/image_super_resolution"
    (service.data / "objects" / "bucket").mkdir(exist_ok=True)
    (service.data / "objects" / "bucket" / "a.png").write_bytes(picture())
    (service.data / "outside.png").write_bytes(picture())
    inside = {"url": "s3://bucket/a.png"}
    assert service.http.post(url, json=inside, headers=key).status_code == 200
    for path in ("bucket/../../outside.png", "../outside.png", "bucket/..%2f..%2foutside.png"):
        answer = service.http.post(url, json={"url": f"s3://{path}"}, headers=key)
        aws_refuses(answer)
    (service.data / "outside.png").unlink()


# ---------------------------------------------------------------- browsers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
    ids=str,
)
def test_other_sites_are_strangers(service: Service, headers: dict[str, str]) -> None:
    answer = service.http.post("/v1/upscale", content=picture(), headers=headers)
    v1_refuses(answer, 401, "unauthenticated")
    assert "access-control-allow-origin" not in answer.headers
    metrics = service.http.get("/metrics", headers=headers)
    assert metrics.status_code == 401
    assert "superres_requests" not in metrics.text


def test_the_page_of_this_server_is_no_stranger(service: Service) -> None:
    headers = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
    answer = service.http.post("/v1/upscale", content=picture(), headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_aws_is_open_to_other_sites_but_not_its_buckets(service: Service) -> None:
    url = "/prod/image_super_resolution"
    headers = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}
    answer = service.http.options(url, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in answer.headers
    body = {"img": in_base64(picture())}
    answer = service.http.post(url, json=body, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    answer = service.http.post(url, json={"url": "s3://private/a.png"}, headers=headers)
    aws_refuses(answer, 403)


# ---------------------------------------------------------------- secrets


def test_nothing_secret_is_written_down(service: Service) -> None:
    made = service.new_credential("keeper-of-secrets")
    wrong = "srk_wrong-but-somebodys-own-4711"
    marks = {
        "secret": made["secret"],
        "token": made["token"],
        "wrong token": wrong,
        "password in an address": "hunter2hunter2",
        "signature of an address": "f00dfacecafef00dfacecafe",
        "token in a query": "hush-hush-4711",
        "picture": in_base64(picture(48))[40:80],
        "cookie": "session-of-somebody",
    }
    path, body = "/iam/image_super_resolution", json.dumps({"img": in_base64(picture(48))})
    credentials = Credentials(made["id"], made["secret"], "session-token-4712")
    marks["session token"] = "session-token-4712"
    # The second signs for an empty body, which this one is not.
    for n, (signer, right) in enumerate(((SigV4Auth, 200), (SigV4QueryAuth, 403))):
        request = AWSRequest("POST", service.url + path, data=body)
        signer(credentials, "execute-api", "us-east-1").add_auth(request)
        prepared = request.prepare()
        signature = re.search("Signature=([0-9a-f]{64})", f"{prepared.url} {prepared.headers}")
        marks[f"signature {n}"] = signature[1]
        headers = {key: str(value) for key, value in prepared.headers.items()}
        headers.pop("Content-Length", None)
        for content, status in ((body, right), (body + " ", 403)):
            answer = service.http.post(prepared.url, content=content, headers=headers)
            assert answer.status_code == status, answer.text
    address = "https://user:hunter2hunter2@127.0.0.1/a.png?X-Amz-Signature=f00dfacecafef00dfacecafe"
    ask = [
        ("/v1/upscale", {"Authorization": f"Bearer {made['token']}", "Host": "a.example"}, body),
        ("/v1/upscale", {"Authorization": f"Bearer {wrong}"}, body),
        ("/v1/upscale", {"Authorization": f"Basic {wrong}"}, body),
        ("/v1/upscale", {"Cookie": "session-of-somebody"}, json.dumps({"url": address})),
        ("/v1/upscale?token=hush-hush-4711", {}, body),
        ("/v1/nothing?token=hush-hush-4711", {}, body),
        ("/nothing?token=hush-hush-4711", {}, body),
        ("/keyed/image_super_resolution", {"x-api-key": made["token"]}, body),
        ("/keyed/image_super_resolution", {"x-api-key": wrong}, body),
        ("/iam/image_super_resolution", {"Authorization": wrong}, body),
        ("/prod/image_super_resolution?x=hush-hush-4711", {}, json.dumps({"url": address})),
        ("/prod/image_super_resolution", {}, body[:-1]),
        ("/prod/image_super_resolution", {}, body[:-9] + '"}'),
    ]
    for where, headers, content in ask:
        headers = {"Content-Type": "application/json", **headers}
        answer = service.http.post(where, content=content, headers=headers)
        assert answer.status_code < 500
        for what, mark in marks.items():
            assert mark not in answer.text, (what, where)
    until(lambda: service.in_flight() == [])
    kept = [path for path in service.data.rglob("*") if path.is_file()]
    kept = [path for path in kept if path.name != "secret.key"]
    assert {"superres.db"} <= {path.name for path in kept}
    for written in (service.log, *kept):
        content = written.read_bytes()
        for what, mark in marks.items():
            assert mark.encode() not in content, (what, written.name)


def test_files_are_for_their_owner_only(service: Service) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    link = v1(service, picture(), Accept="application/json").json()["url"]
    assert mode(service.data) == 0o700
    for name in ("superres.db", "superres.db-wal", "superres.db-shm", "secret.key"):
        if (service.data / name).exists() or "-" not in name:
            assert mode(service.data / name) == 0o600, name
    for name in ("spool", "objects"):
        assert mode(service.data / name) == 0o700
    assert service.http.get(link).status_code == 200
    # While a request is under way, its files too are in folders of their owner's alone.
    service.hold()
    with service.wire(REQUEST + b"Content-Length: %d\r\n\r\n" % len(picture()) + picture()):
        until(service.in_flight)
        for folder in (service.data / "spool").glob("**/"):
            assert mode(folder) == 0o700
        service.release()
