"""What is special about SQLite.

WAL is set first, once: it lets readers go on while one process writes, and it stays in the
file. It works on local disks only.

Python's ``sqlite3`` begins transactions itself, late and in its own way; that is turned off,
and SQLAlchemy's ``begin`` says ``BEGIN`` here. Writers say ``BEGIN IMMEDIATE``: a transaction
that reads first and writes later fails with "database is locked" at once, whatever the busy
timeout, if another process wrote in between.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from superres.errors import BadParameter, StorageError

WRITING = "superres_writing"
BUSY_TIMEOUT_S = 10.0
# The server calls from the threads of anyio, 40 of them; a connection is a file handle.
_POOL = {"pool_size": 8, "max_overflow": 56, "pool_timeout": BUSY_TIMEOUT_S}


def open_sqlite(url: URL) -> Engine:
    """Open, and make if need be, the file of ``url``; a new one is readable by its owner only.

    Raises:
        BadParameter: no file is named (a database in memory would forget its credentials).
        StorageError: the file cannot be made or is not a SQLite database.
    """
    if not url.database or url.database == ":memory:" or url.query:
        raise BadParameter("database.url must name a file, like sqlite:////var/lib/superres.db.")
    path = Path(url.database)
    _prepare(path)
    engine = create_engine(url, **_POOL, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _prepare(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise StorageError(f"The database file cannot be opened: {exc.strerror}.") from exc
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        _set_wal(connection)
    except sqlite3.DatabaseError as exc:
        raise StorageError(
            f"The database file {path.name} cannot be used: {exc}. If it is damaged, put a "
            "backup in its place."
        ) from exc
    finally:
        connection.close()


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Of several who do so at once some are refused without waiting."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # nothing is begun behind our back
    connection.execute("PRAGMA foreign_keys = ON")
    # With WAL a crash of the machine may lose the last commits, and never damages the file.
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get(WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
