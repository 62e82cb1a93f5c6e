"""Blobs of many threads and many processes, some of which are killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from superres.database import reading
from superres.errors import ObjectNotFound
from superres.storage.blobs import Blobs
from superres.storage.tables import blobs as table
from tests.unit.storage.conftest import Room, on_disk, shared

OPEN = """
import os, signal, sys
from pathlib import Path
from superres.database import open_database
from superres.errors import ObjectNotFound, SuperresError
from superres.settings import load
from superres.storage import files, open_store
from superres.storage.blobs import Blobs
folder = Path(sys.argv[1])
names = ("server.data_dir", "database.url", "storage.url")
settings = load(Path(os.devnull), dict(zip(names, sys.argv[2:])), {})
database, store = open_database(settings), open_store(settings)
blobs = Blobs(database, store, 2000)
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def new_file(content):
    file = folder / f"finished-{os.urandom(4).hex()}"
    file.write_bytes(content)
    return file
print("ready", flush=True)
sys.stdin.readline()
"""
KEEP = """
for _ in range(20):
    kept = blobs.keep(new_file(bytes(100)), "a.png", "image/png", 60)
    print("kept", kept.id)
"""
PUSH_OUT = """
for turn in range(20):
    kept = blobs.keep(new_file(bytes(100 + turn)), "a.png", "image/png", 60)
    blobs.expire()
    try:
        with blobs.read(blobs.open(kept.id)) as pieces:
            assert b"".join(pieces) == bytes(100 + turn)
    except ObjectNotFound:  # pushed out by the others
        pass
"""
EXPIRE = """
print("gone", Blobs(database, store, 2000, clock=lambda _: 4e9).expire())
"""
KILLED = {
    "before the object": "store.move = die",
    "after the object": "blobs._finish = die",
    "while it is copied": """
def half(source, target):
    target.write_bytes(source.read_bytes()[:50])
    die()
files.shutil.copyfile = half
""",
}
KEEP_ONE = """
blobs.keep(new_file(bytes(100)), "a.png", "image/png", 60)
"""


class Child:
    """A process with blobs of its own over the same database and store."""

    def __init__(self, room: Room, code: str, folder: Path | None = None) -> None:
        pipe, settings = subprocess.PIPE, room.settings
        places = (settings.server.data_dir, settings.database.url, settings.storage.url)
        self.process = subprocess.Popen(
            [sys.executable, "-c", OPEN + code, folder or room.folder, *places],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def run(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self, status: int = 0) -> str:
        """What it printed; it ended with ``status``."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == status, err
        return out


def together(children: list[Child]) -> list[str]:
    """Let all of them run at the same time; returns what each printed."""
    for child in children:
        child.ready()
    for child in children:
        child.run()
    return [child.told() for child in children]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another disk than the store's."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("needs a second disk")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def kept_in(room: Room) -> tuple[int, int]:
    """Number and bytes of what the database knows; all of it is in the store."""
    with reading(room.database) as connection:
        rows = connection.execute(select(table)).all()
    assert all(row.ready for row in rows)
    for row in rows:
        assert room.store.head("superres", f"blobs/{row.id}").size == row.size
    return len(rows), sum(row.size for row in rows)


def test_many_threads_at_once(room: Room) -> None:
    blobs = Blobs(room.database, room.store, 1000)
    failures = []

    def work() -> None:
        try:
            for _ in range(10):
                kept = blobs.keep(room.file(bytes(100)), "a.png", "image/png", 60)
                blobs.expire()
                with contextlib.suppress(ObjectNotFound):  # pushed out by the others
                    blobs.fetch(kept.id, room.folder / kept.id)
        except Exception as exc:  # noqa: BLE001 - told below
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert kept_in(room) == (10, 1000)
    if room.objects.is_dir():
        assert len(room.files()) == 10


@shared
def test_many_processes_share_the_room(room: Room) -> None:
    told = together([Child(room, KEEP) for _ in range(4)])
    assert sum(text.count("kept") for text in told) == 80
    assert kept_in(room) == (20, 2000)


@shared
def test_many_processes_push_each_other_out(room: Room) -> None:
    together([Child(room, PUSH_OUT) for _ in range(4)])
    number, size = kept_in(room)
    assert 2000 - 120 < size <= 2000
    if room.objects.is_dir():
        assert len(room.files()) == number


@shared
def test_processes_that_expire_together_count_each_once(room: Room) -> None:
    blobs = Blobs(room.database, room.store, 1 << 20)
    for _ in range(150):
        blobs.keep(room.file(b"1"), "a", "image/png", 60)
    told = together([Child(room, EXPIRE) for _ in range(3)])
    assert sum(int(text.split()[-1]) for text in told) == 150
    assert room.rows() == 0
    assert not room.objects.is_dir() or room.files() == []


@shared
@pytest.mark.parametrize("when", ["before the object", "after the object"])
def test_a_killed_process_leaves_nothing_for_ever(room: Room, when: str) -> None:
    check_killed(Child(room, KILLED[when] + KEEP_ONE), room)


@on_disk
def test_a_process_killed_while_it_copies(room: Room, elsewhere: Path) -> None:
    check_killed(Child(room, KILLED["while it is copied"] + KEEP_ONE, elsewhere), room)


def check_killed(child: Child, room: Room) -> None:
    child.ready()
    child.run()
    child.told(-signal.SIGKILL)
    assert room.rows() == 1
    blobs = Blobs(room.database, room.store, 2000)
    assert blobs.expire() == 0  # it might still be at it
    with reading(room.database) as connection:
        row = connection.execute(select(table)).one()
    assert not row.ready
    with pytest.raises(ObjectNotFound):
        blobs.open(row.id)
    later = Blobs(room.database, room.store, 2000, clock=lambda _: row.created_at + 3601)
    assert later.expire() == 1
    assert room.rows() == 0
    assert not room.store.exists("superres", f"blobs/{row.id}")
    assert not room.objects.is_dir() or room.files() == []


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    blobs.keep(folder / "large", "a.png", "image/png", 60, counted=False)
except SuperresError as exc:
    print(exc.code, exc.public_message)
"""


@on_disk
def test_a_full_disk(room: Room, elsewhere: Path) -> None:
    """As far as one can be had: files may have a megabyte, in this process."""
    blobs = Blobs(room.database, room.store, 2000)
    (elsewhere / "large").write_bytes(bytes(2 << 20))
    room.database.dispose()  # the child's database stays below the megabyte
    (told,) = together([Child(room, FULL, elsewhere)])
    assert told.startswith("output_error The result could not be kept (File too large); make room")
    assert str(room.folder) not in told
    assert (elsewhere / "large").stat().st_size == 2 << 20
    assert (room.rows(), room.files()) == (0, [])
    assert blobs.expire() == 0
