"""Which networks make one pass, and the tile program they amount to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources

import onnx

from superres.errors import BadParameter
from superres.models import graph
from superres.models.catalog import FAITHFUL, get_model
from superres.models.descriptor import ModelDescriptor, WeightsFile
from superres.models.weights import load_network

MAX_SCALE = 16.0


@dataclass(frozen=True)
class Part:
    """One network's share in a recipe."""

    model: ModelDescriptor
    weights: WeightsFile
    share: float


@dataclass(frozen=True)
class Recipe:
    """What one pass does to every tile.

    Attributes:
        scale: output side / input side.
        parts: the networks and their shares, which add up to 1.
        colour_lock: whether low-frequency colour is held to the input's.
        grey: one channel comes out.
        quantised: uint8 comes out, else float32.
    """

    scale: int
    parts: tuple[Part, ...]
    colour_lock: bool = True
    grey: bool = False
    quantised: bool = True

    @property
    def context(self) -> int:
        """Input pixels a tile must see around its own.

        With a soft seam the ramp hides what little a smaller context changes.
        """
        if self.ramp:
            return next(part.model.context for part in self.parts if part.model.ramp)
        return max(part.model.context for part in self.parts)

    @property
    def ramp(self) -> int:
        """Width of the soft seam in input pixels."""
        return max(part.model.ramp for part in self.parts)

    @property
    def tile_area(self) -> int:
        """Window size up to which every network runs at full speed."""
        return min(part.model.tile_area for part in self.parts)

    @property
    def mmac_per_pixel(self) -> float:
        """Million multiply-accumulates per input pixel."""
        return sum(part.model.mmac_per_pixel for part in self.parts)

    @property
    def bytes_per_pixel(self) -> int:
        """Working memory per window pixel.

        The networks run one after the other in the same memory; the head adds one float32
        picture.
        """
        return max(part.model.bytes_per_pixel for part in self.parts) + 12 * self.scale**2

    @property
    def guards(self) -> tuple[float, ...]:
        """For each network the error from which the guard has to step in."""
        return tuple(part.model.guard[0] for part in self.parts)

    def key(self, height: int, width: int, guarded: bool) -> str:
        """Changes whenever :meth:`build` would give a graph that computes anything else."""
        parts = [
            (part.weights.sha256, part.weights.param_sha256, part.share) for part in self.parts
        ]
        fields = {k: v for k, v in asdict(self).items() if k != "parts"}
        guards = [part.model.guard for part in self.parts]
        return json.dumps([_graph_version(), fields, parts, guards, height, width, guarded])

    def build(self, height: int, width: int, guarded: bool) -> bytes:
        """Serialise the tile graph for a window of ``height × width``.

        Raises:
            WeightsMissing: weights are absent or are not the catalogue's.
        """
        branches = [
            graph.Branch(
                _network(part.weights),
                part.weights.scale,
                part.share,
                graph.Guard(*part.model.guard),
            )
            for part in self.parts
        ]
        head = graph.Head(self.scale, self.colour_lock, self.grey, self.quantised)
        model = graph.compose_tile_graph(branches, head, height, width, guarded=guarded)
        data: bytes = model.SerializeToString()
        return data


def make_recipe(
    model: ModelDescriptor, scale: int, fidelity: float, *, colour_lock: bool = True
) -> Recipe:
    """Mix ``model`` with the faithful model.

    Args:
        model: the network to run.
        scale: of the pass; see :func:`pass_scales`.
        fidelity: share of the faithful model, 0…1.
        colour_lock: hold low-frequency colour to the input's.
    """
    faithful = get_model(FAITHFUL)
    shares = {model.name: 1 - fidelity, FAITHFUL: fidelity}
    if model.name == FAITHFUL:
        shares = {FAITHFUL: 1.0}
    parts = tuple(
        Part(each, each.weights_for(scale), share)
        for each in (model, faithful)
        if (share := shares.pop(each.name, 0.0)) > 0
    )
    return Recipe(scale, parts, colour_lock)


def alpha_recipe(recipe: Recipe) -> Recipe:
    """The recipe that enlarges transparency beside ``recipe``: the faithful model alone.

    Where that has not the scale, the recipe's own first model takes its place.
    """
    faithful = get_model(FAITHFUL)
    model = faithful if recipe.scale in faithful.scales else recipe.parts[0].model
    part = Part(model, model.weights_for(recipe.scale), 1.0)
    return replace(recipe, parts=(part,), grey=True)


def pass_scales(model: ModelDescriptor, fidelity: float, scale: float) -> tuple[int, ...]:
    """The passes whose product is the least that reaches ``scale``.

    Native scales are used directly; 2 of a ×4 network is exact area reduction; more than 4
    takes two passes. What the product exceeds ``scale`` by is left to a down-scaler.

    Args:
        model: the network to run.
        fidelity: share of the faithful model, which then has to have the same scales.
        scale: 1…16.

    Raises:
        BadParameter: ``scale`` is outside 1…16.
    """
    if not 1 <= scale <= MAX_SCALE:
        raise BadParameter(f"The scale must be from 1 to {MAX_SCALE:g}, not {scale:g}.")
    have = set(model.scales)
    if fidelity > 0:
        have &= set(get_model(FAITHFUL).scales)
    first = sorted(s for s in have if s >= scale)
    if first:
        return (first[0],)
    top = max(have)
    second = min(s for s in have if top * s >= scale)
    return (top, second)


@lru_cache(maxsize=2)
def _network(weights: WeightsFile) -> onnx.ModelProto:
    # A guarded, a float32 and a second-shape graph often follow the first one at once.
    return load_network(weights)


@lru_cache(maxsize=1)
def _graph_version() -> str:
    files = resources.files("superres.models")
    source = b"".join(files.joinpath(name).read_bytes() for name in ("graph.py", "ncnn.py"))
    return hashlib.sha256(source).hexdigest()[:16]
