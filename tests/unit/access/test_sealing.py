"""The key file and what is sealed with it."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from superres.access import open_access
from superres.access.sealing import Sealer, open_key
from superres.access.tables import credentials
from superres.database import reading, writing
from superres.errors import BadParameter, StorageError
from superres.settings import Settings, describe, load
from superres.settings.environment import forget_secrets

OPEN = """
import sys
from superres.access.sealing import open_key
from superres.database import open_database
from superres.settings import load
settings = load(None, {"server.data_dir": sys.argv[1], "database.url": sys.argv[2] or None})
engine = open_database(settings)
print("ready", flush=True)
sys.stdin.readline()
print(open_key(settings.server.data_dir, engine).hex())
"""


def key_file(settings: Settings) -> Path:
    return settings.server.data_dir / "secret.key"


def test_made_on_first_start_for_the_owner_only(where: Settings, database: Engine) -> None:
    key = open_key(where.server.data_dir, database)
    assert len(key) == 32
    assert stat.S_IMODE(key_file(where).stat().st_mode) == 0o600
    assert open_key(where.server.data_dir, database) == key
    assert base64.urlsafe_b64decode(key_file(where).read_bytes()) == key


def test_a_generous_umask_changes_nothing(where: Settings, database: Engine) -> None:
    before = os.umask(0)
    try:
        open_key(where.server.data_dir, database)
    finally:
        os.umask(before)
    assert stat.S_IMODE(key_file(where).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_readable_by_others(where: Settings, database: Engine, mode: int) -> None:
    open_access(where, database)
    key_file(where).chmod(mode)
    with pytest.raises(StorageError, match=rf"other users .*{mode:04o}.*chmod 600 secret\.key"):
        open_access(where, database)
    key_file(where).chmod(0o400)  # tighter is fine
    open_access(where, database)


def test_missing_while_there_are_credentials(where: Settings, database: Engine) -> None:
    open_access(where, database).create("a")
    key_file(where).unlink()
    with pytest.raises(StorageError, match="is missing, and there are credentials"):
        open_access(where, database)
    assert not key_file(where).exists()


def test_missing_when_all_are_revoked(where: Settings, database: Engine) -> None:
    access = open_access(where, database)
    access.create("a")
    access.revoke("a")
    key_file(where).unlink()
    made = open_access(where, database).create("b")
    assert open_access(where, database).secret_of(made.id)[1] == made.secret


def test_another_key(where: Settings, database: Engine, tmp_path: Path) -> None:
    access = open_access(where, database)
    elsewhere = tmp_path / "second machine"
    elsewhere.mkdir()
    open_key(elsewhere, database)  # nobody has credentials yet: it makes its own
    access.create("a")
    with pytest.raises(StorageError, match="is not the one"):
        open_key(elsewhere, database)
    shutil.copy(key_file(where), elsewhere / "secret.key")
    assert open_key(elsewhere, database) == open_key(where.server.data_dir, database)


def test_a_credential_of_another_key(where: Settings, database: Engine, tmp_path: Path) -> None:
    first = open_access(where, database)
    elsewhere = tmp_path / "second machine"
    elsewhere.mkdir()
    sealer = Sealer(open_key(elsewhere, database))
    made = first.create("a")
    with reading(database) as connection:
        row = connection.execute(credentials.select()).one()
    with pytest.raises(StorageError, match="not made with"):
        sealer.open(made.id, row.secret)


@pytest.mark.parametrize("content", [b"short", b"\xff" * 44, b"A" * 42 + b"=="])
def test_damaged(where: Settings, database: Engine, content: bytes) -> None:
    open_access(where, database)
    key_file(where).write_bytes(content)
    with pytest.raises(StorageError, match="is damaged"):
        open_access(where, database)


def test_one_that_is_just_being_written(where: Settings, database: Engine) -> None:
    key = os.urandom(32)
    key_file(where).touch(mode=0o600)

    def write() -> None:
        time.sleep(0.2)
        key_file(where).write_bytes(base64.urlsafe_b64encode(key))

    writer = threading.Thread(target=write)
    writer.start()
    assert open_key(where.server.data_dir, database) == key
    writer.join()


def test_processes_that_start_together_agree(where: Settings) -> None:
    argv = [sys.executable, "-c", OPEN, where.server.data_dir, where.database.url]
    pipe = subprocess.PIPE
    starters = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("\n")
        starter.stdin.flush()
    keys = {starter.communicate(timeout=60)[0].strip() for starter in starters}
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    assert {starter.returncode for starter in starters} == {0}


def with_key(where: Settings, key: bytes) -> Settings:
    text = base64.urlsafe_b64encode(key).decode()
    return replace(where, access=replace(where.access, key=text))


def test_a_key_of_the_environment_needs_no_file(where: Settings, database: Engine) -> None:
    given = with_key(where, bytes(range(200, 232)))  # whose text has both - and _
    made = open_access(given, database).create("a")
    assert not key_file(where).exists()
    with reading(database) as connection:
        row = connection.execute(credentials.select()).one()
    assert Sealer(bytes(range(200, 232))).open(made.id, row.secret) == made.secret
    assert open_access(given, database).secret_of(made.id)[1] == made.secret


def test_many_machines_take_over_the_key_of_the_first(where: Settings, database: Engine) -> None:
    made = open_access(where, database).create("a")
    text = key_file(where).read_text()
    settings = load(None, {}, {"SUPERRES_ACCESS__KEY": text})
    elsewhere = replace(where, server=replace(where.server, data_dir=Path("/nowhere")))
    second = open_access(replace(elsewhere, access=settings.access), database)
    assert second.secret_of(made.id)[1] == made.secret


def test_the_setting_beats_the_file(where: Settings, database: Engine) -> None:
    open_key(where.server.data_dir, database)
    key_file(where).chmod(0o644)
    key_file(where).write_bytes(b"damaged")
    assert open_access(with_key(where, bytes(32)), database).create("a")


def test_another_key_in_the_setting(where: Settings, database: Engine) -> None:
    open_access(with_key(where, bytes(32)), database).create("a")
    with pytest.raises(StorageError, match=r"\[access\] key .* is not the one") as caught:
        open_access(with_key(where, bytes([1] * 32)), database)
    assert base64.urlsafe_b64encode(bytes([1] * 32)).decode() not in str(caught.value)
    with pytest.raises(StorageError, match="is missing, and there are credentials"):
        open_access(where, database)


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "A" * 43,
        "A" * 42 + "==",
        "A" * 20 + "\n" + "A" * 23 + "=",
        "A" * 64,
        "é" * 43 + "=",
    ],
)
def test_a_malformed_key_is_not_repeated(where: Settings, database: Engine, text: str) -> None:
    with pytest.raises(BadParameter, match="32 bytes in URL-safe base64") as caught:
        load(None, {}, {"SUPERRES_ACCESS__KEY": text})
    assert text not in str(caught.value)
    with pytest.raises(BadParameter, match="32 bytes in URL-safe base64") as caught:
        open_key(where.server.data_dir, database, text)
    assert text not in str(caught.value)


def test_the_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = base64.urlsafe_b64encode(bytes(32)).decode()
    settings = load(None, {}, {"SUPERRES_ACCESS__KEY": text})
    assert settings.access.key == text
    assert text not in repr(settings)
    assert {row.name: row for row in describe(settings)}["access.key"].value == "****"
    monkeypatch.setattr(os, "environ", {"SUPERRES_ACCESS__KEY": text, "LANG": "C"})
    forget_secrets()
    assert os.environ == {"LANG": "C"}


def test_sealed_differently_every_time() -> None:
    sealer = Sealer(bytes(32))
    one, two = sealer.seal("id", "secret"), sealer.seal("id", "secret")
    assert one != two
    assert sealer.open("id", one) == sealer.open("id", two) == "secret"
    assert b"secret" not in one


def test_tampered_or_moved_to_another_row(where: Settings, database: Engine) -> None:
    access = open_access(where, database)
    one, two = access.create("one"), access.create("two")
    with writing(database) as connection:
        sealed = connection.scalar(
            credentials.select().with_only_columns(credentials.c.secret).filter_by(id=one.id)
        )
        connection.execute(credentials.update().filter_by(id=two.id).values(secret=sealed))
        wrong = bytes([*sealed[:-1], sealed[-1] ^ 1])
        connection.execute(credentials.update().filter_by(id=one.id).values(secret=wrong))
    for credential in (one, two):
        with pytest.raises(StorageError, match="not made with"):
            access.secret_of(credential.id)
