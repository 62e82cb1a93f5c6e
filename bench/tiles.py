"""The shipped tile graph on the shipped engine, with none of the pipeline around it."""

from __future__ import annotations

from superres.engines.base import Engine, Session
from superres.models.recipe import Recipe
from superres.pipeline.sessions import tile_program


def load(engine: Engine, recipe: Recipe, window: tuple[int, int], precision: str) -> Session:
    """What the pipeline loads for tiles of ``window`` (height, width) of an 8-bit picture."""
    return engine.load(tile_program(recipe, window), precision)
