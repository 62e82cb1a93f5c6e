"""The folder of weights that people added."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from superres.errors import BadParameter, OutputError, WeightsMissing
from superres.models.installed import FETCH_LOCK, InstalledWeights, WeightsFolder, check_name


def record(name, staged, **more):
    given = {
        "name": name,
        "architecture": "GFPGAN",
        "licence": "Apache-2.0",
        "accepted": False,
        "sha256": staged.sha256,
        "size": staged.size,
        "source": "a.pth",
        "added": "2026-11-21T17:00:00+00:00",
    }
    return InstalledWeights(**given | more)


def add(folder, name, content, tmp_path):
    path = tmp_path / f"{name}.source"
    path.write_bytes(content)
    with folder.stage(path) as staged:
        weights = record(name, staged)
        folder.add(staged, weights)
    return weights


def files(folder):
    return sorted(p.name for p in folder.folder.iterdir() if not p.name.endswith(".lock"))


def test_nothing_is_installed_at_first(folder):
    assert folder.list() == ()
    assert not folder.folder.exists()
    with pytest.raises(WeightsMissing, match=r"models pull gfpgan \(or superres models add"):
        folder.get("gfpgan")


def test_added_found_opened_removed(folder, tmp_path):
    weights = add(folder, "gfpgan", b"one", tmp_path)
    again = WeightsFolder(folder.folder)
    assert again.list() == (weights,)
    assert again.get("gfpgan") == weights
    with again.open(weights) as file:
        assert file.read() == b"one"
    assert weights.sha256 == hashlib.sha256(b"one").hexdigest()
    assert files(folder) == ["installed.json", weights.file]
    assert again.remove("gfpgan") == weights
    assert folder.list() == ()
    assert files(folder) == ["installed.json"]
    with pytest.raises(WeightsMissing):
        folder.remove("gfpgan")


def test_a_second_one_of_a_name_takes_the_place_of_the_first(folder, tmp_path):
    add(folder, "gfpgan", b"one", tmp_path)
    second = add(folder, "gfpgan", b"two", tmp_path)
    assert folder.list() == (second,)
    assert files(folder) == ["installed.json", second.file]


def test_two_names_of_one_file(folder, tmp_path):
    one = add(folder, "a", b"same", tmp_path)
    two = add(folder, "b", b"same", tmp_path)
    assert one.file == two.file
    folder.remove("a")
    with folder.open(two) as file:
        assert file.read() == b"same"


@pytest.mark.parametrize("damage", [b"", b"twO", b"one more"])
def test_a_file_that_changed_is_not_opened(folder, tmp_path, damage):
    weights = add(folder, "gfpgan", b"two", tmp_path)
    (folder.folder / weights.file).write_bytes(damage)
    with pytest.raises(WeightsMissing, match="superres models add gfpgan FILE"):
        folder.open(weights)


def test_a_file_that_is_gone(folder, tmp_path):
    weights = add(folder, "gfpgan", b"two", tmp_path)
    (folder.folder / weights.file).unlink()
    with pytest.raises(WeightsMissing, match="gone"):
        folder.open(weights)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"weights": 3}',
        '{"weights": [{"name": "x"}]}',
        "\xff",
        '{"version": 1}',
        "[" * 100_000,
    ],
)
def test_a_damaged_list_is_said_to_be(folder, text):
    folder.folder.mkdir()
    (folder.folder / "installed.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsMissing, match=r"installed\.json"):
        folder.list()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "../../etc/passwd"),
        ("sha256", "A" * 64),
        ("size", "3"),
        ("name", 3),
        ("accepted", "yes"),
    ],
)
def test_a_list_written_by_hand_names_no_other_file(folder, tmp_path, field, value):
    add(folder, "gfpgan", b"two", tmp_path)
    path = folder.folder / "installed.json"
    content = json.loads(path.read_text())
    content["weights"][0][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsMissing):
        folder.list()


def test_a_newer_list_with_more_fields_is_read(folder, tmp_path):
    weights = add(folder, "gfpgan", b"two", tmp_path)
    path = folder.folder / "installed.json"
    content = json.loads(path.read_text())
    content["weights"][0]["colour"] = "blue"
    path.write_text(json.dumps(content))
    assert folder.list() == (weights,)


def test_what_was_staged_and_not_added_goes(folder, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"x" * 3_000_000)
    with folder.stage(path) as staged:
        assert staged.path.parent == folder.folder
        assert staged.size == 3_000_000
        assert staged.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files(folder) == []
    assert path.exists()


def test_files_of_others_stay_and_what_a_killed_one_left_goes(folder, tmp_path):
    folder.folder.mkdir()
    for name in ("codeformer.pth", "superres-notes", ".new-fresh", ".new-old"):
        (folder.folder / name).write_bytes(b"mine")
    (folder.folder / ("superres-" + "0" * 64)).write_bytes(b"left by a killed superres")
    os.utime(folder.folder / ".new-old", (0, 0))
    weights = add(folder, "gfpgan", b"two", tmp_path)
    kept = [".new-fresh", "codeformer.pth", "installed.json", "superres-notes", weights.file]
    assert files(folder) == sorted(kept)


@pytest.mark.parametrize("fetching", [False, True])
def test_a_fetch_that_nobody_went_on_with_is_forgotten_unless_somebody_fetches(
    folder, tmp_path, fetching
):
    folder.folder.mkdir()
    for name in (".part-old", ".part-fresh"):
        (folder.folder / name).write_bytes(b"half")
    os.utime(folder.folder / ".part-old", (0, 0))
    with folder.locked(FETCH_LOCK) if fetching else contextlib.nullcontext():
        add(folder, "gfpgan", b"two", tmp_path)
    left = [path.name for path in folder.folder.glob(".part-*")]
    assert sorted(left) == ([".part-fresh", ".part-old"] if fetching else [".part-fresh"])
    folder.remove("gfpgan")
    assert [path.name for path in folder.folder.glob(".part-*")] == [".part-fresh"]


@pytest.mark.parametrize("name", ["gfpgan", "a", "my-own.2", "x_1", "a" * 40])
def test_names(name):
    check_name(name)


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "-a", "a.", "é", "a" * 41, "a\n"])
def test_names_that_weights_cannot_have(name):
    with pytest.raises(BadParameter, match="cannot be a name"):
        check_name(name)


def test_what_cannot_be_read_or_written(folder, tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(BadParameter, match="cannot be read"), folder.stage(path):
            pass
    (tmp_path / "file").write_bytes(b"x")
    blocked = WeightsFolder(tmp_path / "file" / "weights")
    with (
        pytest.raises(OutputError, match=r"\[models\] weights_dir"),
        blocked.stage(tmp_path / "file"),
    ):
        pass


def test_many_add_at_the_same_time(folder, tmp_path):
    failures = []

    def work(number):
        try:
            add(WeightsFolder(folder.folder), f"w{number}", b"%d" % number, tmp_path)
        except Exception as exc:  # noqa: BLE001 -- looked at below
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {each.name for each in folder.list()} == {f"w{n}" for n in range(16)}
    assert len(files(folder)) == 17


HOLDER = """
import sys, time
from pathlib import Path
from superres.models.installed import WeightsFolder
with WeightsFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_another_process_is_waited_for_and_a_killed_one_is_not(folder, tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.folder)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"locked\n"
        with (
            pytest.raises(OutputError, match="Another superres"),
            folder.locked(patience=0.2),
        ):
            pass
        done = threading.Event()

        def work():
            add(folder, "gfpgan", b"x", tmp_path)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        assert not done.is_set()
        holder.kill()
        holder.wait()
        thread.join(30)
        assert done.is_set()
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert [each.name for each in folder.list()] == ["gfpgan"]


def test_readers_never_see_half_a_list(folder, tmp_path):
    for n in range(3):
        add(folder, f"w{n}", b"%d" % n, tmp_path)
    stop = threading.Event()
    seen, failures = set(), []

    def read():
        while not stop.is_set():
            try:
                seen.add(len(folder.list()))
            except WeightsMissing as exc:
                failures.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        add(folder, "other", b"%d" % n, tmp_path)
        folder.remove("other")
    stop.set()
    reader.join()
    assert failures == []
    assert seen == {3, 4}


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_others_may_read_it(folder: WeightsFolder, tmp_path: Path) -> None:
    weights = add(folder, "gfpgan", b"x", tmp_path)
    for name in (weights.file, "installed.json"):
        assert (folder.folder / name).stat().st_mode & 0o777 == 0o644
