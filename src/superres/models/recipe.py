"""Which networks make one pass, and the tile program they amount to."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources

import onnx

from superres.errors import BadParameter, OutOfMemory
from superres.models import graph
from superres.models.catalog import FAITHFUL, get_model
from superres.models.descriptor import ModelDescriptor, WeightsFile
from superres.models.fixed import folded
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
    def multiple(self) -> int:
        """What both sides of a window must be multiples of."""
        return math.lcm(*(part.model.multiple for part in self.parts))

    @property
    def minimum(self) -> int:
        """Least side of a window."""
        return max(part.model.minimum for part in self.parts)

    @property
    def whole(self) -> bool:
        """Whether some network has to see the picture whole: one window holds it."""
        return any(part.model.whole for part in self.parts)

    @property
    def half(self) -> bool:
        """Whether every network may run in half precision; else all run in f32."""
        return all(part.model.half for part in self.parts)

    @property
    def runtime(self) -> str | None:
        """What alone can run it: "torch", or None for any engine."""
        return next((p.weights.runtime for p in self.parts if p.weights.runtime), None)

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
                _at_size(part.weights, height, width),
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


@dataclass(frozen=True)
class Step:
    """One pass: which model does it, with which share of the faithful one, and its scale."""

    model: ModelDescriptor
    fidelity: float
    scale: int


def pass_steps(
    model: ModelDescriptor, fidelity: float, scale: float, *, faces: bool = False
) -> tuple[Step, ...]:
    """The passes whose product is the least that reaches ``scale``.

    Native scales are used directly; 2 of a ×4 network is exact area reduction; more than 4
    takes two passes. What a model cannot reach in two passes the faithful one adds: a network
    that repairs at ×1 runs once, and that enlarges what it made. What the product exceeds
    ``scale`` by is left to a down-scaler.

    What the first pass made is clean. So with ``fidelity`` the faithful network alone makes the
    later ones: it enlarges that as well as the model would, without inventing upon invention,
    and cheaply.

    Args:
        model: the network to run.
        fidelity: share of the faithful model, which then has to have the same scales.
        scale: 1…16.
        faces: whether faces are kept recognisable, which is the faithful model's work, too.

    Raises:
        BadParameter: ``scale`` is outside 1…16, or the faithful model has none of the model's
            scales.
    """
    if not 1 <= scale <= MAX_SCALE:
        raise BadParameter(f"The scale must be from 1 to {MAX_SCALE:g}, not {scale:g}.")
    faithful = get_model(FAITHFUL)
    have = set(model.scales)
    if fidelity > 0 or faces:
        have &= set(faithful.scales)
        if have == {1} and max(model.scales) > 1 and scale > 1:
            way_out = "set fidelity to 0" if fidelity > 0 else "leave face and restore out"
            raise BadParameter(
                f"{model.name} enlarges ×{max(model.scales)}, and the faithful network, which is "
                f"needed beside it, has no such scale: {way_out}, or choose another model."
            )
    top = min((s for s in have if s >= scale), default=max(have))
    steps = [Step(model, fidelity, top)]
    if top < scale:
        rest = [s for s in have if top * s >= scale]
        if rest:
            last = Step(faithful, 1.0, 0) if fidelity > 0 else Step(model, 0.0, 0)
            steps.append(replace(last, scale=min(rest)))
        else:
            left = scale / top
            while left > 1:
                enough = [s for s in faithful.scales if s >= left]
                steps.append(Step(faithful, 1.0, min(enough, default=max(faithful.scales))))
                left /= steps[-1].scale
    return tuple(steps)


def pass_scales(model: ModelDescriptor, fidelity: float, scale: float) -> tuple[int, ...]:
    """The scales of :func:`pass_steps`; raises what that does."""
    return tuple(step.scale for step in pass_steps(model, fidelity, scale))


def _at_size(weights: WeightsFile, height: int, width: int) -> onnx.ModelProto:
    network = _network(weights)
    try:
        return folded(network, height, width)
    except ValueError as exc:  # constants of a very large window; the pass takes smaller ones
        raise OutOfMemory(
            f"The network cannot be run on {width} × {height} pixels at once ({str(exc)[:120]})."
        ) from exc


@lru_cache(maxsize=2)
def _network(weights: WeightsFile) -> onnx.ModelProto:
    # A guarded, a float32 and a second-shape graph often follow the first one at once.
    return load_network(weights)


@lru_cache(maxsize=1)
def _graph_version() -> str:
    files = resources.files("superres.models")
    made_by = ("graph.py", "ncnn.py", "fixed.py", "shapearith.py")
    source = b"".join(files.joinpath(name).read_bytes() for name in made_by)
    return hashlib.sha256(source).hexdigest()[:16]
