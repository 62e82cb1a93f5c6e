"""Tier 2: which networks can restore faces here, and the one that does, loaded.

They are generative: people install their weights and ask for them by name. What is done with one
is told in ``superres.faces.paste``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from superres.engines.spandrel_faces import FaceRestorer, check_runtime, load_restorer
from superres.errors import EngineUnavailable, WeightsMissing
from superres.models.installed import InstalledWeights, WeightsFolder
from superres.models.restorers import list_restorers, restorer_of, unknown_restorer
from superres.settings import Settings


@dataclass(frozen=True)
class Restorer:
    """A network that restores faces and is installed.

    Attributes:
        name: as ``restore`` takes it.
        title: the name its authors gave it.
        purpose: what it is for, in one sentence.
        licence: of the weights.
    """

    name: str
    title: str
    purpose: str
    licence: str


def installed(settings: Settings) -> tuple[Restorer, ...]:
    """The networks that can be used here, by name: weights and what runs them are installed."""
    try:
        weights = WeightsFolder(settings.models.weights_dir).list()
    except WeightsMissing:  # whoever asks for one by name is told
        return ()
    return tuple(_described(each) for each in weights if _runs(each))


def check_restorer(name: str, settings: Settings) -> None:
    """Refuse a network that faces cannot be restored with, without loading anything.

    Raises:
        ModelNotFound: nobody knows it.
        WeightsMissing: it is not installed; the sentence says how.
        EngineUnavailable: what runs it is not installed; the sentence says how.
    """
    check_runtime(_found(name, settings).architecture)


class Restorers:
    """The network of the last call, loaded. Thread-safe.

    Args:
        settings: say where weights lie, and how many processors there are for them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: tuple[str, FaceRestorer] | None = None

    def check(self, name: str) -> None:
        """:func:`check_restorer` with the settings of this."""
        check_restorer(name, self._settings)

    def get(self, name: str) -> FaceRestorer:
        """The network called ``name``; takes seconds when it is not the last one.

        Raises:
            ModelNotFound, WeightsMissing, EngineUnavailable: as for :func:`check_restorer`, or the
                weights are not the ones that were added.
            OutOfMemory: it does not fit.
        """
        with self._lock:
            weights = _found(name, self._settings)
            if self._loaded is not None and self._loaded[0] == weights.sha256:
                return self._loaded[1]
            check_runtime(weights.architecture)
            self._loaded = None  # two would not fit
            with WeightsFolder(self._settings.models.weights_dir).open(weights) as file:
                found = load_restorer(file, weights.architecture, self._settings.engine.threads)
            self._loaded = weights.sha256, found
            return found

    def close(self) -> None:
        """Let the network go. Safe to repeat."""
        with self._lock:
            self._loaded = None


def _found(name: str, settings: Settings) -> InstalledWeights:
    folder = WeightsFolder(settings.models.weights_dir)
    names = [each.name for each in list_restorers()]
    weights = {each.name: each for each in folder.list()}
    if name not in weights and name not in names:
        raise unknown_restorer(name, [*names, *weights])
    if name not in weights:
        raise WeightsMissing(
            f"{name} is not installed here. Install it with: superres models pull {name} (or "
            f"superres models add {name} FILE), or leave restore out: face alone needs nothing "
            "more."
        )
    return weights[name]


def _described(weights: InstalledWeights) -> Restorer:
    known = restorer_of(weights.architecture)
    title = known.title if weights.sha256 == known.sha256 else known.architecture
    return Restorer(weights.name, title, known.purpose, weights.licence)


def _runs(weights: InstalledWeights) -> bool:
    try:
        check_runtime(weights.architecture)
        restorer_of(weights.architecture)
    except (EngineUnavailable, LookupError):
        return False
    return True
