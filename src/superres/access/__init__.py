"""Who may do what, how fast and how often: credentials, policies, plans.

A credential has three strings (``id``, ``secret``, ``token``) and works at every door. What it
may do is its :class:`Policy`; how fast and how often, its :class:`Plan`. A new one may do
everything and has no plan. A temporary one is made of another, for a while. Nothing here knows
HTTP.
"""

from __future__ import annotations

from sqlalchemy import Engine

from superres.access.credentials import ANONYMOUS, Caller, Credential, NewCredential
from superres.access.gate import Access
from superres.access.plan import Plan, Quota
from superres.access.policy import Policy, Statement
from superres.access.quotas import Usage
from superres.access.sealing import open_key
from superres.access.temporary import TemporaryCredential
from superres.settings import Settings

__all__ = [
    "ANONYMOUS",
    "Access",
    "Caller",
    "Credential",
    "NewCredential",
    "Plan",
    "Policy",
    "Quota",
    "Statement",
    "TemporaryCredential",
    "Usage",
    "open_access",
]


def open_access(settings: Settings, database: Engine) -> Access:
    """Build the :class:`Access` of ``settings``; the key file is made on first start.

    With ``[access] key`` set there is none, and every machine has the same key.

    Where rates are counted is not contacted yet: see :meth:`Access.check`.

    Raises:
        BadParameter: ``[access] key`` is malformed.
        StorageError: the database cannot be used; the key in ``[access] key`` is not the one
            that the credentials were made with; or the key file ``secret.key`` in the data
            folder is missing although there are credentials, is not the one that they were
            made with, is damaged, or can be read by other users.
    """
    key = open_key(settings.server.data_dir, database, settings.access.key)
    return Access(database, key, settings.access.rate_limit_url)
