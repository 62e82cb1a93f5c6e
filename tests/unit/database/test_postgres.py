"""What only PostgreSQL does: it can be cut off, and let one wait."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from superres.database import migrate, open_database, reading, writing
from superres.errors import StorageError
from superres.settings import Settings
from tests.unit.database.places import schema, settings_at

SHORT = "%20-c%20statement_timeout%3D200%20-c%20lock_timeout%3D100"


@pytest.fixture
def url() -> Iterator[str]:
    with schema() as url:
        yield url


@pytest.fixture
def impatient(tmp_path: Path, url: str) -> Settings:
    """With timeouts of a fraction of a second."""
    return settings_at(tmp_path, url + SHORT)


def show(engine: Engine, name: str) -> object:
    with reading(engine) as connection:
        return connection.scalar(text(f"SHOW {name}"))


def test_nothing_is_waited_for_for_ever(tmp_path: Path, url: str) -> None:
    engine = open_database(settings_at(tmp_path, url))
    assert show(engine, "statement_timeout") == show(engine, "lock_timeout") == "10s"
    assert str(show(engine, "search_path")).startswith("t_")  # the URL's own options stay
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        with socket.socket(fileno=os.dup(raw.fileno())) as wire:

            def option(name: str) -> int:
                return wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))

            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert option("TCP_USER_TIMEOUT") == 10_000
            kept = [option(f"TCP_KEEP{what}") for what in ("IDLE", "INTVL", "CNT")]
            assert kept == [10, 5, 3]
    engine.dispose()


def test_the_url_says_otherwise(tmp_path: Path, url: str) -> None:
    engine = open_database(settings_at(tmp_path, url + SHORT + "&keepalives_idle=77"))
    assert (show(engine, "statement_timeout"), show(engine, "lock_timeout")) == ("200ms", "100ms")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert raw.info.get_parameters()["keepalives_idle"] == "77"
    engine.dispose()


def test_a_statement_that_takes_too_long_is_ended(impatient: Settings) -> None:
    engine = open_database(impatient)
    start = time.monotonic()
    with pytest.raises(StorageError, match="cannot be used now"), reading(engine) as connection:
        connection.execute(text("SELECT pg_sleep(20)"))
    assert time.monotonic() - start < 5
    assert show(engine, "statement_timeout") == "200ms"  # and the connection goes on
    engine.dispose()


def test_a_row_that_another_holds_is_not_waited_for(impatient: Settings) -> None:
    engine = open_database(impatient)
    with writing(engine) as holder:
        holder.execute(text("SELECT * FROM alembic_version FOR UPDATE"))
        start = time.monotonic()
        with pytest.raises(StorageError), writing(engine) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        assert time.monotonic() - start < 5
    engine.dispose()


def test_a_migration_waits_and_takes_its_time(
    impatient: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade, calls = migrate._upgrade, []

    def slow(connection: Connection) -> None:
        calls.append("begun")
        connection.execute(text("SELECT pg_sleep(0.8)"))  # others wait for the lock as long
        upgrade(connection)

    monkeypatch.setattr(migrate, "_upgrade", slow)
    with ThreadPoolExecutor(3) as pool:
        for engine in pool.map(open_database, [impatient] * 3):
            assert show(engine, "statement_timeout") == "200ms"  # as before
            engine.dispose()
    assert calls == ["begun"]
