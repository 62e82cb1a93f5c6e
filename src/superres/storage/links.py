"""Signed links to blobs, that work for a while on every machine of a service."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import ObjectNotFound, StorageError
from superres.storage.tables import service_keys

_NAME = "links"
_KEY_BYTES = 32
_MOMENT = re.compile(r"[0-9]{1,12}")


class Links:
    """Signs and checks; the key is made once and kept in the database.

    Thread-safe; the constructor blocks.

    Args:
        database: where the key is.
        clock: seconds since 1970.

    Raises:
        StorageError: the database cannot be used.
    """

    def __init__(self, database: Engine, *, clock: Clock = now) -> None:
        self._database, self._clock = database, clock
        self._key = _read_key(database) or _make_key(database)

    def path(self, blob_id: str, expires: float) -> str:
        """The address of a blob, without a host: ``/v1/results/<id>?expires=…&signature=…``.

        Args:
            blob_id: see :class:`superres.storage.blobs.Blob`.
            expires: seconds since 1970; rounded down.
        """
        moment = str(int(expires))
        return f"/v1/results/{blob_id}?expires={moment}&signature={self._sign(blob_id, moment)}"

    def check(self, blob_id: str, expires: str, signature: str) -> None:
        """Make sure that a link is one of ours (in constant time) and still good. Blocks.

        Raises:
            ObjectNotFound: it is not, or its time is over.
            StorageError, Overloaded: the database cannot tell the time.
        """
        ours = self._sign(blob_id, expires).encode()
        same = hmac.compare_digest(ours, signature.encode("utf-8", "replace"))
        # Good until that second is over, as it was rounded down.
        if not (same and _MOMENT.fullmatch(expires) and self._moment() < int(expires) + 1):
            raise ObjectNotFound("There is no such result, or its time is over; upscale again.")

    def _moment(self) -> float:
        with reading(self._database) as connection:
            return self._clock(connection)

    def _sign(self, blob_id: str, expires: str) -> str:
        signed = f"{_NAME}\n{blob_id}\n{expires}".encode("utf-8", "replace")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()


def _read_key(database: Engine) -> bytes | None:
    with reading(database) as connection:
        query = select(service_keys.c.value).where(service_keys.c.name == _NAME)
        return connection.scalar(query)


def _make_key(database: Engine) -> bytes:
    """Write a new key, unless another process was quicker; returns the one that is there."""
    insert = postgresql.insert if database.dialect.name == "postgresql" else sqlite.insert
    with writing(database) as connection:
        row = {
            "name": _NAME,
            "value": secrets.token_bytes(_KEY_BYTES),
            "created_at": now(connection),
        }
        connection.execute(insert(service_keys).values(row).on_conflict_do_nothing())
    key = _read_key(database)
    if key is None:
        raise StorageError("The key that signs links cannot be kept in the database.")
    return key
