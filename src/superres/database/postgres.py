"""What is special about PostgreSQL."""

from __future__ import annotations

import importlib.util

from sqlalchemy import URL, Engine, create_engine

from superres.errors import BadParameter

DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 5
# Connections of one process. PostgreSQL allows 100 in all unless told otherwise.
_POOL = {"pool_size": 5, "max_overflow": 15, "pool_timeout": 10.0}


def open_postgres(url: URL) -> Engine:
    """Make an engine for ``url``; nothing is connected yet.

    Raises:
        BadParameter: psycopg is not installed.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise BadParameter(
            "PostgreSQL needs the package psycopg; install it with: "
            'pip install "superres[postgres]"'
        )
    return create_engine(
        url.set(drivername=DRIVER),
        **_POOL,
        isolation_level="READ COMMITTED",  # whatever the server defaults to
        # A connection that the server closed meanwhile is noticed before it is used.
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "superres"},
    )
