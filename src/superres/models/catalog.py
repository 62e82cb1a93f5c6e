"""The catalogue of models: ``catalog.toml`` read into descriptors."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib import resources

from superres.errors import ModelNotFound
from superres.models.descriptor import ModelDescriptor, WeightsFile

FAITHFUL = "faithful"
"""The model that fidelity mixes in, and that enlarges transparency."""


@cache
def list_models() -> tuple[ModelDescriptor, ...]:
    """Every model of the catalogue, in its order."""
    text = resources.files("superres.models").joinpath("catalog.toml").read_text("utf-8")
    models = []
    for entry in tomllib.loads(text)["model"]:
        weights = tuple(WeightsFile(**w) for w in entry.pop("weights"))
        entry["guard"] = tuple(entry["guard"])
        models.append(ModelDescriptor(**entry, weights=weights))
    return tuple(models)


def get_model(name: str) -> ModelDescriptor:
    """The model called ``name``.

    Raises:
        ModelNotFound: there is none; the message names the nearest.
    """
    models = {model.name: model for model in list_models()}
    if name in models:
        return models[name]
    near = difflib.get_close_matches(name, models, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ModelNotFound(f"There is no model {name!r}.{hint} Choose one of: {', '.join(models)}.")
