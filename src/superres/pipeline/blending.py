"""Add what lies between two models: ``general:mine:0.3`` is general with 0.3 of mine in it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from superres.engines.spandrel_networks import interpolated as interpolated_tensors
from superres.errors import BadParameter, ModelNotFound
from superres.models import get_model
from superres.models.added import UNKNOWN_LICENCE, AddedModel
from superres.models.checkpoint import tensor_names
from superres.models.installed import WeightsFolder
from superres.models.interpolate import interpolated
from superres.models.weights import load_network
from superres.pipeline.adding import (
    Brought,
    Candidate,
    Tell,
    add_model,
    as_onnx,
    kind_of,
    partner_of,
    read_candidate,
    untold,
)
from superres.settings import Settings


@dataclass(frozen=True)
class Blend:
    """What to mix: names of models or files, and the share of the second, 0…1."""

    first: str
    second: str
    share: float

    @property
    def told(self) -> str:
        """The same as people write it, without folders."""
        return f"{Path(self.first).name}:{Path(self.second).name}:{self.share:g}"


def parse_blend(text: str) -> Blend:
    """Read ``A:B:0.3``.

    Raises:
        BadParameter: it is not that, or the share is not 0…1.
    """
    rest, _, number = text.rpartition(":")
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    cuts = [i for i, letter in enumerate(rest) if letter == ":"]
    pairs = [(rest[:i], rest[i + 1 :]) for i in cuts if rest[:i] and rest[i + 1 :]]
    if not pairs or not 0 <= share <= 1:
        raise BadParameter(
            "--blend expects A:B:SHARE, two names of models or files and the share of the second "
            "from 0 to 1, as in general:mine.pth:0.3."
        )
    # A path may have a colon of its own.
    known = (pair for pair in pairs if all(map(_is_known, pair)))
    return Blend(*next(known, pairs[0]), share)


def add_blend(
    folder: WeightsFolder,
    blend: Blend,
    name: str,
    settings: Settings,
    *,
    licence: str | None = None,
    tell: Tell = untold,
) -> AddedModel:
    """Mix two models and add what comes of it.

    Args:
        folder: of weights, see ``[models] weights_dir``.
        blend: what to mix.
        name: what people will type.
        settings, licence, tell: as for :func:`superres.pipeline.adding.add_model`; without a
            licence those of both are told.

    Raises:
        ModelNotFound: neither a model nor a file.
        BadParameter: two architectures, or what comes of it is no good.
        WeightsMissing, EngineError, OutputError: as for adding.
    """
    with contextlib.ExitStack() as stack:
        one, other = (
            stack.enter_context(_side(each, folder, tell)) for each in (blend.first, blend.second)
        )
        licence = licence or _licence(one, other)
        if one.checkpoint is not None and other.checkpoint is not None:
            with one.checkpoint.open("rb") as a, other.checkpoint.open("rb") as b:
                data = interpolated_tensors(a, b, blend.share)
            brought = Brought(stack.enter_context(folder.keep(data)), blend.told)
            candidate = read_candidate(brought, tell)
        else:
            candidate = _mixed(one, other, blend, tell)
            data = candidate.network.SerializeToString()
            brought = Brought(stack.enter_context(folder.keep(data)), blend.told)
        return add_model(folder, candidate, brought, name, settings, licence=licence, tell=tell)


@dataclass(frozen=True)
class _Side:
    """One of the two: a file of PyTorch's, or a network with what is known of it."""

    name: str
    licence: str
    checkpoint: Path | None
    brought: Brought | None = None
    candidate: Candidate | None = None


def _is_known(word: str) -> bool:
    if Path(word).is_file():
        return True
    try:
        get_model(word)
    except ModelNotFound:
        return False
    return True


@contextlib.contextmanager
def _side(word: str, folder: WeightsFolder, tell: Tell) -> Iterator[_Side]:
    path = Path(word)
    if not path.is_file():
        yield _model_side(word)
        return
    with folder.stage(path) as staged:
        kind = kind_of(path, path.name)
        if kind == "checkpoint":
            tensor_names(staged.path)
            brought = Brought(staged, path.name)
            yield _Side(path.name, UNKNOWN_LICENCE, staged.path, brought)
            return
        partner = partner_of(path) if kind in ("param", "bin") else None
        if kind == "param":
            with folder.stage(path.with_suffix(".bin")) as weights:
                brought = Brought(weights, path.name, partner)
                candidate = read_candidate(brought, tell)
        else:
            candidate = read_candidate(Brought(staged, path.name, partner), tell)
        yield _Side(path.name, UNKNOWN_LICENCE, None, candidate=candidate)


def _model_side(name: str) -> _Side:
    model = get_model(name)
    weights = max(model.weights, key=lambda each: each.scale)
    if weights.runtime is not None:
        return _Side(name, model.licence, Path(weights.installed or ""))
    candidate = as_onnx(load_network(weights), 3, model.architecture)
    candidate = replace(
        candidate,
        multiple=model.multiple,
        minimum=model.minimum,
        tiles=not model.whole,
        half=model.half,
    )
    return _Side(name, model.licence, None, candidate=candidate)


def _mixed(one: _Side, other: _Side, blend: Blend, tell: Tell) -> Candidate:
    a, b = (_network(side, tell) for side in (one, other))
    mixed = interpolated(a.network, b.network, blend.share)
    known = [each.multiple for each in (a, b) if each.multiple]
    return replace(
        as_onnx(mixed, a.channels, a.architecture),
        multiple=math.lcm(*known) if known else 0,
        minimum=max(a.minimum, b.minimum),
        tiles=a.tiles and b.tiles,
        half=a.half and b.half,
    )


def _network(side: _Side, tell: Tell) -> Candidate:
    candidate = side.candidate
    if candidate is None and side.brought is not None:
        candidate = read_candidate(side.brought, tell)
    if candidate is None or candidate.network is None:
        raise BadParameter(
            f"{side.name} has no ONNX form, so it can only be mixed with another file of PyTorch's."
        )
    return candidate


def _licence(one: _Side, other: _Side) -> str:
    if one.licence == other.licence:
        return one.licence
    return f"{one.licence}; {other.licence} (both hold, so the stricter counts)"
