"""Handing in, looking, closing, deleting."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from superres.errors import (
    BadParameter,
    JobCancelled,
    JobExpired,
    JobNotFound,
    ObjectNotFound,
    Overloaded,
    SourceRefused,
    StorageError,
)
from superres.jobs import FromFile, NewItem, Recipe, State
from superres.jobs.queue import item_id, urgency
from tests.unit.jobs.workshop import Workshop, until


def test_a_job_is_done_and_each_result_is_its_own(shop: Workshop) -> None:
    items = [shop.item(f"p{n}", size=(5 + n, 4), colour=40 * n) for n in range(5)]
    taken = shop.submit(items)
    assert (taken.state, taken.progress) == (State.WAITING, 0.0)
    assert [item.state for item in taken.items] == [State.WAITING] * 5
    job = shop.finished(taken)
    assert job.state is State.DONE
    assert job.progress == 1.0
    for n, item in enumerate(job.items):
        assert (item.state, item.attempt, item.position) == (State.DONE, 1, n)
        result = item.result
        assert result is not None
        assert (result.name, result.media_type) == (f"p{n}_x2.png", "image/png")
        with Image.open(io.BytesIO(shop.content(result.blob_id))) as picture:
            assert picture.size == (result.width, result.height) == (2 * (5 + n), 8)
            assert picture.getpixel((0, 0)) == (40 * n, 20, 200)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.expires_at == pytest.approx(job.finished_at + 3600)


def test_what_came_in_goes_when_it_was_read(shop: Workshop) -> None:
    job = shop.finished(shop.submit(3))
    until(lambda: len(shop.files()) == 3, "the inputs' going")
    shop.app.jobs.delete(job.id, owner="")
    assert shop.files() == []
    with pytest.raises(JobNotFound):
        shop.look(job)


def test_one_that_fails_does_not_harm_the_others(shop: Workshop) -> None:
    broken = shop.folder / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    items = [shop.item("a"), shop.bad(), NewItem(FromFile(broken), Recipe(), "x"), shop.item("b")]
    job = shop.finished(shop.submit(items))
    assert job.state is State.DONE
    assert [i.state for i in job.items] == ["done", "failed", "failed", "done"]
    assert isinstance(job.items[1].error, SourceRefused)
    assert "allow_networks" in str(job.items[1].error)
    assert job.items[2].error is not None
    assert job.items[2].error.code == "corrupt_image"


def test_a_job_of_failures_failed(shop: Workshop) -> None:
    job = shop.finished(shop.submit([shop.bad(), shop.bad()]))
    assert (job.state, job.count(State.FAILED)) == (State.FAILED, 2)


def test_number_of_pictures(idle: Workshop) -> None:
    for items in ([], [idle.bad()] * 101):
        with pytest.raises(BadParameter, match="1 to 100 pictures"):
            idle.submit(items)
    assert len(idle.submit([idle.bad()] * 100).items) == 100


def test_priority(idle: Workshop) -> None:
    for wrong in (-1, 10):
        with pytest.raises(BadParameter, match="0 to 9"):
            idle.submit(1, priority=wrong)
    assert [urgency(p) for p in (9, 5, 0)] == [1, 5, 10]  # lower is sooner, 0 is not allowed


def test_the_most_urgent_first(make, idle: Workshop) -> None:
    low, high, mid = (idle.submit(1, priority=p) for p in (0, 9, 5))
    again = idle.submit(1, priority=9)
    shop = make(concurrency=1)
    shop.app.runner.start()
    ends = {job.id: shop.finished(job).items[0].started_at for job in (low, high, mid, again)}
    assert sorted(ends, key=ends.__getitem__) == [high.id, again.id, mid.id, low.id]


def test_too_much_waits(make) -> None:
    shop = make(max_waiting=5)
    shop.submit(3)
    before = len(shop.files())
    with pytest.raises(Overloaded, match="max_waiting"):
        shop.submit(3)
    assert len(shop.files()) == before  # what was taken in for it is gone again
    shop.submit(2)


def test_others_do_not_see_it(idle: Workshop) -> None:
    job = idle.submit(1, owner="me", door="fsrtwo")
    jobs = idle.app.jobs
    for owner, door in (("you", None), ("", None), ("me", "v1")):
        with pytest.raises(JobNotFound):
            jobs.get(job.id, owner=owner, door=door)
        with pytest.raises(JobNotFound):
            jobs.cancel(job.id, owner=owner, door=door)
        with pytest.raises(JobNotFound):
            jobs.delete(job.id, owner=owner, door=door)
    assert jobs.get(job.id, owner=None).id == job.id
    assert jobs.get(job.id, owner="me", door="fsrtwo").id == job.id
    for odd in ("", "x", job.id.upper() + "0", "\x00", "'; DROP TABLE jobs; --", "é" * 40):
        with pytest.raises(JobNotFound):
            jobs.get(odd, owner=None)


def test_list(idle: Workshop) -> None:
    made = [idle.submit(1, owner="me") for _ in range(5)]
    idle.submit(1, owner="you")
    jobs = idle.app.jobs
    ids = [job.id for job in reversed(made)]
    assert [job.id for job in jobs.list(owner="me")] == ids
    assert [job.id for job in jobs.list(owner="me", limit=2)] == ids[:2]
    assert [job.id for job in jobs.list(owner="me", limit=2, before=ids[1])] == ids[2:4]
    assert len(jobs.list(owner=None)) == 6
    jobs.cancel(ids[0], owner="me")
    assert [job.id for job in jobs.list(owner="me", state=State.CLOSED)] == ids[:1]
    assert jobs.list(owner="me", door="fsrtwo") == []
    with pytest.raises(JobNotFound):
        jobs.list(owner="you", before=ids[0])


def test_close_what_waits(idle: Workshop) -> None:
    job = idle.app.jobs.cancel(idle.submit(2).id, owner="")
    assert (job.state, job.count(State.CLOSED)) == (State.CLOSED, 2)
    assert isinstance(job.items[0].error, JobCancelled)
    assert idle.files() == []
    assert idle.app.jobs.cancel(job.id, owner="").version == job.version  # and once more
    states = idle.app.runner._queue.states([item_id(job.id, n) for n in range(2)])
    assert set(states.values()) == {"CANCELLED"}


def test_close_what_runs(shop: Workshop) -> None:
    shop.engine.go.clear()
    job = shop.running(shop.submit(5), 3)
    closed = shop.app.jobs.cancel(job.id, owner="")
    assert closed.state is State.CLOSED
    until(lambda: all(e.stopped for e in shop.app.runner._running()), "the stop")
    shop.engine.go.set()
    until(lambda: not shop.app.runner.busy, "the end of what ran")
    assert shop.look(job).state is State.CLOSED
    assert all(item.result is None for item in shop.look(job).items)
    until(lambda: shop.files() == [], "the files' going")
    assert shop.finished(shop.submit(2)).state is State.DONE  # nothing is stuck


def test_what_is_done_stays_when_the_rest_is_closed(make) -> None:
    shop = make(concurrency=1)
    shop.app.runner.start()
    job = shop.submit(6)
    until(lambda: shop.look(job).count(State.DONE) >= 1, "the first")
    shop.engine.go.clear()
    closed = shop.app.jobs.cancel(job.id, owner="")
    done = closed.count(State.DONE)
    assert done >= 1
    assert closed.state is State.DONE
    assert closed.count(State.CLOSED) == 6 - done
    assert shop.content(closed.items[0].result.blob_id)


def test_delete_what_runs(shop: Workshop) -> None:
    shop.engine.go.clear()
    job = shop.running(shop.submit(3), 3)
    shop.app.jobs.delete(job.id, owner="")
    until(lambda: all(e.stopped for e in shop.app.runner._running()), "the stop")
    shop.engine.go.set()
    until(lambda: not shop.app.runner.busy, "the end of what ran")
    assert shop.rows() == []
    until(lambda: shop.files() == [], "the files' going")
    assert shop.app.runner._queue.states([item_id(job.id, n) for n in range(3)]) == {}


def test_the_same_key_is_the_same_job(idle: Workshop) -> None:
    first = idle.submit(1, idempotency_key="k", fingerprint="f")
    before = len(idle.files())
    assert idle.submit(1, idempotency_key="k", fingerprint="f").id == first.id
    assert len(idle.files()) == before
    assert idle.submit(1, idempotency_key="k", fingerprint="f", owner="you").id != first.id
    with pytest.raises(BadParameter, match="idempotency key"):
        idle.submit(1, idempotency_key="k", fingerprint="other")


def test_the_same_key_at_the_same_time(idle: Workshop) -> None:
    together = threading.Barrier(8)

    def hand_in(_: int) -> str:
        together.wait()
        return idle.submit(2, idempotency_key="k", fingerprint="f").id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(hand_in, range(8)))) == 1
    assert len(idle.rows()) == 2
    assert len(idle.files()) == 2


def test_expiry(make) -> None:
    shop = make()
    shop.app.runner.start()
    job = shop.finished(shop.submit(1, lifetime=0.5))
    blob = job.items[0].result.blob_id
    assert shop.content(blob)
    with pytest.raises(JobExpired):
        until(lambda: shop.look(job) and False, "expiry")
    with pytest.raises(ObjectNotFound):
        shop.app.blobs.open(blob)
    assert shop.app.jobs.list(owner="") == []
    shop.app.jobs.delete(job.id, owner="")


def test_waiting_times_are_honest(make, idle: Workshop) -> None:
    job = idle.submit(4)
    first = idle.app.jobs.wait_seconds(job)
    assert first > 0
    behind = idle.submit(1)
    urgent = idle.submit(1, priority=9)
    idle.app.jobs._forecast._seen = None
    assert idle.app.jobs.wait_seconds(urgent) < idle.app.jobs.wait_seconds(job)
    assert idle.app.jobs.wait_seconds(job) < idle.app.jobs.wait_seconds(behind)
    shop = make()
    shop.app.runner.start()
    assert shop.app.jobs.wait_seconds(shop.finished(behind)) == 0


def test_nothing_is_taken_when_the_store_fails(idle: Workshop, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("There is no room in the store.")

    monkeypatch.setattr(idle.app.store, "move", full)
    with pytest.raises(StorageError, match="no room"):
        idle.submit(2)
    assert idle.rows() == []
