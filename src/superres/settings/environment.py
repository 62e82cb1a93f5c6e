"""The environment of a process that must know no secrets.

A new process gets all of its parent's environment: the database's password, the keys of the
object store. A worker reads files from anybody and needs none of that; its settings are handed
to it.
"""

from __future__ import annotations

import os
import re

_NAMES = re.compile(r"(?i)^(SUPERRES|AWS|AZURE|GOOGLE|PG)|PASS|PWD.|SECRET|TOKEN|KEY|CRED|AUTH")
_VALUES = re.compile(r"(?s)://.*@")
"""A URL with a password, such as a proxy's or a database's."""


def forget_secrets() -> None:
    """Remove secrets from this process's environment."""
    for name, value in list(os.environ.items()):
        if _NAMES.search(name) or _VALUES.search(value):
            del os.environ[name]
