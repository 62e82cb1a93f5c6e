"""Setting right what nobody else does."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, update

from superres.database import reading, writing
from superres.errors import DeadlineExceeded
from superres.jobs import State
from superres.jobs.queue import item_id
from superres.jobs.slots import Slots, _host
from superres.jobs.sweeper import Sweeper
from superres.jobs.tables import job_items, jobs, slots
from tests.unit.jobs.test_runner import dead_hand, sweeper_of
from tests.unit.jobs.workshop import Workshop, until


def slot_of(shop: Workshop, name: str, **values: object) -> None:
    row = {
        "id": name,
        "host": "elsewhere",
        "pid": 1,
        "concurrency": 1,
        "pace": 0.0,
        "leader": False,
        "started_at": 0.0,
        "seen_at": 0.0,
        **values,
    }
    with writing(shop.app.database) as connection:
        connection.execute(insert(slots).values(**row))


def test_what_waited_too_long(idle: Workshop) -> None:
    late, fine = idle.submit(2, max_wait=0.05), idle.submit(1)
    sweeper = sweeper_of(idle)

    def ended():
        sweeper.end_late()
        return idle.look(late).state.final

    until(ended, "the end")
    now = idle.look(late)
    assert (now.state, now.count(State.TIMED_OUT)) == (State.TIMED_OUT, 2)
    assert isinstance(now.items[0].error, DeadlineExceeded)
    assert "waited longer" in str(now.items[0].error)
    assert idle.look(fine).state is State.WAITING


def test_what_was_lost_from_the_queue(make, idle: Workshop) -> None:
    job = idle.submit(2)
    idle.app.runner._queue.forget([item_id(job.id, 0)])
    idle.app.runner._queue.cancel([item_id(job.id, 1)])
    with writing(idle.app.database) as connection:
        connection.execute(update(job_items).values(created_at=1.0))
    sweeper = sweeper_of(idle)
    assert sweeper.reconcile() == 2
    assert sweeper.reconcile() == 0
    shop = make()
    shop.app.runner.start()
    assert shop.finished(job).count(State.DONE) == 2


def test_old_jobs_are_forgotten(make) -> None:
    shop = make(history=0.0)
    shop.app.runner.start()
    job = shop.finished(shop.submit(2, lifetime=2.0))
    flows = [item_id(job.id, n) for n in range(2)]
    assert len(shop.app.runner._queue.states(flows)) == 2

    def gone():
        with reading(shop.app.database) as connection:
            return connection.scalar(select(jobs.c.id)) is None

    until(gone, "forgetting")
    assert shop.app.runner._queue.states(flows) == {}
    until(lambda: shop.files() == [], "the results' going")


def test_sweeping_twice_and_at_once(make, idle: Workshop) -> None:
    job = idle.submit(20)
    dead_hand(idle)
    sweepers = [sweeper_of(idle, timeout=60) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda s: [s.sweep() for _ in range(3)], sweepers))
    assert idle.look(job).count(State.WAITING) == 20
    shop = make()
    shop.app.runner.start()
    done = shop.finished(job)
    assert [i.attempt for i in done.items] == [2] * 20


def test_one_step_that_fails_does_not_keep_the_others(idle: Workshop, monkeypatch) -> None:
    late = idle.submit(1, max_wait=0.0)
    sweeper = sweeper_of(idle)

    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sweeper, "give_away", fail)
    until(lambda: sweeper.sweep() or idle.look(late).state.final, "the end")


def test_a_dead_process_of_this_machine_is_known_at_once(idle: Workshop) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    moment = 4e9  # it spoke a moment ago, by whatever clock
    slot_of(idle, "dead", host=_host(), pid=process.pid, seen_at=moment)
    slot_of(idle, "elsewhere", pid=process.pid, seen_at=moment)
    slot_of(idle, "alive", host=_host(), pid=os.getppid(), seen_at=moment, started_at=4e9)
    assert Slots(idle.app.database, 60).dead("me", trust_silence=False) == ["dead"]


def test_silence(idle: Workshop) -> None:
    registry = Slots(idle.app.database, 60)
    mine = registry.take(1)
    slot_of(idle, "silent")
    assert registry.dead(mine) == ["silent"]
    assert registry.dead(mine, trust_silence=False) == []
    assert registry.dead("silent") == []
    registry.forget(mine)
    registry.beat(mine, 1, 2.5)  # who was given up and lives makes itself known again
    assert mine in registry.every()


def test_the_clock_is_set(idle: Workshop) -> None:
    shift = 0.0
    real = idle.app.jobs._clock
    registry = Slots(idle.app.database, 60, lambda connection: real(connection) + shift)
    mine, other = registry.take(1), registry.take(1)
    with writing(idle.app.database) as connection:
        connection.execute(update(slots).values(host="elsewhere"))
    shift = -3600.0  # back: who spoke "in an hour" is not immortal
    assert registry.dead(mine) == []
    shift = -3600.0 + 61
    registry.beat(mine, 1, 0.0)
    assert registry.dead(mine) == [other]


def test_one_leads(idle: Workshop) -> None:
    registry = Slots(idle.app.database, 60)
    first, second = registry.take(1), registry.take(1)
    with ThreadPoolExecutor(2) as pool:
        led = list(pool.map(registry.lead, [first, second]))
    assert sorted(led) == [False, True]
    leader, other = (first, second) if led[0] else (second, first)
    assert registry.lead(leader)
    assert not registry.lead(other)
    with writing(idle.app.database) as connection:
        connection.execute(update(slots).where(slots.c.id == leader).values(seen_at=0.0))
    assert registry.lead(other)
    assert not registry.lead(leader)


def test_a_silence_of_all_is_nobodys_death(idle: Workshop) -> None:
    """The database was away: then nobody could say that it lives."""
    job = idle.submit(1)
    dead_hand(idle, "quiet")
    slot_of(idle, "quiet")
    sweeper: Sweeper = sweeper_of(idle)
    sweeper.sweep(trust_silence=False)
    assert idle.look(job).count(State.RUNNING) == 1
    sweeper.sweep(trust_silence=True)
    assert idle.look(job).count(State.WAITING) == 1


@pytest.mark.parametrize("number", [1, 3])
def test_what_a_process_that_was_given_up_claimed_since(idle: Workshop, number: int) -> None:
    job = idle.submit(number)
    dead_hand(idle, "no slot at all")
    sweeper = sweeper_of(idle, timeout=60)
    assert (sweeper.give_away(), sweeper.give_away()) == (0, 1)
    assert idle.look(job).count(State.WAITING) == number
