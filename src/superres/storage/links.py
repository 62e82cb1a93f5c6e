"""Signed links to blobs, that work for a while on every machine of a service."""

from __future__ import annotations

from sqlalchemy import Engine


class Links:
    """Signs and checks; the key is made once and kept in the database.

    Thread-safe; the constructor blocks.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def path(self, blob_id: str, expires: float) -> str:
        """The address of a blob, without a host: ``/v1/results/<id>?expires=…&signature=…``.

        Args:
            blob_id: see :class:`superres.storage.blobs.Blob`.
            expires: seconds since 1970; rounded down.
        """
        raise NotImplementedError

    def check(self, blob_id: str, expires: str, signature: str) -> None:
        """Make sure that a link is one of ours and still good (in constant time).

        Raises:
            ObjectNotFound: it is not, or its time is over.
        """
        raise NotImplementedError
