"""The SQL database: SQLite in a file, or PostgreSQL, chosen by URL.

The SQL is written once, as SQLAlchemy Core; what differs between the two is in
:mod:`superres.database.sqlite` and :mod:`superres.database.postgres`. A room that keeps rows
declares its tables in a ``tables.py`` of its own, on the one
:data:`superres.database.tables.metadata`, and adds a migration (see
:mod:`superres.database.migrations`).

Whoever reads or writes does so inside ``with reading(engine) as connection`` or ``with
writing(engine) as connection``: they choose the right kind of transaction, and a database that
fails there raises :class:`~superres.errors.StorageError`.
"""

from __future__ import annotations

from superres.database.connections import reading, translated, writing
from superres.database.engine import open_database

__all__ = ["open_database", "reading", "translated", "writing"]
