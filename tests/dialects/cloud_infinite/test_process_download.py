"""Super resolution on download: what is answered, what is kept, what is made once for many."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from superres.access import Plan, Policy, Quota, Statement
from superres.buckets.derived import DerivedPictures
from superres.errors import OutputError, SourceRefused
from superres.server.dialects.cloud_infinite.call import Query
from superres.server.dialects.cloud_infinite.downloads import address_in
from tests.dialects.cloud_infinite.client import Answer, Client, head
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.cloud_infinite.making import (
    PROCESS,
    GatedEngine,
    Watched,
    md5,
    opened,
    picture,
    saved,
    until,
)
from tests.dialects.conftest import RunningServer


@pytest.fixture(scope="module")
def executor() -> Watched:
    return Watched(GatedEngine())


@pytest.fixture(scope="module")
def server(start_server, executor) -> RunningServer:
    return start_server({"sources.allow_networks": ["127.0.0.0/8"]}, executor)


@pytest.fixture
def bucket(server, owner) -> str:
    """One for each test."""
    return server.app.buckets.create(new_name(), owner.id).name


@pytest.fixture
def client(owner, bucket) -> Client:
    return owner.on(bucket)


@pytest.fixture
def held(executor):
    """Nothing is computed until the test ends, or lets it."""
    executor.engine.gate.clear()
    yield executor
    executor.engine.gate.set()
    until(lambda: executor.idle)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web site with a picture."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "a b.png").write_bytes(picture(10, 10))
    (folder / "page.html").write_bytes(b"<html></html>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def put(client: Client, key: str, content: bytes) -> None:
    assert client("PUT", key, body=content).status == 200


def got(client: Client, key: str = "a.png", magnify: int | None = None, **headers: str) -> Answer:
    query = PROCESS | ({} if magnify is None else {"magnify": str(magnify)})
    answer = client("GET", key, query, **headers)
    assert answer.status == 200, answer.body
    return answer


def used(server: RunningServer, client: Client) -> int:
    return server.access.usage(client.id)[0].used


# --- what is answered ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_png_whatever_it_is_made_of(client, kind):
    sent = picture(kind=kind)
    put(client, "a", sent)
    for magnify, size in ((None, (40, 24)), (2, (40, 24)), (4, (80, 48))):
        answer = got(client, "a", magnify)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.headers["etag"] == f'"{md5(answer.body)}"'
        assert answer.headers["server"] == "tencent-cos"
        image = opened(answer.body)
        assert (image.format, image.size) == ("PNG", size)
    pixels = np.asarray(opened(got(client, "a").body), int)
    assert np.abs(pixels[::2, ::2] - np.asarray(opened(sent), int)).max() <= 1


def test_how_long_it_took_is_told_by_who_made_it(client):
    put(client, "a.png", picture())
    first, second = got(client), got(client)
    assert {"x-queue-time", "x-inference-time"} <= set(first.headers)
    assert "x-queue-time" not in second.headers
    assert first.body == second.body


def test_head_tells_what_get_would(client):
    put(client, "a.png", picture())
    for _ in range(2):
        answer = client("HEAD", "a.png", PROCESS)
        whole = got(client)
        assert (answer.status, answer.body) == (200, b"")
        for name in ("content-type", "content-length", "etag", "last-modified"):
            assert answer.headers[name] == whole.headers[name]


def test_a_client_that_has_it_already(client, executor):
    put(client, "a.png", picture())
    known = got(client).headers
    before = executor.count
    for condition in (
        {"If_None_Match": known["etag"]},
        {"If_None_Match": '"other", ' + known["etag"]},
        {"If_Modified_Since": known["last-modified"]},
    ):
        answer = client("GET", "a.png", PROCESS, **condition)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == known["etag"]
    own = client("HEAD", "a.png").headers["etag"]
    assert got(client, If_None_Match=own).headers["etag"] == known["etag"] != own
    assert executor.count == before


@pytest.mark.parametrize(
    "query",
    [
        {"magnify": "3"},
        {"magnify": ""},
        {"magnify": "two"},
        {"magnify": "2.0"},
        {"ci-process": "AIImageColoring"},
        {"ci-process": ""},
        {"ci-process": "aisuperresolution"},
    ],
)
def test_what_is_not_offered(client, query):
    put(client, "a.png", picture())
    assert client("GET", "a.png", PROCESS | query).refusal == (400, "InvalidArgument")
    answer = client("HEAD", "a.png", PROCESS | query)
    assert (answer.status, answer.body) == (400, b"")


def test_no_picture_is_named(client):
    assert client("GET", "", PROCESS).refusal == (400, "InvalidArgument")
    assert client("GET", "", PROCESS | {"detect-url": ""}).refusal == (400, "InvalidArgument")


def test_an_object_that_is_not_there(client):
    assert client("GET", "a.png", PROCESS).refusal == (404, "NoSuchKey")


def test_a_large_answer(client):
    """It is sent in pieces, from a file whose folder is gone by then; then from what is kept."""
    noise = np.random.default_rng(0).integers(0, 256, (700, 600, 3), np.uint8)
    put(client, "a.png", saved(Image.fromarray(noise)))
    first, second = got(client), got(client)
    assert len(first.body) > 1 << 20
    assert first.body == second.body
    assert np.array_equal(np.asarray(opened(first.body))[::2, ::2], noise)


# --- what is kept -------------------------------------------------------------------------


def test_the_second_time_nothing_is_made(client, executor):
    put(client, "a.png", picture())
    before = executor.count
    first = got(client)
    assert executor.count == before + 1
    assert [got(client).body for _ in range(3)] == [first.body] * 3
    assert got(client, magnify=2).body == first.body
    assert executor.count == before + 1
    assert got(client, magnify=4).body != first.body
    assert executor.count == before + 2


def test_it_goes_with_the_object(client, executor):
    put(client, "a.png", picture())
    got(client)
    put(client, "a.png", picture(10, 10))
    assert opened(got(client).body).size == (20, 20)
    before = executor.count
    client("DELETE", "a.png")
    assert client("GET", "a.png", PROCESS).refusal == (404, "NoSuchKey")
    put(client, "a.png", picture(10, 10))
    got(client)
    assert executor.count == before + 1


def test_another_object_of_the_same_content_is_another(client, executor):
    put(client, "a.png", picture())
    put(client, "b.png", picture())
    before = executor.count
    assert got(client, "a.png").body == got(client, "b.png").body
    assert executor.count == before + 2


def test_what_is_kept_costs_no_quota(server):
    client = somebody(server)
    server.access.set_plan(client.id, Plan(rate=0.001, burst=4, quota=Quota(day=1)))
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    put(client, "a.png", picture())
    for _ in range(3):
        got(client)
    assert used(server, client) == 1
    spent = client("GET", "a.png", PROCESS | {"magnify": "4"})
    assert spent.refusal == (403, "QuotaExceeded")
    assert int(spent.headers["retry-after"]) > 0
    # The rate counts it all the same.
    assert client("GET", "a.png", PROCESS).refusal == (503, "SlowDown")


def test_who_may_not_read_the_object_may_not_read_what_is_kept(server, client, bucket):
    put(client, "a.png", picture())
    got(client)
    for statements in ([("ci:*", "*")], [("cos:GetObject", f"{bucket}/*")]):
        policy = Policy(tuple(Statement("allow", (a,), (r,)) for a, r in statements))
        friend = somebody(server, policy).on(bucket)
        assert friend("GET", "a.png", PROCESS).refusal == (403, "AccessDenied")
    server.app.buckets.enable_processing(bucket, on=False)
    assert client("GET", "a.png", PROCESS).refusal == (403, "NoProcessAuthority")


@pytest.mark.parametrize("setting", ["cloud_infinite.cache", "buckets.max_derived_bytes"])
def test_nothing_is_kept(start_server, setting):
    executor = Watched(GatedEngine())
    server = start_server({setting: False if "cache" in setting else 10}, executor)
    client = somebody(server)
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    put(client, "a.png", picture())
    first = got(client)
    assert got(client).body == first.body
    assert executor.count == 2
    until(lambda: list(server.app.spool.iterdir()) == [])


def test_what_cannot_be_kept_is_answered(client, executor, monkeypatch):
    put(client, "a.png", picture())

    def full(*_: object) -> None:
        raise OutputError("There is no room left.")

    with monkeypatch.context() as patch:
        patch.setattr(DerivedPictures, "keep", full)
        first = got(client)
    before = executor.count
    assert got(client).body == first.body
    assert executor.count == before + 1


def test_what_is_kept_and_damaged_is_made_anew(server, client, executor):
    put(client, "a.png", picture(seed=7))
    first = got(client)
    store = Path(server.app.settings.server.data_dir)
    (kept,) = [
        each for each in store.rglob("*") if each.is_file() and each.read_bytes() == first.body
    ]
    kept.chmod(0o600)
    kept.write_bytes(bytes(len(first.body)))
    before = executor.count
    assert got(client).body == first.body
    assert executor.count == before + 1
    assert got(client).body == first.body
    assert executor.count == before + 1


# --- many at once ---------------------------------------------------------------------------


def asking(pool: ThreadPoolExecutor, client: Client, count: int) -> list[Future[Answer]]:
    return [pool.submit(client, "GET", "a.png", PROCESS) for _ in range(count)]


def test_asked_at_the_same_time_it_is_made_once(server, held):
    client = somebody(server)
    server.access.set_plan(client.id, Plan(quota=Quota(day=100)))
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    put(client, "a.png", picture())
    before = held.count
    with ThreadPoolExecutor(8) as pool:
        answers = asking(pool, client, 8)
        until(lambda: held.count == before + 1)
        time.sleep(0.2)
        held.engine.gate.set()
        bodies = {each.result().body for each in answers}
    (body,) = bodies
    assert opened(body).size == (40, 24)
    assert held.count == before + 1
    assert used(server, client) == 1
    until(lambda: list(server.app.spool.iterdir()) == [])


def test_many_rounds_of_many(server, client, executor):
    """However it falls out: one is made, and everybody has it."""
    before = executor.count
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(10):
            put(client, "a.png", picture(seed=round_))
            bodies = {each.result().body for each in asking(pool, client, 8)}
            assert len(bodies) == 1
    assert executor.count == before + 10


def leaving(client: Client):
    """A client that asks, and is not there for the answer."""
    there = client.connection()
    connection = there.__enter__()
    headers = client.signed("GET", "a.png", PROCESS)
    connection.sendall(head("GET", "/a.png?ci-process=AISuperResolution", headers))
    return partial(there.__exit__, None, None, None)


@pytest.mark.parametrize("first", [True, False])
def test_one_that_goes_away_stops_nobody(client, held, first):
    put(client, "a.png", picture())
    before = held.count
    with ThreadPoolExecutor(2) as pool:
        if first:
            leave = leaving(client)
            until(lambda: held.count == before + 1)
            stays = asking(pool, client, 2)
        else:
            stays = asking(pool, client, 2)
            until(lambda: held.count == before + 1)
            leave = leaving(client)
        time.sleep(0.2)
        leave()
        time.sleep(0.2)
        held.engine.gate.set()
        assert [each.result().status for each in stays] == [200, 200]
    assert held.count == before + 1
    assert held.tickets[-1].stopping is None


def test_when_all_go_away_it_is_stopped(server, client, held):
    put(client, "a.png", picture())
    before = held.count
    leave = [leaving(client) for _ in range(3)]
    until(lambda: held.count == before + 1)
    time.sleep(0.1)
    for each in leave[:2]:
        each()
    time.sleep(0.1)
    assert held.tickets[-1].stopping is None
    leave[2]()
    until(lambda: held.tickets[-1].stopping)
    held.engine.gate.set()
    until(lambda: list(server.app.spool.iterdir()) == [])
    assert opened(got(client).body).size == (40, 24)


def test_a_failure_is_told_to_all(server, held):
    client = somebody(server)
    server.access.set_plan(client.id, Plan(quota=Quota(day=100)))
    client = client.on(server.app.buckets.create(new_name(), client.id).name)
    put(client, "a.png", picture())
    before = held.count
    held.engine.broken = True
    with ThreadPoolExecutor(4) as pool:
        answers = asking(pool, client, 4)
        until(lambda: held.count == before + 1)
        time.sleep(0.2)
        held.engine.gate.set()
        assert {each.result().refusal for each in answers} == {(500, "InternalError")}
    held.engine.broken = False
    assert held.count == before + 1
    assert used(server, client) == 0
    got(client)


# --- another site's pictures ------------------------------------------------------------------


@pytest.mark.parametrize("times", range(6))
def test_detect_url_is_decoded_until_it_is_an_address(client, site, executor, times):
    address = f"{site}/a%20b.png"
    for _ in range(times):
        address = quote(address, safe="")
    for key in ("", "not/there.png"):
        before = executor.count
        answer = client("GET", key, PROCESS | {"detect-url": address, "magnify": "4"})
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["etag"] == f'"{md5(answer.body)}"'
        assert opened(answer.body).size == (40, 40)
        assert executor.count == before + 1  # it is never kept


def test_head_of_another_sites_picture(client, site):
    answer = client("HEAD", "", PROCESS | {"detect-url": f"{site}/a%20b.png"})
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/a.png",
        "file:///etc/passwd",
        "s3://superres/a.png",
        "data:image/png;base64,AAAA",
        "www.example.com/abc.jpg",
        "%",
        "{site}/missing.png",
    ],
)
def test_addresses_that_are_refused(client, site, address):
    answer = client("GET", "", PROCESS | {"detect-url": address.replace("{site}", site)})
    assert answer.refusal == (400, "InvalidImageSource")


def test_a_page_is_no_picture(client, site):
    answer = client("GET", "", PROCESS | {"detect-url": f"{site}/page.html"})
    assert answer.refusal == (400, "InvalidImageFormat")


def test_another_sites_picture_needs_the_rights_and_costs_quota(server, site):
    ask = PROCESS | {"detect-url": f"{site}/a%20b.png"}
    client = somebody(server)
    server.access.set_plan(client.id, Plan(quota=Quota(day=1)))
    bucket = server.app.buckets.create(new_name(), client.id).name
    for what, status in (("x/*", 403), ("y/*", 200)):
        resource = (f"{bucket}/{what}",)
        allowed = ("cos:GetObject", "ci:CreateSuperResolutionJob")
        friend = somebody(server, Policy((Statement("allow", allowed, resource),))).on(bucket)
        assert friend("GET", "y/any.png", ask).status == status
    client = client.on(bucket)
    assert client("GET", "", ask).status == 200
    assert client("GET", "", ask).refusal == (403, "QuotaExceeded")
    server.app.buckets.enable_processing(bucket, on=False)
    assert client("GET", "", ask).refusal == (403, "NoProcessAuthority")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", None),
        ("http://www.example.com/abc.jpg", "http://www.example.com/abc.jpg"),
        ("http%3A%2F%2Fwww.example.com%2Fabc.jpg", "http://www.example.com/abc.jpg"),
        ("https%253A%252F%252Fa.de%252Fb%252520c", "https://a.de/b%20c"),
        # What is an address already keeps its escapes.
        ("http://a.de/100%2525.png", "http://a.de/100%25.png"),
        ("HTTP://a.de/x", "HTTP://a.de/x"),
    ],
)
def test_address(given, address):
    assert address_in(Query(f"detect-url={given}".encode())) == address


def test_an_address_that_is_escaped_for_ever():
    given = "http://a.de/"
    for _ in range(8):
        given = quote(given, safe="")
    with pytest.raises(SourceRefused):
        address_in(Query(f"detect-url={given}".encode()))
