"""Loaded tile programs, shared between pictures and threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from superres.engines.base import Engine, Session, TileProgram
from superres.models.recipe import Recipe

KEPT = 6
"""Programs kept loaded: two passes, each with transparency and one guarded form."""


def tile_program(recipe: Recipe, window: tuple[int, int], *, guarded: bool = False) -> TileProgram:
    """What an engine loads to run ``recipe`` on tiles of ``window`` (height, width)."""
    return TileProgram(
        key=recipe.key(*window, guarded),
        window=window,
        scale=recipe.scale,
        channels=1 if recipe.grey else 3,
        quantised=recipe.quantised,
        guarded=guarded,
        build=lambda: recipe.build(*window, guarded),
        runtime=recipe.runtime,
    )


@dataclass
class _Kept:
    session: Session
    working_bytes: int
    trimmed: bool = False


class Sessions:
    """Loads programs when first asked for and keeps the last few.

    Thread-safe. A session that is no longer kept lives on with whoever still uses it.

    Args:
        engine: to load them on.
        working_bytes: what all kept sessions together may hold as working memory. Those
            not used for longest give theirs back when it is more.
    """

    def __init__(self, engine: Engine, working_bytes: int = 1 << 30) -> None:
        self.engine = engine
        self._working_bytes = working_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, recipe: Recipe, window: tuple[int, int], precision: str, *, guarded: bool = False
    ) -> Session:
        """The session for tiles of ``window`` (height, width).

        A recipe whose networks are not fit for half precision runs in f32 whatever is asked.
        """
        precision = precision if recipe.half else "f32"
        program = tile_program(recipe, window, guarded=guarded)
        key = f"{precision}|{program.key}"
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                area, each = window[0] * window[1], recipe.bytes_per_pixel
                need = self.engine.memory.held(area, each, recipe.scale)
                self._make_room(need)
                kept = self._kept[key] = _Kept(self.engine.load(program, precision), need)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            elif kept.trimmed:
                self._make_room(kept.working_bytes)
                kept.trimmed = False
            self._kept.move_to_end(key)
            return kept.session

    def _make_room(self, need: int) -> None:
        held = sum(kept.working_bytes for kept in self._kept.values() if not kept.trimmed)
        for kept in self._kept.values():
            if held + need <= self._working_bytes:
                break
            if not kept.trimmed:
                kept.session.trim()
                kept.trimmed = True
                held -= kept.working_bytes

    def trim(self) -> None:
        """Give back the working memory of every session that is not in use."""
        with self._lock:
            for kept in self._kept.values():
                if not kept.trimmed:
                    kept.session.trim()
                    kept.trimmed = True

    def close(self) -> None:
        """Let every session go."""
        with self._lock:
            self._kept.clear()
