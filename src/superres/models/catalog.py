"""The catalogue of models: those that come along, from ``catalog.toml``, and those people added."""

from __future__ import annotations

import difflib
import threading
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

from superres.errors import ModelNotFound, WeightsMissing
from superres.models.descriptor import ModelDescriptor, WeightsFile
from superres.models.installed import LIST, WeightsFolder

FAITHFUL = "faithful"
"""The model that fidelity mixes in, and that enlarges transparency."""


@cache
def shipped_models() -> tuple[ModelDescriptor, ...]:
    """Every model that comes along, in the catalogue's order."""
    text = resources.files("superres.models").joinpath("catalog.toml").read_text("utf-8")
    models = []
    for entry in tomllib.loads(text)["model"]:
        weights = tuple(WeightsFile(**w) for w in entry.pop("weights"))
        entry["guard"] = tuple(entry["guard"])
        models.append(ModelDescriptor(**entry, weights=weights))
    return tuple(models)


class _Attached:
    """The models of one folder of weights, read again when its list has changed.

    Asking costs a look at the list's time stamp: a server asks with every request.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, ...] | None = None
        self._models: tuple[ModelDescriptor, ...] = ()
        self._fault = ""

    def models(self) -> tuple[ModelDescriptor, ...]:
        """Those that were added; none where the list cannot be read."""
        try:
            stat = (self._folder / LIST).stat()
        except OSError:
            self._seen, self._models, self._fault = None, (), ""
            return ()
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen != self._seen:
            try:
                added = WeightsFolder(self._folder).models()
                self._models = tuple(each.descriptor(self._folder) for each in added)
                self._fault = ""
            except WeightsMissing as exc:
                self._models, self._fault = (), exc.public_message
            self._seen = seen
        return self._models

    @property
    def fault(self) -> str:
        """Why the list cannot be read; empty if it can."""
        return self._fault


_attached: dict[Path, _Attached] = {}
_lock = threading.Lock()


def attach(weights_dir: Path) -> None:
    """Make the models that were added to a folder of weights known in this process.

    What is added to it or removed later is seen, too. Of one name in two folders the one counts
    whose folder was attached last.
    """
    folder = weights_dir.absolute()
    with _lock:
        found = _attached.pop(folder, None) or _Attached(folder)
        _attached[folder] = found


def detach(weights_dir: Path) -> None:
    """Undo :func:`attach`."""
    with _lock:
        _attached.pop(weights_dir.absolute(), None)


def list_models() -> tuple[ModelDescriptor, ...]:
    """Every model: those that come along, then those that were added."""
    return tuple(_known().values())


def get_model(name: str) -> ModelDescriptor:
    """The model called ``name``.

    Raises:
        ModelNotFound: there is none; the message names the nearest.
        WeightsMissing: there is none that comes along, and the list of those that were added
            cannot be read.
    """
    for model in shipped_models():
        if model.name == name:
            return model
    models = _known()
    if name in models:
        return models[name]
    with _lock:
        faults = [each.fault for each in _attached.values() if each.fault]
    if faults:
        raise WeightsMissing(faults[0])
    near = difflib.get_close_matches(name, models, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ModelNotFound(f"There is no model {name!r}.{hint} Choose one of: {', '.join(models)}.")


def _known() -> dict[str, ModelDescriptor]:
    models = {model.name: model for model in shipped_models()}
    with _lock:
        for attached in reversed(_attached.values()):
            for model in attached.models():
                models.setdefault(model.name, model)
    return models
