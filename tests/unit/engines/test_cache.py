"""The cache of compiled graphs: it may forget, it may not lie, and it never raises."""

import multiprocessing
import os
from pathlib import Path

import pytest

from superres.engines.cache import CompiledCache

BIG = 1 << 30


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_what_was_put_is_got(tmp_path):
    cache = CompiledCache(tmp_path / "a" / "b", BIG)
    assert cache.get("one") is None
    cache.put("one", b"1" * 1000)
    cache.put("two", b"")
    cache.put("one/../three", b"3")
    assert cache.get("one") == b"1" * 1000
    assert cache.get("two") == b""
    assert cache.get("one/../three") == b"3"
    cache.put("one", b"new")
    assert CompiledCache(tmp_path / "a" / "b", BIG).get("one") == b"new"
    assert len(entries(tmp_path / "a" / "b")) == 3


def test_what_was_dropped_is_gone(tmp_path):
    cache = CompiledCache(tmp_path, BIG)
    cache.put("one", b"1")
    cache.drop("one")
    cache.drop("never there")
    assert cache.get("one") is None
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[:-1],
        lambda d: d + b"x",
        lambda d: d[:40] + b"x" + d[41:],
        lambda d: b"x" + d[1:],
        lambda d: d[:10],
        lambda d: b"",
    ],
)
def test_damage_is_found_and_removed(tmp_path, damage):
    cache = CompiledCache(tmp_path, BIG)
    cache.put("one", b"1" * 1000)
    (file,) = entries(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get("one") is None
    assert entries(tmp_path) == []
    cache.put("one", b"again")
    assert cache.get("one") == b"again"


def test_the_least_recently_used_goes_first(tmp_path):
    cache = CompiledCache(tmp_path, 3500)
    for number, name in enumerate("abc"):
        cache.put(name, name.encode() * 1000)
        (newest,) = (f for f in entries(tmp_path) if f.read_bytes()[32:33] == name.encode())
        os.utime(newest, (1000 + number, 1000 + number))
    assert cache.get("a") is not None  # used just now, so b is the oldest
    cache.put("d", b"d" * 1000)
    assert [cache.get(name) is not None for name in "abcd"] == [True, False, True, True]
    assert sum(f.stat().st_size for f in entries(tmp_path)) <= 3500


def test_more_than_all_the_room_is_not_kept(tmp_path):
    cache = CompiledCache(tmp_path, 100)
    cache.put("large", b"x" * 1000)
    assert cache.get("large") is None
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_only_slow(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = CompiledCache(tmp_path / "file" / "cache", BIG)
    cache.put("one", b"1")
    assert cache.get("one") is None
    cache.drop("one")


def test_a_full_disk_leaves_no_rubbish(tmp_path, monkeypatch):
    cache = CompiledCache(tmp_path, BIG)

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache.put("one", b"1")
    assert entries(tmp_path) == []
    assert cache.get("one") is None


def test_a_folder_that_may_only_be_read_still_serves(tmp_path, monkeypatch):
    cache = CompiledCache(tmp_path, BIG)
    cache.put("one", b"1")

    def refused(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert cache.get("one") == b"1"


def _worker(folder: str, number: int, wrong: object) -> None:
    cache = CompiledCache(Path(folder), 40_000)
    for turn in range(60):
        key = f"key {turn % 7}"
        found = cache.get(key)
        if found is not None and found != key.encode() * 1000:
            wrong.value += 1
        cache.put(key, key.encode() * 1000)
        if turn % 5 == number:
            cache.drop(key)


def test_processes_share_it(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    wrong = spawn.Value("i", 0)
    workers = [spawn.Process(target=_worker, args=(str(tmp_path), n, wrong)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert wrong.value == 0
    assert all(file.suffix == ".blob" for file in entries(tmp_path))
    assert sum(file.stat().st_size for file in entries(tmp_path)) <= 50_000
