"""Databases for tests: a SQLite file, and a schema of the test's own in the real PostgreSQL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from superres.settings import Settings, load

POSTGRES = os.environ.get("SUPERRES_TEST_POSTGRES", "")
REDIS = os.environ.get("SUPERRES_TEST_REDIS", "")
ENGINES = ("sqlite", "postgres")


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Settings]:
    """Settings of an empty database; what was in it goes at the end."""
    if kind == "sqlite":
        yield settings_at(folder)
        return
    with schema() as url:
        yield settings_at(folder, url)


def settings_at(folder: Path, url: str | None = None, **more: object) -> Settings:
    given = {"server.data_dir": folder / "data", "database.url": url, **more}
    return load(Path(os.devnull), given, {})


@contextmanager
def schema() -> Iterator[str]:
    """The URL of a schema of its own in the PostgreSQL that tests may use."""
    if not POSTGRES:
        pytest.skip("SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
    import psycopg

    name = f"t_{secrets.token_hex(8)}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    try:
        yield f"{POSTGRES}?options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE")
            connection.execute(f"DROP SCHEMA IF EXISTS {name}_dbos CASCADE")
