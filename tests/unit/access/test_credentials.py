"""Credentials: their strings, what is kept of them, and their end."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from superres.access import ANONYMOUS, Access, Caller, Plan, Policy, Statement, open_access
from superres.access.tables import credentials
from superres.database import open_database, reading, writing
from superres.errors import BadParameter, Unauthenticated
from superres.settings import Settings

ALLOW_ALL = Statement("allow", ("*",), ("*",))


def test_the_three_strings(access: Access) -> None:
    made = access.create("phone app")
    assert re.fullmatch(r"SRAK[A-Z2-7]{16}", made.id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", made.secret)
    assert re.fullmatch(r"srk_[A-Za-z0-9]{43}", made.token)
    assert made.secret not in repr(made)
    assert made.token not in repr(made)
    caller = access.by_token(made.token)
    assert caller == Caller(made.id, "phone app")
    assert access.secret_of(made.id) == (caller, made.secret)


def test_another_process_knows_it_too(access: Access, where: Settings) -> None:
    made = access.create("a")
    other = open_database(where)
    there = open_access(where, other)
    assert there.by_token(made.token).id == made.id
    assert there.secret_of(made.id)[1] == made.secret
    access.revoke("a")
    with pytest.raises(Unauthenticated):
        there.by_token(made.token)
    other.dispose()


def test_nothing_readable_is_kept(access: Access, database: Engine) -> None:
    made = access.create("a")
    with reading(database) as connection:
        row = connection.execute(credentials.select()).one()
    kept = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    for part in (made.secret, made.token, made.token.removeprefix("srk_")):
        assert part.encode() not in kept
    assert len(row.token_hash) == 32


@pytest.mark.parametrize("token", ["", "srk_", "x" * 47, "srk_" + "0" * 43, "a\0b", "\ud800", "é"])
def test_a_wrong_token(access: Access, token: str) -> None:
    access.create("a")
    with pytest.raises(Unauthenticated) as caught:
        access.by_token(token)
    assert not token or token not in caught.value.public_message


@pytest.mark.parametrize("wrong", ["", "a", "SRAKAAAAAAAAAAAAAAAA", "SRAK\0", "\ud800", "'; --"])
def test_a_wrong_id(access: Access, wrong: str) -> None:
    access.create("a")  # a name is no id at a door
    with pytest.raises(Unauthenticated):
        access.secret_of(wrong)


def test_an_id_or_secret_is_no_token(access: Access) -> None:
    made = access.create("a")
    for wrong in (made.id, made.secret, made.token.lower(), made.token + " "):
        with pytest.raises(Unauthenticated):
            access.by_token(wrong)


@pytest.mark.parametrize("by", ["id", "name"])
def test_revoked_at_once_and_for_ever(access: Access, database: Engine, by: str) -> None:
    made, other = access.create("a"), access.create("b")
    access.revoke(getattr(made, by))
    with pytest.raises(Unauthenticated):
        access.by_token(made.token)
    with pytest.raises(Unauthenticated):
        access.secret_of(made.id)
    assert access.by_token(other.token).name == "b"
    assert [found.name for found in access.list()] == ["b"]
    gone, kept = access.list(revoked=True)
    assert gone.revoked_at is not None
    assert abs(datetime.now(UTC) - gone.revoked_at) < timedelta(minutes=1)
    assert kept.revoked_at is None
    with reading(database) as connection:  # nothing is left to steal
        assert connection.execute(
            text("SELECT secret, token_hash FROM credentials WHERE id = :id"), {"id": made.id}
        ).one() == (None, None)
    for change in (access.revoke, access.find):
        with pytest.raises(BadParameter, match="no credential"):
            change(made.id)
    with pytest.raises(BadParameter, match="no credential"):
        access.set_plan("a", Plan())


def test_a_name_is_taken_until_it_is_revoked(access: Access) -> None:
    first = access.create("a")
    with pytest.raises(BadParameter, match="already a credential named 'a'"):
        access.create(" a ")
    access.revoke("a")
    second = access.create("a")
    assert access.find("a").id == second.id != first.id


def test_one_of_many_gets_the_name(access: Access) -> None:
    def attempt(_: int) -> bool:
        try:
            access.create("wanted")
        except BadParameter:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 65, "a\nb", "a\0b", "\x1b[31m", "SRAKAAAAAAAAAAAAAAAA", "srk_x"]
)
def test_names_that_are_refused(lite: Access, name: str) -> None:
    with pytest.raises(BadParameter, match="name"):
        lite.create(name)


def test_names_that_are_not(access: Access) -> None:
    for name in ("Ärzte 画像 🎉", "o'brien; DROP TABLE", "x" * 64, "%", "*"):
        made = access.create(name)
        assert access.find(name).id == made.id
    assert len(access.list()) == 5


def test_a_token_in_the_wrong_place_is_not_repeated(access: Access) -> None:
    made = access.create("a")
    with pytest.raises(BadParameter, match="That is a token") as caught:
        access.revoke(made.token)
    assert made.token not in caught.value.public_message
    for strange in ("a\0b", "\udcff", ""):
        with pytest.raises(BadParameter, match="no credential"):
            access.revoke(strange)


def test_the_list_tells_no_secrets(access: Access) -> None:
    made = access.create("a")
    access.set_policy("a", Policy((ALLOW_ALL,)))
    access.set_plan("a", Plan(rate=2.5))
    (found,) = access.list()
    assert (found.id, found.name, found.last_used_at) == (made.id, "a", None)
    assert abs(datetime.now(UTC) - found.created_at) < timedelta(minutes=1)
    assert found.plan == Plan(rate=2.5)
    assert found.policy is not None
    assert made.secret not in repr(found)
    assert made.token not in repr(found)


def test_policy_and_plan_hold_for_the_next_request(access: Access, where: Settings) -> None:
    made = access.create("a")
    elsewhere = open_database(where)
    open_access(where, elsewhere).set_plan("a", Plan(rate=1))
    assert access.by_token(made.token).plan == Plan(rate=1)
    access.set_plan(made.id, None)
    assert access.by_token(made.token).plan is None
    elsewhere.dispose()


def last_use(access: Access) -> datetime | None:
    return access.list()[0].last_used_at


def test_the_last_use_is_written_at_most_once_a_minute(access: Access, database: Engine) -> None:
    made = access.create("a")
    access.secret_of(made.id)  # a signature that is not checked yet is no use
    assert last_use(access) is None
    access.admit(access.by_token(made.token))
    first = last_use(access)
    assert first is not None
    access.admit(access.by_token(made.token))
    assert last_use(access) == first
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    with writing(database) as connection:
        connection.execute(credentials.update().values(last_used_at=long_ago))
    stale = access.by_token(made.token)
    access.admit(stale)
    second = last_use(access)
    assert second is not None
    assert second > first
    access.admit(stale)  # what the caller knew was old, and what is written is not
    assert last_use(access) == second


def test_anonymous(access: Access) -> None:
    assert (ANONYMOUS.id, ANONYMOUS.name) == (None, "anonymous")
    access.authorise(ANONYMOUS, "s3:GetObject", "a/b")
    access.admit(ANONYMOUS)
