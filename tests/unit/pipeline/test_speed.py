"""What is remembered of the machine's speed; a damaged memory is no memory."""

import json
import threading

import pytest

from superres.pipeline.speed import Speed


def test_nothing_is_known_at_first(tmp_path):
    assert Speed(tmp_path / "none").seconds("a", 1000) == 0


def test_what_was_measured_is_expected(tmp_path):
    Speed(tmp_path / "deep" / "er").record("a", 1000, 2.0)
    speed = Speed(tmp_path / "deep" / "er")
    assert speed.seconds("a", 5000) == pytest.approx(10)
    assert speed.seconds("b", 5000) == 0


def test_it_is_smoothed(tmp_path):
    speed = Speed(tmp_path)
    speed.record("a", 100, 1.0)
    speed.record("a", 200, 1.0)
    assert 100 < 100 / speed.seconds("a", 100) < 200
    for _ in range(40):
        speed.record("a", 200, 1.0)
    assert speed.seconds("a", 200) == pytest.approx(1, rel=0.01)


def test_runs_too_short_to_tell_are_left_out(tmp_path):
    Speed(tmp_path).record("a", 1000, 0.01)
    Speed(tmp_path).record("a", 1000, 0.0)
    assert Speed(tmp_path).seconds("a", 1000) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_short_to_tell_is_for_the_caller_to_say(tmp_path):
    Speed(tmp_path).record("a", 1000, 0.2, 0.1)
    Speed(tmp_path).record("b", 1000, 2.0, 3.0)
    assert Speed(tmp_path).seconds("a", 1000) == pytest.approx(0.2)
    assert Speed(tmp_path).seconds("b", 1000) == 0


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"3",
    b"null",
    b'"text"',
    b'{"a": null}',
    b'{"a": "fast"}',
    b'{"a": {}}',
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -5}',
    b'{"a": 0}',
    b'{"a": 1' + b"0" * 400 + b"}",
    b"[" * 100_000,
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda c: c[:16].decode("latin-1"))
def test_damage_is_forgotten_and_mended(tmp_path, content):
    file = tmp_path / "speed.json"
    file.write_bytes(content)
    speed = Speed(tmp_path)
    assert speed.seconds("a", 1000) == 0
    speed.record("a", 1000, 1.0)
    assert speed.seconds("a", 1000) == pytest.approx(1)
    assert json.loads(file.read_bytes())["a"] == 1000


def test_one_bad_figure_does_not_spoil_the_others(tmp_path):
    (tmp_path / "speed.json").write_text('{"a": NaN, "b": 500.0}')
    assert Speed(tmp_path).seconds("b", 1000) == 2


def test_a_place_that_cannot_be_written_is_no_trouble(tmp_path):
    (tmp_path / "file").write_text("in the way")
    Speed(tmp_path / "file" / "folder").record("a", 1000, 1.0)
    (tmp_path / "speed.json").mkdir()
    Speed(tmp_path).record("a", 1000, 1.0)
    assert Speed(tmp_path).seconds("a", 1000) == 0


def test_many_at_once_leave_a_file_that_can_be_read(tmp_path):
    def work(number):
        for _ in range(20):
            Speed(tmp_path).record(f"key {number}", 1000, 1.0)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    speed = Speed(tmp_path)
    speed.record("last", 1000, 1.0)
    assert speed.seconds("last", 1000) == pytest.approx(1)
