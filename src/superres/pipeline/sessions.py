"""Loaded tile programs, shared between pictures and threads."""

from __future__ import annotations

import threading
from collections import OrderedDict

from superres.engines.base import Engine, Session, TileProgram
from superres.models.recipe import Recipe

KEPT = 6
"""Programs kept loaded: two passes, each with transparency and one guarded form."""


class Sessions:
    """Loads programs when first asked for and keeps the last few.

    Thread-safe. A session that is no longer kept lives on with whoever still uses it.

    Args:
        engine: to load them on.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._kept: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, recipe: Recipe, window: tuple[int, int], precision: str, *, guarded: bool = False
    ) -> Session:
        """The session for tiles of ``window`` (height, width)."""
        key = f"{precision}|{recipe.key(*window, guarded)}"
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            program = TileProgram(
                key=recipe.key(*window, guarded),
                window=window,
                scale=recipe.scale,
                channels=1 if recipe.grey else 3,
                quantised=recipe.quantised,
                guarded=guarded,
                build=lambda: recipe.build(*window, guarded),
            )
            session = self._kept[key] = self.engine.load(program, precision)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return session

    def close(self) -> None:
        """Let every session go."""
        with self._lock:
            self._kept.clear()
