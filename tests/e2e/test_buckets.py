"""The bucket service as a whole: killed, filled, starved, and asked rudely."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import bucketful
from tests.e2e.fleet import Fleet, database_of_its_own, fleet
from tests.s3_server import new_bucket

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")
SEED = int(os.environ.get("SUPERRES_TEST_SEED", "0")) or secrets.randbelow(10**6) + 1
KEY = "c3VwZXJyZXMgc3VwZXJyZXMgc3VwZXJyZXMgc3VwZXI="


# ---------------------------------------------------------------- kill -9


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """One machine: everything in one folder."""
    with fleet(tmp_path) as made:
        yield made


@pytest.fixture
def far_apart(
    tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fleet]:
    """Machines that share no disk: PostgreSQL, and a server that speaks S3."""
    if not POSTGRES:
        pytest.skip("SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store = f"s3://{new_bucket(s3)}/superres"
    with (
        database_of_its_own(POSTGRES) as url,
        fleet(tmp_path, database_url=url, storage_url=store, settings={"access.key": KEY}) as made,
    ):
        yield made


def raged(fleet: Fleet) -> None:
    ledger = bucketful.rage(fleet, SEED)
    for member in fleet.members:
        member.stop()
    ledger.wrong += bucketful.leftovers(fleet)
    said = "".join(member.everything_said() for member in fleet.members)
    assert not ledger.wrong, "\n".join([f"seed {SEED}", *ledger.wrong[:40], fleet.told()])
    assert "unexpected error" not in said
    assert "damaged" not in said


@pytest.mark.slow
def test_killed_while_a_bucket_is_used(alone: Fleet) -> None:
    alone.add("serve")
    raged(alone)


@pytest.mark.slow
def test_killed_while_a_bucket_is_used_on_two_machines(far_apart: Fleet) -> None:
    far_apart.add("serve", "a")
    far_apart.add("serve", "b")
    raged(far_apart)
