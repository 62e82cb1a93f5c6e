"""``superres worker``: real processes on one data folder, SQLite."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from superres.jobs import State
from tests.e2e.fleet import Fleet, Member, fleet
from tests.e2e.service import size_of, until
from tests.unit.cli.calls import Run
from tests.unit.cli.taken import Taken

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Fleet]:
    """Workers on one data folder; their engine can be held."""
    with fleet(tmp_path) as made:
        yield made


@pytest.fixture
def taken(crew: Fleet) -> Taken:
    return Taken(crew.folder / "machines" / "a")


def start(crew: Fleet, *flags: str, **settings: object) -> Member:
    worker = crew.add("worker", **settings)
    worker.flags = flags
    worker.start()
    return worker


def test_it_does_jobs(crew: Fleet, taken: Taken) -> None:
    before = taken.submit([taken.picture("a", 8), taken.unreachable(), taken.picture("b", 12)])
    worker = start(crew)
    after = taken.submit([taken.picture("late")])
    done = taken.when(before, "done", "failed")
    assert [item.state for item in done.items] == ["done", "failed", "done"]
    assert [size_of(taken.content(i.result.blob_id)) for i in done.items if i.result] == [
        (16, 16),
        (24, 24),
    ]
    assert done.items[1].error is not None
    assert done.items[1].error.code == "source_refused"
    assert taken.when(after, "done").items[0].attempt == 1
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0


def test_it_listens_nowhere_and_says_what_it_does(crew: Fleet) -> None:
    worker = start(crew, "--concurrency", "2")
    assert worker.process is not None
    assert [
        connection
        for process in worker.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ] == []
    (banner,) = (line for line in worker.said().splitlines() if "superres does jobs" in line)
    assert "2 pictures at a time" in banner
    assert worker.lines("doing jobs")[0]["concurrency"] == 2
    until(lambda: "is ready" in worker.said(), worker.said)
    worker.signal(signal.SIGINT)
    assert worker.ended() == 0
    for line in worker.said().splitlines():
        if line.strip() and line != banner:
            assert {"event", "level", "logger", "timestamp"} <= json.loads(line).keys()
    said = [line["event"] for line in worker.lines() if line["logger"] == "superres.worker"]
    assert said == ["doing jobs", "stopping", "stopped"]
    assert not [line for line in worker.lines() if line["level"] in ("warning", "error")]


def test_what_runs_ends_before_it_stops(crew: Fleet, taken: Taken) -> None:
    crew.hold()
    worker = start(crew, "--concurrency", "1", server__shutdown_timeout=60)
    first, second = taken.submit(), taken.submit()
    taken.when(first, "running")
    worker.signal(signal.SIGTERM)
    until(lambda: worker.lines("stopping"), worker.said)
    time.sleep(0.5)
    assert worker.alive
    crew.release()
    assert worker.ended() == 0
    assert taken.look(first).state == "done"
    assert taken.look(second).state == "waiting"


def test_what_does_not_end_in_time_waits_again(crew: Fleet, taken: Taken) -> None:
    crew.hold()
    worker = start(crew, server__shutdown_timeout=1)
    job = taken.when(taken.submit(), "running")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert taken.look(job).items[0].state == "waiting"
    crew.release()
    start(crew)
    assert taken.when(job, "done").items[0].attempt == 2


def test_asked_twice_it_leaves_at_once(crew: Fleet, taken: Taken) -> None:
    crew.hold()
    worker = start(crew, server__shutdown_timeout=600)
    job = taken.when(taken.submit(), "running")
    worker.signal(signal.SIGTERM)
    until(lambda: worker.lines("stopping"), worker.said)
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 128 + signal.SIGTERM
    crew.release()
    start(crew)
    taken.when(job, "done")


def test_two_share_the_work(crew: Fleet, taken: Taken) -> None:
    crew.hold()
    for _ in range(2):
        start(crew, "--concurrency", "1")
    # More than one of them claims ahead.
    job = taken.submit([taken.picture(str(n)) for n in range(6)])
    until(lambda: taken.look(job).count(State.RUNNING) == 2, crew.told)
    crew.release()
    assert {item.attempt for item in taken.when(job, "done").items} == {1}


@pytest.mark.parametrize("how", ["flag", "setting"])
def test_none_at_a_time_is_refused(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    words = ("--concurrency", "0") if how == "flag" else ()
    monkeypatch.setenv("SUPERRES_JOBS__CONCURRENCY", "0")
    done = run("worker", *words, "--data-dir", folder / "data")
    assert done.code == 2
    assert "would do nothing" in done.told
    assert "--concurrency 3" in done.told
    assert not (folder / "data").exists()


def test_wrong_words(run: Run, folder: Path) -> None:
    done = run("worker", "--concurrency", "-1", "--data-dir", folder / "data")
    assert done.code == 2
    assert "jobs.concurrency" in done.told
    assert "No such option" in run("worker", "--port", "8000").told


def test_the_help_fits_and_teaches(run: Run) -> None:
    out = run("worker", "--help").out
    assert max(map(len, out.splitlines())) <= 80
    assert "SUPERRES_JOBS__CONCURRENCY=0 superres serve" in " ".join(out.split())


def test_without_the_servers_libraries(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:
        if name.startswith(("superres.server", "superres.app", "superres.jobs", "dbos")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dbos", None)
    done = run("worker", "--data-dir", folder / "data")
    assert done.code == 1
    assert 'pip install "superres[server]"' in done.told
