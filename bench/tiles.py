"""The shipped tile graph on the shipped engine, with none of the pipeline around it."""

from __future__ import annotations

from superres.engines.base import Engine, Session, TileProgram
from superres.models.recipe import Recipe


def load(engine: Engine, recipe: Recipe, window: tuple[int, int], precision: str) -> Session:
    """What the pipeline loads for tiles of ``window`` (height, width) of an 8-bit picture."""
    program = TileProgram(
        key=recipe.key(*window, False),
        window=window,
        scale=recipe.scale,
        channels=1 if recipe.grey else 3,
        quantised=recipe.quantised,
        guarded=False,
        build=lambda: recipe.build(*window, False),
    )
    return engine.load(program, precision)
