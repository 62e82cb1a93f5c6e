"""Telling that a job has ended, to real servers that take it, or do not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import multiprocessing
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dbos import DBOSClient
from sqlalchemy import Connection
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from superres.database.clock import now
from superres.errors import StorageError
from superres.jobs.deliveries import PAUSES
from superres.jobs.queue import schema_of, tell_id
from superres.settings import SourcesSettings
from superres.sources import Sources
from tests.unit.database.places import ENGINES, place
from tests.unit.jobs.telling import Service, run, say
from tests.unit.sources.servers import Answer, Server, redirect, reply, serve, silent, taking

OK, BROKEN = reply(b"thanks"), reply(b"", "500 x")


@pytest.fixture(scope="module", params=ENGINES)
def service(request, tmp_path_factory) -> Iterator[Service]:
    """For all tests that look at jobs of their own alone."""
    with place(request.param, tmp_path_factory.mktemp("service")) as settings:
        service = Service(settings)
        yield service
        service.close()


@pytest.fixture
def alone(where) -> Iterator[Service]:
    """One whose tries are all made by processes of the test's."""
    service = Service(where)
    yield service
    service.close()


class Listener:
    """A server that answers in turn, the last answer for ever; ``bodies`` is what it was told."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.bodies: list[bytes] = []
        self.server: Server | None = None

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        with serve(taking(self.bodies, self._answer)) as self.server:
            yield self

    @property
    def url(self) -> str:
        return self.server.url("/hook")

    @property
    def heads(self) -> list[dict[str, str]]:
        """The header fields of each request, by name in lower case."""
        heads = [head.partition(b"\r\n\r\n")[0].decode() for head in self.server.requests]
        split = [[line.split(": ", 1) for line in head.split("\r\n")[1:]] for head in heads]
        return [{name.lower(): value for name, value in fields} for fields in split]

    def _answer(self, stream, head) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer(stream, head)


@contextmanager
def listen(*answers: Answer) -> Iterator[Listener]:
    with Listener(*answers).listening() as listener:
        yield listener


def delays(service: Service, job_id: str) -> list[float]:
    """Seconds that tries of a job wait for, in their order."""
    client = DBOSClient(
        system_database_engine=service.database, dbos_system_schema=schema_of(service.database)
    )
    try:
        flows = client.list_workflows(status="DELAYED", workflow_id_prefix=f"{job_id}.tell.")
    finally:
        client.destroy()
    flows.sort(key=lambda flow: flow.workflow_id)
    return [(flow.delay_until_epoch_ms - flow.created_at) / 1000 for flow in flows]


# ------------------------------------------------------------------ what is told, and to whom


def test_it_is_told(service):
    with listen(OK) as listener:
        job_id = service.ended(listener.url)
        assert service.outcome(job_id) == ("waiting", 0, None)
        before = service.row(job_id).version
        service.deliveries().attempt(job_id, 1)
    assert listener.bodies == [say(service.jobs.get(job_id, owner=""))]
    [head] = listener.heads
    assert head["content-type"] == "application/json"
    assert head["user-agent"] == "superres"
    assert head["webhook-id"] == job_id
    assert abs(int(head["webhook-timestamp"]) - time.time()) < 60
    assert "webhook-signature" not in head
    assert service.outcome(job_id) == ("delivered", 1, None)
    assert service.row(job_id).version == before + 1
    assert len(service.tries(job_id)) == 1  # and no other


def test_it_is_tried_again(service):
    with listen(BROKEN, OK) as listener:
        job_id = service.ended(listener.url)
        before = service.row(job_id).version
        service.deliveries().attempt(job_id, 1)
        assert service.outcome(job_id) == ("waiting", 1, "The address answered with 500.")
        assert service.row(job_id).version == before + 1
        assert service.tries(job_id) == ["ENQUEUED", "DELAYED"]
        service.deliveries().attempt(job_id, 2)
    assert service.outcome(job_id) == ("delivered", 2, None)
    assert [head["webhook-id"] for head in listener.heads] == [job_id] * 2
    assert len(service.tries(job_id)) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (silent(b""), "There was no answer within 0.5 s."),
        (redirect("/elsewhere"), "The address answered with 302."),
        (reply(b"", "404 x"), "The address answered with 404."),
        (reply(b"", "429 x"), "The address answered with 429."),
        (lambda stream, _: None, "as a web server should"),
    ],
)
def test_what_is_tried_again(service, answer, why):
    with listen(answer) as listener:
        job_id = service.ended(listener.url)
        service.deliveries(timeout=0.5).attempt(job_id, 1)
        assert listener.server.connections == 1
    state, attempts, error = service.outcome(job_id)
    assert (state, attempts) == ("waiting", 1)
    assert why in error
    assert service.tries(job_id)[1:] == ["DELAYED"]


def test_pauses_grow(service):
    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url)
        deliveries = service.deliveries(attempts=9)
        for attempt in range(1, 5):
            deliveries.attempt(job_id, attempt)
    waits = delays(service, job_id)
    assert len(waits) == 4
    for wait, least in zip(waits, (100, 200, 200, 200), strict=True):
        assert least - 2 <= wait <= least * 1.2 + 2  # the clock goes on while it is queued
    assert len(set(waits)) == 4  # no two wait for the same time
    assert list(PAUSES) == sorted(PAUSES)


def test_it_is_given_up(service, caplog):
    with listen(BROKEN) as listener, caplog.at_level(logging.WARNING):
        job_id = service.ended(listener.url + "?secret")
        for attempt in (1, 2, 3, 4):
            service.deliveries(attempts=3).attempt(job_id, attempt)
        assert listener.server.connections == 3
    assert service.outcome(job_id) == ("failed", 3, "The address answered with 500.")
    assert len(service.tries(job_id)) == 3
    assert job_id in caplog.text
    assert "secret" not in caplog.text


def test_one_try_may_be_all(service):
    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url)
        service.deliveries(attempts=1).attempt(job_id, 1)
    assert service.outcome(job_id)[:2] == ("failed", 1)
    assert len(service.tries(job_id)) == 1


def test_who_wants_to_hear_no_more_does_not(service):
    with listen(reply(b"", "410 Gone")) as listener:
        job_id = service.ended(listener.url)
        service.deliveries().attempt(job_id, 1)
    state, attempts, error = service.outcome(job_id)
    assert (state, attempts) == ("failed", 1)
    assert "410" in error
    assert len(service.tries(job_id)) == 1


def test_nobody_inside_is_told(service):
    with listen(OK) as listener:
        inside = service.ended(listener.url)
        service.deliveries(sources=Sources(SourcesSettings(), None)).attempt(inside, 1)
        untrusted = service.ended(listener.url, trusted=False)
        service.deliveries().attempt(untrusted, 1)
        nonsense = service.ended("s3://bucket/key")
        service.deliveries().attempt(nonsense, 1)
        assert listener.server.connections == 0
    for job_id in (inside, untrusted, nonsense):
        assert service.outcome(job_id)[:2] == ("failed", 1)
        assert len(service.tries(job_id)) == 1
    assert "[sources] allow_networks" in service.outcome(inside)[2]


# --------------------------------------------------------------------------- the door's words


def test_a_door_that_has_no_words(service):
    with listen(OK) as listener:
        job_id = service.ended(listener.url, door="other")
        service.deliveries().attempt(job_id, 1)
        assert listener.server.connections == 0
    assert service.outcome(job_id) == (
        "failed",
        1,
        "This server cannot say it in the words of the door other.",
    )


def test_a_door_that_makes_a_mistake(service, caplog):
    def wrong(job) -> bytes:
        raise KeyError("secret")

    def unlucky(job) -> bytes:
        raise StorageError("The store does not answer.")

    with listen(OK) as listener:
        job_id = service.ended(listener.url)
        service.deliveries(tellers={"test": wrong}).attempt(job_id, 1)
        assert service.outcome(job_id)[:2] == ("waiting", 1)
        assert "secret" not in service.outcome(job_id)[2]
        assert "KeyError" in caplog.text
        service.deliveries(tellers={"test": unlucky}).attempt(job_id, 2)
        assert service.outcome(job_id) == ("waiting", 2, "The store does not answer.")
        service.deliveries().attempt(job_id, 3)
    assert service.outcome(job_id) == ("delivered", 3, None)
    assert len(listener.bodies) == 1


# ------------------------------------------------------------------------------ the signature


@pytest.fixture
def signed(service):
    """A credential, and what is posted of a job whose end it signs, tried twice."""
    credential = service.access.create(secrets.token_hex(8))
    with listen(BROKEN, OK) as listener:
        job_id = service.ended(listener.url, signed_by=credential.id)
        started = 1_700_000_000  # which no library takes for now
        service.deliveries(clock=lambda _: started).attempt(job_id, 1)
        service.deliveries().attempt(job_id, 2)
    assert service.outcome(job_id) == ("delivered", 2, None)
    return credential, listener


def test_a_signature_by_the_projects_library(signed):
    credential, listener = signed
    secret, head, body = credential.secret, listener.heads[1], listener.bodies[1]
    portable = "whsec_" + base64.b64encode(secret.encode()).decode()
    for key in (secret.encode(), portable):
        assert Webhook(key).verify(body, head) == json.loads(body)
        with pytest.raises(WebhookVerificationError, match="No matching"):
            Webhook(key).verify(body + b" ", head)
        for name, other in (("webhook-id", "x"), ("webhook-timestamp", str(int(time.time()) - 9))):
            with pytest.raises(WebhookVerificationError, match="No matching"):
                Webhook(key).verify(body, head | {name: other})
        with pytest.raises(WebhookVerificationError, match="too old"):
            Webhook(key).verify(listener.bodies[0], listener.heads[0])
    # As text the library takes the secret for base64, which is why the manual warns of it.
    with pytest.raises(WebhookVerificationError, match="No matching"):
        Webhook(secret).verify(body, head)


def test_a_signature_by_hand(signed):
    credential, listener = signed
    for head, body in zip(listener.heads, listener.bodies, strict=True):
        content = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
        made = hmac.new(credential.secret.encode(), content, hashlib.sha256).digest()
        assert head["webhook-signature"] == "v1," + base64.b64encode(made).decode()
    assert listener.heads[0]["webhook-timestamp"] == "1700000000"
    assert listener.heads[0]["webhook-signature"] != listener.heads[1]["webhook-signature"]


def test_a_revoked_credential_signs_nothing(service):
    credential = service.access.create("revoked")
    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url, signed_by=credential.id)
        service.deliveries().attempt(job_id, 1)
        service.access.revoke("revoked")
        service.deliveries().attempt(job_id, 2)
        assert listener.server.connections == 1
    assert service.outcome(job_id) == (
        "failed",
        2,
        "The credential that signs is not in use any more.",
    )
    assert len(service.tries(job_id)) == 2


# ------------------------------------------------------------- jobs that went, and crossed paths


def test_a_deleted_job_is_not_told_of(service):
    with listen(OK) as listener:
        job_id = service.ended(listener.url)
        service.jobs.delete(job_id, owner="")
        service.deliveries().attempt(job_id, 1)
        assert listener.server.connections == 0


def test_nor_one_that_is_deleted_while_it_is_told(service):
    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url)

        def forgetful(job) -> bytes:
            service.jobs.delete(job_id, owner="")
            return b"{}"

        service.deliveries(tellers={"test": forgetful}).attempt(job_id, 1)
    assert service.queue.states([tell_id(job_id, 1), tell_id(job_id, 2)]) == {}


def test_an_expired_job_is_not_told_of(service):
    with listen(OK) as listener:
        job_id = service.ended(listener.url)
        later = service.deliveries(clock=lambda connection: now(connection) + 1e6)
        later.attempt(job_id, 1)
        assert listener.server.connections == 0
    state, _, error = service.outcome(job_id)
    assert state == "failed"
    assert "results were gone" in error


def test_what_was_told_is_not_told_again(service):
    with listen(BROKEN, OK) as listener:
        job_id = service.ended(listener.url)
        deliveries = service.deliveries()
        for attempt in (1, 1, 2, 2, 1, 3):
            deliveries.attempt(job_id, attempt)
        assert listener.server.connections == 2
    assert service.outcome(job_id) == ("delivered", 2, None)
    assert len(service.tries(job_id)) == 2


def test_two_who_make_the_same_try(service):
    """One was taken for dead and was not: somebody may be told twice, and no try is lost."""
    both = threading.Barrier(2, timeout=30)

    def late(job) -> bytes:
        both.wait()
        return say(job)

    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url)
        before = service.row(job_id).version
        deliveries = service.deliveries(tellers={"test": late})
        made = [threading.Thread(target=deliveries.attempt, args=(job_id, 1)) for _ in range(2)]
        for thread in made:
            thread.start()
        for thread in made:
            thread.join(30)
        assert listener.server.connections == 2
    assert service.outcome(job_id)[:2] == ("waiting", 1)
    assert service.row(job_id).version == before + 1
    assert service.tries(job_id) == ["ENQUEUED", "DELAYED"]


# -------------------------------------------------------------------------- what goes wrong here


def test_a_try_and_the_next_are_written_down_together_or_not_at_all(service, monkeypatch):
    def full(connection: Connection, *_: object) -> None:
        raise StorageError("The disk is full.")

    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url)
        monkeypatch.setattr(service.queue, "tell", full)
        with pytest.raises(StorageError):
            service.deliveries().attempt(job_id, 1)
    assert service.outcome(job_id) == ("waiting", 0, None)
    assert service.tries(job_id) == ["ENQUEUED"]


def test_nobody_is_told_twice_because_the_database_was_away(service, monkeypatch):
    tell, times = service.queue.tell, []

    def full(*how: object) -> None:
        times.append(how)
        if len(times) < 3:
            raise StorageError("The disk is full.")
        tell(*how)

    def insist(ask):
        while True:
            with contextlib.suppress(StorageError):
                return ask()

    with listen(BROKEN) as listener:
        job_id = service.ended(listener.url)
        monkeypatch.setattr(service.queue, "tell", full)
        service.deliveries().attempt(job_id, 1, insist)
        assert listener.server.connections == 1
    assert service.outcome(job_id)[:2] == ("waiting", 1)
    assert service.tries(job_id) == ["ENQUEUED", "DELAYED"]


def test_tries_that_were_lost_are_found(service):
    with listen(BROKEN, OK) as listener:
        first, second, told = (service.ended(listener.url) for _ in range(3))
        deliveries = service.deliveries()
        deliveries.attempt(first, 1)
        deliveries.attempt(told, 1)
        assert deliveries.reconcile() == 0
        service.queue.cancel([tell_id(first, 2)])
        service.queue.forget([tell_id(second, 1)])
        service.queue.cancel([tell_id(told, 1)])  # of one that was told nobody waits for it
        assert deliveries.reconcile() == 2
        assert service.tries(first) == ["ENQUEUED", "DELAYED"]
        assert service.tries(second) == ["DELAYED"]
        assert service.tries(told) == ["CANCELLED"]
        assert deliveries.reconcile() == 0
        deliveries.attempt(first, 2)
        assert service.outcome(first)[0] == "delivered"


# --------------------------------------------------------------------------------- real processes


class Processes:
    """Processes that make the tries that are due."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self._where = (folder, url)
        self._spawn = multiprocessing.get_context("spawn")
        self.made: list[multiprocessing.process.BaseProcess] = []

    def start(self, name: str) -> multiprocessing.process.BaseProcess:
        process = self._spawn.Process(target=run, args=(*self._where, name), daemon=True)
        process.start()
        self.made.append(process)
        return process

    def close(self) -> None:
        for process in self.made:
            process.kill()
            process.join(30)


@pytest.fixture
def processes(where, tmp_path) -> Iterator[Processes]:
    processes = Processes(tmp_path, where.database.url or None)
    yield processes
    processes.close()


def until(true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_in_the_middle(alone, processes):
    """After a try that failed, within the second; another process tells, and tells it once."""
    with listen(BROKEN, silent(b""), BROKEN, OK) as listener:
        job_id = alone.ended(listener.url)
        one = processes.start("one")
        until(lambda: len(listener.bodies) == 2)
        one.kill()
        one.join(30)
        assert alone.outcome(job_id) == ("waiting", 1, "The address answered with 500.")
        assert alone.queue.give_back("one") == 1  # as the sweeper does with the dead
        processes.start("two")
        until(lambda: alone.outcome(job_id)[0] == "delivered")
        time.sleep(0.5)  # nothing follows
        assert len(listener.bodies) == 4
    assert alone.outcome(job_id) == ("delivered", 3, None)
    assert {head["webhook-id"] for head in listener.heads} == {job_id}
    until(lambda: alone.tries(job_id) == ["SUCCESS"] * 3)


def test_killed_while_a_try_waits(alone, processes):
    with listen(BROKEN, OK) as listener:
        job_id = alone.ended(listener.url)
        one = processes.start("one")
        until(lambda: alone.tries(job_id) == ["SUCCESS", "DELAYED"])
        one.kill()
        one.join(30)
        assert alone.queue.give_back("one") == 0  # it had nothing: the next try is nobody's
        processes.start("two")
        until(lambda: alone.outcome(job_id)[0] == "delivered")
    assert len(listener.bodies) == 2
