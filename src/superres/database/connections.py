"""The two ways to use the database, and the one edge where its errors are translated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from superres.database.sqlite import WRITING
from superres.errors import Overloaded, StorageError

# What the caller may expect and answer (a name that is taken), and mistakes of ours.
_NOT_THE_DATABASES_FAULT = (IntegrityError, ProgrammingError, DataError)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for one look at the database; nothing may be written there.

    Raises:
        StorageError: the database cannot be reached or read.
        Overloaded: every connection of the pool stayed in use.
    """
    with translated(), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # Saves the journeys of BEGIN and ROLLBACK; each statement sees one state anyway.
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is committed at the end, or rolled back if anything is raised.

    On SQLite it holds the write lock from its start (``BEGIN IMMEDIATE``): several processes
    queue for it instead of failing half-way with "database is locked". Keep it short.

    Raises:
        StorageError: the database cannot be reached or written.
        Overloaded: every connection of the pool stayed in use.
    """
    with translated(), engine.connect() as connection:
        connection = connection.execution_options(**{WRITING: True})
        with connection.begin():
            yield connection


@contextmanager
def translated() -> Iterator[None]:
    """The edge where errors of the database become ours; for those who bring connections.

    Raises:
        StorageError, Overloaded: as :func:`writing`.
    """
    try:
        yield
    except PoolTimeout as exc:
        raise Overloaded("The database has too much to do; try again soon.") from exc
    except DBAPIError as exc:
        if isinstance(exc, _NOT_THE_DATABASES_FAULT):
            raise
        raise StorageError(
            "The database cannot be used now; its keeper finds why in the log."
        ) from exc
