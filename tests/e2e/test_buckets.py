"""The bucket service as a whole: killed, filled, starved, and asked rudely."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
import urllib3
from sqlalchemy import inspect

from superres.access import open_access
from superres.database import migrate, open_database
from tests.dialects.cloud_infinite.client import Client, head
from tests.e2e import bucketful
from tests.e2e.chaos import number_in, numbered
from tests.e2e.fleet import Fleet, Member, database_of_its_own, fleet
from tests.e2e.ledger import md5
from tests.e2e.remains import leftovers
from tests.e2e.service import everything, until
from tests.e2e.service import head as answered
from tests.e2e.trouble import PrivateServer, Relay, fill, peak, small_disk
from tests.s3_server import new_bucket

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")
SEED = int(os.environ.get("SUPERRES_TEST_SEED", "0")) or secrets.randbelow(10**6) + 1
KEY = "c3VwZXJyZXMgc3VwZXJyZXMgc3VwZXJyZXMgc3VwZXI="
MB = 1_000_000
SUPER = {"ci-process": "AISuperResolution", "magnify": "4"}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """One machine: everything in one folder."""
    with fleet(tmp_path) as made:
        yield made


@pytest.fixture
def far_apart(
    tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fleet]:
    """Machines that share no disk: PostgreSQL, and a server that speaks S3."""
    if not POSTGRES:
        pytest.skip("SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store = f"s3://{new_bucket(s3)}/superres"
    with (
        database_of_its_own(POSTGRES) as url,
        fleet(tmp_path, database_url=url, storage_url=store, settings={"access.key": KEY}) as made,
    ):
        yield made


def at(server: Member, bucket: str = bucketful.NAME) -> Client:
    """Somebody with a new bucket."""
    credential = server.new_credential(bucket)
    client = bucketful.client_of(urlsplit(server.url).netloc, credential, bucket)
    assert client("PUT").status == 200
    return client


def keys(client: Client) -> list[str]:
    return sorted(bucketful.listed(client))


def is_there(client: Client, key: str, content: bytes) -> bool:
    """Whether an object is there, whole, and as it is listed."""
    answer = client("GET", key)
    return answer.body == content and bucketful.listed(client)[key] == md5(content)


def begun(
    client: Client, method: str, key: str, query: Mapping[str, str] | None = None, **headers: str
) -> socket.socket:
    """A request whose header was sent; its body and its answer are the caller's."""
    target = f"/{quote(key)}" + (f"?{urlencode(query)}" if query else "")
    name, _, port = client.address.partition(":")
    there = socket.create_connection((name, int(port)), timeout=60)
    there.sendall(head(method, target, client.signed(method, key, query, **headers)))
    return there


def status_of(there: socket.socket) -> int:
    """Of the answer, read to its end."""
    answer = everything(there)
    there.close()
    return int(answer[9:12]) if answer else 0


def ended(fleet: Fleet) -> None:
    """All servers end in peace, nothing is left of anything, and nobody was surprised."""
    for member in fleet.members:
        member.stop()
    assert leftovers(fleet) == []
    said = "".join(member.everything_said() for member in fleet.members)
    for word in ("unexpected error", "damaged", "Traceback"):
        assert word not in said, said


# ---------------------------------------------------------------- kill -9


def raged(fleet: Fleet) -> None:
    ledger = bucketful.rage(fleet, SEED)
    for member in fleet.members:
        member.stop()
    ledger.wrong += leftovers(fleet)
    said = "".join(member.everything_said() for member in fleet.members)
    assert not ledger.wrong, "\n".join([f"seed {SEED}", *ledger.wrong[:40], fleet.told()])
    assert "unexpected error" not in said
    assert "damaged" not in said


@pytest.mark.slow
def test_killed_while_a_bucket_is_used(alone: Fleet) -> None:
    alone.add("serve")
    raged(alone)


@pytest.mark.slow
def test_killed_while_a_bucket_is_used_on_two_machines(far_apart: Fleet) -> None:
    far_apart.add("serve", "a")
    far_apart.add("serve", "b")
    raged(far_apart)


# ---------------------------------------------------------------- memory


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
@pytest.mark.parametrize("where", ["alone", "far_apart"])
def test_a_large_object_in_parts_needs_little_memory(
    where: str, request: pytest.FixtureRequest
) -> None:
    fleet: Fleet = request.getfixturevalue(where)
    server = fleet.add("serve")
    fleet.start()
    client = at(server)
    idle = peak(server.process.pid)
    upload_id = client("POST", "large", {"uploads": ""}).xml.findtext("UploadId")
    whole, sent = hashlib.md5(usedforsecurity=False), bucketful.Sent(upload_id)
    for number in range(1, 5):
        part = bytes([number]) * 75 * MB
        query = {"partNumber": str(number), "uploadId": upload_id}
        assert client("PUT", "large", query, part).status == 200
        whole.update(part)
        sent.etags.append(md5(part))
    answer = client("POST", "large", {"uploadId": upload_id}, sent.completion)
    assert answer.xml.findtext("ETag").endswith('-4"')
    got = client.pool.urlopen(
        "GET", "/large", None, client.signed("GET", "large"), preload_content=False
    )
    back = hashlib.md5(usedforsecurity=False)
    for piece in got.stream(1 << 20):
        back.update(piece)
    assert back.hexdigest() == whole.hexdigest()
    most = peak(server.process.pid)
    # One part alone would be more.
    assert most - idle < 60 * MB, f"{idle:,}, then {most:,} bytes"
    assert most < 200 * MB, f"{most:,} bytes"
    ended(fleet)


# ---------------------------------------------------------------- no room


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    """The database, the objects, what arrives: everything is on one disk, and it is full."""
    with small_disk(tmp_path / "machines" / "a", "32m"), fleet(tmp_path) as alone:
        server = alone.add("serve")
        alone.start()
        client = at(server)
        old, picture = secrets.token_bytes(2 * MB), numbered(7)
        assert client("PUT", "old", body=old).status == 200
        assert client("PUT", "picture", body=picture).status == 200
        upload_id = client("POST", "parts", {"uploads": ""}).xml.findtext("UploadId")
        part = {"partNumber": "1", "uploadId": upload_id}
        # It ends in the middle of a body.
        large = secrets.token_bytes(40 * MB)
        assert client("PUT", "old", body=large).refusal == (500, "InternalError")
        until(lambda: server.in_flight() == [])
        # It is full before anything comes.
        filler = fill(server.data)
        attempts = [
            client("PUT", "old", body=b"x" * MB),
            client("PUT", "new", body=b"x" * MB),
            client("PUT", "parts", part, b"x" * MB),
            client("PUT", "copy", **{"x-cos-copy-source": f"{client.host}/old"}),
            client("PUT", "a.png", body=picture, **bucketful.operations(("b.png", 2))),
            client("POST", "picture", {"image_process": ""}, **bucketful.operations(("b.png", 2))),
            client("GET", "picture", SUPER),
        ]
        for answer in attempts:
            assert answer.refusal == (500, "InternalError")
            assert "room" in answer.xml.findtext("Message"), answer.body
        # What was there is there.
        assert keys(client) == ["old", "picture"]
        assert is_there(client, "old", old)
        assert client("GET", "parts", {"uploadId": upload_id}).texts("Part") == []
        filler.unlink()
        assert client("PUT", "new", body=b"new").status == 200
        assert client("PUT", "parts", part, b"part").status == 200
        sent = bucketful.Sent(upload_id, [md5(b"part")])
        assert client("POST", "parts", {"uploadId": upload_id}, sent.completion).status == 200
        assert number_in(client("GET", "picture", SUPER).body) == 7
        assert is_there(client, "old", old)
        assert client("DELETE", "old").status == 204
        assert keys(client) == ["new", "parts", "picture"]
        server.stop()
        assert leftovers(alone) == []
        assert "unexpected error" not in server.said()


# ---------------------------------------------------------------- something goes away


@pytest.mark.slow
def test_the_database_goes_away(tmp_path: Path) -> None:
    """What is read is read to its end, what is written is refused, and later all is as before."""
    store = (tmp_path / "store").as_uri()
    with (
        PrivateServer.started() as database,
        fleet(tmp_path, database_url=database.url, storage_url=store) as made,
    ):
        server = made.add("serve")
        made.start()
        client = at(server)
        old = secrets.token_bytes(20 * MB)
        assert client("PUT", "old", body=old).status == 200
        upload_id = client("POST", "parts", {"uploads": ""}).xml.findtext("UploadId")
        with (
            begun(client, "GET", "old", connection="close") as reading,
            begun(client, "PUT", "old", content_length="8", connection="close") as writing,
        ):
            first = reading.recv(1000)
            writing.sendall(b"half")
            time.sleep(0.5)  # it waits for the rest
            database.stop()
            writing.sendall(b"half")
            answer = everything(writing)
            assert answer.startswith(b"HTTP/1.1 500 "), answer
            assert b"<Code>InternalError</Code>" in answer
            assert (first + everything(reading)).endswith(b"\r\n\r\n" + old)
        for method, key, query in (
            ("GET", "old", None),
            ("PUT", "new", None),
            ("DELETE", "old", None),
            ("GET", "", None),
            ("PUT", "parts", {"partNumber": "1", "uploadId": upload_id}),
            ("DELETE", "parts", {"uploadId": upload_id}),
        ):
            body = b"new" if method == "PUT" else None
            assert client(method, key, query, body).refusal == (500, "InternalError")
        assert client("HEAD", "old").status == 500
        database.start()
        until(lambda: client("HEAD", "old").status == 200, server.said)
        assert keys(client) == ["old"]
        assert is_there(client, "old", old)
        assert client("PUT", "new", body=b"new").status == 200
        assert client("GET", "parts", {"uploadId": upload_id}).texts("Part") == []
        assert client("DELETE", "parts", {"uploadId": upload_id}).status == 204
        assert server.alive
        server.stop()
        assert leftovers(made) == []
        assert "unexpected error" not in server.said()


@pytest.mark.slow
def test_the_store_goes_away(
    tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(urlsplit(s3["AWS_ENDPOINT_URL"]).port)
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{relay.port}")
    relay.come()
    with fleet(tmp_path, storage_url=f"s3://{new_bucket(s3)}/superres") as made:
        server = made.add("serve")
        made.start()
        client = at(server)
        old, picture = secrets.token_bytes(40 * MB), numbered(7)
        assert client("PUT", "old", body=old).status == 200
        assert client("PUT", "a.png", body=picture).status == 200
        with begun(client, "GET", "old", connection="close") as reading:
            received = reading.recv(1000)
            relay.go()
            # Cut, as its promised length was not reached: nobody takes it for the whole.
            received += everything(reading)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert len(received) < len(old)
        refused = [
            client("GET", "old"),
            client("GET", "a.png", SUPER),
            client("PUT", "old", body=b"new"),
            client("PUT", "a.png", body=picture, **bucketful.operations(("b.png", 2))),
        ]
        assert [answer.refusal for answer in refused] == [(500, "InternalError")] * 4
        # What needs no bytes goes on.
        assert keys(client) == ["a.png", "old"]
        assert client("HEAD", "old").status == 200
        relay.come()
        assert is_there(client, "old", old)
        assert number_in(client("GET", "a.png", SUPER).body) == 7
        assert client("PUT", "old", body=b"new").status == 200
        server.stop()
        assert leftovers(made) == []
        assert "unexpected error" not in server.said()
    relay.go()


# ---------------------------------------------------------------- rude clients


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    settings = {"server.body_timeout": 2, "server.header_timeout": 4}
    with fleet(tmp_path_factory.mktemp("impatient"), settings=settings) as made:
        server = made.add("serve")
        made.start()
        yield server
        ended(made)


def test_bodies_that_end_too_early(impatient: Member) -> None:
    client, server = at(impatient, "early-1"), impatient
    assert client("PUT", "old", body=b"old").status == 200
    upload_id = client("POST", "parts", {"uploads": ""}).xml.findtext("UploadId")
    part = {"partNumber": "1", "uploadId": upload_id}
    length = {"content_length": str(3 * MB)}
    chunked = {"transfer_encoding": "chunked"}
    half, chunk = b"x" * MB, b"%x\r\n" % MB + b"x" * MB + b"\r\n"
    for key, query in (("old", None), ("new", None), ("parts", part)):
        for how, sent in ((length, half), (chunked, chunk), (length, b"")):
            with begun(client, "PUT", key, query, **how) as there:
                there.sendall(sent)
            with begun(client, "PUT", key, query, **how) as there:  # with a reset
                there.sendall(sent)
                there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with begun(client, "PUT", key, query, **how) as there:  # half is closed
                there.sendall(sent)
                there.shutdown(socket.SHUT_WR)
                assert status_of(there) in (0, 400)
    # One that goes on waiting is told; with a length it may have sent all it has.
    for how, sent in ((length, half), (chunked, chunk)):
        with begun(client, "PUT", "new", None, connection="close", **how) as there:
            there.sendall(sent)
            answer = everything(there)
            assert answer.startswith(b"HTTP/1.1 400 "), answer
            assert b"<Code>RequestTimeout</Code>" in answer
    # One that sends more than it said has written as much as it said.
    with begun(client, "PUT", "less", None, content_length="3") as there:
        there.sendall(b"abc")
        assert answered(there).startswith(b"HTTP/1.1 200 ")
        there.sendall(b"def")
        assert everything(there).startswith(b"HTTP/1.1 400 ")
    until(lambda: server.in_flight() == [], server.in_flight)
    assert keys(client) == ["less", "old"]
    assert is_there(client, "old", b"old")
    assert is_there(client, "less", b"abc")
    assert client("GET", "parts", {"uploadId": upload_id}).texts("Part") == []


@pytest.mark.slow
def test_two_hundred_slow_clients(impatient: Member) -> None:
    """Some send little, some take nothing: others are served meanwhile, and they are let go."""
    client, server = at(impatient, "slow-1"), impatient
    large = secrets.token_bytes(16 * MB)
    assert client("PUT", "large", body=large).status == 200
    with contextlib.ExitStack() as stack:
        slow = []
        for number in range(100):
            slow.append(begun(client, "PUT", f"slow/{number}", content_length=str(MB)))
            slow[-1].sendall(b"x" * 1000)
            there = socket.socket()
            there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            there.connect(server.address)
            there.sendall(head("GET", "/large", client.signed("GET", "large")))
            slow.append(there)
        for there in slow:
            stack.enter_context(there)
        for number in range(10):
            assert client("PUT", "quick", body=b"%d" % number).status == 200
            assert client("GET", "quick").body == b"%d" % number
        assert md5(client("GET", "large").body) == md5(large)
        held = {Path(f.path).parts[-3:-2] for p in server.processes()[:1] for f in p.open_files()}
        assert ("objects",) in held
        # They are given up one by one, and none has written anything.
        until(lambda: server.in_flight() == [], server.in_flight)
        until(lambda: len(server.processes()[0].net_connections()) < 40, server.said)
    assert keys(client) == ["large", "quick"]
    assert peak(server.process.pid) < 600 * MB


# ---------------------------------------------------------------- SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["finished", "not in time"])
def test_asked_to_stop(alone: Fleet, whole: bool) -> None:
    server = alone.add("serve", server__shutdown_timeout=30 if whole else 1)
    alone.start()
    client = at(server)
    assert client("PUT", "a.png", body=numbered(7)).status == 200
    alone.hold()
    with (
        ThreadPoolExecutor(1) as pool,
        begun(client, "PUT", "new", content_length="8") as writing,
        begun(client, "PUT", "other.png", content_length="8") as idle,
    ):
        enlarged = pool.submit(client, "GET", "a.png", SUPER)
        writing.sendall(b"half")
        until(lambda: server.metric("superres_running") == 1, server.said)
        until(lambda: len(server.in_flight()) >= 3, server.in_flight)
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        if whole:
            time.sleep(1)
            writing.sendall(b"half")
            assert everything(writing).startswith(b"HTTP/1.1 200 ")
            idle.close()
            alone.release()
            assert number_in(enlarged.result().body) == 7
        else:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                assert enlarged.result().status in (500, 503)
            assert status_of(writing) in (0, 500, 503)
        assert server.ended() == 0, server.said()
        assert time.monotonic() - began < 30
    alone.release()
    server.start()
    assert keys(client) == (["a.png", "new"] if whole else ["a.png"])
    if whole:
        assert is_there(client, "new", b"halfhalf")
    assert number_in(client("GET", "a.png", SUPER).body) == 7
    ended(alone)


# ---------------------------------------------------------------- an older one's database


def test_a_database_of_before_there_were_buckets(
    alone: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = alone.add("serve")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "HEAD", "0002")
        before = open_database(alone.seen_from_outside)
    made = open_access(alone.seen_from_outside, before).create("who was there")
    assert "buckets" not in inspect(before).get_table_names()
    before.dispose()
    alone.start()
    assert "version 0003" in server.said()
    client = bucketful.client_of(
        urlsplit(server.url).netloc, {"id": made.id, "secret": made.secret}
    )
    assert client("PUT").status == 200
    assert client("PUT", "a.png", body=numbered(7)).status == 200
    assert number_in(client("GET", "a.png", SUPER).body) == 7
    ended(alone)
