"""What is special about PostgreSQL."""

from __future__ import annotations

import importlib.util

from sqlalchemy import URL, Connection, Engine, create_engine, text

from superres.errors import BadParameter

DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 5
# A server that was cut off without a word is given up after so long, whether it owes an
# answer (keep-alives) or an acknowledgement (tcp_user_timeout, in milliseconds).
_LIVENESS = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# What is asked here takes milliseconds; threads of the server wait for it. Milliseconds.
_TIMEOUTS = {"statement_timeout": 10_000, "lock_timeout": 10_000}
# Connections of one process. PostgreSQL allows 100 in all unless told otherwise.
_POOL = {"pool_size": 5, "max_overflow": 15, "pool_timeout": 10.0}


def open_postgres(url: URL) -> Engine:
    """Make an engine for ``url``; nothing is connected yet.

    What the URL says about timeouts beats what is set here.

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
        connect_args=_connect_args(url),
    )


def without_timeouts(connection: Connection) -> None:
    """Let statements of the transaction begun on ``connection`` take and wait for ever."""
    for name in _TIMEOUTS:
        connection.execute(text(f"SET LOCAL {name} = 0"))


def _connect_args(url: URL) -> dict[str, object]:
    given = {name: value for name, value in _LIVENESS.items() if name not in url.query}
    own = [f"-c {name}={value}" for name, value in _TIMEOUTS.items()]
    theirs = url.query.get("options", ())
    options = [*own, *((theirs,) if isinstance(theirs, str) else theirs)]  # the last one counts
    return {"application_name": "superres", **given, "options": " ".join(options)}
