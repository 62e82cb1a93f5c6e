"""The one object that doors ask."""

from __future__ import annotations

import builtins
import logging

from sqlalchemy import Engine, text

from superres.access.credentials import Caller, Credential, Credentials, NewCredential
from superres.access.plan import Plan
from superres.access.policy import DENY, Policy
from superres.access.quotas import Quotas, Spent, Usage
from superres.access.rates import Rates
from superres.access.sealing import Sealer
from superres.database import reading
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
    """

    def __init__(self, database: Engine, key: bytes, rate_limit_url: str = "memory://") -> None:
        self._database = database
        self._credentials = Credentials(database, Sealer(key))
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

    def secret_of(self, credential_id: str) -> tuple[Caller, str]:
        """Who has that id, and the secret to check a signature with (in constant time).

        Raises:
            Unauthenticated: nobody has it (any more).
            StorageError: it was made with another key file.
        """
        return self._credentials.secret_of(credential_id)

    def authorise(self, caller: Caller, action: str, resource: str) -> None:
        """Check the caller's policy.

        Anonymous callers have none: whether they may come in at all is the door's affair.

        Raises:
            PermissionDenied: the policy denies it, or does not speak of it.
        """
        if caller.policy is None:
            return
        verdict = caller.policy.verdict(action, resource)
        if verdict == "allow":
            return
        why = "its policy denies that" if verdict == DENY else "its policy does not allow that"
        raise PermissionDenied(
            f"The credential {caller.id} ({caller.name}) may not do {action} on {resource}: {why}."
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
