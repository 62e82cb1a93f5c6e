"""Signed links: ours and still good, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select, text

from superres.database import reading, writing
from superres.errors import ObjectNotFound
from superres.storage.links import Links
from superres.storage.tables import service_keys
from tests.unit.storage.conftest import Room, on_disk

BLOB = "3c9d0f3b8f0c4d8e9f7a6b5c4d3e2f10"
OPEN = """
import os, sys
from pathlib import Path
from superres.database import open_database
from superres.settings import load
from superres.storage.links import Links
names = ("server.data_dir", "database.url")
database = open_database(load(Path(os.devnull), dict(zip(names, sys.argv[1:])), {}))
print("ready", flush=True)
sys.stdin.readline()
print(Links(database).path("0" * 32, 5))
"""

databases = pytest.mark.parametrize("where", ["sqlite folder", "postgres folder"], indirect=True)


@pytest.fixture
def links(room: Room) -> Links:
    return Links(room.database, clock=room.clock)


def parts(link: str) -> tuple[str, str, str]:
    """Blob, expires, signature."""
    split = urlsplit(link)
    query = parse_qs(split.query, strict_parsing=True)
    assert set(query) == {"expires", "signature"}
    return split.path.removeprefix("/v1/results/"), query["expires"][0], query["signature"][0]


@databases
def test_good_until_its_time_is_over(room: Room, links: Links) -> None:
    blob, expires, signature = parts(links.path(BLOB, room.clock.now + 60.9))
    assert (blob, expires) == (BLOB, str(int(room.clock.now) + 60))
    assert len(signature) == 64
    links.check(blob, expires, signature)
    room.clock.now += 60.9
    links.check(blob, expires, signature)
    room.clock.now += 0.1
    with pytest.raises(ObjectNotFound):
        links.check(blob, expires, signature)


@on_disk
@pytest.mark.parametrize(
    ("blob", "expires", "signature"),
    [
        ("0" * 32, None, None),
        (None, "1000061", None),
        (None, "01000060", None),
        (None, "1000060.0", None),
        (None, "+1000060", None),
        (None, "١٠٠٠٠٦٠", None),
        (None, "9" * 400, None),
        (None, "", None),
        (None, "\ud800", None),
        (None, None, ""),
        (None, None, "0" * 64),
        (None, None, "é" * 64),
        (None, None, "\ud800"),
    ],
)
def test_nothing_of_it_can_be_changed(
    room: Room, links: Links, blob: str | None, expires: str | None, signature: str | None
) -> None:
    ours = parts(links.path(BLOB, room.clock.now + 60))
    links.check(*ours)
    given = zip((blob, expires, signature), ours, strict=True)
    changed = [old if new is None else new for new, old in given]
    with pytest.raises(ObjectNotFound):
        links.check(*changed)


@on_disk
def test_upper_case_is_another_signature(room: Room, links: Links) -> None:
    blob, expires, signature = parts(links.path(BLOB, room.clock.now + 60))
    with pytest.raises(ObjectNotFound):
        links.check(blob, expires, signature.upper())


@databases
def test_every_process_signs_alike(room: Room) -> None:
    """They all start on a database without a key."""
    settings, pipe = room.settings, subprocess.PIPE
    argv = [sys.executable, "-c", OPEN, settings.server.data_dir, settings.database.url]
    starters = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("\n")
        starter.stdin.flush()
    told = {starter.communicate(timeout=60)[0].strip() for starter in starters}
    assert told == {Links(room.database).path("0" * 32, 5)}
    with reading(room.database) as connection:
        rows = connection.execute(select(service_keys)).all()
    assert [row.name for row in rows] == ["links"]
    assert len(rows[0].value) == 32
    assert abs(rows[0].created_at - time.time()) < 300


@on_disk
def test_another_key_is_another_signature(room: Room, links: Links) -> None:
    ours = links.path(BLOB, 5)
    with writing(room.database) as connection:
        connection.execute(text("DELETE FROM service_keys"))
    assert Links(room.database).path(BLOB, 5) != ours
    assert links.path(BLOB, 5) == ours


@on_disk
def test_the_key_is_not_in_what_is_shown(room: Room, links: Links) -> None:
    with reading(room.database) as connection:
        key = connection.scalar(select(service_keys.c.value))
    assert key is not None
    assert repr(key) not in repr(links)
    assert key.hex() not in links.path(BLOB, 5)
    assert os.urandom(32) != key
