"""What goes wrong around jobs: each time they end in a state that is true, with a reason."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy import select

from superres.jobs.tables import job_items, jobs, slots
from tests.e2e import poison, skewed
from tests.e2e.chaos import FINAL, Client, Sightings, numbered
from tests.e2e.fleet import Fleet, database_of_its_own, fleet
from tests.e2e.service import to_png, until
from tests.e2e.trouble import PrivateServer, fill, small_disk

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals of Unix"),
    pytest.mark.slow,
]

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")
SLOT_TIMEOUT = 3.0


def solid(colour: Sequence[int]) -> bytes:
    return to_png(np.full((64, 64, 3), colour, np.uint8))


class Handed:
    """A job that was handed in, and what becomes of it."""

    def __init__(self, fleet: Fleet, pictures: Sequence[bytes], key: str = "one") -> None:
        self.fleet = fleet
        self.client = Client(fleet)
        self.id = self.client.hand_in(key, pictures)

    def rows(self) -> list[dict[str, object]]:
        """Its pictures, as the database has them."""
        query = select(job_items).where(job_items.c.job_id == self.id)
        with self.fleet.database.connect() as connection:
            found = connection.execute(query.order_by(job_items.c.position)).mappings()
            return [dict(row) for row in found]

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]

    def count(self, state: str) -> int:
        return self.states().count(state)

    @property
    def state(self) -> str:
        return self.client.look(self.id)["state"]

    def wait(self) -> None:
        until(lambda: self.state in FINAL, self.fleet.told)

    def shows(self, *numbers: int | None) -> None:
        """The links of pictures that are done lead to these; None: that one is not done."""
        sightings = Sightings()
        sightings.note(self.client, self.client.look(self.id), numbers)
        assert not sightings.wrong
        done = {place for _, place in sightings.results}
        assert done == {place for place, number in enumerate(numbers) if number is not None}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of one server, to be started."""
    with fleet(tmp_path, settings={"jobs.slot_timeout": SLOT_TIMEOUT}) as made:
        made.add("serve")
        yield made


def three(fleet: Fleet) -> Handed:
    """A job whose pictures are in hand and held."""
    fleet.hold()
    handed = Handed(fleet, [numbered(n) for n in (1, 2, 3)])
    until(lambda: handed.count("running") == 3, fleet.told)
    return handed


# ---------------------------------------------------------------- ends


def test_asked_to_stop_it_finishes_what_runs(alone: Fleet) -> None:
    (server,) = alone.members
    server.settings = {**server.settings, "jobs.concurrency": 2, "server.shutdown_timeout": 30}
    alone.start()
    alone.hold()
    handed = Handed(alone, [numbered(n) for n in (1, 2, 3)])
    until(lambda: handed.states() == ["running", "running", "waiting"], alone.told)
    server.signal(signal.SIGTERM)
    time.sleep(3)
    assert server.alive
    alone.release()
    assert server.ended() == 0
    assert handed.states() == ["done", "done", "waiting"]
    server.start()
    handed.wait()
    handed.shows(1, 2, 3)
    assert [row["attempt"] for row in handed.rows()] == [1, 1, 1]


def test_asked_to_stop_what_takes_too_long_waits_again(alone: Fleet) -> None:
    (server,) = alone.members
    server.settings = {**server.settings, "server.shutdown_timeout": 1, "jobs.attempts": 1}
    alone.start()
    handed = three(alone)
    server.signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.ended() == 0
    # Also what hangs in a tile does not keep it until [workers] hang_timeout.
    assert time.monotonic() - began < 20
    assert handed.states() == ["waiting"] * 3, server.said()
    assert "Traceback" not in server.said()
    alone.release()
    server.start()
    handed.wait()
    # To be stopped in order is no failure of the picture: it costs none of its attempts.
    handed.shows(1, 2, 3)


@pytest.mark.parametrize("whole", [True, False], ids=["with its children", "alone"])
def test_killed_and_started_again(alone: Fleet, whole: bool) -> None:
    (server,) = alone.members
    alone.start()
    handed = three(alone)
    server.kill(whole=whole)
    alone.release()
    server.start()
    began = time.monotonic()
    handed.wait()
    assert time.monotonic() - began < SLOT_TIMEOUT + 5
    handed.shows(1, 2, 3)
    assert [row["attempt"] for row in handed.rows()] == [2, 2, 2]
    with alone.database.connect() as connection:
        assert connection.execute(select(slots.c.pid)).scalars().all() == [server.process.pid]


def test_killed_so_often_that_it_is_the_picture(alone: Fleet) -> None:
    """A picture that takes the service down is not tried for ever."""
    alone.members.clear()
    alone.script = Path(poison.__file__)
    server = alone.add("serve", jobs__attempts=2, jobs__concurrency=1)
    alone.start()
    handed = Handed(alone, [solid(poison.KILLS_PARENT), numbered(2)])
    for _ in range(2):
        until(lambda: not server.alive, alone.told)
        server.begin()
    handed.wait()
    poisoned, other = handed.rows()
    assert (poisoned["state"], poisoned["error_code"]) == ("failed", "worker_lost")
    assert "2 times" in poisoned["error_message"]
    assert other["state"] == "done"
    assert server.alive
    handed.shows(None, 2)


def test_a_picture_that_kills_its_worker(alone: Fleet) -> None:
    alone.members.clear()
    alone.script = Path(poison.__file__)
    server = alone.add("serve")
    alone.start()
    pid = server.process.pid
    handed = Handed(alone, [numbered(1), solid(poison.KILLS_WORKER), numbered(3), numbered(4)])
    handed.wait()
    assert server.process.pid == pid
    assert server.alive
    one, poisoned, three, four = handed.rows()
    assert (poisoned["state"], poisoned["error_code"]) == ("failed", "worker_lost")
    assert [row["state"] for row in (one, three, four)] == ["done"] * 3
    handed.shows(1, None, 3, 4)


# ---------------------------------------------------------------- files


def test_a_picture_that_was_damaged_in_the_store(alone: Fleet) -> None:
    (server,) = alone.members
    server.settings = {**server.settings, "jobs.concurrency": 0}
    alone.start()
    handed = Handed(alone, [numbered(n) for n in (1, 2, 3)])
    files = sorted((server.data / "objects").rglob("*"))
    (first, second, *_) = [
        path for path in files if path.is_file() and path.read_bytes() in map(numbered, (1, 2))
    ]
    if first.read_bytes() != numbered(1):
        first, second = second, first
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.unlink()
    alone.add("worker").start()
    handed.wait()
    changed, missing, whole = handed.rows()
    for row in (changed, missing):
        assert (row["state"], row["error_code"]) == ("failed", "storage_error"), row
        assert "damaged" in row["error_message"]
        assert row["attempt"] == 1
    assert whole["state"] == "done"
    handed.shows(None, None, 3)


def test_the_store_is_away_for_a_moment(alone: Fleet) -> None:
    (server,) = alone.members
    alone.start()
    handed = three(alone)
    objects = server.data / "objects"
    objects.rename(away := server.data / "away")
    objects.write_bytes(b"")  # not even a folder can be made there
    alone.release()
    time.sleep(2)
    assert handed.count("running") == 3, handed.rows()
    objects.unlink()
    away.rename(objects)
    handed.wait()
    handed.shows(1, 2, 3)
    assert [row["attempt"] for row in handed.rows()] == [1, 1, 1]


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    """The database, the pictures, the results: everything is on one disk, and it is full."""
    with small_disk(tmp_path / "machines" / "a", "24m"), fleet(tmp_path) as alone:
        server = alone.add("serve")
        alone.start()
        before = three(alone)
        filler = fill(server.data)
        # What is handed in now is refused, in words.
        noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
        answer = server.http.post("/v1/jobs", files=[("file", ("a.png", to_png(noise)))])
        assert answer.status_code >= 500, answer.text
        error = answer.json()["error"]
        assert error["code"] in ("storage_error", "output_error"), error
        alone.release()
        time.sleep(2 * SLOT_TIMEOUT)
        assert server.alive, server.said()
        filler.unlink()
        # And what was handed in before has ended, each picture in one way or the other.
        before.wait()
        for row in before.rows():
            if row["state"] == "done":
                continue
            assert row["state"] == "failed"
            assert row["error_code"] in ("storage_error", "output_error"), row
            assert re.search("room|space|written|kept", row["error_message"]), row
        again = Handed(alone, [numbered(n) for n in (4, 5)], "again")
        again.wait()
        again.shows(4, 5)
        with alone.database.connect() as connection:
            assert len(connection.execute(select(jobs.c.id)).all()) == 2
        assert server.in_flight() == []


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="limits of Linux")
def test_a_result_that_finds_no_room(alone: Fleet) -> None:
    """As far as can be tried without filling a disk: files may not be longer than so much."""
    (server,) = alone.members
    alone.start()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    large = to_png(noise)
    (worker,) = server.workers()
    before = worker.rlimit(psutil.RLIMIT_FSIZE)
    worker.rlimit(psutil.RLIMIT_FSIZE, (len(large), before[1]))
    try:
        handed = Handed(alone, [large, numbered(2)])
        handed.wait()
    finally:
        worker.rlimit(psutil.RLIMIT_FSIZE, before)
    failed, done = handed.rows()
    assert (failed["state"], failed["error_code"]) == ("failed", "output_error"), failed
    assert re.search("room|written", failed["error_message"])
    assert done["state"] == "done"
    handed.shows(None, 2)
    until(lambda: server.in_flight() == [])


# ---------------------------------------------------------------- the database goes away


@pytest.fixture
def private_server() -> Iterator[PrivateServer]:
    with PrivateServer.started() as server:
        yield server


@contextlib.contextmanager
def two_machines(folder: Path, database: str) -> Iterator[Fleet]:
    store = (folder / "store").as_uri()
    with fleet(folder, database_url=database, storage_url=store) as made:
        made.add("serve", "a")
        made.add("worker", "b")
        made.start()
        yield made


def test_the_database_starts_anew_while_pictures_are_done(
    tmp_path: Path, private_server: PrivateServer
) -> None:
    with two_machines(tmp_path, private_server.url) as fleet:
        server, worker = fleet.members
        fleet.hold()
        numbers = list(range(1, 13))
        handed = Handed(fleet, [numbered(n) for n in numbers])
        until(lambda: handed.count("running") == 6, fleet.told)
        private_server.stop()
        fleet.release()  # what is done now cannot be written down
        answer = server.http.get(f"/v1/jobs/{handed.id}")
        assert answer.status_code == 500, answer.text
        assert answer.json()["error"]["code"] == "storage_error"
        time.sleep(SLOT_TIMEOUT + 1)
        private_server.start()
        handed.wait()
        handed.shows(*numbers)
        assert server.alive
        assert worker.alive
        assert max(row["attempt"] for row in handed.rows()) <= 3
        for member in fleet.members:
            assert "failed unexpectedly" not in member.said().lower(), member.said()
            # Somebody looks for work many times a second: not each is worth a line.
            assert member.said().count("Exception reloading queue") < 10, member.said()


def test_connections_that_are_cut_again_and_again(tmp_path: Path) -> None:
    if not POSTGRES:
        pytest.skip("SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
    import psycopg

    with database_of_its_own(POSTGRES) as url, two_machines(tmp_path, url) as fleet:
        name = url.rpartition("/")[2].partition("?")[0]
        fleet.hold(0.3)
        numbers = list(range(1, 21))
        handed = Handed(fleet, [numbered(n) for n in numbers])
        cut = 0
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                cut += len(
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                        [name],
                    ).fetchall()
                )
                time.sleep(0.2)
        assert cut > 20
        handed.wait()
        handed.shows(*numbers)
        assert all(member.alive for member in fleet.members)


# ---------------------------------------------------------------- unlike processes


def test_a_process_takes_no_more_than_it_can_do(alone: Fleet) -> None:
    """One that does few at a time does not keep others, who do more, from the rest."""
    (server,) = alone.members
    server.settings = {**server.settings, "jobs.concurrency": 0}
    few, many = alone.add("worker", jobs__concurrency=1), alone.add("worker")
    for member in (server, few, many):
        member.start()
    alone.hold()
    many.freeze()
    handed = Handed(alone, [numbered(n) for n in range(1, 7)])
    until(lambda: handed.count("running") == 1, alone.told)
    time.sleep(0.5)
    many.thaw()
    until(lambda: handed.count("running") == 4, alone.told)
    alone.release()
    handed.wait()
    handed.shows(*range(1, 7))


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["forward", "back"])
def test_the_clock_is_set(alone: Fleet, seconds: int) -> None:
    """Of SQLite's machine; with PostgreSQL it is the server's, and tells the same."""
    alone.members.clear()
    alone.script = Path(skewed.__file__)
    server = alone.add("serve")
    other = alone.add("worker")
    alone.start()
    alone.hold()
    numbers = list(range(1, 11))
    handed = Handed(alone, [numbered(n) for n in numbers])
    until(lambda: handed.count("running") == 6, alone.told)
    alone.set_clock(seconds)
    time.sleep(3 * SLOT_TIMEOUT)  # who sweeps has had its time
    assert handed.count("running") == 6, handed.rows()
    alone.release()
    handed.wait()
    handed.shows(*numbers)
    assert max(row["attempt"] for row in handed.rows()) == 1, "they were begun again"
    # And a process that is really dead is still found to be.
    alone.hold()
    again = Handed(alone, [numbered(n) for n in numbers], "again")
    until(lambda: again.count("running") == 6, alone.told)
    other.kill()
    alone.release()
    again.wait()
    again.shows(*numbers)
    assert server.alive
