"""The one object that doors ask."""

from __future__ import annotations

import builtins
import logging
from datetime import timedelta

from sqlalchemy import Engine, text

from superres.access.credentials import Caller, Credential, Credentials, NewCredential
from superres.access.plan import Plan
from superres.access.policy import ALLOW, DENY, Policy
from superres.access.quotas import Quotas, Spent, Usage
from superres.access.rates import Rates
from superres.access.sealing import Sealer
from superres.access.temporary import Sessions, TemporaryCredential
from superres.database import reading
from superres.database.clock import Clock, now
from superres.errors import Overloaded, PermissionDenied, StorageError

_log = logging.getLogger(__name__)


class Access:
    """Credentials, policies and plans. Thread-safe, synchronous.

    A door first learns who is asking (:meth:`by_token`, or :meth:`secret_of` and the check of
    a signature), then asks :meth:`authorise`, then :meth:`admit` (or :meth:`pace`). A
    :class:`Caller` is good for one request: ask again for the next, so that changes and
    revocations hold at once.

    Args:
        database: from :func:`superres.database.open_database`.
        key: the 32 bytes that secrets are sealed with.
        rate_limit_url: where rates are counted, see :class:`superres.access.rates.Rates`.
        clock: tells whether a temporary credential's time is over.
    """

    def __init__(
        self,
        database: Engine,
        key: bytes,
        rate_limit_url: str = "memory://",
        *,
        clock: Clock = now,
    ) -> None:
        self._database = database
        self._credentials = Credentials(database, Sealer(key), Sessions(key), clock)
        self._quotas = Quotas(database)
        self._rates = Rates(rate_limit_url)

    def check(self) -> None:
        """Make sure that the database and the counter of rates answer.

        Raises:
            BadParameter: ``access.rate_limit_url`` is wrong, or the package for it is missing.
            StorageError: one of them does not answer.
        """
        with reading(self._database) as connection:
            connection.execute(text("SELECT 1"))
        self._rates.check()

    def create(self, name: str) -> NewCredential:
        """Make a credential; its secret and token are told this once.

        Raises:
            BadParameter: the name is in use, empty, too long, or looks like an id or token.
        """
        return self._credentials.create(name)

    def list(self, *, revoked: bool = False) -> builtins.list[Credential]:
        """All credentials in use, oldest first; with ``revoked`` the revoked ones as well."""
        return self._credentials.every(revoked=revoked)

    def find(self, id_or_name: str) -> Credential:
        """The credential in use with that id or name; BadParameter if there is none."""
        return self._credentials.find(id_or_name)

    def revoke(self, id_or_name: str) -> Credential:
        """Close every door to it, for ever and at once; BadParameter if there is none."""
        return self._credentials.revoke(id_or_name)

    def set_policy(self, id_or_name: str, policy: Policy | None) -> Credential:
        """Replace what it may do; None allows everything. BadParameter if there is none."""
        return self._credentials.set_policy(id_or_name, policy)

    def set_plan(self, id_or_name: str, plan: Plan | None) -> Credential:
        """Replace its limits; None takes them away. BadParameter if there is none."""
        return self._credentials.set_plan(id_or_name, plan)

    def usage(self, id_or_name: str) -> builtins.list[Usage]:
        """How much of each limited period is used so far; BadParameter if there is none."""
        found = self._credentials.find(id_or_name)
        return self._quotas.usage(found.id, found.plan.quota) if found.plan else []

    def by_token(self, token: str) -> Caller:
        """Who has ``token``; Unauthenticated if nobody has (any more)."""
        return self._credentials.by_token(token)

    def temporary(
        self, id_or_name: str, lifetime: timedelta, policy: Policy | None = None
    ) -> TemporaryCredential:
        """Make a temporary credential, which may do what its parent may, and ``policy`` allows.

        It counts as its parent: what it makes is the parent's, and so are the plan and the
        quota. It ends with its lifetime, or at once when the parent is revoked. Its strings are
        told this once; nothing is kept.

        Args:
            id_or_name: the parent.
            lifetime: 1 minute to 36 hours.
            policy: narrows what the parent may; None does not.

        Raises:
            BadParameter: there is no such parent, the lifetime is out of range, or the policy
                is too long for a session token.
        """
        return self._credentials.temporary(id_or_name, lifetime, policy)

    def secret_of(self, credential_id: str, session_token: str | None = None) -> tuple[Caller, str]:
        """Who has that id, and the secret to check a signature with (in constant time).

        Args:
            credential_id: with a session token that of the temporary credential; the caller
                is its parent then, with its session policy.
            session_token: what came with the request; None is nothing. A credential that is
                not temporary needs none, and may have any.

        Raises:
            Unauthenticated: nobody has it (any more), or the session token is not of that id;
                ``expired`` if it was.
            StorageError: it was made with another key file.
        """
        return self._credentials.secret_of(credential_id, session_token)

    def authorise(self, caller: Caller, action: str | tuple[str, ...], resource: str) -> None:
        """Check the caller's policies: its own, and its session's if it has one.

        Anonymous callers have none: whether they may come in at all is the door's affair.

        Args:
            caller: who asks.
            action: what for; several are names of the same, of which a policy must allow one
                and may deny none.
            resource: on what.

        Raises:
            PermissionDenied: a policy denies it, or does not speak of it.
        """
        actions = (action,) if isinstance(action, str) else action
        for policy, whose in (
            (caller.policy, "its policy"),
            (caller.session_policy, "the policy of its temporary credential"),
        ):
            if policy is None:
                continue
            verdicts = {policy.verdict(each, resource) for each in actions}
            if DENY in verdicts or ALLOW not in verdicts:
                why = "denies that" if DENY in verdicts else "does not allow that"
                raise PermissionDenied(
                    f"The credential {caller.id} ({caller.name}) may not do {actions[0]} on "
                    f"{resource}: {whose} {why}."
                )

    def pace(self, caller: Caller, default: Plan | None = None) -> None:
        """Count one request against the rate of the caller's plan alone.

        For what costs next to nothing, such as an estimate. Anonymous callers have no plan.

        Args:
            caller: who makes it.
            default: its rate holds at this door where the caller's plan has none.

        Raises:
            RateLimited: too many of late; ``retry_after`` in seconds.
        """
        plan = caller.plan
        if plan is None or plan.rate is None:
            plan = default
        if caller.id is not None and plan is not None:
            self._rates.admit(caller.id, plan)

    def admit(self, caller: Caller, count: int = 1, default: Plan | None = None) -> None:
        """Count one request against the caller's plan: the rate first, then the quota.

        A request that the rate refuses costs no quota. Anonymous callers have no plan.

        Args:
            caller: who makes it.
            count: pictures in it, 1 or more: the rate counts the request once, the quota each
                of them, all or none.
            default: as for :meth:`pace`.

        Raises:
            RateLimited: too many of late; ``retry_after`` in seconds.
            QuotaExceeded: a period's quota has not as much left; ``retry_after`` in seconds.
        """
        self.pace(caller, default)
        self.spend(caller, count)

    def spend(self, caller: Caller, count: int = 1) -> Spent | None:
        """The second half of :meth:`admit`, for who could :meth:`pace` before ``count`` was known.

        Returns:
            What :meth:`give_back` takes; None where nothing is counted.

        Raises:
            QuotaExceeded: as :meth:`admit`.
        """
        if caller.id is None:
            return None
        spent = None
        if caller.plan is not None:
            spent = self._quotas.count(caller.id, caller.plan.quota, count)
        try:
            self._credentials.note_use(caller)
        except (StorageError, Overloaded):  # nice to know, and no reason to refuse anybody
            _log.warning("The last use of %s could not be written down", caller.id)
        return spent

    def give_back(self, spent: Spent | None) -> None:
        """Let the quota have again what was spent for nothing; once."""
        if spent is not None:
            self._quotas.give_back(spent)
