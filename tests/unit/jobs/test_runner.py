"""Doing jobs in one process: how many at a time, stopping, dying, being taken for dead."""

from __future__ import annotations

import json
import threading
import time

import pytest
from sqlalchemy import text, update

from superres.database import reading, writing
from superres.errors import (
    BadParameter,
    DeadlineExceeded,
    ModelNotFound,
    StorageError,
    WorkerLost,
)
from superres.jobs import State
from superres.jobs import runner as running
from superres.jobs.queue import item_id, schema_of
from superres.jobs.slots import Slots
from superres.jobs.sweeper import Sweeper
from superres.jobs.tables import job_items
from tests.unit.jobs.workshop import Workshop, until


def sweeper_of(shop: Workshop, timeout: float = 0.2) -> Sweeper:
    """One that takes silence of ``timeout`` seconds for death, as another process has it."""
    app, slots = shop.app, Slots(shop.app.database, timeout)
    return Sweeper(
        shop.settings.jobs, app.database, app.runner._queue, slots, app.blobs, slots.take(0)
    )


def close_held(shop: Workshop) -> None:
    """Stop without patience; what is held does not end, and lets go when it is stopped."""
    closing = threading.Thread(target=shop.app.runner.close)
    closing.start()
    until(lambda: all(e.stopped for e in shop.app.runner._running()), "the stop")
    shop.engine.go.set()
    closing.join(20)
    assert not closing.is_alive()


def test_so_many_at_a_time(make) -> None:
    shop = make(concurrency=2)
    shop.app.runner.start()
    shop.engine.go.clear()
    job = shop.running(shop.submit(6), 2)
    time.sleep(0.5)
    assert shop.app.runner.busy == 2
    assert shop.look(job).count(State.RUNNING) == 2
    shop.engine.go.set()
    assert shop.finished(job).count(State.DONE) == 6


def test_only_one_runner_in_a_process(shop: Workshop, make) -> None:
    with pytest.raises(BadParameter, match="concurrency = 0"):
        make().app.runner.start()
    assert shop.finished(shop.submit(1)).state is State.DONE


def test_one_after_the_other_in_a_process(make) -> None:
    for _ in range(2):
        shop = make()
        shop.app.runner.start()
        assert shop.finished(shop.submit(1)).state is State.DONE
        shop.app.runner.close()
        shop.app.runner.close()


def test_progress_is_seen(shop: Workshop) -> None:
    shop.engine.go.clear()
    asked = shop.submit(1)
    job = shop.running(asked)
    seen = until(lambda: (now := shop.look(job)).items[0].stage == "decode" and now, "decode")
    assert 0 < seen.items[0].progress < 1
    assert 0 < seen.progress < 1
    assert seen.version > asked.version
    shop.engine.go.set()
    shop.finished(job)


def test_stopping_lets_what_runs_end(make) -> None:
    shop = make()
    shop.app.runner.start()
    shop.engine.go.clear()
    job = shop.running(shop.submit(5), 3)
    threading.Timer(0.5, shop.engine.go.set).start()
    shop.app.runner.close(10)
    now = shop.look(job)
    assert now.count(State.DONE) >= 3
    assert now.count(State.RUNNING) == 0
    after = make()
    after.app.runner.start()
    assert after.finished(job).count(State.DONE) == 5


def test_what_does_not_end_in_time_waits_again(make) -> None:
    shop = make()
    shop.app.runner.start()
    shop.engine.go.clear()
    job = shop.running(shop.submit(5), 3)
    close_held(shop)
    now = shop.look(job)
    assert [i.state for i in now.items] == ["waiting"] * 5
    assert {i.result for i in now.items} == {None}
    queue = shop.app.runner._queue
    assert set(queue.states([item_id(job.id, n) for n in range(5)]).values()) == {"ENQUEUED"}
    after = make()
    after.app.runner.start()
    done = after.finished(job)
    assert done.count(State.DONE) == 5
    assert sorted(i.attempt for i in done.items) == [1, 1, 2, 2, 2]
    until(lambda: len(after.files()) == 5, "the inputs' going")


def dead_hand(shop: Workshop, slot: str = "dead") -> None:
    """Everything that waits is claimed and begun by a process that is no more."""
    schema = f"{schema_of(shop.app.database)}." if "postgres" in shop.settings.database.url else ""
    with writing(shop.app.database) as connection:
        connection.execute(
            text(
                f"UPDATE {schema}workflow_status SET status = 'PENDING', executor_id = :slot, "
                "owner_xid = 'x' WHERE status = 'ENQUEUED'"
            ),
            {"slot": slot},
        )
        connection.execute(
            update(job_items).values(
                state=State.RUNNING,
                slot=slot,
                attempt=job_items.c.attempt + 1,
                started_at=job_items.c.created_at,
            )
        )


def test_the_work_of_the_dead_is_done(make, idle: Workshop) -> None:
    job = idle.submit(3)
    dead_hand(idle)
    shop = make()
    shop.app.runner.start()
    done = shop.finished(job)
    assert (done.state, [i.attempt for i in done.items]) == (State.DONE, [2, 2, 2])


def test_a_picture_that_kills_is_given_up(make, idle: Workshop) -> None:
    job = idle.submit([idle.item("killer"), idle.item("fine")])
    for _ in range(3):
        dead_hand(idle)
        with writing(idle.app.database) as connection:
            connection.execute(update(job_items).where(job_items.c.position == 1).values(deaths=0))
        sweeper = sweeper_of(idle)
        assert (sweeper.give_away(), sweeper.give_away()) == (0, 1)
    shop = make()
    shop.app.runner.start()
    done = shop.finished(job)
    assert [i.state for i in done.items] == ["failed", "done"]
    assert isinstance(done.items[0].error, WorkerLost)
    assert "died 3 times" in str(done.items[0].error)


def test_stopping_is_no_death(make) -> None:
    """However often the service is started anew, a long picture is not to blame."""
    job = None
    for _ in range(4):
        shop = make()
        shop.app.runner.start()
        shop.engine.go.clear()
        job = shop.running(job or shop.submit(1))
        close_held(shop)
        assert shop.look(job).items[0].state is State.WAITING
    shop = make()
    shop.app.runner.start()
    assert [(i.state, i.attempt) for i in shop.finished(job).items] == [(State.DONE, 5)]


def test_what_is_claimed_and_cannot_be_begun_is_put_back(make) -> None:
    shop = make(concurrency=1)
    shop.app.runner.start()
    shop.engine.go.clear()
    job = shop.running(shop.submit(3))
    queue = shop.app.runner._queue
    flows = [item_id(job.id, n) for n in range(3)]
    until(lambda: list(queue.states(flows).values()).count("PENDING") == 3, "claiming ahead")
    until(lambda: list(queue.states(flows).values()).count("ENQUEUED") >= 1, "giving back")
    shop.engine.go.set()
    assert [i.attempt for i in shop.finished(job).items] == [1, 1, 1]


def test_the_store_is_away_for_a_moment(shop: Workshop, monkeypatch) -> None:
    move, failures = shop.app.store.move, []

    def flaky(*args):
        if args[1] not in failures and len(failures) < 2:
            failures.append(args[1])
            raise StorageError("The object store did not answer as it should.")
        return move(*args)

    items = [shop.item()]
    job = shop.submit(items)
    monkeypatch.setattr(shop.app.store, "move", flaky)
    assert shop.finished(job).state is State.DONE


def test_a_false_death_shows_one_result(make) -> None:
    shop = make(concurrency=4)
    shop.app.runner.start()
    shop.engine.go.clear()
    job = shop.running(shop.submit(2), 2)
    other = sweeper_of(shop, timeout=-60)  # whoever spoke in the last minute is dead
    assert other.give_away() >= 1
    until(lambda: [i.attempt for i in shop.look(job).items] == [2, 2], "the taking over")
    shop.engine.go.set()
    done = shop.finished(job)
    blobs = [i.result.blob_id for i in done.items]
    until(lambda: not shop.app.runner.busy, "the end of what ran")
    assert [i.attempt for i in done.items] == [2, 2]
    until(lambda: len(shop.files()) == 2, "the losers' results to go")
    assert [i.result.blob_id for i in shop.look(job).items] == blobs
    assert all(shop.content(blob) for blob in blobs)


def test_a_late_end_is_refused(shop: Workshop) -> None:
    """The words of the first attempt come after the second has begun."""
    shop.engine.go.clear()
    job = shop.running(shop.submit(1))
    [errand] = shop.app.runner._running()
    ledger = shop.app.runner._ledger
    with writing(shop.app.database) as connection:
        connection.execute(update(job_items).values(attempt=2))
    assert not ledger.failed(errand.ticket, StorageError("late"))
    assert shop.look(job).items[0].state is State.RUNNING


def test_a_picture_may_take_so_long(shop: Workshop) -> None:
    shop.engine.go.clear()
    job = shop.submit([shop.item("slow")], max_run=0.3)
    threading.Timer(1.5, shop.engine.go.set).start()
    done = shop.finished(job)
    assert (done.state, done.items[0].state) == (State.TIMED_OUT, State.TIMED_OUT)
    assert isinstance(done.items[0].error, DeadlineExceeded)


def test_what_hangs_is_ended(shop: Workshop, monkeypatch) -> None:
    """Not in the executor, which has a deadline, but in the store."""
    monkeypatch.setattr(running, "_GRACE_S", 0.2)
    go = threading.Event()
    monkeypatch.setattr(shop.app.blobs, "fetch", lambda *_: go.wait(30))
    job = shop.submit(1, max_run=0.3)
    done = shop.finished(job)
    go.set()
    assert isinstance(done.items[0].error, DeadlineExceeded)


def test_a_damaged_input(make, idle: Workshop) -> None:
    job = idle.submit(2)
    [first, _] = [row.source for row in idle.rows()]
    [path] = [p for p in idle.files() if p.name.rstrip("%") in first]
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    shop = make()
    shop.app.runner.start()
    done = shop.finished(job)
    assert [i.state for i in done.items] == ["failed", "done"]
    assert isinstance(done.items[0].error, StorageError)
    assert "damaged" in str(done.items[0].error)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"colourise": True}, BadParameter, "another version"),
        ({"model": "of-another-machine"}, ModelNotFound, "of-another-machine"),
        ({"model": "anime", "restore": "gfpgan"}, BadParameter, "drawings"),
    ],
)
def test_what_cannot_be_read_here_fails_alone_and_at_once(
    make, idle: Workshop, options, error, words
) -> None:
    job = idle.submit(2)
    record = json.loads(idle.rows()[0].recipe)
    record["options"] |= options
    with writing(idle.app.database) as connection:
        first = update(job_items).where(job_items.c.position == 0)
        connection.execute(first.values(recipe=json.dumps(record)))
    shop = make()
    shop.app.runner.start()
    done = shop.finished(job)
    assert [i.state for i in done.items] == ["failed", "done"]
    assert isinstance(done.items[0].error, error)
    assert words in str(done.items[0].error)


def test_the_database_is_asked_until_it_answers(shop: Workshop, monkeypatch) -> None:
    ledger = shop.app.runner._ledger
    begin, done, failures = ledger.begin, ledger.done, []

    def flaky(real):
        def call(*args):
            if len(failures) < 4:
                failures.append(real)
                raise StorageError("The database cannot be used now.")
            return real(*args)

        return call

    monkeypatch.setattr(ledger, "begin", flaky(begin))
    monkeypatch.setattr(ledger, "done", flaky(done))
    assert shop.finished(shop.submit(1)).state is State.DONE
    assert len(failures) == 4


def test_what_is_unexpected_fails_the_picture_alone(shop: Workshop, monkeypatch) -> None:
    fetch = shop.app.blobs.fetch
    calls = []

    def once(blob_id, target):
        calls.append(blob_id)
        if len(calls) == 1:
            raise ZeroDivisionError("a secret")
        return fetch(blob_id, target)

    monkeypatch.setattr(shop.app.blobs, "fetch", once)
    job = shop.finished(shop.submit(3))
    assert sorted(i.state for i in job.items) == ["done", "done", "failed"]
    [error] = [i.error for i in job.items if i.error]
    assert error.code == "engine_error"
    assert "secret" not in str(error)


def test_slots_come_and_go(make) -> None:
    shop = make()
    shop.app.runner.start()
    slots = Slots(shop.app.database, 10)
    assert slots.every() == {shop.app.runner._slot}
    shop.app.runner.close()
    assert slots.every() == set()


def test_pace_is_told(shop: Workshop) -> None:
    shop.finished(shop.submit(3))

    def paced():
        with reading(shop.app.database) as connection:
            return connection.scalar(text("SELECT pace FROM slots"))

    assert until(paced, "the pace") > 0
