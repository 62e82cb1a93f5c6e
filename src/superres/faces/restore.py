"""Tier 2: which networks can restore faces here, and the one that does, loaded.

They are generative: people install their weights and ask for them by name. What is done with one
is told in ``superres.faces.paste``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from superres.engines.spandrel_faces import FaceRestorer, check_runtime, load_restorer
from superres.errors import EngineUnavailable, WeightsMissing
from superres.models.installed import InstalledWeights, WeightsFolder
from superres.models.restorers import list_restorers, restorer_of, unknown_restorer
from superres.settings import Settings

Check = Callable[[], None]

PATIENCE_S = 30.0
"""After this long who waits goes before others. A face takes some ten seconds, loading some two."""

_LOOK_S = 0.1


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
    """Loads networks when they are needed and keeps one: the last. Thread-safe.

    Two are never in memory at a time. Who needs another than the one that is loaded waits until
    nobody uses that; those who need that one go ahead meanwhile, which saves loading it again, but
    not of somebody who has waited for ``PATIENCE_S``.

    Args:
        settings: say where weights lie, and how many processors there are for them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: list[_Turn] = []
        self._loaded: tuple[str, FaceRestorer] | None = None
        self._users = 0
        self._loading = False
        self._proven: set[str] = set()

    def check(self, name: str) -> None:
        """:func:`check_restorer` with the settings of this."""
        check_restorer(name, self._settings)

    def prove(self, name: str, check: Check | None = None) -> None:
        """See that the network called ``name`` loads, unless it did before.

        So that bad weights are told before the work, and not in its midst. Raises what
        :meth:`use` does.
        """
        if _found(name, self._settings).sha256 not in self._proven:
            with self.use(name, check):
                pass

    @contextlib.contextmanager
    def use(self, name: str, check: Check | None = None) -> Iterator[FaceRestorer]:
        """The network called ``name``, to be used within; takes seconds if it is not the last one.

        Args:
            name: of an installed network.
            check: called while others are waited for; what it raises stops that.

        Raises:
            ModelNotFound, WeightsMissing, EngineUnavailable: as for :func:`check_restorer`, or the
                weights are not the ones that were added.
            OutOfMemory: it does not fit.
        """
        weights = _found(name, self._settings)
        network = self._wait(weights.sha256, check)
        try:
            if network is None:
                network = self._load(weights)
            yield network
        finally:
            del network  # before another is loaded
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def _wait(self, sha256: str, check: Check | None) -> FaceRestorer | None:
        """Become a user; None must load it, and nobody else does anything until it has."""
        turn = _Turn(sha256, time.monotonic())
        with self._changed:
            self._waiting.append(turn)
            try:
                while not self._may_go(turn):
                    self._changed.wait(_LOOK_S)
                    if check is not None:
                        check()
            finally:
                self._waiting.remove(turn)
            self._users += 1
            if self._loaded is not None and self._loaded[0] == sha256:
                return self._loaded[1]
            self._loaded, self._loading = None, True
            return None

    def _may_go(self, turn: _Turn) -> bool:
        if self._loading:
            return False
        loaded = self._loaded[0] if self._loaded is not None else None
        others = [each for each in self._waiting if each.sha256 != loaded]
        overdue = bool(others) and time.monotonic() - others[0].since > PATIENCE_S
        if turn.sha256 == loaded and not overdue:
            return True
        if self._users:
            return False
        if not overdue and len(others) < len(self._waiting):
            return False  # those who need the one that is loaded
        return turn is others[0]

    def _load(self, weights: InstalledWeights) -> FaceRestorer:
        loaded = None
        try:
            check_runtime(weights.architecture)
            with WeightsFolder(self._settings.models.weights_dir).open(weights) as file:
                found = load_restorer(file, weights.architecture, self._settings.engine.threads)
            loaded = weights.sha256, found
            self._proven.add(weights.sha256)
            return found
        finally:
            with self._changed:
                self._loaded, self._loading = loaded, False
                self._changed.notify_all()

    def close(self) -> None:
        """Let the network go. Safe to repeat."""
        with self._changed:
            self._loaded = None


@dataclass(frozen=True, eq=False)
class _Turn:
    """Somebody who waits for the network of these weights, since when."""

    sha256: str
    since: float


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
