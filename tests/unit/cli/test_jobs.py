"""``superres jobs``: the keeper's view, over jobs that a real worker did or did not do."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from superres.cli import jobs_shown
from superres.cli.jobs_shown import age
from superres.faces import Face, FaceReport
from superres.jobs import Callback, Item, ItemResult, Job, State
from tests.e2e.fleet import Fleet, fleet
from tests.unit.cli.calls import Result
from tests.unit.cli.calls import Run as Call
from tests.unit.cli.taken import NOWHERE, Taken

NAME = "[bold]phone app"


@dataclass
class Past:
    """What has become of jobs in a data folder; nothing there changes any more.

    Attributes:
        owner: the id of the credential :data:`NAME`.
        done: with one picture of two that failed, and nobody to be told of it.
        failed: of a caller without a credential.
        closed: before it was begun.
        running: while one picture is held.
        waiting: behind that.
    """

    data: Path
    owner: str
    done: Job
    failed: Job
    closed: Job
    running: Job
    waiting: Job


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("jobs"), settings={"jobs.slot_timeout": 600}) as made:
        yield made


@pytest.fixture(scope="module")
def past(crew: Fleet) -> Past:
    taken = Taken(crew.folder / "machines" / "a")
    owner = taken.credential(NAME)
    worker = crew.add("worker")
    worker.flags = ("--concurrency", "1")
    worker.start()
    mixed = [taken.picture("[red]cat", 12), taken.unreachable("bad")]
    told = Callback(NOWHERE, signed_by=owner)
    done = taken.submit(mixed, owner=owner, priority=7, callback=told)
    failed = taken.submit([taken.unreachable()], door="fsrtwo")
    done, failed = taken.when(done, "done"), taken.when(failed, "failed")
    crew.hold()
    running = taken.when(taken.submit([taken.picture()] * 1 + [taken.picture()]), "running")
    closed = taken.submit(priority=0)
    with taken.open() as (jobs, _):
        closed = jobs.cancel(closed.id, owner=None)
    waiting = taken.submit(priority=1, owner=owner)
    return Past(taken.data, owner, done, failed, closed, running, waiting)


@pytest.fixture
def jobs(run: Call, past: Past) -> Call:
    """Run ``superres jobs`` on the past."""

    def call(command: str, *words: str | Path, **more: Any) -> Result:
        return run("jobs", command, *words, "--data-dir", past.data, **more)

    return call


@pytest.fixture
def now(run: Call, folder: Path) -> Call:
    """The same, on a data folder of the test's own."""

    def call(command: str, *words: str | Path, **more: Any) -> Result:
        return run("jobs", command, *words, "--data-dir", folder / "data", **more)

    return call


@pytest.fixture
def taken(folder: Path) -> Taken:
    return Taken(folder / "data")


def listed(jobs: Call, *words: str) -> list[str]:
    done = jobs("list", "--json", *words)
    assert done.code == 0, done.err
    return [record["id"] for record in json.loads(done.out)]


# ---------------------------------------------------------------- list


def test_an_empty_list(now: Call) -> None:
    assert now("list").out == "There are no jobs.\n"
    assert json.loads(now("list", "--json").out) == []
    assert now("list", "--state", "failed").out == "None is like that.\n"


def test_the_newest_first(jobs: Call, past: Past) -> None:
    every = [past.waiting.id, past.closed.id, past.running.id, past.failed.id, past.done.id]
    assert listed(jobs) == every
    assert listed(jobs, "--limit", "2") == every[:2]
    assert listed(jobs, "--door", "fsrtwo") == [past.failed.id]
    assert listed(jobs, "--owner", NAME) == listed(jobs, "--owner", past.owner)
    assert listed(jobs, "--owner", NAME) == [past.waiting.id, past.done.id]
    assert listed(jobs, "--owner", NAME, "--state", "done") == [past.done.id]
    for state in ("waiting", "running", "done", "failed", "closed"):
        assert listed(jobs, "--state", state) == [getattr(past, state).id]
    assert listed(jobs, "--state", "timed_out") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--state", "dead"), "the states are waiting, running, done, failed, closed, timed_out"),
        (("--owner", "nobody"), "There is no credential 'nobody'"),
        (("--limit", "0"), "limit"),
    ],
)
def test_a_wrong_list(jobs: Call, words: tuple[str, ...], told: str) -> None:
    done = jobs("list", *words)
    assert done.code == 2
    assert told in done.told


@pytest.mark.parametrize("width", [60, 80, 111, 112, 160])
def test_the_table_fits(
    jobs: Call, past: Past, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = jobs("list").out
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    for job in (past.waiting, past.closed, past.running, past.failed, past.done):
        about = block(out, job)
        assert f" {job.state} " in about
        assert f" {job.count('done')}/{len(job.items)} " in about
    assert " done " in block(out, past.done)
    assert " 100% " in block(out, past.done)
    words = " ".join(out.split())
    assert NAME in words
    assert "no credential" in words
    assert "fsrtwo" in words


def block(out: str, job: Job) -> str:
    """The lines about one job: that with its id, and the next."""
    lines = out.splitlines()
    (at,) = (n for n, line in enumerate(lines) if line.strip().startswith(job.id))
    return " ".join(lines[at : at + 2]) + " "


def test_more_than_shown_is_told(jobs: Call) -> None:
    assert "There are more; --limit shows them." in jobs("list", "--limit", "4").out
    assert "more" not in jobs("list", "--limit", "5").out


def test_a_job_in_json(jobs: Call, past: Past) -> None:
    (record,) = json.loads(jobs("list", "--state", "done", "--json").out)
    (shown,) = [json.loads(jobs("show", past.done.id, "--json").out)]
    assert shown.pop("wait_seconds") == 0
    assert shown == record
    items = record.pop("items")
    callback = record.pop("callback")
    moments = [record.pop(f"{name}_at") for name in ("created", "started", "finished", "expires")]
    assert moments == sorted(moments)
    assert all(moment.endswith("+00:00") for moment in moments)
    assert record == {
        "id": past.done.id,
        "door": "v1",
        "state": "done",
        "priority": 7,
        "progress": 1.0,
        "pictures": 2,
        "done": 1,
        "failed": 1,
        "owner": past.owner,
        "owner_name": NAME,
    }
    assert callback["state"] in ("waiting", "failed")
    good, bad = items
    assert (good["name"], good["state"], good["attempt"], good["error"]) == (
        "[red]cat",
        "done",
        1,
        None,
    )
    assert (good["result"]["width"], good["result"]["source_width"]) == (24, 12)
    assert (bad["position"], bad["state"], bad["result"]) == (1, "failed", None)
    assert bad["error"]["code"] == "source_refused"


# ---------------------------------------------------------------- show


@pytest.mark.parametrize("width", ["80", "140"])
def test_show(jobs: Call, past: Past, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    out = " ".join(jobs("show", past.done.id).out.split())
    assert f"Id {past.done.id} " in out
    assert "State done, 100%: 1 done, 1 failed" in out
    assert f"Owner {NAME} ({past.owner})" in out
    assert "Priority 7" in out
    assert "Handed in 20" in out
    assert "Expires 20" in out
    assert "UTC, in 59 min" in out or "UTC, in 1 h 00 min" in out
    assert "Webhook" in out
    assert "[red]cat 12×12 → 24×24 png, 0.00 MP, general" in out
    assert "bad" in out
    assert past.done.items[1].error is not None
    assert past.done.items[1].error.public_message in out


def test_show_what_is_not_finished(jobs: Call, past: Past) -> None:
    out = " ".join(jobs("show", past.running.id).out.split())
    assert "State running, " in out
    assert ": 1 waiting, 1 running" in out
    assert "Done in about " in out
    assert "Expires" not in out
    assert "upscale, " in out or "decode, " in out or "fetch, " in out
    out = " ".join(jobs("show", past.waiting.id).out.split())
    assert "Begun not yet" in out
    assert json.loads(jobs("show", past.waiting.id, "--json").out)["wait_seconds"] > 0


def test_no_such_job(jobs: Call, past: Past) -> None:
    for command in ("show", "cancel", "delete"):
        done = jobs(command, str(uuid.uuid4()), *(["--yes"] if command != "show" else []))
        assert (done.code, done.out) == (1, "")
        assert "There is no such job." in done.told
        assert jobs(command).code == 2


def test_seconds_in_words() -> None:
    assert [age(s) for s in (-3, 4.24, 90, 47 * 3600, 49 * 3600)] == [
        "0.0 s",
        "4.2 s",
        "1 min 30 s",
        "47 h 00 min",
        "2 days",
    ]


# ---------------------------------------------------------------- cancel, delete


def test_cancel_asks(now: Call, taken: Taken) -> None:
    job = taken.submit([taken.picture(), taken.picture()])
    done = now("cancel", job.id, stdin=b"n\n")
    assert done.code == 130
    assert "Close 1 job of 2 pictures for ever?" in done.told
    assert now("cancel", job.id, stdin=b"").code == 130
    assert taken.look(job).state == "waiting"
    done = now("cancel", job.id, stdin=b"y\n")
    assert (done.code, done.out.split("\n")[1]) == (0, f"{job.id} is closed: 2 closed.")
    assert taken.look(job).state == "closed"
    # Nothing is left to ask about.
    done = now("cancel", job.id)
    assert (done.code, done.out) == (0, f"{job.id} was closed already: 2 closed.\n")


def test_cancel_many(now: Call, taken: Taken) -> None:
    first, second, third = (taken.submit(owner=owner) for owner in ("", "SRAKSOMEBODY", ""))
    done = now("cancel", first.id, str(uuid.uuid4()), "--yes")
    assert done.code == 1
    assert taken.look(first).state == "waiting"
    done = now("cancel", first.id, second.id, "--yes", "--json")
    assert [record["state"] for record in json.loads(done.out)] == ["closed", "closed"]
    assert [taken.look(job).state for job in (first, second, third)] == [
        "closed",
        "closed",
        "waiting",
    ]


def test_what_runs_is_stopped(run: Call, tmp_path: Path) -> None:
    with fleet(tmp_path / "crew") as crew:
        taken = Taken(crew.folder / "machines" / "a")
        crew.hold(0.5)
        crew.add("worker").start()
        job = taken.when(taken.submit([taken.picture(side=512)]), "running")
        done = run("jobs", "cancel", job.id, "-y", "--data-dir", taken.data)
        assert done.out == f"{job.id} is closed: 1 closed.\n"
        crew.release()
        after = taken.submit()
        assert taken.when(after, "done")
        (item,) = taken.look(job).items
        assert (item.state, item.result) == ("closed", None)


def test_delete(now: Call, taken: Taken) -> None:
    first, second = taken.submit(), taken.submit()
    objects = taken.data / "objects"
    assert len(files(objects)) == 2
    done = now("delete", first.id, stdin=b"n\n")
    assert done.code == 130
    assert "Delete 1 job of 1 picture for ever?" in done.told
    assert f"Deleted {first.id}.\n" in now("delete", first.id, stdin=b"y\n").out
    assert "There is no such job." in now("show", first.id).told
    assert len(files(objects)) == 1
    assert json.loads(now("delete", second.id, "-y", "--json").out) == {"deleted": [second.id]}
    assert files(objects) == []
    assert now("list").out == "There are no jobs.\n"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# ---------------------------------------------------------------- around


@pytest.mark.parametrize("command", ["list", "show", "cancel", "delete"])
def test_the_help_fits_and_teaches(run: Call, command: str) -> None:
    out = run("jobs", command, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    for option in ("--data-dir", "--config", "--json"):
        assert option in out
    assert ("--yes" in out) == (command in ("cancel", "delete"))
    assert "list[str]" not in out
    if command == "list":
        assert "superres jobs list --state failed" in out


def test_without_the_servers_libraries(now: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith(("superres.jobs", "dbos")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dbos", None)
    done = now("list")
    assert done.code == 1
    assert 'pip install "superres[server]"' in done.told


def test_faces_of_a_job() -> None:
    points = ((8.0, 30.0), (24.0, 30.5), (16.0, 38.0), (9.0, 46.0), (23.0, 46.0))
    faces = (FaceReport(Face(-3.26, 10.5, 40.0, 52.0, 0.93125, points), "enhanced"),)
    made = ItemResult(
        "b" * 32, "p.png", "png", "image/png", 8, 6, 4, 3, 9, "general", 0.5, 0, 2, 1, 0, faces
    )
    item = Item(0, "p", State.DONE, "done", 1.0, 1, None, made, 1.0, 5.0, 6.0)
    job = Job("id", "v1", "", State.DONE, 5, [item], {}, 4.0, 5.0, 6.0, 9.0, 3, now=7.0)
    (told,) = jobs_shown.as_record(job, {})["items"]
    assert told["result"]["faces"] == [
        {
            "box": {"x": -3.3, "y": 10.5, "width": 40.0, "height": 52.0},
            "score": 0.931,
            "tier": "enhanced",
        }
    ]
    assert json.dumps(told)
    assert jobs_shown._picture(item).plain.endswith("general, 1 face kept")
