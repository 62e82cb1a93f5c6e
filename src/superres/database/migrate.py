"""Bringing a database's tables up to date with the code.

The version that a database has stands in its table ``alembic_version``. One look at it is all
that happens when it is the newest: Alembic is not even imported then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect, text

from superres.database.postgres import without_timeouts
from superres.database.sqlite import WRITING
from superres.errors import StorageError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

HEAD = "0003"
"""The newest migration. Versions are four digits, counted up, without branches."""
_TABLE = "alembic_version"
# Any number that nobody else locks in the same database: "superres" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"superres")
_log = logging.getLogger(__name__)
# Alembic's `op` is one for the whole process.
_op_in_use = threading.Lock()


def to_head(engine: Engine) -> None:
    """Apply the migrations that are missing, all or none of them, one process at a time.

    Raises:
        StorageError: the database was made by a newer superres.
        sqlalchemy.exc.DBAPIError: the database cannot be reached or written.
    """
    with engine.connect() as connection:
        if _is_current(connection):
            return
    with _alone(engine) as connection:
        if not _is_current(connection):  # somebody else was first
            _upgrade(connection)


def scripts() -> ScriptDirectory:
    """The migrations, as Alembic sees them."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


def _is_current(connection: Connection) -> bool:
    version = ""
    if inspect(connection).has_table(_TABLE):
        version = connection.scalar(text(f"SELECT version_num FROM {_TABLE}")) or ""  # noqa: S608
    if version > HEAD:
        raise StorageError(
            f"The database was made by a newer superres (its tables are of version {version}, "
            f"this one knows {HEAD}); install that version, or put a backup in its place."
        )
    return version == HEAD


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction during which no other process migrates."""
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if sqlite:
            # A table that a migration rebuilds is dropped first; that must not take the rows
            # that point at it along. The switch has no effect inside a transaction.
            _foreign_keys(connection, "OFF")
        try:
            connection = connection.execution_options(**{WRITING: True})
            with connection.begin():
                if not sqlite:
                    # Another process's migration may take longer than a request may wait.
                    without_timeouts(connection)
                    connection.execute(
                        text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
                    )
                yield connection
        finally:
            if sqlite:
                _foreign_keys(connection, "ON")


def _foreign_keys(connection: Connection, state: str) -> None:
    raw: Any = connection.connection.dbapi_connection
    raw.execute(f"PRAGMA foreign_keys = {state}")


def _upgrade(connection: Connection) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    directory = scripts()

    def steps(version: Any, _context: object) -> Any:
        return directory._upgrade_revs(HEAD, version)

    _log.info("Bringing the database's tables to version %s", HEAD)
    environment = EnvironmentContext(Config(), directory, fn=steps, destination_rev=HEAD)
    with _op_in_use, environment:
        environment.configure(connection=connection)
        environment.run_migrations()
