"""Folders of requests in flight: private, gone with their process, safe while it lives."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from superres.storage import spool
from superres.storage.spool import Spool

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and modes as on POSIX")
HOLD = """
import os, sys
from pathlib import Path
from superres.storage.spool import Spool
os.getpid = lambda: 1  # as in a container
own = Spool(Path(sys.argv[1]))
(own.folder / "file").write_bytes(b"x")
print(own.folder, flush=True)
sys.stdin.read()
own.remove()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def other(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process, which takes itself for number 1, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_private_and_goes(parent: Path) -> None:
    before = os.umask(0o022)
    try:
        own = Spool(parent)
    finally:
        os.umask(before)
    assert own.folder.parent == parent
    assert own.folder.name.startswith(f"{os.getpid()}-")
    assert stat.S_IMODE(own.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    (own.folder / "request").mkdir()
    own.remove()
    own.remove()
    assert list(parent.iterdir()) == []


def test_of_a_living_process_it_stays_and_of_a_killed_one_it_goes(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)  # "in use", whoever looks
    process, theirs = other(parent)
    try:
        first = Spool(parent)
        assert (theirs / "file").exists()
        process.kill()
        process.communicate()
        assert (theirs / "file").exists(), "nothing was left behind, so this shows nothing"
        second = Spool(parent)
        assert not theirs.exists()
        assert {path.name for path in parent.iterdir() if path.is_dir()} == {
            first.folder.name,
            second.folder.name,
        }
        for own in (first, second):
            own.remove()
        assert list(parent.iterdir()) == []
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_ends_in_peace_leaves_nothing(parent: Path) -> None:
    process, theirs = other(parent)
    assert theirs.is_dir()
    process.communicate()
    assert list(parent.iterdir()) == []


def test_many_at_once(parent: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        spools = list(pool.map(lambda _: Spool(parent), range(64)))
    assert len({own.folder for own in spools}) == 64
    assert all(own.folder.is_dir() for own in spools)
    for own in spools:
        own.remove()
    assert list(parent.iterdir()) == []


def test_a_file_that_another_took_away_before_it_was_locked(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_lock, taken = spool._try_lock, []

    def late(descriptor: int) -> bool:
        if not taken:
            (lock,) = parent.iterdir()
            taken.append(lock)
            spool._clear.__globals__["_try_lock"] = try_lock
            spool._clear(lock)
        return try_lock(descriptor)

    monkeypatch.setattr(spool, "_try_lock", late)
    own = Spool(parent)
    assert not taken[0].exists()
    assert own.folder.is_dir()
    assert own.folder.with_suffix(".lock").exists()
    own.remove()


def test_what_cannot_be_removed_now_is_tried_again(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Spool(parent)
    with monkeypatch.context() as patch:
        patch.setattr(spool.shutil, "rmtree", lambda *_, **__: None)
        own.remove()
    assert own.folder.exists()
    Spool(parent).remove()
    assert list(parent.iterdir()) == []
