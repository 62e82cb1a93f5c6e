"""Work that was handed in is never lost, whatever is killed, and nothing is shown twice.

The short form; ``python -m bench.chaos`` is the long one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chaos import FINAL, Client, Outcome, Sightings, Storm, audit, numbered, rage
from tests.e2e.fleet import Fleet, database_of_its_own, fleet
from tests.e2e.service import until
from tests.s3_server import new_bucket

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals of Unix"),
    pytest.mark.slow,
]

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")
SEED = int(os.environ.get("SUPERRES_TEST_SEED", "0")) or secrets.randbelow(10**6) + 1


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty database."""
    if not POSTGRES:
        pytest.skip("SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
    with database_of_its_own(POSTGRES) as url:
        yield url


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """One machine: everything in one folder."""
    with fleet(tmp_path, settings={"jobs.attempts": 8}) as made:
        yield made


@pytest.fixture
def far_apart(
    tmp_path: Path, postgres: str, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fleet]:
    """Machines that share no disk: PostgreSQL, and a server that speaks S3."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store = f"s3://{new_bucket(s3)}/superres"
    with fleet(tmp_path, database_url=postgres, storage_url=store) as made:
        yield made


@pytest.fixture
def together(tmp_path: Path, postgres: str) -> Iterator[Fleet]:
    """Machines that share a PostgreSQL and a store."""
    store = (tmp_path / "store").as_uri()
    settings = {"jobs.attempts": 8}
    with fleet(tmp_path, database_url=postgres, storage_url=store, settings=settings) as made:
        yield made


def test_chaos_on_one_machine(alone: Fleet) -> None:
    for command in ("serve", "worker", "worker"):
        alone.add(command)
    outcome = rage(alone, Storm(SEED))
    assert not outcome.wrong, "\n".join([*outcome.lines, *outcome.wrong, alone.told()])


def test_chaos_on_many_machines(together: Fleet) -> None:
    for machine, command in enumerate(("serve", "worker", "worker")):
        together.add(command, "abc"[machine])
    outcome = rage(together, Storm(SEED))
    assert not outcome.wrong, "\n".join([*outcome.lines, *outcome.wrong, together.told()])


# ---------------------------------------------------------------- two machines


class Batch:
    """A job of one client."""

    def __init__(self, fleet: Fleet, *numbers: int) -> None:
        self.fleet, self.numbers = fleet, numbers
        self.client = Client(fleet)
        self.sightings = Sightings()
        self.id = self.client.hand_in(f"batch-{numbers[0]}", [numbered(n) for n in numbers])

    def look(self) -> dict[str, object]:
        seen = self.client.look(self.id)
        self.sightings.note(self.client, seen, self.numbers)
        return seen

    def count(self, state: str) -> int:
        return sum(image["state"] == state for image in self.look()["images"])

    def wait(self) -> None:
        until(lambda: self.look()["state"] in FINAL, self.fleet.told)


def check(fleet: Fleet, *batches: Batch) -> None:
    """Every picture has one result, and it is the right one; nothing else is left."""
    outcome = Outcome(Storm(0, jobs=1, images=sum(len(b.numbers) for b in batches)))
    sightings = Sightings()
    for batch in batches:
        sightings.results |= batch.sightings.results
        outcome.wrong += batch.sightings.wrong
    audit(fleet, outcome.storm, [b.id for b in batches], sightings, outcome)
    assert not outcome.wrong, "\n".join([*outcome.wrong, fleet.told()])


def test_what_one_machine_takes_in_another_does(far_apart: Fleet) -> None:
    far_apart.add("serve", "a", jobs__concurrency=0)
    far_apart.add("worker", "b")
    far_apart.start()
    batch = Batch(far_apart, 1, 2, 3)
    batch.wait()
    check(far_apart, batch)  # the links were asked of A, and B made what is behind them


@pytest.mark.parametrize("end", ["frozen", "killed"])
def test_a_machine_that_is_cut_off(far_apart: Fleet, end: str) -> None:
    far_apart.add("serve", "a", jobs__concurrency=0)
    cut = far_apart.add("worker", "b")
    far_apart.start()
    far_apart.hold()
    batch = Batch(far_apart, *range(1, 7))
    until(lambda: batch.count("running") == 3, far_apart.told)
    if end == "frozen":
        cut.freeze()
    else:
        cut.kill()
    other = far_apart.add("worker", "c")
    other.start()
    far_apart.release()
    # Also what B had begun, once B has been silent for [jobs] slot_timeout.
    batch.wait()
    assert batch.count("done") == 6
    if end == "killed":
        check(far_apart, batch)
        return
    # B goes on as if nothing had been, and finishes what is no longer its own.
    cut.thaw()
    for _ in range(15):
        time.sleep(0.2)
        batch.look()
    # And is of use again, when nobody else is left.
    other.kill()
    second = Batch(far_apart, *range(11, 14))
    second.wait()
    assert cut.alive
    check(far_apart, batch, second)
