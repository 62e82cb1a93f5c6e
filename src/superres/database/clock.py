"""One clock for all machines that share a database."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, text

Clock = Callable[[Connection], float]
"""Tells the moment, in seconds since 1970, given a connection."""

_POSTGRES = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)")


def now(connection: Connection) -> float:
    """Seconds since 1970, by the clock of the machine that the database is on."""
    if connection.dialect.name == "postgresql":
        moment: float = connection.execute(_POSTGRES).scalar_one()
        return moment
    return time.time()  # SQLite has no other machine
