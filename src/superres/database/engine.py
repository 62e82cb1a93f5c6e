"""Opening the database that the settings name."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from superres.database import migrate
from superres.database.postgres import DRIVER, open_postgres
from superres.database.sqlite import open_sqlite
from superres.errors import BadParameter, StorageError
from superres.settings import Settings

FILE_NAME = "superres.db"
_POSTGRES = ("postgresql", "postgres", DRIVER)


def open_database(settings: Settings) -> Engine:
    """Open the database of ``settings`` and bring its tables up to date.

    With ``[database] url`` empty that is ``superres.db`` in ``[server] data_dir``, SQLite.
    The data folder is made (for its owner only) if it is not there. Several processes may do
    this at once. The engine is thread-safe; ``dispose()`` closes it.

    Raises:
        BadParameter: ``database.url`` is not one of SQLite or PostgreSQL, or the package for
            it is missing.
        StorageError: the database cannot be reached or written, or was made by a newer
            superres. The message never holds a password.
    """
    folder = settings.server.data_dir
    make_data_dir(folder)
    url = _url(settings.database.url, folder)
    engine = open_sqlite(url) if url.drivername == "sqlite" else open_postgres(url)
    try:
        migrate.to_head(engine)
    except DBAPIError as exc:
        engine.dispose()
        raise StorageError(_unusable(url, exc)) from exc
    except BaseException:
        engine.dispose()
        raise
    return engine


def make_data_dir(folder: Path) -> None:
    """Make the data folder, for its owner only; one that is there stays as it is."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(
            f"The data folder (server.data_dir) cannot be made: {exc.strerror}."
        ) from exc


def _url(text: str, folder: Path) -> URL:
    if not text:
        return URL.create("sqlite", database=str(folder / FILE_NAME))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the text may hold a password: not repeated
        url = None
    if url is None or url.drivername not in ("sqlite", *_POSTGRES):
        raise BadParameter(
            "database.url must look like sqlite:////folder/file.db or "
            "postgresql://user:password@host:5432/name."
        ) from None
    return url


def _unusable(url: URL, exc: DBAPIError) -> str:
    if url.drivername == "sqlite":
        return f"The database file cannot be used: {exc.orig}."
    where = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
    return f"The database {where} (database.url) cannot be used: {_reason(exc)}."


def _reason(exc: DBAPIError) -> str:
    """The server's own words, such as: password authentication failed for user "x"."""
    said = getattr(getattr(exc.orig, "diag", None), "message_primary", None)
    said = said or str(exc.orig).rpartition("FATAL:")[2 * ("FATAL:" in str(exc.orig))]
    return f"it says: {said.strip().rstrip('.')}" if said else "nothing usable answers there"
