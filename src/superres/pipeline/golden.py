"""The check that a model passes before it is added: a picture goes in, the same one comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine, TileResult
from superres.errors import BadParameter, EngineError
from superres.models import ModelDescriptor
from superres.models.recipe import Recipe, make_recipe
from superres.pipeline.measuring import Run, texture
from superres.pipeline.sessions import Sessions
from superres.pipeline.verify import MEAN_LIMIT, fault

SIDE = 128
"""Of the picture, where the network takes that."""

HALF_DB = 45.0
"""Half precision has to be that close to single."""

_MOST_RUN_AWAY = 0.05

_ANOTHER = "another picture"
_FARTHEST = 6


def check(model: ModelDescriptor, engine: Engine, run: Run) -> bool:
    """Enlarge a picture with the real tile graph on a real engine.

    Args:
        model: as it would be added.
        engine: that it would run on.
        run: the bare network, to tell what may be the matter.

    Returns:
        Whether half precision does as well.

    Raises:
        BadParameter: what comes out is not the picture; the sentence says what it is.
        EngineError: the engine does not run it.
    """
    (scale,) = model.native_scales
    # Without the colour lock, which would put the picture back where a network drops it.
    recipe = replace(make_recipe(model, scale, 0.0, colour_lock=False), quantised=False)
    side = -(-max(SIDE, model.minimum) // model.multiple) * model.multiple
    image = texture(side, side)
    sessions = Sessions(engine)
    try:
        exact = _computed(sessions, recipe, image, "f32")
        reason = _wrong(image, exact, recipe)
        if reason is not None:
            hint = _hint(run, image) if reason == _ANOTHER else ""
            raise BadParameter(
                f"A test picture went in and {reason} came out{hint}; nothing was added."
            )
        if not model.half or "f16" not in engine.precisions:
            return model.half
        try:
            half = _computed(sessions, recipe, image, "f16")
        except EngineError:
            return False
        if _wrong(image, half, recipe) is not None:
            return False
        error = float(np.square(half.pixels.astype(np.float64) - exact.pixels).mean())
        return error <= 10 ** (-HALF_DB / 10)
    finally:
        sessions.close()


def _computed(
    sessions: Sessions, recipe: Recipe, image: NDArray[np.float32], precision: str
) -> TileResult:
    window = image.shape[2], image.shape[3]
    return sessions.get(recipe, window, precision).submit(image[0]).result()


def _wrong(image: NDArray[np.float32], result: TileResult, recipe: Recipe) -> str | None:
    reason = fault(image[0], result, may_be_plain=False)
    if reason is None and _shifted(image[0], result.reduced):
        return "the same one beside its place"
    if reason is None and result.errors is not None:
        bad = ~(result.errors <= recipe.guards[0])
        if bad.mean() > _MOST_RUN_AWAY:
            return "dots and stripes that it does not have"
    return reason


def _shifted(image: NDArray[np.float32], reduced: NDArray[np.float32]) -> bool:
    """Whether what came out fits better some pixels beside its place."""
    source, edge = image.transpose(1, 2, 0), _FARTHEST
    height, width = source.shape[:2]
    inner = reduced[edge : height - edge, edge : width - edge]
    errors = {}
    for y in range(2 * edge + 1):
        for x in range(2 * edge + 1):
            there = source[y : y + height - 2 * edge, x : x + width - 2 * edge]
            errors[y, x] = float(np.square(there - inner).mean())
    return min(errors.values()) < errors[edge, edge] / 2


def _hint(run: Run, image: NDArray[np.float32]) -> str:
    """What else the network may take for a picture, if it is that."""

    def alike(out: NDArray[np.floating]) -> bool:
        scale = out.shape[2] // image.shape[2]
        shape = (3, image.shape[2], scale, image.shape[3], scale)
        reduced = out[0].reshape(shape).mean((2, 4))
        return bool(np.abs(reduced - image[0]).mean() < MEAN_LIMIT / 2)

    try:
        if alike(run(image * np.float32(255)) / 255) or alike(run(image) / 255):
            return " (the network works with values from 0 to 255; 0 to 1 is what can be used)"
    except EngineError:
        pass
    return ""
