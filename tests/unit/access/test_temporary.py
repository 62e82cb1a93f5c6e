"""Temporary credentials: whose they are, what they may do, and their end."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from superres.access import Access, Caller, Plan, Policy, Quota, Statement, open_access
from superres.access.policy import statement
from superres.access.tables import credentials
from superres.access.temporary import LONGEST, MAX_TOKEN_LENGTH, Sessions
from superres.database import open_database, reading
from superres.errors import BadParameter, PermissionDenied, QuotaExceeded, Unauthenticated
from superres.settings import Settings

HALF_AN_HOUR = timedelta(minutes=30)
READ = Policy((Statement("allow", ("cos:GetObject",), ("photos/in/*",)),))


def allowed(access: Access, caller: Caller, action: str | tuple[str, ...], resource: str) -> bool:
    try:
        access.authorise(caller, action, resource)
    except PermissionDenied:
        return False
    return True


def test_a_temporary_credential_is_its_parent_with_another_secret(access: Access) -> None:
    parent = access.create("phone app")
    made = access.temporary("phone app", HALF_AN_HOUR)
    assert re.fullmatch(r"SRTK[A-Z2-7]{16}", made.id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", made.secret)
    assert made.secret not in repr(made)
    assert made.session_token not in repr(made)
    assert made.expires_at - made.starts_at == HALF_AN_HOUR
    assert abs(made.starts_at - datetime.now(UTC)) < timedelta(minutes=1)
    caller, secret = access.secret_of(made.id, made.session_token)
    assert secret == made.secret != parent.secret
    assert caller == Caller(parent.id, "phone app")
    assert caller.session_policy is None
    again = access.temporary(parent.id, HALF_AN_HOUR)
    assert {again.id, again.secret, again.session_token}.isdisjoint(
        {made.id, made.secret, made.session_token}
    )


def test_nothing_of_it_is_kept(access: Access, database: Engine) -> None:
    access.create("a")
    made = access.temporary("a", HALF_AN_HOUR)
    access.secret_of(made.id, made.session_token)
    with reading(database) as connection:
        assert len(connection.execute(credentials.select()).all()) == 1


def test_every_machine_with_the_key_knows_it(access: Access, where: Settings) -> None:
    access.create("a")
    made = access.temporary("a", HALF_AN_HOUR, READ)
    other = open_database(where)
    caller, secret = open_access(where, other).secret_of(made.id, made.session_token)
    other.dispose()
    assert (caller.session_policy, secret) == (READ, made.secret)


def test_the_token_tells_nothing_without_the_key(lite: Access) -> None:
    parent = lite.create("a")
    made = lite.temporary("a", HALF_AN_HOUR, READ)
    inside = base64.urlsafe_b64decode(made.session_token + "==")
    for told in (parent.id, made.secret, "cos:GetObject"):
        assert told.encode() not in inside
    with pytest.raises(Unauthenticated):
        Sessions(b"1" * 32).open(made.id, made.session_token)


def test_it_ends_with_its_time_by_the_one_clock(where: Settings, database: Engine) -> None:
    moment = time.time()
    key = b"k" * 32
    access = Access(database, key, clock=lambda _: moment)
    access.create("a")
    made = access.temporary("a", HALF_AN_HOUR)
    moment = made.expires_at.timestamp() - 0.01
    access.secret_of(made.id, made.session_token)
    moment = made.expires_at.timestamp()
    with pytest.raises(Unauthenticated, match="has expired") as caught:
        access.secret_of(made.id, made.session_token)
    assert caught.value.expired


def test_it_ends_at_once_with_its_parent(access: Access) -> None:
    access.create("a")
    made = access.temporary("a", HALF_AN_HOUR)
    access.revoke("a")
    with pytest.raises(Unauthenticated) as caught:
        access.secret_of(made.id, made.session_token)
    assert not caught.value.expired
    # Another of that name is another.
    access.create("a")
    with pytest.raises(Unauthenticated):
        access.secret_of(made.id, made.session_token)


def test_without_its_token_it_is_nobody(access: Access) -> None:
    access.create("a")
    made = access.temporary("a", HALF_AN_HOUR)
    for token in (None, "", "x", made.session_token[:-1], made.session_token + "A"):
        with pytest.raises(Unauthenticated):
            access.secret_of(made.id, token)
    with pytest.raises(Unauthenticated):
        access.by_token(made.session_token)


def test_the_token_of_another_does_not_fit(access: Access) -> None:
    access.create("a")
    made, other = access.temporary("a", HALF_AN_HOUR), access.temporary("a", HALF_AN_HOUR)
    with pytest.raises(Unauthenticated):
        access.secret_of(made.id, other.session_token)


def test_a_permanent_credential_may_come_with_any_token(access: Access) -> None:
    # Libraries send what is left in the environment.
    parent = access.create("a")
    assert access.secret_of(parent.id, "whatever") == (Caller(parent.id, "a"), parent.secret)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_token_does_not_open(data: st.DataObject) -> None:
    sessions = Sessions(b"k" * 32)
    made = sessions.begin("SRAK" + "A" * 16, HALF_AN_HOUR, READ, 1_700_000_000.0)
    token = made.session_token
    sessions.open(made.id, token)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(max_codepoint=300).filter(lambda one: one != token[at]))
    for changed in (token[:at] + letter + token[at + 1 :], token[:at], letter + token):
        with pytest.raises(Unauthenticated):
            sessions.open(made.id, changed)


@given(st.text(max_size=30), st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_whatever_is_no_token_is_refused(temporary_id: str, token: str) -> None:
    with pytest.raises(Unauthenticated):
        Sessions(b"k" * 32).open(temporary_id, token)


def test_both_policies_must_allow(access: Access) -> None:
    access.create("a")
    made = access.temporary("a", HALF_AN_HOUR, READ)
    caller, _ = access.secret_of(made.id, made.session_token)
    assert allowed(access, caller, "cos:GetObject", "photos/in/x")
    assert not allowed(access, caller, "cos:GetObject", "photos/out/x")
    assert not allowed(access, caller, "cos:PutObject", "photos/in/x")
    parents = Policy(
        (
            Statement("allow", ("*",), ("photos/*",)),
            Statement("deny", ("*",), ("photos/in/private/*",)),
        )
    )
    # The parent's holds from now on, for what was made before as well.
    access.set_policy("a", parents)
    caller, _ = access.secret_of(made.id, made.session_token)
    assert (caller.policy, caller.session_policy) == (parents, READ)
    assert allowed(access, caller, "cos:GetObject", "photos/in/x")
    assert not allowed(access, caller, "cos:GetObject", "photos/in/private/x")
    assert not allowed(access, caller, "cos:PutObject", "photos/in/x")
    with pytest.raises(PermissionDenied, match="the policy of its temporary credential does not"):
        access.authorise(caller, "cos:PutObject", "photos/in/x")


def test_of_several_names_of_an_action_each_policy_allows_one_and_denies_none(lite: Access) -> None:
    names = ("ci:New", "ci:Old")

    def of(*rules: Statement) -> Policy:
        return Policy(rules)

    old, new = of(statement("allow", ["ci:Old"], ["*"])), of(statement("allow", ["ci:New"], ["*"]))
    both_but_old = of(statement("allow", ["ci:*"], ["*"]), statement("deny", ["ci:old"], ["*"]))
    other = of(statement("allow", ["cos:*"], ["*"]))
    for policy, session, expected in (
        (None, None, True),
        (old, None, True),
        (new, old, True),
        (None, new, True),
        (both_but_old, None, False),
        (new, both_but_old, False),
        (other, None, False),
        (new, other, False),
    ):
        caller = Caller("SRAK", "a", policy, session_policy=session)
        assert allowed(lite, caller, names, "b/k") is expected


def test_plan_and_quota_are_its_parents(access: Access) -> None:
    parent = access.create("a")
    access.set_plan("a", Plan(quota=Quota(day=2)))
    made = access.temporary("a", HALF_AN_HOUR)
    caller, _ = access.secret_of(made.id, made.session_token)
    access.admit(caller)
    access.admit(access.secret_of(parent.id)[0])
    with pytest.raises(QuotaExceeded):
        access.admit(caller)
    assert access.find("a").last_used_at is not None


@pytest.mark.parametrize(
    "lifetime", [timedelta(seconds=59), timedelta(0), -LONGEST, LONGEST + timedelta(seconds=1)]
)
def test_lifetimes_have_bounds(lite: Access, lifetime: timedelta) -> None:
    lite.create("a")
    with pytest.raises(BadParameter, match="lives from 1 minute to 36 hours"):
        lite.temporary("a", lifetime)
    assert lite.temporary("a", LONGEST).expires_at


def test_an_ordinary_policy_makes_a_short_token_and_a_huge_one_is_refused(lite: Access) -> None:
    lite.create("a")
    assert len(lite.temporary("a", HALF_AN_HOUR).session_token) < 200
    rule = statement(
        "allow", ["cos:PutObject", "cos:GetObject", "ci:*"], ["photos-1250000000/in/*"]
    )
    for count in (1, 5):
        made = lite.temporary("a", HALF_AN_HOUR, Policy((rule,) * count))
        assert len(made.session_token) < 1500
    with pytest.raises(BadParameter, match="policy is too long") as caught:
        lite.temporary("a", HALF_AN_HOUR, Policy((rule,) * 40))
    assert str(MAX_TOKEN_LENGTH) in caught.value.public_message


def test_a_temporary_credential_of_nobody(lite: Access) -> None:
    lite.create("a")
    made = lite.temporary("a", HALF_AN_HOUR)
    for name in ("nobody", made.id):
        with pytest.raises(BadParameter, match="no credential"):
            lite.temporary(name, HALF_AN_HOUR)
