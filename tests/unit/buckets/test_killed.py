"""Processes that are killed at any moment, beside others: whole objects or none, no leaks."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys

import pytest

from superres.buckets import Buckets
from superres.database.clock import now
from superres.errors import ObjectNotFound
from superres.settings import BucketsSettings
from tests.unit.buckets.conftest import NAME, Room, shared

pytestmark = shared

# Processes are forked from one that has imported all, so that many can be killed.
OPEN = """
import hashlib, os, random, signal, sys, time
from pathlib import Path
from superres.buckets import NewObject, open_buckets
from superres.database import open_database
from superres.errors import SuperresError
from superres.settings import load
from superres.storage import files, open_store
folder = Path(sys.argv[1])
names = ("server.data_dir", "database.url", "storage.url")
settings = load(Path(os.devnull), dict(zip(names, sys.argv[2:])), {})
NAME, MB = "photos-1250000000", 1 << 20
def md5(content):
    return hashlib.md5(content).hexdigest()
def file(content):
    made = folder / f"finished-{os.urandom(8).hex()}"
    made.write_bytes(content)
    return made
def new(key, content):
    return NewObject(NAME, key, file(content), md5(content))
def begin(key, *contents):
    upload = buckets.uploads.create(NAME, key, "me")
    sent = [
        buckets.uploads.put_part(upload, number, file(content), md5(content)).etag
        for number, content in enumerate(contents, 1)
    ]
    return upload, list(enumerate(sent, 1))
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
"""
WORK = """
def work(begun):
    global buckets
    random.seed()
    database, store = open_database(settings), open_store(settings)
    buckets = open_buckets(settings, database, store)
    while True:
        os.write(begun, b".")
        keys = random.sample("abcd", random.randint(1, 3))
        content = os.urandom(random.randint(0, 3000))
        what = random.randrange(6)
        try:
            if what == 0:
                buckets.objects.delete(NAME, *keys)
            elif what == 1:
                upload, parts = begin(keys[0], content, b"", content)
                also = [new(key, content) for key in keys[1:]]
                buckets.uploads.complete(upload, random.choice([parts, parts[:2]]), *also)
            elif what == 2:
                upload, _ = begin(keys[0], content)
                buckets.uploads.abort(upload)
            elif what == 3:
                for found in buckets.objects.list(NAME).objects:
                    made = file(content)
                    buckets.derived.keep(found, random.choice("xyz"), made, md5(content), "a/b")
            elif what == 4:
                buckets.sweep()
            else:
                buckets.objects.put(*(new(key, content) for key in keys))
        except SuperresError as exc:
            print("failed", repr(exc), flush=True)
            raise
print("ready", flush=True)
for line in sys.stdin:
    reader, begun = os.pipe()
    child = os.fork()
    if child == 0:
        work(begun)
    os.close(begun)
    acts, delay = line.split()
    for _ in range(int(acts)):
        os.read(reader, 1)
    time.sleep(float(delay))
    os.kill(child, signal.SIGKILL)
    print("ended", os.waitpid(child, 0)[1], flush=True)
    os.close(reader)
"""


class Child:
    """A process over the same database and store."""

    def __init__(self, room: Room, code: str) -> None:
        settings = room.settings
        places = (settings.server.data_dir, settings.database.url, settings.storage.url)
        self.process = subprocess.Popen(
            [sys.executable, "-c", OPEN + code, room.folder, *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def __enter__(self) -> Child:
        self.process.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.__exit__(None, None, None)

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


def swept(room: Room, later: float) -> int:
    """By the database's own clock, which the children had."""
    buckets = Buckets(BucketsSettings(), room.database, room.store, clock=lambda c: now(c) + later)
    return buckets.sweep()


def check_whole(room: Room) -> None:
    for found in room.objects.list(NAME).objects:
        room.objects.fetch(found, room.folder / "target", 1 << 20)
        assert (room.folder / "target").stat().st_size == found.size


@pytest.mark.slow
def test_killed_at_any_moment(room: Room) -> None:
    """Two at a time, so that one also works on what the other left: in their n-th act."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(room, WORK)) for _ in range(2)]
        for child in children:
            assert child.hear() == "ready"
        for turn in range(12):
            for child in children:
                child.say(f"{random.randint(1, 5)} {random.uniform(0, 0.02):.4f}")
            for child in children:
                assert child.hear() == f"ended {signal.SIGKILL:d}"
            if turn % 4 == 0:
                check_whole(room)
        assert [child.end() for child in children] == [0, 0]
    check_whole(room)
    swept(room, 7 * 3600)  # what they had begun is of the dead
    room.check()
    check_whole(room)
    swept(room, 8 * 86_400)  # uploads that nobody completes
    assert room.uploads.list(NAME) == ((), False)
    room.check()
    check_whole(room)
    room.objects.delete(NAME, *"abcd")
    swept(room, 86_400)
    assert room.known() == room.held() == set()


KILLED = {
    "before the file": "store.move = die",
    "after the file": "from superres.buckets.pieces import Made; Made.use = die",
    "after its row": "from superres.buckets import objects, uploads; objects.place = die\\n"
    "uploads.place = die",
    "between two": """
move, moved = store.move, []
def second(*args):
    moved.append(args)
    if len(moved) == 2:
        die()
    move(*args)
store.move = second
""",
}
ONE = """
database, store = open_database(settings), open_store(settings)
buckets = open_buckets(settings, database, store)
upload, parts = begin("b", b"one", b"two")
{killed}
{act}
"""
ACTS = {
    "put": 'buckets.objects.put(new("a", b"new"), new("c", b"new"))',
    "complete": 'buckets.uploads.complete(upload, parts, new("a", b"new"), new("c", b"new"))',
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("when", KILLED)
def test_killed_at_a_moment(room: Room, when: str, act: str) -> None:
    room.put("a", b"old")
    room.put("b", b"old")
    child = Child(room, ONE.format(killed=KILLED[when].replace("\\n", "\n"), act=ACTS[act]))
    assert child.end() == -signal.SIGKILL
    assert [room.content(room.objects.get(NAME, key)) for key in "ab"] == [b"old", b"old"]
    with pytest.raises(ObjectNotFound):
        room.objects.get(NAME, "c")
    (upload,), _ = room.uploads.list(NAME)
    assert len(room.uploads.parts(upload)[0]) == 2
    assert swept(room, 3600) == 0  # it might still be at it
    assert len(room.known()) == 6
    assert swept(room, 7 * 3600) == 2
    room.check()
    found, _ = room.uploads.parts(upload)
    (stored,) = room.uploads.complete(upload, [(part.number, part.etag) for part in found])
    assert room.content(stored) == b"onetwo"
