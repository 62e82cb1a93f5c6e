"""Loaded programs are shared, and the last few kept."""

from concurrent.futures import ThreadPoolExecutor

from superres.engines.fake import FakeEngine
from superres.models import get_model
from superres.models.recipe import make_recipe
from superres.pipeline.sessions import KEPT, Sessions


class Counting(FakeEngine):
    def __init__(self):
        self.loaded = []
        self.trimmed = []

    def load(self, program, precision):
        self.loaded.append((program.window, precision, program.guarded))
        session = super().load(program, "f32")
        session.trim = lambda: self.trimmed.append(program.window[0])
        return session


RECIPE = make_recipe(get_model("general"), 4, 0.5)


def test_a_program_is_loaded_once():
    engine = Counting()
    sessions = Sessions(engine, 1 << 40)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: sessions.get(RECIPE, (32, 32), "f32"), range(32)))
    assert len(set(map(id, found))) == 1
    assert engine.loaded == [((32, 32), "f32", False)]


def test_programs_differ_by_window_precision_guard_and_recipe():
    engine = Counting()
    sessions = Sessions(engine, 1 << 40)
    sessions.get(RECIPE, (32, 32), "f32")
    sessions.get(RECIPE, (32, 48), "f32")
    sessions.get(RECIPE, (32, 32), "f16")
    sessions.get(RECIPE, (32, 32), "f32", guarded=True)
    sessions.get(make_recipe(get_model("general"), 4, 0.4), (32, 32), "f32")
    assert len(engine.loaded) == 5


def test_the_least_recently_used_goes():
    engine = Counting()
    sessions = Sessions(engine, 1 << 40)
    for n in range(KEPT):
        sessions.get(RECIPE, (16 * (n + 1), 16), "f32")
    sessions.get(RECIPE, (16, 16), "f32")  # used again
    sessions.get(RECIPE, (16, 999), "f32")
    assert len(engine.loaded) == KEPT + 1
    sessions.get(RECIPE, (16, 16), "f32")
    assert len(engine.loaded) == KEPT + 1
    sessions.get(RECIPE, (32, 16), "f32")
    assert len(engine.loaded) == KEPT + 2


def test_closing_forgets():
    engine = Counting()
    sessions = Sessions(engine, 1 << 40)
    sessions.get(RECIPE, (32, 32), "f32")
    sessions.close()
    sessions.get(RECIPE, (32, 32), "f32")
    assert len(engine.loaded) == 2


def test_those_not_used_for_longest_give_their_memory_back():
    engine = Counting()
    one = 32 * 32 * RECIPE.bytes_per_pixel
    sessions = Sessions(engine, 2 * one)
    windows = [(32, 32), (16, 64), (64, 16)]
    first, second, third = (sessions.get(RECIPE, window, "f32") for window in windows)
    assert engine.trimmed == [32]  # for the third; the session itself is kept
    assert sessions.get(RECIPE, windows[0], "f32") is first  # used again: now the second goes
    assert engine.trimmed == [32, 16]
    assert sessions.get(RECIPE, windows[2], "f32") is third
    assert engine.trimmed == [32, 16]
    assert sessions.get(RECIPE, windows[1], "f32") is second
    assert engine.trimmed == [32, 16, 32]
    assert len(engine.loaded) == 3


def test_one_that_is_larger_than_all_the_room_still_runs():
    sessions = Sessions(Counting(), 1)
    assert sessions.get(RECIPE, (32, 32), "f32") is not None
    assert sessions.get(RECIPE, (64, 64), "f32") is not None


def test_all_give_their_memory_back_once_and_still_run():
    engine = Counting()
    sessions = Sessions(engine, 1 << 40)
    kept = sessions.get(RECIPE, (32, 32), "f32")
    sessions.get(RECIPE, (16, 64), "f32")
    sessions.trim()
    sessions.trim()
    assert engine.trimmed == [32, 16]
    assert sessions.get(RECIPE, (32, 32), "f32") is kept
    sessions.trim()  # what was used since gives back again
    assert engine.trimmed == [32, 16, 32]
    assert len(engine.loaded) == 2
