"""Credentials: made, found by their strings, revoked.

Every look-up goes to the database (a tenth of a millisecond on SQLite), so what is changed or
revoked, by whichever process, holds for the very next request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from superres.access.plan import Plan
from superres.access.policy import Policy
from superres.access.sealing import Sealer
from superres.access.strings import (
    ID_ALPHABET,
    ID_PREFIX,
    TOKEN_PREFIX,
    new_id,
    new_secret,
    new_token,
)
from superres.access.tables import credentials as table
from superres.access.temporary import Sessions, TemporaryCredential
from superres.database import reading, writing
from superres.database.clock import Clock
from superres.errors import BadParameter, Unauthenticated

_ID = re.compile(rf"{ID_PREFIX}[{ID_ALPHABET}]{{16}}")
MAX_NAME_LENGTH = 64
# How often a credential's last use is written down, at most.
_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Caller:
    """Who is asking, for the time of one request.

    Attributes:
        id: the credential's id; None is somebody without a credential.
        name: for people and logs.
        policy: what the credential may do; None is everything.
        plan: its limits; None is none.
        last_used_at: as it was when the request came.
        session_policy: of a temporary credential, what it may do of that; None is all of it.
            The rest is its parent's.
    """

    id: str | None
    name: str
    policy: Policy | None = field(default=None, repr=False, compare=False)
    plan: Plan | None = field(default=None, repr=False, compare=False)
    last_used_at: datetime | None = field(default=None, repr=False, compare=False)
    session_policy: Policy | None = field(default=None, repr=False, compare=False)


ANONYMOUS = Caller(None, "anonymous")


@dataclass(frozen=True)
class NewCredential:
    """A credential just made, with the strings that are shown this once."""

    id: str
    name: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True)
class Credential:
    """A credential as it may be shown: without its strings."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    policy: Policy | None
    plan: Plan | None


_COLUMNS = [column for column in table.c if column.name not in ("token_hash", "key_id")]
_IN_USE = table.c.revoked_at.is_(None)
_BY_TOKEN = select(*_COLUMNS, table.c.token_hash).where(
    table.c.token_hash == bindparam("token_hash"), _IN_USE
)
_BY_ID = select(*_COLUMNS).where(table.c.id == bindparam("id"), _IN_USE)


class Credentials:
    """The table of credentials. Thread-safe."""

    def __init__(self, database: Engine, sealer: Sealer, sessions: Sessions, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._sessions = sessions
        self._clock = clock

    def create(self, name: str) -> NewCredential:
        """Make a credential that may do everything and has no plan.

        Raises:
            BadParameter: the name is in use, empty, too long, or looks like an id or token.
        """
        name = _checked_name(name)
        made = NewCredential(
            id=new_id(ID_PREFIX),
            name=name,
            secret=new_secret(),
            token=new_token(),
        )
        values = {
            "id": made.id,
            "name": name,
            "token_hash": _token_hash(made.token),
            "secret": self._sealer.seal(made.id, made.secret),
            "key_id": self._sealer.key_id,
            "created_at": datetime.now(UTC),
        }
        try:
            with writing(self._database) as connection:
                connection.execute(insert(table), values)
        except IntegrityError as exc:
            raise BadParameter(
                f"There is already a credential named {name!r}; choose another name, or revoke it."
            ) from exc
        return made

    def every(self, *, revoked: bool = False) -> list[Credential]:
        """All credentials, oldest first; with ``revoked`` those that were revoked as well."""
        query = select(*_COLUMNS).order_by(table.c.created_at, table.c.id)
        with reading(self._database) as connection:
            rows = connection.execute(query if revoked else query.where(_IN_USE)).all()
        return [_credential(row) for row in rows]

    def find(self, id_or_name: str) -> Credential:
        """The credential in use with that id, or else with that name.

        Raises:
            BadParameter: there is none.
        """
        row = None
        if id_or_name.isprintable():  # else it is neither, and no database takes it
            match = or_(table.c.id == id_or_name, table.c.name == id_or_name)
            with reading(self._database) as connection:
                # A name cannot look like an id, so there is at most one.
                row = connection.execute(select(*_COLUMNS).where(_IN_USE, match)).one_or_none()
        if row is None:
            if id_or_name.startswith(TOKEN_PREFIX):  # not repeated: it may be a good one
                raise BadParameter("That is a token; name the credential by its id or its name.")
            raise BadParameter(f"There is no credential {id_or_name!r} in use.")
        return _credential(row)

    def revoke(self, id_or_name: str) -> Credential:
        """Close every door to it, for ever and at once; its sealed secret is erased.

        Raises:
            BadParameter: there is no such credential in use.
        """
        return self._change(id_or_name, revoked_at=datetime.now(UTC), token_hash=None, secret=None)

    def set_policy(self, id_or_name: str, policy: Policy | None) -> Credential:
        """Replace what it may do; None allows everything."""
        return self._change(id_or_name, policy=policy and policy.to_json())

    def set_plan(self, id_or_name: str, plan: Plan | None) -> Credential:
        """Replace its limits; None takes them away. What is used so far stays counted."""
        return self._change(id_or_name, plan=plan and plan.to_json())

    def by_token(self, token: str) -> Caller:
        """Who has ``token``.

        Raises:
            Unauthenticated: nobody, or not any more.
        """
        digest = _token_hash(token)
        with reading(self._database) as connection:
            row = connection.execute(_BY_TOKEN, {"token_hash": digest}).one_or_none()
        if row is None or not hmac.compare_digest(row.token_hash, digest):
            raise Unauthenticated("The token is not that of a credential in use.")
        return _caller(row)

    def temporary(
        self, id_or_name: str, lifetime: timedelta, policy: Policy | None
    ) -> TemporaryCredential:
        """Make a temporary credential; see :meth:`superres.access.Access.temporary`."""
        parent = self.find(id_or_name)
        with reading(self._database) as connection:
            moment = self._clock(connection)
        return self._sessions.begin(parent.id, lifetime, policy, moment)

    def secret_of(self, credential_id: str, session_token: str | None = None) -> tuple[Caller, str]:
        """Who has that id, and the secret to check a signature with (compare in constant time).

        Raises:
            Unauthenticated: nobody, or not any more.
            StorageError: the secret was sealed with another key.
        """
        row = None
        permanent = _ID.fullmatch(credential_id) is not None
        if session_token is not None and not permanent:
            return self._of_session(credential_id, session_token)
        if permanent:
            with reading(self._database) as connection:
                row = connection.execute(_BY_ID, {"id": credential_id}).one_or_none()
        if row is None:
            raise Unauthenticated("The id is not that of a credential in use.")
        return _caller(row), self._sealer.open(row.id, row.secret)

    def _of_session(self, temporary_id: str, session_token: str) -> tuple[Caller, str]:
        session = self._sessions.open(temporary_id, session_token)
        with reading(self._database) as connection:
            row = connection.execute(_BY_ID, {"id": session.parent}).one_or_none()
            moment = self._clock(connection)
        if row is None:
            raise Unauthenticated("The credential that the session is of is not in use any more.")
        if moment >= session.expires_at:
            raise Unauthenticated("The temporary credential has expired; get a new one.", True)
        return replace(_caller(row), session_policy=session.policy), session.secret

    def note_use(self, caller: Caller) -> None:
        """Write down that it was used, unless that was done within the last minute."""
        now = datetime.now(UTC)
        before = now - _USE_NOTED_EVERY
        if caller.last_used_at is not None and caller.last_used_at > before:
            return
        stale = or_(table.c.last_used_at.is_(None), table.c.last_used_at <= before)
        with writing(self._database) as connection:
            connection.execute(
                update(table).where(table.c.id == caller.id, stale).values(last_used_at=now)
            )

    def _change(self, id_or_name: str, **values: Any) -> Credential:
        found = self.find(id_or_name)
        with writing(self._database) as connection:
            done = connection.execute(
                update(table).where(table.c.id == found.id, _IN_USE).values(**values)
            )
        if not done.rowcount:
            raise BadParameter(f"The credential {found.id} was revoked just now.")
        return found


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise BadParameter(f"A name has 1 to {MAX_NAME_LENGTH} printable characters.")
    if _ID.fullmatch(name) or name.startswith(TOKEN_PREFIX):
        raise BadParameter("A name must not look like an id or a token.")
    return name


def _token_hash(token: str) -> bytes:
    # 256 random bits cannot be guessed, however fast the hash: no salt, no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _caller(row: Any) -> Caller:
    return Caller(row.id, row.name, _policy(row), _plan(row), row.last_used_at)


def _credential(row: Any) -> Credential:
    return Credential(
        row.id,
        row.name,
        row.created_at,
        row.last_used_at,
        row.revoked_at,
        _policy(row),
        _plan(row),
    )


def _policy(row: Any) -> Policy | None:
    return None if row.policy is None else Policy.from_json(row.policy)


def _plan(row: Any) -> Plan | None:
    return None if row.plan is None else Plan.from_json(row.plan)
