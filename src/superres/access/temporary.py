"""Temporary credentials: an id, a secret, and a session token that says the rest.

Nothing is kept of them: the token holds whose credential it is of, the secret, what it may do
and until when, sealed (AES-256-GCM) with a key that is derived from the service's; the id is
authenticated along with it. So it works on every machine with that key, and nobody can make or
change one without.
"""

from __future__ import annotations

import base64
import hmac
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from superres.access.policy import Policy
from superres.access.strings import TEMPORARY_ID_PREFIX, new_id, new_secret
from superres.errors import BadParameter, Unauthenticated

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(hours=36)  # as the vendors' token services have it
# Every request carries the token, some in their address.
MAX_TOKEN_LENGTH = 4096
_PURPOSE = b"superres temporary credentials"
_FORMAT = b"\x01"
_NONCE_BYTES = 12


@dataclass(frozen=True)
class TemporaryCredential:
    """A temporary credential just made, with the strings that are shown this once."""

    id: str
    starts_at: datetime
    expires_at: datetime
    secret: str = field(repr=False)
    session_token: str = field(repr=False)


@dataclass(frozen=True)
class Session:
    """What a session token says.

    Attributes:
        parent: id of the credential that it is of.
        secret: to check signatures with.
        policy: what it may do of what its parent may; None is all of it.
        expires_at: seconds since 1970.
    """

    parent: str
    secret: str = field(repr=False)
    policy: Policy | None
    expires_at: int


class Sessions:
    """Makes and opens session tokens, with the service's key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, _PURPOSE, "sha256"))

    def begin(
        self, parent: str, lifetime: timedelta, policy: Policy | None, now: float
    ) -> TemporaryCredential:
        """Make a temporary credential of ``parent``.

        Raises:
            BadParameter: the lifetime is out of range, or the policy too long for a token.
        """
        if not SHORTEST <= lifetime <= LONGEST:
            raise BadParameter(
                f"A temporary credential lives from {SHORTEST // timedelta(minutes=1)} minute to "
                f"{LONGEST // timedelta(hours=1)} hours, not {lifetime}."
            )
        temporary_id, secret, starts = new_id(TEMPORARY_ID_PREFIX), new_secret(), int(now)
        expires = starts + int(lifetime.total_seconds())
        content = f"{parent} {secret} {expires}\n{policy.to_json() if policy else ''}"
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, content.encode(), temporary_id.encode())
        token = _encoded(_FORMAT + nonce + sealed)
        if len(token) > MAX_TOKEN_LENGTH:
            raise BadParameter(
                f"The policy is too long for a temporary credential: its session token would have "
                f"{len(token)} characters, and {MAX_TOKEN_LENGTH} are the limit. Shorten it, or "
                "give the credential that it is made of a policy."
            )
        return TemporaryCredential(
            temporary_id,
            datetime.fromtimestamp(starts, UTC),
            datetime.fromtimestamp(expires, UTC),
            secret,
            token,
        )

    def open(self, temporary_id: str, token: str) -> Session:
        """What ``token`` says; it may have expired.

        Raises:
            Unauthenticated: it was not made here, not for that id, or was changed.
        """
        try:
            if len(token) > MAX_TOKEN_LENGTH:
                raise ValueError
            sealed = _decoded(token)
            start = len(_FORMAT) + _NONCE_BYTES
            if not sealed.startswith(_FORMAT):
                raise ValueError
            content = self._cipher.decrypt(
                sealed[len(_FORMAT) : start], sealed[start:], temporary_id.encode()
            ).decode()
        except (InvalidTag, ValueError) as exc:
            raise Unauthenticated(
                "The session token is not one of this service, or not of that id."
            ) from exc
        head, _, policy = content.partition("\n")
        parent, secret, expires = head.split(" ")
        return Session(parent, secret, Policy.from_json(policy) if policy else None, int(expires))


def _encoded(content: bytes) -> str:
    # Some clients put it into an address as it is: nothing to escape, and no padding.
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(token: str) -> bytes:
    padded = token + "=" * (-len(token) % 4)
    content = base64.b64decode(padded, altchars=b"-_", validate=True)
    if _encoded(content) != token:  # of several spellings only one is good
        raise ValueError
    return content
