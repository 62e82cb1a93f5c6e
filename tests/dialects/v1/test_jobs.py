"""Many pictures at once: handed in, looked at, cancelled, forgotten."""

import functools
import http.server
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import select

from superres.access import Plan, Policy, Quota, Statement
from superres.database import reading
from superres.jobs import NewItem, NewJob, Recipe, State
from superres.jobs.request import FromUrl
from superres.storage.tables import blobs
from tests.dialects.v1.conftest import Worker, error_of, opened, picture

FINAL = {"done", "failed", "closed", "timed_out"}
NOBODY = "00000000-0000-4000-8000-000000000000"
JOB = {
    *("id", "state", "priority", "progress", "wait_seconds", "created", "started", "finished"),
    *("expires", "counts", "images", "webhook"),
}
IMAGE = {"position", "name", "state", "stage", "progress", "attempts", "error", "result"}
RESULT = {
    *("url", "name", "format", "media_type", "width", "height", "source_width"),
    *("source_height", "bytes", "model", "fidelity", "scale", "seconds", "inference_seconds"),
    *("queue_seconds", "faces"),
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory):
    """A site with pictures; what is under /slow/ comes when the event is set."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "été.png").write_bytes(picture(20, 10))
    (folder / "slow").mkdir()
    (folder / "slow" / "a.png").write_bytes(picture())
    go = threading.Event()

    class Site(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self.path.startswith("/slow/"):
                go.wait(60)
            super().do_GET()

    handler = functools.partial(Site, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}", go
        go.set()
        site.shutdown()


@pytest.fixture(scope="module")
def narrow(start_server):
    """A server with small limits, that does no jobs."""
    server = start_server(
        {
            "jobs.max_items": 3,
            "jobs.max_body_bytes": 20_000,
            "server.max_body_bytes": 5_000,
            "jobs.max_waiting": 4,
            "server.public_url": "http://localhost:9999/pictures/",
        }
    )
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield server, client


def forms(*pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (f"p{at}.png", each)) for at, each in enumerate(pictures)]


def kept(worker: Worker) -> set[str]:
    """Every file that is kept for somebody, once no job of another test goes on."""
    until = time.monotonic() + 60
    unfinished = (State.WAITING, State.RUNNING)
    while any(worker.server.app.jobs.list(owner=None, state=state) for state in unfinished):
        assert time.monotonic() < until
        time.sleep(0.05)
    with reading(worker.server.app.database) as connection:
        return set(connection.scalars(select(blobs.c.id)))


def used(worker: Worker, name: str) -> list[int]:
    return [usage.used for usage in worker.server.access.usage(name)]


# ---------------------------------------------------------------- handing in


def test_a_form_with_several_pictures(worker):
    before = datetime.now(UTC)
    response = worker.client.post(
        "/v1/jobs",
        files=[("file", ("holiday/one.png", picture())), ("file", ("two.jpg", picture(40, 30)))],
        data={"scale": "2", "format": "webp", "lossless": "true", "priority": "7"},
    )
    assert response.status_code == 202
    assert response.headers["cache-control"] == "no-store"
    assert "idempotent-replayed" not in response.headers
    taken = response.json()
    assert response.headers["location"] == f"/v1/jobs/{taken['id']}"
    assert set(taken) == JOB
    assert taken["state"] in ("waiting", "running")
    assert (taken["priority"], taken["webhook"], taken["expires"]) == (7, None, None)
    assert [image["name"] for image in taken["images"]] == ["one", "two"]
    assert taken["wait_seconds"] >= 0
    job = worker.finished(taken["id"])
    assert set(job) == JOB
    assert (job["state"], job["progress"], job["wait_seconds"]) == ("done", 1.0, None)
    assert job["counts"] == {
        **dict.fromkeys(("waiting", "running", "failed", "closed", "timed_out"), 0),
        "done": 2,
    }
    moments = [job[name] for name in ("created", "started", "finished", "expires")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each) for each in moments)
    told = [datetime.fromisoformat(each) for each in moments]
    assert told == sorted(told)
    assert abs((told[0] - before).total_seconds()) < 10
    assert (told[3] - told[2]).total_seconds() == pytest.approx(3600, abs=1)
    for position, (image, size) in enumerate(zip(job["images"], ((48, 32), (80, 60)), strict=True)):
        assert set(image) == IMAGE
        assert (image["position"], image["state"], image["stage"]) == (position, "done", None)
        assert (image["attempts"], image["error"], image["progress"]) == (1, None, 1.0)
        result = image["result"]
        assert set(result) == RESULT
        assert (result["width"], result["height"]) == size
        assert (result["source_width"] * 2, result["source_height"] * 2) == size
        assert (result["format"], result["media_type"]) == ("webp", "image/webp")
        assert (result["model"], result["scale"]) == ("general", 2.0)
        loaded = worker.client.get(result["url"])
        assert loaded.status_code == 200
        assert len(loaded.content) == result["bytes"]
        assert opened(loaded.content).size == size
    assert [image["result"]["name"] for image in job["images"]] == ["one_x2.webp", "two_x2.webp"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scale": "2.5", "format": "jpeg", "quality": "70"},
        {"scale": "1", "format": "tiff", "strip": "all"},
        {"width": "50", "fidelity": "1", "colour_lock": "false"},
        {"megapixels": "0.01", "model": "photo", "format": "webp"},
    ],
)
def test_results_are_those_of_an_upscale(worker, fields):
    pictures = [picture(), picture(31, 17, "JPEG", quality=60)]
    job = worker.finished(worker.submit(*pictures, **fields)["id"])
    for at, (image, content) in enumerate(zip(job["images"], pictures, strict=True)):
        at_once = worker.client.post(
            "/v1/upscale", files={"file": (f"p{at}.png", content)}, data=fields
        )
        assert at_once.status_code == 200
        assert worker.client.get(image["result"]["url"]).content == at_once.content
        assert f'"{image["result"]["name"]}"' in at_once.headers["content-disposition"]


def test_json_with_addresses(worker, web):
    site, _ = web
    worker.server.app.store.put("photos", "summer/b.png", picture())
    headers = worker.credential("reader")
    body = {
        "images": [
            f"{site}/%C3%A9t%C3%A9.png",
            {"url": f"{site}/%C3%A9t%C3%A9.png", "name": "my picture.png"},
            {"url": "s3://photos/summer/b.png", "name": None},
        ],
        "scale": 2,
        "format": None,
    }
    response = worker.client.post("/v1/jobs", json=body, headers=headers)
    assert response.status_code == 202, response.text
    job = worker.finished(response.json()["id"], headers)
    assert job["state"] == "done"
    names = [image["result"]["name"] for image in job["images"]]
    assert names == ["été_x2.png", "my picture_x2.png", "b_x2.png"]
    sizes = [opened(worker.client.get(i["result"]["url"]).content).size for i in job["images"]]
    assert sizes == [(40, 20), (40, 20), (48, 32)]


def test_fields_in_the_address(worker):
    response = worker.client.post(
        "/v1/jobs?scale=2&priority=9", files=forms(picture()), data={"format": "jpeg"}
    )
    job = worker.finished(response.json()["id"])
    assert job["priority"] == 9
    assert job["images"][0]["result"]["name"] == "p0_x2.jpg"
    twice = worker.client.post("/v1/jobs?scale=2", files=forms(picture()), data={"scale": "2"})
    assert (twice.status_code, error_of(twice)["code"]) == (400, "bad_parameter")


def test_a_hundred_pictures(worker):
    job = worker.finished(worker.submit(*[picture(8, 8)] * 100, scale="1")["id"])
    assert (job["state"], job["counts"]["done"], len(job["images"])) == ("done", 100, 100)
    assert len({image["result"]["url"] for image in job["images"]}) == 100


def test_a_hundred_and_one_are_refused(worker):
    before = kept(worker)
    form = worker.client.post("/v1/jobs", files=forms(*[b"x"] * 101))
    assert (form.status_code, error_of(form)["code"]) == (400, "bad_parameter")
    assert "more than 100 files" in error_of(form)["message"]
    listed = worker.client.post("/v1/jobs", json={"images": ["https://example.com/a.png"] * 101})
    assert (listed.status_code, error_of(listed)["code"]) == (400, "bad_parameter")
    assert "not 101" in error_of(listed)["message"]
    assert kept(worker) <= before
    assert list(worker.server.app.spool.glob("request-*")) == []


# ---------------------------------------------------------------- what fails


def test_some_fail_and_the_others_do_not(worker, web):
    site, _ = web
    files = worker.submit(picture(), b"GIF89a nonsense", picture()[:60], picture(), scale="2")
    job = worker.finished(files["id"])
    assert (job["state"], job["progress"]) == ("done", 1.0)
    assert [image["state"] for image in job["images"]] == ["done", "failed", "failed", "done"]
    assert (job["counts"]["done"], job["counts"]["failed"]) == (2, 2)
    codes = [image["error"] and image["error"]["code"] for image in job["images"]]
    assert codes[0] is None
    assert codes[1] in ("corrupt_image", "unsupported_format")
    assert codes[2] == "corrupt_image"
    for image in job["images"][1:3]:
        assert image["error"]["message"].endswith(".")
        assert image["result"] is None
    for content in (b"GIF89a nonsense", picture()[:60]):
        refused = worker.client.post("/v1/upscale?scale=2", content=content)
        assert error_of(refused)["code"] in codes
    body = {"images": [f"{site}/none.png", "http://[", "https://127.0.0.1:1/"]}
    listed = worker.client.post("/v1/jobs", json=body)
    job = worker.finished(listed.json()["id"])
    assert (job["state"], job["counts"]["failed"]) == ("failed", 3)
    codes = [image["error"]["code"] for image in job["images"]]
    assert codes == ["source_unreachable", "source_refused", "source_unreachable"]


def test_a_site_of_the_inside_is_refused_when_it_is_fetched(worker):
    taken = worker.client.post("/v1/jobs", json={"images": ["http://10.0.0.1/a.png"]})
    job = worker.finished(taken.json()["id"])
    assert job["images"][0]["error"]["code"] == "source_refused"


def test_buckets_need_a_credential_that_may(worker):
    worker.server.app.store.put("private", "a.png", picture())
    body = {"images": ["s3://private/a.png"], "scale": 2}
    anonymous = worker.client.post("/v1/jobs", json=body).json()
    job = worker.finished(anonymous["id"])
    assert job["images"][0]["error"]["code"] == "permission_denied"
    headers = worker.credential("buckets")
    own = Statement("allow", actions=("superres:*",), resources=("*",))
    worker.server.access.set_policy("buckets", Policy((own,)))
    refused = worker.client.post("/v1/jobs", json=body, headers=headers)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "permission_denied")
    read = Statement("allow", actions=("s3:GetObject",), resources=("private/*",))
    worker.server.access.set_policy("buckets", Policy((own, read)))
    taken = worker.client.post("/v1/jobs", json=body, headers=headers).json()
    # What was allowed when it was handed in stays so.
    assert worker.finished(taken["id"], headers)["state"] == "done"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ({"content": b""}, "Send a form"),
        ({"content": picture(), "headers": {"Content-Type": "image/png"}}, "Send a form"),
        ({"data": {"scale": "2"}}, "Send a form"),
        ({"files": {"file": ("", b"")}}, "pictures are missing"),
        ({"files": {"picture": ("a.png", b"x")}}, "goes in the field 'file'"),
        ({"files": {"file": b"x"}, "data": {"scal": "2"}}, "did you mean 'scale'"),
        ({"files": {"file": b"x"}, "data": {"scale": "99"}}, "scale is '99'"),
        ({"files": {"file": b"x"}, "data": {"priority": "10"}}, "priority is '10'"),
        ({"files": {"file": b"x"}, "data": {"scale": "2", "width": "50"}}, "scale"),
        ({"files": {"file": b"x"}, "data": {"webhook": "https://x.example"}}, "a credential"),
        ({"files": {"file": b"x"}, "params": {"scale": "99"}}, "scale is '99'"),
        ({"json": {"images": ["https://x.example"], "scale": "2"}}, "scale is '2'"),
        ({"json": {"images": ["https://x.example"], "model": "nobodys"}}, "nobodys"),
        ({"json": {"images": ["https://x.example"], "webhook": "https://x"}}, "a credential"),
        ({"json": {"images": []}}, "not 0"),
        ({"json": {"img": "AAAA"}}, "as a form"),
        ({"json": ["https://x.example"]}, "JSON"),
    ],
)
def test_what_is_wrong_is_refused_at_once(worker, call, hint):
    response = worker.client.post("/v1/jobs", **call)
    assert response.status_code == 400, response.text
    assert response.headers["cache-control"] == "no-store"
    error = error_of(response)
    assert error["code"] in ("bad_parameter", "model_not_found")
    assert hint in str(error["message"])


def test_a_webhook_must_be_an_address(worker):
    body = {"images": ["https://x.example"], "webhook": "ftp://x.example"}
    response = worker.client.post("/v1/jobs", json=body, headers=worker.credential("hooks"))
    assert (response.status_code, error_of(response)["code"]) == (400, "bad_parameter")


def test_limits(narrow):
    server, client = narrow
    for call, code, setting in (
        ({"files": forms(bytes(5_001))}, "source_too_large", "[server] max_body_bytes"),
        ({"files": forms(*[bytes(4_999)] * 3) + forms(b"", b"")}, "bad_parameter", "3 files"),
        ({"files": forms(*[bytes(4_000)] * 3), "data": {}}, None, ""),
        ({"content": bytes(20_001)}, "source_too_large", "[jobs] max_body_bytes"),
        ({"content": b"x" * ((1 << 20) + 1)}, "source_too_large", "1,048,576"),
    ):
        headers = {}
        if "content" in call:
            kind = "application/json" if len(call["content"]) > 1 << 20 else "multipart/form-data"
            headers = {"Content-Type": f"{kind}; boundary=b"}
        response = client.post("/v1/jobs", **call, headers=headers)
        if code is None:
            assert response.status_code == 202, response.text
            assert client.delete(f"/v1/jobs/{response.json()['id']}").status_code == 204
            continue
        error = error_of(response)
        assert (response.status_code, error["code"]) == (400 if code[0] == "b" else 413, code)
        assert setting in str(error["message"])
    assert list(server.app.spool.glob("request-*")) == []


def test_too_many_wait(narrow):
    server, client = narrow
    headers = {"Authorization": f"Bearer {server.access.create('waiter').token}"}
    server.access.set_plan("waiter", Plan(quota=Quota(day=100)))
    first = client.post("/v1/jobs", files=forms(*[picture()] * 3), headers=headers)
    assert first.status_code == 202
    # Handed in elsewhere, links are as the keeper says.
    assert first.headers["location"].startswith("http://localhost:9999/pictures/v1/jobs/")
    second = client.post("/v1/jobs", files=forms(*[picture()] * 3), headers=headers)
    assert (second.status_code, error_of(second)["code"]) == (503, "overloaded")
    assert int(second.headers["retry-after"]) >= 1
    assert [usage.used for usage in server.access.usage("waiter")] == [3]
    assert client.delete(first.headers["location"][-44:], headers=headers).status_code in (204, 404)
    client.delete(f"/v1/jobs/{first.json()['id']}", headers=headers)


def test_a_field_before_the_pictures_is_refused_before_they_come(worker):
    host, port = worker.server.host.split(":")
    head = b'--b\r\nContent-Disposition: form-data; name="scale"\r\n\r\n99\r\n--b\r\n'
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(
            f"POST /v1/jobs HTTP/1.1\r\nHost: {worker.server.host}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n"
            "Content-Length: 50000000\r\n\r\n".encode()
            + head
        )
        assert wire.recv(100).startswith(b"HTTP/1.1 400 ")


def test_an_upload_that_breaks_off_leaves_nothing(worker):
    before = kept(worker)
    host, port = worker.server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(
            f"POST /v1/jobs HTTP/1.1\r\nHost: {worker.server.host}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
            + bytes(1000)
        )
        until = time.monotonic() + 10
        while not list(worker.server.app.spool.glob("request-*/picture-0")):
            assert time.monotonic() < until
            time.sleep(0.01)
    until = time.monotonic() + 10
    while list(worker.server.app.spool.glob("request-*")):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert kept(worker) <= before


# ---------------------------------------------------------------- cancel, delete


def test_cancel_while_it_is_held(held):
    taken = held.submit(*[picture()] * 6, scale="2")
    assert held.engine.entered.wait(20)
    running = held.get(taken["id"])
    assert running["state"] == "running"
    assert running["started"] is not None
    assert running["wait_seconds"] >= 0
    stages = {image["stage"] for image in running["images"] if image["state"] == "running"}
    assert stages <= {"fetch", "decode", "upscale", "encode", "store"}
    response = held.client.post(f"/v1/jobs/{taken['id']}/cancel")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    job = response.json()
    assert (job["state"], job["counts"]["closed"], job["wait_seconds"]) == ("closed", 6, None)
    assert {image["error"]["code"] for image in job["images"]} == {"job_cancelled"}
    held.engine.release()
    again = held.client.post(f"/v1/jobs/{taken['id']}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "closed")
    # What was being done when it was cancelled does not come after all.
    after = held.finished(held.submit(picture(), scale="2")["id"])
    assert after["state"] == "done"
    assert held.get(taken["id"]) == again.json()


def test_what_is_done_survives_a_cancel(worker, web):
    site, go = web
    go.clear()
    body = {"images": [f"{site}/%C3%A9t%C3%A9.png", f"{site}/slow/a.png"], "scale": 2}
    taken = worker.client.post("/v1/jobs", json=body).json()
    until = time.monotonic() + 20
    while worker.get(taken["id"])["counts"]["done"] == 0:
        assert time.monotonic() < until
        time.sleep(0.05)
    job = worker.client.post(f"/v1/jobs/{taken['id']}/cancel").json()
    go.set()
    assert [image["state"] for image in job["images"]] == ["done", "closed"]
    assert job["state"] == "done"
    assert worker.client.get(job["images"][0]["result"]["url"]).status_code == 200
    finished = worker.client.post(f"/v1/jobs/{taken['id']}/cancel").json()
    assert finished == job


def test_delete_frees_everything(worker):
    before = kept(worker)
    job = worker.finished(worker.submit(picture(), picture(), scale="2")["id"])
    assert not kept(worker) <= before
    link = job["images"][0]["result"]["url"]
    response = worker.client.delete(f"/v1/jobs/{job['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["cache-control"] == "no-store"
    assert kept(worker) <= before
    assert worker.client.get(link).status_code == 404
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")):
        gone = worker.client.request(method, f"/v1/jobs/{job['id']}{path}")
        assert (gone.status_code, error_of(gone)["code"]) == (404, "job_not_found")


def test_delete_while_it_is_held(worker):
    before = kept(worker)
    with worker.engine.held():
        taken = worker.submit(*[picture()] * 4, scale="2")
        assert worker.engine.entered.wait(20)
        assert worker.client.delete(f"/v1/jobs/{taken['id']}").status_code == 204
    # The next one is done after whatever that one left.
    after = worker.finished(worker.submit(picture(), scale="2")["id"])
    assert worker.client.delete(f"/v1/jobs/{after['id']}").status_code == 204
    until = time.monotonic() + 20
    while not kept(worker) <= before:
        assert time.monotonic() < until, "something of it is left"
        time.sleep(0.1)


def test_a_job_is_over_when_its_results_are(start_server):
    server = start_server({"server.result_lifetime": 1})
    with httpx.Client(base_url=server.url) as client:
        key = {"Idempotency-Key": "over"}
        job = client.post("/v1/jobs", files=forms(picture()), headers=key).json()
        client.post(f"/v1/jobs/{job['id']}/cancel")
        time.sleep(1.2)
        for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
            gone = client.request(method, f"/v1/jobs/{job['id']}{path}")
            assert (gone.status_code, error_of(gone)["code"]) == (410, "job_expired")
        assert client.get("/v1/jobs").json() == {"jobs": [], "next": None}
        again = client.post("/v1/jobs", files=forms(picture()), headers=key)
        assert (again.status_code, error_of(again)["code"]) == (410, "job_expired")
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        assert client.post("/v1/jobs", files=forms(picture()), headers=key).status_code == 202


# ---------------------------------------------------------------- looking


def test_lists_page_by_page(worker):
    headers = worker.credential("lister")
    ids = [worker.submit(picture(8, 8), headers=headers, scale="1")["id"] for _ in range(7)]
    for job_id in ids:
        worker.finished(job_id, headers)
    found: list[str] = []
    query: dict[str, str] = {"limit": "3"}
    for size in (3, 3, 1):
        response = worker.client.get("/v1/jobs", params=query, headers=headers)
        assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
        page = response.json()
        assert set(page) == {"jobs", "next"}
        assert len(page["jobs"]) == size
        assert all(set(job) == JOB for job in page["jobs"])
        found += [job["id"] for job in page["jobs"]]
        query["before"] = page["next"]
    assert query["before"] is None
    assert found == ids[::-1]
    exactly = worker.client.get("/v1/jobs?limit=7", headers=headers).json()
    assert (len(exactly["jobs"]), exactly["next"]) == (7, None)
    closed = worker.submit(b"x", headers=headers)["id"]
    worker.finished(closed, headers)
    states = {"done": 7, "failed": 1, "waiting": 0, "running": 0, "closed": 0, "timed_out": 0}
    for state, count in states.items():
        page = worker.client.get("/v1/jobs", params={"state": state}, headers=headers).json()
        assert [job["state"] for job in page["jobs"]] == [state] * count


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("state=finished", 400),
        ("limit=0", 400),
        ("limit=101", 400),
        ("limit=x", 400),
        ("before=x", 400),
        ("before=%00", 400),
        (f"before={NOBODY}", 404),
        ("stat=done", 400),
        ("limit=1&limit=2", 400),
    ],
)
def test_lists_that_are_refused(worker, query, status):
    response = worker.client.get(f"/v1/jobs?{query}")
    assert response.status_code == status
    assert response.headers["cache-control"] == "no-store"
    error_of(response)


@pytest.mark.parametrize(
    "job_id", ["x", NOBODY, NOBODY.upper() + "0", "%00", "..%2f..", NOBODY + "%0a", "é", "A" * 300]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")]
)
def test_no_such_job(worker, job_id, method, path):
    response = worker.client.request(method, f"/v1/jobs/{job_id}{path}")
    assert response.status_code == 404
    assert error_of(response)["code"] in ("job_not_found", "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, POST"),
        ("POST", f"/v1/jobs/{NOBODY}", "DELETE, GET"),
        ("GET", f"/v1/jobs/{NOBODY}/cancel", "POST"),
        ("DELETE", f"/v1/jobs/{NOBODY}/events", "GET"),
    ],
)
def test_not_this_method(worker, method, path, allowed):
    response = worker.client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_jobs_of_other_doors_are_not_shown(worker):
    headers = worker.credential("everywhere")
    caller = worker.server.access.by_token(headers["Authorization"][7:])
    item = NewItem(FromUrl("http://10.0.0.1/"), Recipe())
    job = worker.server.app.jobs.submit(NewJob("fsrtwo", caller.id or "", [item]))
    assert worker.client.get("/v1/jobs", headers=headers).json()["jobs"] == []
    assert worker.client.get(f"/v1/jobs/{job.id}", headers=headers).status_code == 404


# ---------------------------------------------------------------- who


GUARDED = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", f"/v1/jobs/{NOBODY}"),
    ("DELETE", f"/v1/jobs/{NOBODY}"),
    ("POST", f"/v1/jobs/{NOBODY}/cancel"),
    ("GET", f"/v1/jobs/{NOBODY}/events"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "pictures.example.com"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Authorization": "Bearer srk_wrong"},
    ],
)
def test_strangers_are_asked_for_a_token(worker, method, path, headers):
    response = worker.client.request(method, path, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_policy_is_asked(worker, method, path):
    actions = ["CreateJob", "ListJobs", "GetJob", "DeleteJob", "CancelJob", "GetJob"]
    needed = actions[GUARDED.index((method, path))]
    name = f"policy {method} {path}"
    headers = worker.credential(name)
    for allowed in sorted({*actions}):
        action = (f"superres:{allowed}",)
        policy = Policy((Statement("allow", actions=action, resources=("v1/jobs",)),))
        worker.server.access.set_policy(name, policy)
        response = worker.client.request(method, path, headers=headers)
        if allowed == needed:
            assert response.status_code in (200, 400, 404)
        else:
            assert (response.status_code, error_of(response)["code"]) == (403, "permission_denied")


def test_everybody_sees_their_own_jobs_only(worker):
    one, two = worker.credential("one"), worker.credential("two")
    callers: list[dict[str, str]] = [one, two, {}]
    ids = [worker.submit(picture(8, 8), headers=headers)["id"] for headers in callers]
    for headers, own in zip(callers, ids, strict=True):
        shown = worker.client.get("/v1/jobs?limit=100", headers=headers).json()["jobs"]
        assert {job["id"] for job in shown} & set(ids) == {own}
        for other in set(ids) - {own}:
            for method, path in (
                *(("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")),
            ):
                response = worker.client.request(method, f"/v1/jobs/{other}{path}", headers=headers)
                assert (response.status_code, error_of(response)["code"]) == (404, "job_not_found")
    for headers, own in zip(callers, ids, strict=True):
        assert worker.finished(own, headers)["state"] == "done"
    # A link works for whoever has it.
    job = worker.get(ids[0], one)
    assert worker.client.get(job["images"][0]["result"]["url"]).status_code == 200


def test_quotas_count_pictures(worker):
    headers = worker.credential("counted")
    worker.server.access.set_plan("counted", Plan(quota=Quota(day=10)))
    worker.submit(*[picture(8, 8)] * 4, headers=headers)
    assert used(worker, "counted") == [4]
    too_many = worker.client.post("/v1/jobs", files=forms(*[picture(8, 8)] * 7), headers=headers)
    assert (too_many.status_code, error_of(too_many)["code"]) == (429, "quota_exceeded")
    assert int(too_many.headers["retry-after"]) >= 1
    assert used(worker, "counted") == [4]
    wrong = worker.client.post(
        "/v1/jobs", files=forms(picture()), data={"scale": "99"}, headers=headers
    )
    assert wrong.status_code == 400
    assert used(worker, "counted") == [4]
    worker.submit(*[picture(8, 8)] * 6, headers=headers)
    assert used(worker, "counted") == [10]


def test_rates_count_requests(worker):
    headers = worker.credential("hasty")
    worker.server.access.set_plan("hasty", Plan(rate=0.01, burst=2))
    for _ in range(2):
        worker.submit(*[picture(8, 8)] * 5, headers=headers)
    # Refused before the pictures are read.
    response = worker.client.post("/v1/jobs", content=b"", headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (429, "rate_limited")
    # Looking is not counted.
    assert worker.client.get("/v1/jobs", headers=headers).status_code == 200


# ---------------------------------------------------------------- once


def test_the_same_key_gives_the_same_job(worker):
    headers = {**worker.credential("again"), "Idempotency-Key": '"8e03978e-40d5-43dd-bc93"'}
    worker.server.access.set_plan("again", Plan(quota=Quota(day=2)))
    call = {"files": forms(picture(), picture(30, 20)), "data": {"scale": "2"}}
    first = worker.client.post("/v1/jobs", **call, headers=headers)
    second = worker.client.post("/v1/jobs", **call, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == second.json()["id"]
    assert first.headers["location"] == second.headers["location"]
    assert used(worker, "again") == [2]
    job = worker.finished(first.json()["id"], headers)
    third = worker.client.post("/v1/jobs", **call, headers=headers)
    assert third.json() == job  # as it stands
    for other in (
        {"files": forms(picture(), picture(30, 21)), "data": {"scale": "2"}},
        {"files": forms(picture(30, 20), picture()), "data": {"scale": "2"}},
        {"files": forms(picture(), picture(30, 20)), "data": {"scale": "3"}},
        {"files": forms(picture(), picture(30, 20)), "data": {"scale": "2", "priority": "6"}},
        {"json": {"images": ["https://example.com/a.png"], "scale": 2}},
    ):
        refused = worker.client.post("/v1/jobs", **other, headers=headers)
        assert (refused.status_code, error_of(refused)["code"]) == (400, "bad_parameter")
        assert "key" in str(error_of(refused)["message"])
    listed = worker.client.get("/v1/jobs", headers=headers).json()
    assert [each["id"] for each in listed["jobs"]] == [job["id"]]


def test_json_with_a_key(worker):
    headers = {"Idempotency-Key": "json"}
    bodies = [
        '{"images": ["http://10.0.0.1/a.png"], "scale": 2}',
        '{"scale": 2.0, "images": [{"url": "http://10.0.0.1/a.png"}], "webhook": null}',
    ]
    ids = set()
    for body in bodies:  # the same request in other words
        response = worker.client.post(
            "/v1/jobs", content=body, headers={**headers, "Content-Type": "application/json"}
        )
        assert response.status_code == 202
        ids.add(response.json()["id"])
    assert len(ids) == 1


def test_keys_are_each_callers_own(worker):
    headers = {"Idempotency-Key": "shared"}
    first = worker.submit(picture(8, 8), headers=headers)
    second = worker.submit(picture(8, 8), headers={**headers, **worker.credential("keyed")})
    assert first["id"] != second["id"]
    without = {worker.submit(picture(8, 8))["id"] for _ in range(2)}
    assert len(without) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
def test_keys_that_are_none(worker, key):
    response = worker.client.post(
        "/v1/jobs", files=forms(picture()), headers={"Idempotency-Key": key.encode()}
    )
    assert (response.status_code, error_of(response)["code"]) == (400, "bad_parameter")
    assert "Idempotency-Key" in str(error_of(response)["message"])


def test_two_keys_are_refused(worker):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = worker.client.post("/v1/jobs", files=forms(picture()), headers=headers)
    assert response.status_code == 400


def test_eight_at_once_make_one_job(worker):
    headers = {**worker.credential("eight"), "Idempotency-Key": "eight"}
    worker.server.access.set_plan("eight", Plan(quota=Quota(day=100)))
    before = kept(worker)
    ready = threading.Barrier(8)

    def post(_: int) -> httpx.Response:
        with httpx.Client(base_url=worker.server.url, timeout=60) as client:
            ready.wait()
            return client.post("/v1/jobs", files=forms(*[picture(8, 8)] * 3), headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 7
    assert used(worker, "eight") == [3]
    job = worker.finished(answers[0].json()["id"], headers)
    assert job["counts"]["done"] == 3
    assert worker.client.delete(f"/v1/jobs/{job['id']}", headers=headers).status_code == 204
    assert kept(worker) <= before  # no copy of anything is left
    fresh = worker.client.post("/v1/jobs", files=forms(picture(8, 8)), headers=headers)
    assert (fresh.status_code, "idempotent-replayed" in fresh.headers) == (202, False)
