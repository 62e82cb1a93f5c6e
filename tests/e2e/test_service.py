"""The service as people run it: a process, its signals, its log, its limits, its end."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.e2e.service import (
    PATIENCE,
    Service,
    everything,
    picture,
    serving,
    size_of,
    to_png,
    until,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

STAGES = {"prod": "NONE", "iam": "AWS_IAM", "keyed": "API_KEY"}
# With the fake engine a picture of this side is a good dozen of tiles when enlarged 4 times.
LARGE = 512


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """For requests that are waited for later."""
    with ThreadPoolExecutor(16) as made:
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Service]:
    settings = {
        "ai_solution_kit.stages": STAGES,
        "workers.concurrency": 2,
        "workers.queue": 2,
        "sources.allow_networks": "127.0.0.0/8",
    }
    with serving(place, settings=settings) as service:
        yield service


@pytest.fixture(autouse=True)
def let_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that failed must not hold up those after it."""
    yield
    if "running" in request.fixturenames:
        request.getfixturevalue("running").release()


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """One that a test may end as it likes; it does one picture at a time."""
    with serving(tmp_path, settings={"workers.concurrency": 1}) as made:
        yield made


def upscale(service: Service, side: int = 32, **how: object) -> httpx.Response:
    """Ask at our own door."""
    return service.http.post("/v1/upscale?scale=4", content=picture(side), **how)


def upscale_at_aws(
    service: Service, side: int = 32, stage: str = "prod", **how: object
) -> httpx.Response:
    """Ask at AWS's door."""
    body = {"img": base64.b64encode(picture(side)).decode(), "scale": 4}
    return service.http.post(f"/{stage}/image_super_resolution", json=body, **how)


def succeeded(answer: httpx.Response, side: int = 32) -> bool:
    assert answer.status_code == 200, answer.text
    content = answer.content
    if answer.headers["content-type"] == "application/json":
        content = base64.b64decode(answer.json()["result"])
    return size_of(content) == (side * 4, side * 4)


def running_count(service: Service) -> float:
    return service.metric("superres_running")


def refuses_connections(service: Service) -> bool:
    try:
        socket.create_connection(service.address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


# ---------------------------------------------------------------- start


def test_it_says_where_it_is(running: Service) -> None:
    banner = [line.strip() for line in running.said().splitlines() if running.url in line]
    assert any(line.startswith("superres is at") for line in banner)
    for words, path in (("the page", "/"), ("the reference", "/docs")):
        (line,) = (line for line in banner if line.startswith(words))
        address = line.removeprefix(words).strip()
        assert address == running.url + path
        answer = running.http.get(address)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (
            200,
            "text/html",
        )


def test_the_log_is_json_when_nobody_looks(running: Service) -> None:
    upscale(running)
    assert running.lines("listening")[0]["url"] == running.url
    for line in running.said().splitlines():
        if line.strip() and running.url not in line:
            entry = json.loads(line)
            assert {"event", "level", "logger", "timestamp"} <= entry.keys()
    (entry, *_) = running.lines("request")
    assert {"method", "path", "status", "door", "seconds", "request_id"} <= entry.keys()


def test_two_servers_on_the_same_data(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Begun at once on an empty folder: both work, and neither touches the other's files.

    One is for everybody in the network, and its log is for people.
    """
    settings = {"ai_solution_kit.stages": STAGES, "server.log_format": "text"}
    flags = ("--host", "0.0.0.0", "--allow-anonymous")
    first, second = Service(tmp_path / "a"), Service(tmp_path / "b", settings, flags)
    second.data = first.data
    try:
        for started in [pool.submit(service.start) for service in (first, second)]:
            started.result()
        token = first.new_credential()["token"]
        assert succeeded(upscale_at_aws(second))
        # On an address that others can reach, our own API wants a credential.
        assert upscale(second).status_code == 401
        assert second.http.get("/metrics").status_code == 401
        assert succeeded(upscale(second, headers={"Authorization": f"Bearer {token}"}))
        key = {"x-api-key": token}
        assert succeeded(upscale_at_aws(second, stage="keyed", headers=key))
        lines = second.said().splitlines()
        assert any("path=/prod/image_super_resolution" in line for line in lines)
        assert not any(line.startswith("{") for line in lines)
        assert "\x1b" not in second.said(), "colours in a file"

        link = upscale(first, headers={"Accept": "application/json"}).json()["url"]
        second.stop()
        assert succeeded(upscale(first))
        assert size_of(first.http.get(link).content) == (128, 128)
    finally:
        first.stop()
        second.stop()


@pytest.fixture
def unstarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("COLUMNS", "1000")
    return Service(tmp_path)


def refused(service: Service, code: int, *words: str) -> str:
    """Runs ``superres serve``; what it says in its one sentence."""
    done = service.run("serve", "--port", "0", *words)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    *before, line = done.stderr.strip().splitlines()
    assert all(json.loads(each)["level"] == "info" for each in before), done.stderr
    assert "Unexpected" not in line
    assert line.endswith((".", "?")) or "Run: " in line
    assert list(service.data.glob("spool/*")) == []
    return line


def test_the_port_is_taken(running: Service, unstarted: Service) -> None:
    port = str(running.address[1])
    said = refused(unstarted, 2, "--port", port)
    assert port in said
    assert "--port" in said


def test_the_data_folder_cannot_be_made(unstarted: Service) -> None:
    in_the_way = unstarted.folder / "file"
    in_the_way.write_bytes(b"")
    unstarted.data = in_the_way / "data"
    said = refused(unstarted, 1)
    assert "--data-dir" in said or "server.data_dir" in said or "[server] data_dir" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_the_data_folder_cannot_be_written(unstarted: Service) -> None:
    unstarted.data.mkdir(mode=0o500)
    assert "data_dir" in refused(unstarted, 1)


def test_an_open_stage_is_not_for_the_network(unstarted: Service) -> None:
    said = refused(unstarted, 2, "--host", "0.0.0.0")
    assert "0.0.0.0" in said
    assert "--allow-anonymous" in said


def test_a_setting_that_does_not_exist(unstarted: Service) -> None:
    unstarted.settings = {"server.max_body_byte": "1"}
    said = refused(unstarted, 2)
    assert "SUPERRES_SERVER__MAX_BODY_BYTES" in said


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [(b"A" * 43 + b"=\n", 0o644, "chmod 600"), (b"nonsense\n", 0o600, "damaged")],
)
def test_a_key_file_that_will_not_do(
    unstarted: Service, content: bytes, mode: int, word: str
) -> None:
    unstarted.data.mkdir(mode=0o700)
    key = unstarted.data / "secret.key"
    key.write_bytes(content)
    key.chmod(mode)
    said = refused(unstarted, 1)
    assert "secret.key" in said
    assert word in said


def test_it_is_ready_when_a_worker_is(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    service = Service(tmp_path)
    service.hold()  # the worker enlarges a small picture before it says that it is ready
    try:
        service.start(ready=False)
        assert service.http.get("/healthz").status_code == 200
        assert service.http.get("/readyz").status_code == 503
        early = pool.submit(upscale, service)
        until(lambda: service.metric("superres_queue_depth") == 1)
        assert service.metric("superres_worker_ready") == 0
        service.release()
        until(lambda: service.http.get("/readyz").status_code == 200)
        assert service.metric("superres_worker_ready") == 1
        # Who came too early has waited, and is served.
        assert succeeded(early.result())
    finally:
        service.stop()


# ---------------------------------------------------------------- credentials


def test_credentials_come_and_go_while_it_runs(running: Service) -> None:
    made = running.new_credential("phone")
    remote = {"Host": "pictures.example.com"}
    headers = {**remote, "Authorization": f"Bearer {made['token']}"}
    assert upscale(running, headers=remote).status_code == 401
    assert succeeded(upscale(running, headers=headers))
    assert succeeded(upscale_at_aws(running, stage="keyed", headers={"x-api-key": made["token"]}))

    assert running.run("keys", "revoke", "phone", "--yes").returncode == 0
    answer = upscale(running, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    answer = upscale_at_aws(running, stage="keyed", headers={"x-api-key": made["token"]})
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize(
    ("plan", "message", "kind", "code"),
    [
        (
            ("--rate", "0.001", "--burst", "1"),
            "Too Many Requests",
            "TooManyRequestsException",
            "rate_limited",
        ),
        (("--per-day", "1"), "Limit Exceeded", "LimitExceededException", "quota_exceeded"),
    ],
)
def test_a_plan_made_while_it_runs(
    running: Service, plan: tuple[str, ...], message: str, kind: str, code: str
) -> None:
    name = f"planned-{code}"
    token = running.new_credential(name)["token"]
    assert (done := running.run("keys", "plan", name, *plan)).returncode == 0, done.stderr
    key = {"x-api-key": token}
    assert succeeded(upscale_at_aws(running, stage="keyed", headers=key))
    answer = upscale_at_aws(running, stage="keyed", headers=key)
    assert (answer.status_code, answer.json()) == (429, {"message": message})
    assert answer.headers["x-amzn-errortype"] == kind
    assert int(answer.headers["retry-after"]) > 1
    # The same plan counts at the other door.
    answer = upscale(running, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, code)


# ---------------------------------------------------------------- what it tells


def test_the_metrics_count(running: Service) -> None:
    names = [
        ("superres_requests_total", {"dialect": "v1", "outcome": "ok"}),
        ("superres_requests_total", {"dialect": "v1", "outcome": "unsupported_format"}),
        ("superres_requests_total", {"dialect": "ai_solution_kit", "outcome": "ok"}),
        ("superres_requests_total", {"dialect": "ai_solution_kit", "outcome": "bad_parameter"}),
        ("superres_inference_seconds_count", {"model": "general"}),
        ("superres_queue_wait_seconds_count", {}),
        ("superres_megapixels_total", {"side": "in"}),
        ("superres_megapixels_total", {"side": "out"}),
    ]

    def counted() -> list[float]:
        return [running.metric(name, **labels) for name, labels in names]

    before = counted()
    bytes_out = running.metric("superres_bytes_total", direction="out")
    answer = upscale(running, 100)
    assert succeeded(answer, 100)
    assert succeeded(upscale_at_aws(running))
    text = running.http.post("/v1/upscale", content=b"no picture")
    assert text.status_code == 415
    empty = running.http.post("/prod/image_super_resolution", json={})
    assert empty.status_code == 400
    in_all = 100 * 100 + 32 * 32
    changes = [round(now - then, 9) for now, then in zip(counted(), before, strict=True)]
    assert changes == [1, 1, 1, 1, 2, 2, in_all / 1e6, in_all * 16 / 1e6]
    sent = running.metric("superres_bytes_total", direction="out") - bytes_out
    assert sent >= len(answer.content) + len(text.content) + len(empty.content)
    assert running.metric("superres_queue_depth") == running_count(running) == 0
    assert running.metric("superres_worker_resident_bytes", device="fake") > 10e6
    assert running.metric("process_resident_memory_bytes") > 10e6


@pytest.mark.parametrize("ask", [upscale, upscale_at_aws])
def test_a_request_can_be_followed_by_its_id(running: Service, ask) -> None:
    given = f"my.request-{time.monotonic_ns()}"
    answer = ask(running, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given
    assert answer.headers.get("x-amzn-requestid", given) == given
    until(lambda: any(line["request_id"] == given for line in running.lines("request")))
    (line,) = (line for line in running.lines("request") if line["request_id"] == given)
    assert (line["status"], line["outcome"], line["method"]) == (200, "ok", "POST")
    assert line["bytes_out"] == len(answer.content)

    for unfit in ("short", "x" * 65, "has blanks in it", "https://example.com/"):
        other = ask(running, headers={"X-Request-Id": unfit}).headers["x-request-id"]
        assert other != unfit
        assert re.fullmatch("[0-9a-f-]{36}", other)
        assert unfit not in running.said()


@pytest.mark.parametrize("ask", [upscale, upscale_at_aws])
def test_both_doors_tell_the_times(running: Service, ask, pool: ThreadPoolExecutor) -> None:
    running.hold(0.15)
    answers = [pool.submit(ask, running) for _ in range(4)]
    times = [
        tuple(int(answer.result().headers[name]) for name in ("x-queue-time", "x-inference-time"))
        for answer in answers
    ]
    # Two at a time: two waited at least as long as those before them took.
    assert sum(queue >= 140 for queue, _ in times) >= 2
    assert all(inference >= 150 for _, inference in times)


# ---------------------------------------------------------------- too much, too long, gone


def test_a_full_queue(running: Service, pool: ThreadPoolExecutor) -> None:
    running.hold()
    taken: list[Future[httpx.Response]] = []
    for ask in (upscale, upscale_at_aws, upscale, upscale_at_aws):
        taken.append(pool.submit(ask, running))
    until(
        lambda: (running_count(running), running.metric("superres_queue_depth")) == (2, 2),
    )
    answer = upscale(running)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    events = upscale(running, headers={"Accept": "text/event-stream"})
    assert (events.status_code, events.json()["error"]["code"]) == (503, "overloaded")
    answer = upscale_at_aws(running)
    assert (answer.status_code, answer.json()) == (429, {"message": "Too Many Requests"})
    assert int(answer.headers["retry-after"]) >= 1
    running.release()
    assert all(succeeded(each.result()) for each in taken)
    assert succeeded(upscale(running))


def test_a_client_that_goes_away_stops_its_work(running: Service) -> None:
    def count(name: str, **labels: str) -> float:
        return running.metric(name, **labels)

    done = count("superres_megapixels_total", side="in")
    gone = count("superres_requests_total", outcome="client_gone")
    img = base64.b64encode(picture(LARGE)).decode()
    body = json.dumps({"img": img, "scale": 4}).encode()
    running.hold(0.3)
    connections = []
    for path in ("/v1/upscale", "/prod/image_super_resolution"):
        sent = f"POST {path} HTTP/1.1\r\nHost: {running.url[7:]}\r\n"
        sent += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connections += [running.wire(sent.encode() + body) for _ in range(2)]
    until(lambda: (running_count(running), running.metric("superres_queue_depth")) == (2, 2))
    for connection in connections:
        connection.close()
    until(lambda: count("superres_requests_total", outcome="client_gone") == gone + 4)
    assert running_count(running) == running.metric("superres_queue_depth") == 0
    assert count("superres_megapixels_total", side="in") == done, "the work was done all the same"
    until(lambda: running.in_flight() == [])
    assert count("superres_worker_restarts_total") == 0 or running.workers()


@pytest.mark.parametrize("path", ["/v1/upscale", "/prod/image_super_resolution"])
def test_a_client_that_goes_away_stops_its_fetch(running: Service, path: str) -> None:
    gone = running.metric("superres_requests_total", outcome="client_gone")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        body = json.dumps({"url": f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"}).encode()
        sent = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sent += f"Content-Length: {len(body)}\r\n\r\n"
        client = running.wire(sent.encode() + body)
        fetching, _ = silent.accept()
        with fetching:
            assert fetching.recv(4).startswith(b"GET ")
            client.close()
            until(
                lambda: running.metric("superres_requests_total", outcome="client_gone") == gone + 1
            )
            everything(fetching)  # it has hung up


def test_a_request_that_takes_too_long(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with serving(tmp_path, settings={"server.deadline": 1.0}) as service:
        service.hold(0.4)
        ours, theirs = (pool.submit(ask, service, LARGE) for ask in (upscale, upscale_at_aws))
        answer = ours.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
        answer = theirs.result()
        assert answer.status_code == 504
        assert answer.json() == {"message": "Endpoint request timed out"}
        until(lambda: running_count(service) == 0)
        until(lambda: service.in_flight() == [])
        assert service.metric("superres_worker_restarts_total") == 0


def test_a_worker_killed_costs_nobody_an_answer(running: Service, pool: ThreadPoolExecutor) -> None:
    restarts = running.metric("superres_worker_restarts_total")
    running.hold()
    answers = [pool.submit(ask, running) for ask in (upscale, upscale_at_aws)]
    until(lambda: running_count(running) == 2)
    (worker,) = running.workers()
    worker.kill()
    until(lambda: not psutil.pid_exists(worker.pid) or worker not in running.workers())
    running.release()
    assert all(succeeded(answer.result()) for answer in answers)
    assert running.metric("superres_worker_restarts_total", device="fake") == restarts + 1
    assert running.http.get("/readyz").status_code == 200
    (other,) = running.workers()
    assert other != worker


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="limits of Linux")
def test_no_room_on_the_disk(running: Service) -> None:
    """As far as can be tried without filling a disk: files may not be longer than so much."""
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    large = to_png(noise)  # almost two megabytes
    small = to_png(noise[:200, :200])  # the result will be longer
    (worker,) = running.workers()
    processes = [psutil.Process(running.process.pid), worker]
    limits = [most := 400_000, len(small)]
    asked = [
        ("/v1/upscale", {"content": large}),
        ("/v1/upscale", {"files": {"file": ("a.png", large)}}),
        ("/v1/upscale", {"json": {"img": base64.b64encode(large).decode()}}),
        ("/v1/upscale?format=png", {"content": small}),
        ("/prod/image_super_resolution", {"json": {"img": base64.b64encode(large).decode()}}),
    ]
    log = len(running.said())
    assert log < most / 2
    assert len(small) < most < len(large)
    before = [process.rlimit(psutil.RLIMIT_FSIZE) for process in processes]
    for process, limit, (_, hard) in zip(processes, limits, before, strict=True):
        process.rlimit(psutil.RLIMIT_FSIZE, (limit, hard))
    try:
        answers = [running.http.post(path, **content) for path, content in asked]
    finally:
        for process, limit in zip(processes, before, strict=True):
            process.rlimit(psutil.RLIMIT_FSIZE, limit)
    for answer in answers[:-1]:
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error["code"] in ("storage_error", "output_error"), error
        assert "room" in error["message"] or "written" in error["message"]
    assert (answers[-1].status_code, answers[-1].json()) == (
        502,
        {"message": "Internal server error"},
    )
    assert "unexpected" not in running.said()[log:]
    assert running.workers() == [worker]
    assert succeeded(upscale(running))
    until(lambda: running.in_flight() == [])


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_it_finishes_what_it_has_begun(
    service: Service, number: int, pool: ThreadPoolExecutor
) -> None:
    workers = service.workers()
    service.hold()
    idle = service.wire(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answers = [pool.submit(upscale, service), pool.submit(upscale_at_aws, service)]
    until(lambda: service.metric("superres_running") == 1)
    until(lambda: service.metric("superres_queue_depth") == 1)
    service.signal(number)
    until(lambda: refuses_connections(service))
    assert service.process.poll() is None
    service.release()
    assert all(succeeded(answer.result()) for answer in answers)
    assert everything(idle).startswith(b"HTTP/1.1 200")
    idle.close()
    assert service.ended() == 0
    assert psutil.wait_procs(workers, PATIENCE)[1] == []
    assert list((service.data / "spool").iterdir()) == []
    assert service.lines("stopped")
    assert not service.lines("unexpected error")
    assert "Traceback" not in service.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_the_second_signal_ends_it_at_once(
    service: Service, number: int, pool: ThreadPoolExecutor
) -> None:
    workers = service.workers()
    service.hold()
    answer = pool.submit(upscale, service)
    until(lambda: service.metric("superres_running") == 1)
    service.signal(number)
    until(lambda: refuses_connections(service))
    service.signal(number)
    # Much less than the tile in hand would take, or [workers] hang_timeout, or a drain.
    service.process.wait(4)
    assert psutil.wait_procs(workers, PATIENCE)[1] == []
    assert answer.exception() or answer.result().status_code >= 500
    assert "Traceback" not in service.said()


def test_killed_and_started_again(service: Service, pool: ThreadPoolExecutor) -> None:
    link = upscale(service, headers={"Accept": "application/json"}).json()["url"]
    token = service.new_credential()["token"]
    workers = service.workers()
    service.hold()
    lost = pool.submit(upscale, service)
    until(lambda: service.metric("superres_running") == 1)
    service.process.kill()
    service.ended()
    # Nobody tells the workers; they notice, even in the middle of a tile.
    assert psutil.wait_procs(workers, PATIENCE)[1] == []
    assert isinstance(lost.exception(), httpx.HTTPError)
    assert service.in_flight(), "nothing was left behind, so this shows nothing"

    service.release()
    service.start()
    (own,) = (path for path in (service.data / "spool").iterdir() if path.is_dir())
    assert own.name.startswith(f"{service.process.pid}-")
    assert service.in_flight() == []
    assert size_of(service.http.get(link).content) == (128, 128)
    headers = {"Authorization": f"Bearer {token}", "Host": "pictures.example.com"}
    assert succeeded(upscale(service, headers=headers))


# ---------------------------------------------------------------- with the real network


def test_a_thumbnail_is_not_stuck_behind_large_pictures(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with serving(tmp_path, device="auto") as service:
        names = [f"large-picture-{number}" for number in range(3)]

        def ask_for_large(name: str) -> None:
            url, headers = "/v1/upscale?scale=4", {"X-Request-Id": name}
            service.http.post(url, content=picture(1024), headers=headers, timeout=600)

        large = [pool.submit(ask_for_large, name) for name in names]
        for name in names:
            fraction(service, name, at_least=0.005)  # it is decoded, the network's turn has come
        for _ in range(2):
            assert succeeded(upscale(service, 64), 64)
        reached = [fraction(service, name) for name in names]
        assert running_count(service) == 3
        assert max(reached) < 0.6
        service.process.kill()  # nobody waits for the large ones
        assert all(each.exception() for each in large)


def fraction(service: Service, request_id: str, at_least: float = 0.0) -> float:
    """How far a request is."""
    with service.http.stream("GET", f"/v1/requests/{request_id}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                reached = json.loads(line.removeprefix("data: "))
                assert "fraction" in reached, reached
                if reached["fraction"] >= at_least:
                    return reached["fraction"]
    raise AssertionError("the events ended")
