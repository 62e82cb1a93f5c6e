"""Opening: where the file lies, who may read it, and what is said when it cannot be."""

from __future__ import annotations

import importlib.util
import socket
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from superres.database import open_database, reading, writing
from superres.errors import BadParameter, StorageError, SuperresError
from superres.settings import Settings
from tests.unit.database.places import POSTGRES, settings_at


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def scalar(engine: Engine, sql: str) -> object:
    with reading(engine) as connection:
        return connection.scalar(text(sql))


def test_the_default_is_a_private_file_in_the_data_folder(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    engine = open_database(settings)
    folder = settings.server.data_dir
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    assert mode(folder) == 0o700
    assert {path.name for path in folder.iterdir()} >= {"superres.db"}
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    engine.dispose()


def test_sqlite_is_set_up_for_many_processes(tmp_path: Path) -> None:
    engine = open_database(settings_at(tmp_path))
    assert scalar(engine, "PRAGMA journal_mode") == "wal"
    assert scalar(engine, "PRAGMA busy_timeout") == 10_000
    assert scalar(engine, "PRAGMA foreign_keys") == 1
    assert scalar(engine, "PRAGMA synchronous") == 1
    engine.dispose()


def test_wal_is_waited_for(tmp_path: Path) -> None:
    """While another process writes, SQLite refuses the switch without waiting."""
    (tmp_path / "data").mkdir()
    other = sqlite3.connect(tmp_path / "data" / "superres.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_database, settings_at(tmp_path))
        time.sleep(0.3)
        assert not opening.done()
        other.execute("ROLLBACK")
        engine = opening.result()
    assert scalar(engine, "PRAGMA journal_mode") == "wal"
    engine.dispose()
    other.close()


def test_a_url_may_name_another_file(tmp_path: Path) -> None:
    engine = open_database(settings_at(tmp_path, f"sqlite:///{tmp_path}/deep/other.db"))
    engine.dispose()
    assert mode(tmp_path / "deep" / "other.db") == 0o600
    assert not (tmp_path / "data" / "superres.db").exists()


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o750)
    open_database(settings_at(tmp_path)).dispose()
    assert mode(tmp_path / "data") == 0o750


def test_what_is_read_sees_no_half_written_change(database: Engine) -> None:
    with writing(database) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    with writing(database) as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        assert scalar(database, "SELECT count(*) FROM t") == 0
    assert scalar(database, "SELECT count(*) FROM t") == 1


def test_an_error_rolls_back(database: Engine) -> None:
    def fail() -> None:
        with writing(database) as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with writing(database) as connection:  # it was not made: it can be now
        connection.execute(text("CREATE TABLE t (x INTEGER)"))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file.db?mode=ro",
        "mysql://root:hunter2@localhost/db",
        "postgresql+asyncpg://a:hunter2@localhost/db",
        "postgresql://a:hunter2@localhost:port/db",
        "postgresql:hunter2",
    ],
)
def test_other_urls_are_refused_without_repeating_them(tmp_path: Path, url: str) -> None:
    with pytest.raises(SuperresError) as caught:
        open_database(settings_at(tmp_path, url))
    assert "database.url must" in caught.value.public_message
    assert "hunter2" not in caught.value.public_message


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StorageError) as caught:
            open_database(settings_at(tmp_path, f"postgresql://me:hunter2@127.0.0.1:{port}/x"))
    assert f"127.0.0.1:{port}/x" in caught.value.public_message
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.skipif(not POSTGRES, reason="SUPERRES_TEST_POSTGRES does not name a PostgreSQL")
def test_the_servers_refusal_is_told(tmp_path: Path) -> None:
    url = f"{POSTGRES.rpartition('/')[0]}/no_such_database"
    with pytest.raises(StorageError, match='says: database "no_such_database" does not exist'):
        open_database(settings_at(tmp_path, url))


def test_psycopg_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadParameter, match=r"superres\[postgres\]"):
        open_database(settings_at(tmp_path, "postgresql://localhost/x"))


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "superres.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"superres\.db cannot be used.*backup"):
        open_database(settings_at(tmp_path))


def test_a_folder_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageError, match="data folder"):
        open_database(settings_at(tmp_path))


def test_the_database_goes_away(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    engine = open_database(settings)
    engine.dispose()
    for file in settings.server.data_dir.iterdir():
        file.unlink()
    settings.server.data_dir.rmdir()
    with pytest.raises(StorageError, match="cannot be used now"), reading(engine) as connection:
        connection.execute(text("SELECT 1"))


def test_opening_again_changes_nothing(where: Settings) -> None:
    for _ in range(2):
        engine = open_database(where)
        assert scalar(engine, "SELECT count(*) FROM alembic_version") == 1
        engine.dispose()
