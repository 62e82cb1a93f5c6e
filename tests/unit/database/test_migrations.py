"""The migrations: they make what the rooms declare, once, whoever starts at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Engine, MetaData, Table, select, text
from sqlalchemy.exc import StatementError

import superres.access.tables
import superres.buckets.tables
import superres.jobs.tables
import superres.storage.tables  # noqa: F401 -- their tables join the metadata
from superres.database import migrate, open_database, reading, writing
from superres.database.columns import UtcDateTime
from superres.database.tables import metadata
from superres.errors import StorageError
from superres.settings import Settings
from tests.unit.database.places import settings_at

STARTERS = 4
OPEN = """
import sys
from pathlib import Path
from superres.database import open_database
from superres.settings import load
print("ready", flush=True)
sys.stdin.readline()
open_database(load(None, {"server.data_dir": sys.argv[1], "database.url": sys.argv[2] or None}))
"""


def test_the_migrations_make_what_is_declared(database: Engine) -> None:
    assert set(metadata.tables) == {
        *("credentials", "quota_use"),
        *("jobs", "job_items", "slots"),
        *("blobs", "service_keys"),
        *("buckets", "objects", "uploads", "pieces", "derived"),
    }
    with reading(database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_comparison_sees_a_difference(database: Engine) -> None:
    with writing(database) as connection:
        connection.execute(text("ALTER TABLE credentials ADD COLUMN surprise INTEGER"))
    with reading(database) as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    assert [entry[0] for entry in found] == ["remove_column"]


def test_the_head_is_the_newest_script() -> None:
    assert migrate.scripts().get_heads() == [migrate.HEAD]
    versions = [script.revision for script in migrate.scripts().walk_revisions()]
    assert sorted(versions, reverse=True) == versions
    assert all(len(version) == 4 and version.isdigit() for version in versions)


def test_processes_that_start_together(where: Settings) -> None:
    argv = [sys.executable, "-c", OPEN, where.server.data_dir, where.database.url]
    pipe = subprocess.PIPE
    starters = [
        subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(STARTERS)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("\n")
        starter.stdin.flush()
    told = [starter.communicate(timeout=60)[1] for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * STARTERS, told
    engine = open_database(where)
    with reading(engine) as connection:
        versions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    assert versions == [migrate.HEAD]
    engine.dispose()


def test_threads_that_start_together(where: Settings) -> None:
    with ThreadPoolExecutor(STARTERS) as pool:
        for engine in pool.map(open_database, [where] * STARTERS):
            engine.dispose()


def test_only_one_migrates(where: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade, calls = migrate._upgrade, []

    def slow(connection: Connection) -> None:
        calls.append("begun")
        time.sleep(0.3)  # the others reach the lock meanwhile
        upgrade(connection)

    monkeypatch.setattr(migrate, "_upgrade", slow)
    with ThreadPoolExecutor(STARTERS) as pool:
        for engine in pool.map(open_database, [where] * STARTERS):
            engine.dispose()
    assert calls == ["begun"]


def test_a_newer_database_is_refused(where: Settings) -> None:
    engine = open_database(where)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    engine.dispose()
    with pytest.raises(StorageError, match=r"newer superres .* version 0999, this one knows"):
        open_database(where)


def test_a_failed_migration_leaves_nothing(
    where: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = migrate._upgrade

    def failing(connection: object) -> None:
        upgrade(connection)
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_upgrade", failing)
        with pytest.raises(ZeroDivisionError):
            open_database(where)
    engine = open_database(where)  # from nothing again
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM credentials")) == 0
    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    engine.dispose()


def test_nothing_to_do_is_quick_and_needs_no_alembic(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    open_database(settings).dispose()
    start = time.perf_counter()
    open_database(settings).dispose()
    assert time.perf_counter() - start < 0.1
    code = OPEN.replace('print("ready", flush=True)\nsys.stdin.readline()', "")
    code += "\nassert 'alembic' not in sys.modules and 'fastapi' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, settings.server.data_dir, ""], check=True)


def test_moments_keep_their_zone(database: Engine) -> None:
    table = Table("moments", MetaData(), Column("at", UtcDateTime))
    table.create(database)
    here = datetime(2026, 11, 21, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    with writing(database) as connection:
        connection.execute(table.insert(), [{"at": here}, {"at": None}])
    with reading(database) as connection:
        found = connection.scalars(select(table.c.at)).all()
    assert found == [datetime(2026, 11, 20, 20, 30, tzinfo=UTC), None]
    assert found[0].tzinfo is UTC
    with pytest.raises(StatementError, match="time zone"), writing(database) as connection:
        connection.execute(table.insert(), {"at": datetime(2026, 1, 1)})  # noqa: DTZ001
