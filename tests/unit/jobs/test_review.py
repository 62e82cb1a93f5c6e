"""What a reviewer found: each of these shows a way in which a promise of jobs is broken."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from dbos._dbos import _get_dbos_instance
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from superres.database import writing
from superres.errors import JobNotFound, StorageError
from superres.jobs import ItemResult, State, flows
from superres.jobs import sweeper as sweeping
from superres.jobs.ledger import Ledger
from superres.jobs.queue import item_id, schema_of
from superres.jobs.slots import Slots
from superres.jobs.sweeper import Sweeper
from tests.unit.jobs.workshop import Workshop, until


class LostAnswer:
    """The next commit of a thread that arms this happens, and its answer is lost on the way:
    the server was restarted, or the network went away.
    """

    def __init__(self, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        self._armed = threading.local()
        self.lost = 0
        dialect = shop.app.database.dialect
        error = sqlite3.OperationalError if dialect.name == "sqlite" else psycopg.OperationalError
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:
            commit(connection)
            if getattr(self._armed, "now", False):
                self._armed.now = False
                self.lost += 1
                raise error("the connection was lost")

        monkeypatch.setattr(dialect, "do_commit", do_commit)

    def arm(self) -> None:
        self._armed.now = True

    def at_first(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if not self.lost:
                self.arm()
            return real(*args)

        return call


def table(shop: Workshop, name: str) -> str:
    schema = schema_of(shop.app.database)
    return f"{schema}.{name}" if shop.app.database.dialect.name == "postgresql" else name


def sweeper_of(shop: Workshop) -> Sweeper:
    app, slots = shop.app, Slots(shop.app.database, 10.0)
    return Sweeper(
        shop.settings.jobs, app.database, app.runner._queue, slots, app.blobs, slots.take(0)
    )


def test_a_result_stays_when_the_answer_to_its_commit_is_lost(shop: Workshop, monkeypatch) -> None:
    lost = LostAnswer(shop, monkeypatch)
    ledger = shop.app.runner._ledger
    monkeypatch.setattr(ledger, "done", lost.at_first(ledger.done))
    done = shop.finished(shop.submit(1))
    until(lambda: not shop.app.runner.busy, "the end")
    assert lost.lost == 1
    assert done.state is State.DONE
    assert shop.content(done.items[0].result.blob_id)


def test_an_input_stays_when_the_answer_to_its_commit_is_lost(make, monkeypatch) -> None:
    shop = make()
    lost = LostAnswer(shop, monkeypatch)
    monkeypatch.setattr(shop.app.jobs, "_insert", lost.at_first(shop.app.jobs._insert))
    how = {"idempotency_key": "k", "fingerprint": "f"}
    first = shop.submit(1, **how)  # which asks whether it was taken
    job = shop.submit(1, **how)
    assert (lost.lost, job.id) == (1, first.id)
    shop.app.runner.start()
    assert [str(i.error) for i in shop.finished(job).items] == ["None"]


def test_a_begin_whose_answer_is_lost_is_no_death(make, monkeypatch) -> None:
    shop = make(attempts=1)
    shop.app.runner.start()
    lost = LostAnswer(shop, monkeypatch)
    ledger = shop.app.runner._ledger
    monkeypatch.setattr(ledger, "begin", lost.at_first(ledger.begin))
    job = shop.finished(shop.submit(1))
    assert [str(i.error) for i in job.items] == ["None"]


def test_the_database_is_away_while_a_picture_is_fetched_or_kept(
    shop: Workshop, monkeypatch
) -> None:
    blobs, failures = shop.app.blobs, []

    def flaky(real):
        def call(*args, **more):
            if real not in failures:
                failures.append(real)
                raise StorageError("The database cannot be used now; its keeper finds why.")
            return real(*args, **more)

        return call

    job_of = [shop.item("a"), shop.item("b")]
    monkeypatch.setattr(blobs, "fetch", flaky(blobs.fetch))
    first = shop.submit(job_of[:1])
    assert shop.finished(first).state is State.DONE
    monkeypatch.undo()
    second = shop.submit(job_of[1:])
    monkeypatch.setattr(blobs, "keep", flaky(blobs.keep))
    assert shop.finished(second).state is State.DONE


def test_a_claim_whose_answer_is_lost_is_found(shop: Workshop, monkeypatch) -> None:
    """The rows say that this process, which lives, has the picture; it does not know."""
    monkeypatch.setattr(sweeping, "_RECONCILE_S", 0.0)
    database = _get_dbos_instance()._sys_db
    claim, lost = database.start_queued_workflows, []

    def once(*args: Any, **more: Any) -> Any:
        found = claim(*args, **more)
        if found[0] and not lost:
            lost.extend(found[0])
            gone = psycopg.OperationalError("server closed the connection unexpectedly")
            raise OperationalError("COMMIT", {}, gone)
        return found

    monkeypatch.setattr(database, "start_queued_workflows", once)
    job = shop.submit(1)
    until(lambda: lost, "the claim")
    time.sleep(8)  # many sweeps, each with a reconciliation
    assert shop.look(job).state is State.DONE


def test_a_sweeper_that_dies_half_way_strands_nobody(shop: Workshop, monkeypatch) -> None:
    """A process is taken for dead and was not; who gives its work away is killed in between."""
    monkeypatch.setattr(sweeping, "_RECONCILE_S", 0.0)
    shop.engine.go.clear()
    job = shop.running(shop.submit(1))
    Slots(shop.app.database, 2.0).release(shop.app.runner._slot, died=True)  # kill -9 right here
    shop.engine.go.set()
    time.sleep(8)
    assert shop.look(job).state is State.DONE


def test_how_much_is_claimed_is_each_process_own(make) -> None:
    """Another machine with [jobs] concurrency 16 starts: it writes 18 for all."""
    shop = make(concurrency=1)
    shop.app.runner.start()
    queues = table(shop, "queues")
    with writing(shop.app.database) as connection:
        connection.execute(
            text(f"UPDATE {queues} SET worker_concurrency = 18 WHERE name = 'superres.items'")
        )
    time.sleep(0.5)
    shop.engine.go.clear()
    job = shop.running(shop.submit(10))
    time.sleep(1)
    held = shop.app.runner._queue.states([item_id(job.id, n) for n in range(10)])
    assert list(held.values()).count("PENDING") <= 3


def test_stopping_in_order_is_no_death(make) -> None:
    first = make()
    job = first.submit(1)
    for _ in range(3):
        shop = make()
        shop.app.runner.start()
        shop.engine.go.clear()
        shop.running(job)
        closing = threading.Thread(target=shop.app.runner.close)
        closing.start()
        runner = shop.app.runner
        until(lambda r=runner: all(e.stopped for e in r._running()), "the stop")
        shop.engine.go.set()
        closing.join(20)
        assert first.look(job).items[0].state is State.WAITING
    shop = make()
    shop.app.runner.start()
    assert [str(i.error) for i in shop.finished(job).items] == ["None"]


def test_stopping_does_not_wait_for_what_hangs(make) -> None:
    shop = make()
    shop.app.runner.start()
    shop.engine.go.clear()
    shop.running(shop.submit(1))
    begun = time.monotonic()
    closing = threading.Thread(target=shop.app.runner.close)
    closing.start()
    closing.join(15)
    hung = closing.is_alive()
    shop.engine.go.set()
    closing.join(20)
    assert not hung, f"it took {time.monotonic() - begun:.0f} s; 5 s are given"


def test_no_picture_is_done_without_its_result(idle: Workshop) -> None:
    """The database was away for longer than a result is kept that is not written down."""
    job = idle.submit(1)
    ledger = Ledger(idle.app.database, idle.app.runner._queue, "me", 3)
    ticket = ledger.begin(job.id, 0)
    blob = idle.app.blobs.keep(idle.picture(), "r.png", "image/png", -1.0, counted=False)
    idle.app.blobs.expire()
    result = ItemResult(
        blob.id, "r.png", "png", "image/png", 8, 6, 4, 3, blob.size, "general", 0.5, 0, 0, 0, 0
    )
    ledger.done(ticket, result, 1.0)
    now = idle.look(job)
    assert now.items[0].state is not State.DONE or idle.content(blob.id)


def test_a_deletion_that_was_cut_short_leaves_nothing(idle: Workshop, monkeypatch) -> None:
    job = idle.submit(2)
    with monkeypatch.context() as patch:

        def cut(_ids: object) -> None:
            raise StorageError("The database cannot be used now.")

        patch.setattr(idle.app.jobs._queue, "forget", cut)
        with pytest.raises(StorageError):
            idle.app.jobs.delete(job.id, owner=None)
    with suppress(JobNotFound):
        idle.app.jobs.delete(job.id, owner=None)  # tried again
    sweeper = sweeper_of(idle)
    sweeper.sweep()
    sweeper.reconcile()
    flows = [item_id(job.id, n) for n in range(2)]
    assert idle.app.runner._queue.states(flows) == {}


def test_a_start_that_failed_can_be_tried_again(make, monkeypatch) -> None:
    with monkeypatch.context() as patch:

        def away(*_: object) -> str:
            raise StorageError("The database cannot be used now.")

        patch.setattr(Slots, "take", away)
        shop = make()
        with pytest.raises(StorageError):
            shop.app.runner.start()
        shop.close()
    try:
        make().app.runner.start()
    finally:
        flows.release(shop.app.runner)  # else every test after this one fails, too


def test_a_lost_claim_pins_no_thread(make) -> None:
    """Taken for dead with a picture at hand: another process claims it, and drops it when this
    one is quicker to begin. The thread then waits for an end that nobody writes.
    """
    shop = make(concurrency=1)
    shop.app.runner.start()
    shop.engine.go.clear()
    job = shop.running(shop.submit(2))
    flows = [item_id(job.id, n) for n in range(2)]
    until(lambda: set(shop.app.runner._queue.states(flows).values()) == {"PENDING"}, "the claims")
    other = Slots(shop.app.database, 2.0).take(1)
    waiting = [i.position for i in shop.look(job).items if i.state is State.WAITING]
    with writing(shop.app.database) as connection:
        connection.execute(
            text(
                f"UPDATE {table(shop, 'workflow_status')} SET executor_id = :other, "
                "owner_xid = 'theirs' WHERE workflow_uuid = :flow"
            ),
            {"other": other, "flow": item_id(job.id, waiting[0])},
        )
        connection.execute(
            text("UPDATE slots SET seen_at = seen_at + 1 WHERE id = :other"), {"other": other}
        )
    beating = threading.Event()

    def beat() -> None:
        while not beating.wait(0.5):
            Slots(shop.app.database, 2.0).beat(other, 1, 0.0)

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        shop.engine.go.set()
        shop.finished(job)
        time.sleep(4)
        shop.app.runner.close()
        time.sleep(3)
    finally:
        beating.set()
        heart.join()
    left = [t.name for t in threading.enumerate() if t.name.startswith("dbos-executor")]
    with writing(shop.app.database) as connection:  # let it go, or the tests never end
        connection.execute(text(f"UPDATE {table(shop, 'workflow_status')} SET status = 'SUCCESS'"))
    assert left == []


def test_the_database_goes_while_a_result_is_kept(shop: Workshop, monkeypatch) -> None:
    """The file is in the store by then and not where it was: a second try finds none."""
    blobs, failures = shop.app.blobs, []
    job = shop.submit([shop.item("a")])
    finish = blobs._finish

    def once(*args: Any) -> float:
        if not failures:
            failures.append(args)
            raise StorageError("The database cannot be used now; its keeper finds why.")
        return finish(*args)

    monkeypatch.setattr(blobs, "_finish", once)
    assert [str(i.error) for i in shop.finished(job).items] == ["None"]


def test_a_picture_of_a_living_process_is_not_taken(idle: Workshop) -> None:
    """A process that was taken for dead still has a claim, and begins what another has by now."""
    job = idle.submit(1)
    queue = idle.app.runner._queue
    slots = Slots(idle.app.database, 60.0)
    theirs = Ledger(idle.app.database, queue, slots.take(1), 3)
    stale = Ledger(idle.app.database, queue, slots.take(1), 3)
    assert theirs.begin(job.id, 0) is not None
    assert stale.begin(job.id, 0) is None
    assert theirs.mine() == {(job.id, 0): 1}
