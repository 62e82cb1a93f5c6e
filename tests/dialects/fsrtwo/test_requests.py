"""What is taken in and what is refused, on a real server that does none of it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from superres.access import Plan, Policy, Quota
from superres.jobs import State
from tests.dialects.fsrtwo.conftest import PATIENCE, Client, refused

LINK = "https://pictures.example/a.png"
GOOD = {"images": [LINK], "file_ext": "png", "priority": 1}


@pytest.fixture(scope="module")
def server(start_server):
    return start_server()


@pytest.fixture(scope="module")
def credential(server):
    return server.access.create("tester")


@pytest.fixture
def client(server, credential):
    return Client(server.url, credential.id, credential.secret)


@pytest.fixture
def newcomer(server):
    """A credential that nobody used yet, and its client."""

    def make() -> tuple[str, Client]:
        made = server.access.create(uuid.uuid4().hex)
        return made.id, Client(server.url, made.id, made.secret)

    return make


def post(client: Client, body, headers=None, method="POST", path="/batch"):
    return requests.request(
        method,
        f"{client.host}/v3/pic/fsrtwo{path}",
        data=body,
        headers=client.headers if headers is None else headers,
        timeout=PATIENCE,
        allow_redirects=False,
    )


def send(client: Client, **changed):
    """A good request but for what is changed; a value of ... leaves the field out."""
    fields = {name: value for name, value in {**GOOD, **changed}.items() if value is not ...}
    return post(client, json.dumps(fields))


# ------------------------------------------------------------------------- create


def test_a_task_is_taken_in(client, server, credential):
    task = client.task([LINK, LINK], "png", 7)
    assert str(uuid.UUID(task)) == task
    job = server.app.jobs.get(task, owner=credential.id)
    assert (job.door, job.state, job.priority) == ("fsrtwo", State.WAITING, 7)
    assert [item.name for item in job.items] == ["a", "a"]


def test_a_new_task_waits(client):
    data = client.result(client.task([LINK] * 3))
    waiting = {"image_result": "", "status": "1", "reason": ""}
    assert data["status"] == "1"
    assert data["list"] == [waiting] * 3
    assert int(data["wait_time"]) >= 1


def test_every_task_has_an_id_of_its_own(client):
    assert client.task([LINK]) != client.task([LINK])


@pytest.mark.parametrize("file_ext", ["JPG", "PNG", "jpg", "png", "Jpg", "pNg"])
@pytest.mark.parametrize("priority", [0, 9])
def test_values_taken(client, file_ext, priority):
    client.task([LINK], file_ext, priority)


@pytest.mark.parametrize("count", [1, 20])
def test_counts_taken(client, count):
    data = client.result(client.task([f"{LINK}?{n}" for n in range(count)]))
    assert len(data["list"]) == count


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"images": ...}, "images is missing"),
        ({"file_ext": ...}, "file_ext is missing"),
        ({"priority": ...}, "priority is missing"),
        ({"images": None}, "images is missing"),
        ({"file_ext": None}, "file_ext is missing"),
        ({"priority": None}, "priority is missing"),
        ({"images": []}, "images has 0 links; it must have 1 to 20"),
        ({"images": [LINK] * 21}, "images has 21 links; it must have 1 to 20"),
        ({"images": LINK}, f'images is "{LINK}"'),
        ({"images": {"0": LINK}}, "images is an object"),
        ({"images": 1}, "images is 1"),
        ({"images": True}, "images is true"),
        ({"images": [LINK, 1]}, "images[1] is 1"),
        ({"images": [None]}, "images[0] is null"),
        ({"images": [[LINK]]}, "images[0] is a list"),
        ({"images": [{"url": LINK}]}, "images[0] is an object"),
        ({"images": [LINK, ""]}, "images[1] is empty"),
        ({"file_ext": "jpeg"}, 'file_ext is "jpeg"; it must be JPG or PNG'),
        ({"file_ext": "webp"}, 'file_ext is "webp"; it must be JPG or PNG'),
        ({"file_ext": ".png"}, 'file_ext is ".png"'),
        ({"file_ext": " png"}, 'file_ext is " png"'),
        ({"file_ext": ""}, 'file_ext is ""'),
        ({"file_ext": "\ud800" * 100}, "file_ext is"),
        ({"file_ext": 1}, "file_ext is 1"),
        ({"file_ext": ["png"]}, "file_ext is a list"),
        ({"priority": -1}, "priority is -1; it must be a whole number, 0 to 9"),
        ({"priority": 10}, "priority is 10"),
        ({"priority": 10**400}, "priority is a number of very many digits"),
        ({"priority": 1.0}, "priority is 1.0"),
        ({"priority": 1.5}, "priority is 1.5"),
        ({"priority": True}, "priority is true"),
        ({"priority": False}, "priority is false"),
        ({"priority": "1"}, 'priority is "1"'),
        ({"priority": [1]}, "priority is a list"),
    ],
)
def test_bad_parameters(client, changed, hint):
    refused(send(client, **changed), 400, 680400, hint)


def test_fields_that_mean_nothing_are_let_pass(client):
    response = send(client, callback="https://example.com", model={"name": ["x"]}, Priority=99)
    assert response.json()["code"] == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/plain", None]
)
def test_whatever_the_content_type(client, content_type):
    headers = {**client.headers, "Content-Type": content_type}
    assert post(client, json.dumps(GOOD), headers).json()["code"] == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_encodings_that_json_once_had(client, encoding):
    assert post(client, json.dumps(GOOD).encode(encoding)).json()["code"] == 0


def test_a_body_in_pieces(client):
    pieces = (bytes([byte]) for byte in json.dumps(GOOD).encode())
    assert post(client, pieces).json()["code"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"images=x&file_ext=png",
        b"\xff\xfe\xfd",
        b"\x00",
        b'{"images": ["\xff"]}',
        json.dumps(GOOD).encode() + b"x",
        json.dumps(GOOD).encode() * 2,
        b"[" * 100_000,
        b'{"images":' * 50_000,
        b'{"x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"x": ' + b"9" * 100_000 + b"}",
        json.dumps({**GOOD, "x": float("nan")}).encode(),
        json.dumps({**GOOD, "x": float("-inf")}).encode(),
        json.dumps(GOOD).encode()[:-1] + b', "priority": 2}',
        json.dumps(GOOD).encode()[:-1] + b', "x": {"a": 1, "a": 1}}',
    ],
    ids=range(19),
)
def test_bodies_that_are_none(client, body):
    refused(post(client, body), 400, 680400)


def test_the_longest_body(client):
    whole = json.dumps(GOOD).encode()
    assert post(client, whole + b" " * ((1 << 20) - len(whole))).json()["code"] == 0
    refused(post(client, whole + b" " * ((1 << 20) - len(whole) + 1)), 400, 680400, "1,048,576")
    pieces = (b" " * 65536 for _ in range(17))
    refused(post(client, pieces), 400, 680400, "1,048,576")


def test_a_body_that_is_too_long_is_refused_unread(client, server):
    head = "".join(f"{name}: {value}\r\n" for name, value in client.headers.items())
    with socket.create_connection(tuple(server.host.split(":")), timeout=10) as raw:
        raw.sendall(
            f"POST /v3/pic/fsrtwo/batch HTTP/1.1\r\nHost: x\r\n{head}"
            f"Content-Length: {1 << 30}\r\n\r\n".encode()
        )
        assert raw.recv(12) == b"HTTP/1.1 400"


# -------------------------------------------------------------------- credentials


def basic(key: str, secret: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{key}:{secret}'.encode()).decode()}"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "bAsIc", "Basic   "])
def test_the_schemes_capitals_do_not_matter(client, credential, scheme):
    headers = {"Authorization": basic(credential.id, credential.secret, scheme)}
    assert post(client, json.dumps(GOOD), headers).json()["code"] == 0


def test_bad_credentials(client, credential):
    key, secret = credential.id, credential.secret
    wrong = [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(key.encode()).decode(),
        "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()[:-3],
        "Basic " + "ü",
        f"Basic {key}:{secret}",
        basic(key, secret + "x"),
        basic(key, secret[:-1]),
        basic(key, ""),
        basic(key, secret.swapcase()),
        basic(key, credential.token),
        basic("", secret),
        basic("", ""),
        basic("SRAKAAAAAAAAAAAAAAAA", secret),
        basic("SRAKAAAAAAAAAAAAAAAA", ""),
        basic("tester", secret),
        basic("ü", "ü"),
        basic(f" {key}", secret),
        basic("' OR 1=1 --", secret),
        basic("\0", secret),
        basic(key, secret, "Bearer"),
        f"Bearer {credential.token}",
    ]
    for path, method in (("/batch", "POST"), (f"/result/{uuid.uuid4()}", "GET")):
        for header in wrong:
            headers = {} if header is None else {"Authorization": header.encode("latin-1")}
            response = post(client, json.dumps(GOOD), headers, method, path)
            said = refused(response, 401, 680401)
            assert "appkey" in said
            assert secret not in response.text
            assert response.headers["www-authenticate"].startswith("Basic ")


def test_a_revoked_credential(server, newcomer):
    key, client = newcomer()
    task = client.task([LINK])
    server.access.revoke(key)
    refused(client.create([LINK]), 401, 680401)
    refused(client.poll(task), 401, 680401)


def test_who_may_not_ask_is_refused_before_the_body_comes(server):
    with socket.create_connection(tuple(server.host.split(":")), timeout=10) as raw:
        raw.sendall(
            b"POST /v3/pic/fsrtwo/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        )
        assert raw.recv(12) == b"HTTP/1.1 401"


def allow(*actions: str, resources=("*",)) -> Policy:
    return Policy.from_record(
        {
            "statements": [
                {"effect": "allow", "actions": list(actions), "resources": list(resources)}
            ]
        }
    )


def test_policy(server, newcomer):
    key, client = newcomer()
    task = client.task([LINK])
    server.access.set_policy(key, allow("superres:GetTask", resources=["fsrtwo"]))
    assert client.result(task)["status"] == "1"
    refused(client.create([LINK]), 403, 680403, "superres:CreateTask on fsrtwo")
    server.access.set_policy(key, allow("superres:CreateTask", resources=["fsrtwo"]))
    client.task([LINK])
    refused(client.poll(task), 403, 680403, "superres:GetTask on fsrtwo")
    server.access.set_policy(key, allow("superres:Upscale"))
    refused(client.create([LINK]), 403, 680403)


def test_objects_need_to_be_allowed(server, newcomer):
    key, client = newcomer()
    server.access.set_policy(key, allow("superres:*", "s3:GetObject", resources=["fsrtwo", "a/*"]))
    client.task(["s3://a/b/c.png", LINK])
    refused(client.create(["s3://a/b.png", "s3://z/b.png"]), 403, 680403, "s3:GetObject on z/b.png")
    client.task(["s3://none"])  # no object, so nothing to allow: it fails when its turn comes


# ------------------------------------------------------------------ rate and quota


def test_rate(server, newcomer):
    key, client = newcomer()
    server.access.set_plan(key, Plan(rate=0.01, burst=2))
    task = client.task([LINK])
    client.task([LINK])
    response = client.create([LINK])
    refused(response, 429, 680429, "requests per second")
    assert 1 <= int(response.headers["retry-after"]) <= 200
    for _ in range(5):  # looking costs nothing
        assert client.result(task)["status"] == "1"


def test_quota_counts_pictures(server, newcomer):
    key, client = newcomer()
    server.access.set_plan(key, Plan(quota=Quota(day=5)))
    client.task([LINK] * 3)
    response = client.create([LINK] * 3)
    refused(response, 429, 490027)
    assert int(response.headers["retry-after"]) >= 1
    task = client.task([LINK] * 2)
    refused(client.create([LINK]), 429, 490027)
    assert client.result(task)["status"] == "1"


def test_what_is_refused_costs_nothing(server, newcomer):
    key, client = newcomer()
    server.access.set_plan(key, Plan(quota=Quota(day=1)))
    refused(client.create([]), 400, 680400)
    refused(client.create([LINK], "gif"), 400, 680400)
    client.task([LINK])


def test_a_full_queue(start_server):
    server = start_server({"jobs.max_waiting": 3})
    made = server.access.create("full")
    server.access.set_plan("full", Plan(quota=Quota(day=4)))
    client = Client(server.url, made.id, made.secret)
    client.task([LINK] * 2)
    response = client.create([LINK] * 2)
    refused(response, 429, 680429, "wait")
    assert int(response.headers["retry-after"]) >= 1
    client.task([LINK])  # what was not taken is not counted either
    assert server.access.usage("full")[0].used == 3


def test_many_at_once(client):
    with ThreadPoolExecutor(8) as pool:
        tasks = list(pool.map(lambda _: client.task([LINK]), range(40)))
    assert len(set(tasks)) == 40


# ------------------------------------------------------------------------- result


@pytest.mark.parametrize(
    "task",
    [
        "6a4eab77-be30-430a-bf0e-3048042a34ef",
        "6a4eab77be30430abf0e3048042a34ef",
        "1",
        "null",
        "%00",
        "%F0%9F%98%80",
        "..",
        "'; DROP TABLE jobs; --",
        "x" * 5000,
        "{6a4eab77-be30-430a-bf0e-3048042a34ef}",
    ],
)
def test_unknown_tasks(client, task):
    refused(client.poll(task), 404, 680404)


def test_a_tasks_capitals_do_not_matter(client):
    task = client.task([LINK])
    assert client.result(task.upper()) == client.result(task)


def test_another_credentials_task_is_unknown(client, newcomer):
    task = client.task([LINK])
    _, other = newcomer()
    unknown = other.poll(str(uuid.uuid4()))
    assert refused(other.poll(task), 404, 680404) == refused(unknown, 404, 680404)


def test_another_doors_task_is_unknown(client, server, credential):
    from superres.jobs import FromUrl, NewItem, NewJob, Recipe

    job = server.app.jobs.submit(NewJob("v1", credential.id, [NewItem(FromUrl(LINK), Recipe())]))
    refused(client.poll(job.id), 404, 680404)


def test_closed(client, server, credential):
    task = client.task([LINK, LINK])
    server.app.jobs.cancel(task, owner=credential.id)
    data = client.result(task)
    assert (data["status"], data["wait_time"]) == ("5", "0")
    assert [one["status"] for one in data["list"]] == ["5", "5"]
    assert "closed" in data["list"][0]["reason"]


def test_looking_changes_nothing(client):
    task = client.task([LINK])
    seen = [client.poll(task).content for _ in range(5)]
    assert {json.loads(one)["data"]["status"] for one in seen} == {"1"}
    assert {json.dumps(json.loads(one)["data"]["list"]) for one in seen} == {
        json.dumps([{"image_result": "", "status": "1", "reason": ""}])
    }


# ------------------------------------------------------------- other addresses, methods


@pytest.mark.parametrize(
    "path",
    ["", "/", "/batch/", "/batches", "/result", "/result/", "/result/a/b", "/%FF", "//batch"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PROPFIND"])
def test_addresses_that_are_none(client, path, method):
    refused(post(client, b"", method=method, path=path), 404, 680404)


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/batch", {"POST", "OPTIONS"}), ("/result/x", {"GET", "HEAD", "OPTIONS"})],
)
def test_methods(client, path, methods):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - methods:
        response = post(client, b"", method=method, path=path)
        refused(response, 405, 680405)
        assert set(response.headers["allow"].split(", ")) == methods
    response = post(client, b"", method="OPTIONS", path=path)
    assert (response.status_code, response.content) == (204, b"")
    assert set(response.headers["allow"].split(", ")) == methods


def test_head(client):
    task = client.task([LINK])
    response = post(client, b"", method="HEAD", path=f"/result/{task}")
    assert (response.status_code, response.content) == (200, b"")
    assert post(client, b"", method="HEAD", path="/result/x").status_code == 404


def test_the_other_addresses_of_v3_are_not_ours(server):
    response = requests.get(f"{server.url}/v3/pic/other", timeout=PATIENCE)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


# ------------------------------------------------------------------------- clients


def test_curl(server, credential, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "body").write_text(json.dumps(GOOD))
    user = f"{credential.id}:{credential.secret}"

    def curl(*words: str) -> dict:
        command = ["curl", "-sS", "-u", user, *words]
        run = subprocess.run(command, capture_output=True, timeout=60, cwd=tmp_path)
        assert (run.returncode, run.stderr) == (0, b"")
        return json.loads(run.stdout)

    url = f"{server.url}/v3/pic/fsrtwo"
    made = curl("-H", "Content-Type: application/json", "-d", "@body", f"{url}/batch")
    assert made["code"] == 0
    seen = curl(f"{url}/result/{made['data']['task_id']}")
    assert seen["data"]["status"] == "1"


def test_a_page_of_another_site_reaches_no_allowed_network(client, server, credential):
    """Browsers send a password they know along for every page that asks."""

    def trusted(headers) -> bool:
        body = json.dumps({**GOOD, "images": ["http://127.0.0.1/a.png"]})
        task = post(client, body, {**client.headers, **headers}).json()["data"]["task_id"]
        from sqlalchemy import select

        from superres.database import reading
        from superres.jobs.tables import job_items

        with reading(server.app.database) as connection:
            source = connection.scalar(select(job_items.c.source).where(job_items.c.job_id == task))
        return json.loads(source)["trusted"]

    assert trusted({}) is True
    assert trusted({"Origin": server.url}) is True
    assert trusted({"Origin": "https://evil.example"}) is False
