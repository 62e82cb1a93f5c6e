"""Kept results: there for a while, gone when their time or the room is over."""

import contextlib
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from superres.errors import ObjectNotFound, OutputError
from superres.storage.results import Results


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def results(tmp_path, clock) -> Results:
    return Results(tmp_path / "results", 60.0, 1000, clock=clock)


def new_file(folder: Path, content: bytes = b"pixels") -> Path:
    file = folder / f"finished-{os.urandom(4).hex()}"
    file.write_bytes(content)
    return file


def test_what_is_kept_can_be_opened(results, clock, tmp_path):
    file = new_file(tmp_path)
    kept = results.open(results.keep(file, "photo_x4.png", "image/png"))
    assert kept.path.read_bytes() == b"pixels"
    assert (kept.name, kept.media_type, kept.size) == ("photo_x4.png", "image/png", 6)
    assert kept.expires == clock.now + 60
    assert not file.exists()


def test_ids_cannot_be_guessed_and_differ(results, tmp_path):
    ids = {results.keep(new_file(tmp_path), "a.png", "image/png") for _ in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 32 for each in ids)


def test_nobody_else_on_the_machine_may_look(results, tmp_path):
    assert stat.S_IMODE((tmp_path / "results").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/shadow", "C:\\x.png", "", "..", "a\0b"]
)
def test_a_name_is_never_a_path(results, tmp_path, name):
    before = set(tmp_path.rglob("*"))
    kept = results.open(results.keep(new_file(tmp_path), name, "image/png"))
    assert "/" not in kept.name
    assert "\\" not in kept.name
    assert kept.path.parent == tmp_path / "results"
    assert {path.parent for path in set(tmp_path.rglob("*")) - before} == {tmp_path / "results"}


@pytest.mark.parametrize(
    "result_id",
    ["", ".", "..", "../secret", "0" * 32, "A" * 32, "x.json", "\0", "é" * 32, "../results/x"],
)
def test_unknown_ids_are_not_found(results, tmp_path, result_id):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ObjectNotFound):
        results.open(result_id)


def test_the_description_is_no_result(results, tmp_path):
    kept_id = results.keep(new_file(tmp_path), "a.png", "image/png")
    with pytest.raises(ObjectNotFound):
        results.open(f"{kept_id}.json")


def test_time_passes(results, clock, tmp_path):
    kept_id = results.keep(new_file(tmp_path), "a.png", "image/png")
    clock.now += 59
    assert results.expire() == 0
    results.open(kept_id)
    clock.now += 1
    with pytest.raises(ObjectNotFound):  # also before it is swept
        results.open(kept_id)
    assert results.expire() == 1
    assert list((tmp_path / "results").iterdir()) == []


def test_the_oldest_go_first_when_room_is_short(results, clock, tmp_path):
    ids = []
    for _ in range(4):
        ids.append(results.keep(new_file(tmp_path, bytes(300)), "a.png", "image/png"))
        clock.now += 1
    with pytest.raises(ObjectNotFound):
        results.open(ids[0])
    for each in ids[1:]:
        results.open(each)
    assert len(list((tmp_path / "results").iterdir())) == 6


def test_what_is_larger_than_everything_is_refused_and_drives_nothing_out(results, tmp_path):
    kept_id = results.keep(new_file(tmp_path), "a.png", "image/png")
    file = new_file(tmp_path, bytes(1001))
    with pytest.raises(OutputError, match="max_results_bytes"):
        results.keep(file, "b.png", "image/png")
    results.open(kept_id)
    assert file.exists()


def test_a_restart_loses_nothing(results, clock, tmp_path):
    first = results.keep(new_file(tmp_path, b"one"), "eins ü.png", "image/png")
    clock.now += 30
    second = results.keep(new_file(tmp_path, b"two"), "zwei.jpg", "image/jpeg")
    again = Results(tmp_path / "results", 60.0, 1000, clock=clock)
    kept = again.open(first)
    assert (kept.name, kept.media_type, kept.path.read_bytes()) == (
        "eins ü.png",
        "image/png",
        b"one",
    )
    assert kept.expires == results.open(first).expires
    clock.now += 30
    assert again.expire() == 1
    assert again.open(second).name == "zwei.jpg"


def test_a_restart_with_less_room_drops_the_oldest(results, clock, tmp_path):
    old = results.keep(new_file(tmp_path, bytes(400)), "a", "image/png")
    clock.now += 1
    young = results.keep(new_file(tmp_path, bytes(400)), "b", "image/png")
    again = Results(tmp_path / "results", 60.0, 500, clock=clock)
    again.open(young)
    with pytest.raises(ObjectNotFound):
        again.open(old)


def test_halves_of_a_process_that_died_go_when_they_are_old(tmp_path, clock):
    folder = tmp_path / "results"
    folder.mkdir()
    names = ["a" * 32, "b" * 32 + ".json", "c" * 32 + ".part", "d" * 32, "e" * 32 + ".part"]
    for name in names:
        (folder / name).write_bytes(b"half")
        age = 0 if name[0] in "de" else 7200
        os.utime(folder / name, (clock.now - age, clock.now - age))
    Results(folder, 60.0, 1000, clock=clock)
    assert sorted(path.name[0] for path in folder.iterdir()) == ["d", "e"]


@pytest.mark.parametrize("description", [b"", b"{}", b"[]", b"\xff", b'{"name": "a"}', b"null"])
def test_a_damaged_description_is_no_result(tmp_path, clock, description):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / ("a" * 32)).write_bytes(b"x")
    (folder / ("a" * 32 + ".json")).write_bytes(description)
    results = Results(folder, 60.0, 1000, clock=clock)
    with pytest.raises(ObjectNotFound):
        results.open("a" * 32)


def test_a_description_edited_into_a_path_stays_a_name(results, clock, tmp_path):
    kept_id = results.keep(new_file(tmp_path), "a.png", "image/png")
    text = json.dumps({"name": "../../x", "media_type": "image/png"})
    (tmp_path / "results" / f"{kept_id}.json").write_text(text)
    assert Results(tmp_path / "results", 60.0, 1000, clock=clock).open(kept_id).name == "x"


def test_a_link_in_the_folder_is_not_followed(tmp_path, clock):
    folder = tmp_path / "results"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / ("a" * 32)).symlink_to(tmp_path / "secret")
    (folder / ("a" * 32 + ".json")).write_text('{"name": "a", "media_type": "image/png"}')
    with pytest.raises(ObjectNotFound):
        Results(folder, 60.0, 1000, clock=clock).open("a" * 32)


def test_a_file_that_vanished_is_not_found(results, tmp_path):
    kept_id = results.keep(new_file(tmp_path), "a.png", "image/png")
    results.open(kept_id).path.unlink()
    with pytest.raises(ObjectNotFound):
        results.open(kept_id)


def test_no_file_no_result(results, tmp_path):
    with pytest.raises(OutputError):
        results.keep(tmp_path / "nothing", "a.png", "image/png")
    assert list((tmp_path / "results").iterdir()) == []


def test_many_threads_at_once(tmp_path):
    results = Results(tmp_path / "results", 60.0, 3000)
    failures = []

    def work() -> None:
        try:
            for _ in range(25):
                kept_id = results.keep(new_file(tmp_path, bytes(100)), "a.png", "image/png")
                results.expire()
                with contextlib.suppress(ObjectNotFound):  # pushed out by the others
                    results.open(kept_id)
        except Exception as exc:  # noqa: BLE001 - told below
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list((tmp_path / "results").iterdir())) == 2 * 30
