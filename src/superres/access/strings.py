"""The strings that credentials are made of: unguessable, and with nothing in them to escape."""

from __future__ import annotations

import secrets

# An id looks like an AWS access key id: 20 capitals and digits. The alphabet is base32's.
ID_PREFIX = "SRAK"
TEMPORARY_ID_PREFIX = "SRTK"
ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Secrets and tokens hold letters and digits only: nothing to escape in any header or form.
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SECRET_LENGTH = 40  # 238 bits
TOKEN_PREFIX = "srk_"  # noqa: S105 -- lets people and scanners of leaks recognise one
_TOKEN_LENGTH = 43  # 256 bits


def new_id(prefix: str) -> str:
    """``prefix`` and 16 capitals and digits."""
    return prefix + _random(ID_ALPHABET, 16)


def new_secret() -> str:
    """40 letters and digits."""
    return _random(_ALPHABET, _SECRET_LENGTH)


def new_token() -> str:
    """``srk_`` and 43 letters and digits."""
    return TOKEN_PREFIX + _random(_ALPHABET, _TOKEN_LENGTH)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
