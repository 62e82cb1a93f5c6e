"""Jobs as server-sent events: what changes, who shares a look, how it ends."""

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from superres.server.v1 import events
from superres.server.v1.jobs import watch
from superres.settings import load
from tests.dialects.conftest import RunningServer, running
from tests.dialects.v1.conftest import Worker, error_of, opened, picture

FINAL = {"done", "failed", "closed", "timed_out"}


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, int | None, dict]]:
    """The events of a stream as they come: kind, id, data; comments are left out."""
    found: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "event" in found:
            version = int(found["id"]) if "id" in found else None
            yield found["event"], version, json.loads(found["data"])
            found = {}


def wait_for(condition, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


class Watcher(threading.Thread):
    """Follows a job on a connection of its own."""

    def __init__(self, url: str, job_id: str, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.address, self.sent = f"{url}/v1/jobs/{job_id}/events", headers or {}
        self.told: list[tuple[str, int | None, dict]] = []
        self.at: list[float] = []
        self.answer: httpx.Response | None = None
        self._leave = threading.Event()
        self.start()

    def run(self) -> None:
        with httpx.stream("GET", self.address, headers=self.sent, timeout=30) as answer:
            self.answer = answer
            for each in parsed(answer.iter_lines()):
                self.told.append(each)
                self.at.append(time.monotonic())
                if self._leave.is_set():
                    return

    def states(self) -> list[str]:
        return [data["state"] for kind, _, data in self.told if kind == "job"]

    def ended(self) -> None:
        self.join(30)
        assert not self.is_alive()


@pytest.fixture
def looks(worker, monkeypatch) -> list[str]:
    """Every look at a job in the database, from now on."""
    seen: list[str] = []
    real = worker.server.app.jobs.get

    def get(job_id: str, **how: object) -> object:
        seen.append(job_id)
        return real(job_id, **how)

    monkeypatch.setattr(worker.server.app.jobs, "get", get)
    return seen


def test_from_waiting_to_done(held: Worker):
    taken = held.submit(*[picture()] * 8, scale="2")
    watcher = Watcher(held.server.url, taken["id"])
    assert held.engine.entered.wait(20)
    wait_for(lambda: "running" in watcher.states())
    held.engine.release()
    watcher.ended()
    assert watcher.answer is not None
    assert watcher.answer.status_code == 200
    assert watcher.answer.headers["content-type"].startswith("text/event-stream")
    assert watcher.answer.headers["cache-control"] == "no-store"
    assert watcher.answer.headers["x-accel-buffering"] == "no"
    assert {kind for kind, _, _ in watcher.told} == {"job"}
    versions = [version for _, version, _ in watcher.told]
    assert versions == sorted(set(versions))
    progress = [data["progress"] for _, _, data in watcher.told]
    assert progress == sorted(progress)
    states = watcher.states()
    assert states[-1] == "done"
    assert not FINAL & set(states[:-1])
    pauses = [b - a for a, b in zip(watcher.at[1:], watcher.at[2:], strict=False)]
    assert all(pause > watch.PERIOD * 0.6 for pause in pauses), "more than two a second"
    last = watcher.told[-1][2]
    assert last == held.get(taken["id"])
    link = last["images"][7]["result"]["url"]
    assert opened(held.client.get(link).content).size == (48, 32)


def test_a_finished_job_is_told_once(worker: Worker):
    job = worker.finished(worker.submit(picture(8, 8))["id"])
    path = f"/v1/jobs/{job['id']}/events"
    response = worker.client.get(path)
    ((kind, version, data),) = parsed(iter(response.text.split("\n")))
    assert (kind, data) == ("job", job)
    # A browser that asks again after the end is told to stop.
    known = worker.client.get(path, headers={"Last-Event-ID": str(version)})
    assert (known.status_code, known.content) == (204, b"")
    for other in ("1", "", "x", "9" * 40, "-1"):
        again = worker.client.get(path, headers={"Last-Event-ID": other})
        assert (again.status_code, again.text) == (200, response.text)


def test_what_is_known_is_not_told_again(held: Worker):
    taken = held.submit(picture(), scale="2")
    first = Watcher(held.server.url, taken["id"])
    wait_for(lambda: "running" in first.states())
    time.sleep(1.5)  # nothing changes any more
    _, version, _ = first.told[-1]
    second = Watcher(held.server.url, taken["id"], {"Last-Event-ID": str(version)})
    third = Watcher(held.server.url, taken["id"], {"Last-Event-ID": "1"})
    wait_for(lambda: third.told)
    assert [version for _, version, _ in third.told] == [version]
    time.sleep(0.5)
    assert second.told == []
    held.engine.release()
    for watcher in (first, second, third):
        watcher.ended()
        assert watcher.states()[-1] == "done"
        assert watcher.told[-1] == first.told[-1]


def test_many_watchers_share_one_look(held: Worker, looks: list[str]):
    taken = held.submit(picture(), scale="2")
    watchers = [Watcher(held.server.url, taken["id"]) for _ in range(20)]
    wait_for(lambda: all("running" in watcher.states() for watcher in watchers))
    time.sleep(0.5)
    before = len(looks)
    time.sleep(3)
    assert len(looks) - before <= 3 / watch.PERIOD + 1
    held.engine.release()
    for watcher in watchers:
        watcher.ended()
        assert watcher.states()[-1] == "done"


def quiet(looks: list[str]) -> bool:
    """Whether nobody looks for longer than there is between two looks."""
    before = len(looks)
    time.sleep(3)
    return len(looks) == before


def test_who_goes_away_costs_nothing(held: Worker, looks: list[str]):
    taken = held.submit(picture(), scale="2")
    address = f"{held.server.url}/v1/jobs/{taken['id']}/events"
    for _ in range(5):
        with httpx.stream("GET", address, timeout=20) as answer:
            assert next(answer.iter_lines()) == "event: job"
    wait_for(lambda: quiet(looks))
    # One that goes does not take the others along.
    stays = Watcher(held.server.url, taken["id"])
    with httpx.stream("GET", address, timeout=20) as answer:
        assert next(answer.iter_lines()) == "event: job"
    time.sleep(0.5)
    held.engine.release()
    stays.ended()
    assert stays.states()[-1] == "done"


def test_cancelled_while_it_is_watched(held: Worker):
    taken = held.submit(picture(), picture(), scale="2")
    watcher = Watcher(held.server.url, taken["id"])
    wait_for(lambda: watcher.told)
    assert held.client.post(f"/v1/jobs/{taken['id']}/cancel").status_code == 200
    watcher.ended()
    assert watcher.states()[-1] == "closed"


def test_deleted_while_it_is_watched(held: Worker):
    taken = held.submit(picture(), scale="2")
    watcher = Watcher(held.server.url, taken["id"])
    wait_for(lambda: watcher.told)
    assert held.client.delete(f"/v1/jobs/{taken['id']}").status_code == 204
    watcher.ended()
    kind, version, data = watcher.told[-1]
    assert (kind, version) == ("error", None)
    assert data["error"]["code"] == "job_not_found"
    assert watcher.answer is not None
    assert data["error"]["request_id"] == watcher.answer.headers["x-request-id"]


def test_a_database_that_fails_for_a_moment_ends_nothing(held: Worker, monkeypatch):
    from superres.errors import StorageError

    taken = held.submit(picture(), scale="2")
    watcher = Watcher(held.server.url, taken["id"])
    wait_for(lambda: watcher.told)
    jobs = held.server.app.jobs
    real, failed = jobs.get, threading.Event()

    def failing(*_: object, **__: object) -> object:
        failed.set()
        raise StorageError("It is not there just now.")

    monkeypatch.setattr(jobs, "get", failing)
    assert failed.wait(10)
    monkeypatch.setattr(jobs, "get", real)
    held.engine.release()
    watcher.ended()
    assert watcher.states()[-1] == "done"


def test_a_mistake_of_ours_ends_it_in_words(held: Worker, monkeypatch):
    taken = held.submit(picture(), scale="2")
    watcher = Watcher(held.server.url, taken["id"])
    wait_for(lambda: watcher.told)

    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(held.server.app.jobs, "get", broken)
    watcher.ended()
    kind, _, data = watcher.told[-1]
    assert (kind, data["error"]["code"]) == ("error", "internal")
    assert "secret" not in json.dumps(data)


def test_silence_is_broken(held: Worker, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.4)
    taken = held.submit(picture(), scale="2")
    beats = 0
    address = f"{held.server.url}/v1/jobs/{taken['id']}/events"
    with httpx.stream("GET", address, timeout=20) as answer:
        for line in answer.iter_lines():
            beats += line.startswith(":")
            if beats == 3:
                held.engine.release()
    assert beats >= 3


def test_what_is_not_yours_is_not_there(worker: Worker):
    job = worker.submit(picture(8, 8), headers=worker.credential("owner"))
    response = worker.client.get(f"/v1/jobs/{job['id']}/events")
    assert (response.status_code, error_of(response)["code"]) == (404, "job_not_found")


def test_a_server_that_stops_does_not_wait_for_watchers(tmp_path):
    settings = load(
        overrides={"server.data_dir": tmp_path, "server.port": 0, "jobs.concurrency": 0}
    )
    with running(settings) as server:
        job = handed_in(server)
        watchers = [Watcher(server.url, job["id"]) for _ in range(3)]
        wait_for(lambda: all(watcher.told for watcher in watchers))
        begun = time.monotonic()
    assert time.monotonic() - begun < 15
    for watcher in watchers:
        watcher.ended()
        assert watcher.states() == ["waiting"]


def handed_in(server: RunningServer) -> dict:
    response = httpx.post(f"{server.url}/v1/jobs", files={"file": ("a.png", picture())})
    assert response.status_code == 202
    return response.json()
