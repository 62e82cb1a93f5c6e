"""Add a model that somebody brings: read it, bring it to ONNX, measure it, check it, keep it.

Nothing is added that did not enlarge a test picture on the engine that it would run on, with the
same tile graph; and where something is wrong, nothing is left behind.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from superres.engines.network import NetworkProgram
from superres.engines.select import select_engine
from superres.engines.spandrel_networks import SpandrelNetwork, cost, export, load_spandrel
from superres.errors import BadParameter, EngineError, OutOfMemory, WeightsMissing
from superres.models import fixed
from superres.models.added import UNKNOWN_LICENCE, AddedModel
from superres.models.checkpoint import tensor_names
from superres.models.installed import Staged, WeightsFolder
from superres.models.ncnn import MAGIC, to_onnx
from superres.models.onnxfile import MOST_BYTES, per_channel, read_onnx
from superres.pipeline import costing, golden
from superres.pipeline.measuring import Measured, Run, measure, texture
from superres.settings import Settings

LEAST_DB = 60.0
"""How close a conversion has to be to what it was converted from."""

LONGEST_LICENCE = 200

MOST_PARAM = 16 << 20
"""Bytes of ncnn's ``.param`` that are read; those of published networks have less than 1 MB."""

_PROBED = 64

_COMPARED = ((121, 75), (48, 88), (64, 64))
"""Sizes a conversion is compared at: neither square nor alike, where most that do not hold show at
once, and as it was traced."""

_ALIGNED = (1, 8, 16, 32, 64)
"""Multiples of sides that a conversion may be held to."""

_HEADROOM = 1.1
"""Of the values alive, measured against what the networks that come along take."""

_AREAS, _SOFT_AREAS = (512 * 512, 224 * 224, 128 * 128), (224 * 224, 128 * 128)
_WHOLE_AREA = 1 << 24
"""Windows that are tried, the largest first; and the largest picture that is taken whole."""

Tell = Callable[[str], None]
"""Told what is going on, in a few words."""


def untold(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Brought:
    """A file that somebody brings.

    Attributes:
        staged: the file in the folder of weights, not added yet.
        name: of the file, or its address: told as the source.
        partner: content of the file beside it: ncnn's ``.param`` for its ``.bin``.
    """

    staged: Staged
    name: str
    partner: bytes | None = None


@dataclass(frozen=True)
class Candidate:
    """A network that may be added.

    Attributes:
        runtime: "onnx" or "torch".
        network: as ONNX, or None.
        run: computes it in single precision.
        architecture: in a few words.
        channels: of the network itself.
        multiple, minimum: of sides; a multiple of 0 is not known yet.
        tiles, half: whether it takes tiles, and half precision, as far as its authors say.
        mmac_per_pixel: million multiply-accumulates per pixel of the input.
        live_per_pixel: values alive at a time, per pixel of the input.
    """

    runtime: str
    network: Any
    run: Run
    architecture: str
    channels: int
    mmac_per_pixel: float
    live_per_pixel: float
    multiple: int = 0
    minimum: int = 1
    tiles: bool = True
    half: bool = True


def kind_of(path: Path, name: str) -> str:
    """What is in a file by its beginning: "checkpoint", "param", "bin", "onnx"; or "" for none.

    Args:
        path: the file.
        name: what it is called where it comes from: ncnn's ``.bin`` has no beginning of its own.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"PK") or start[8:9] == b"{":
        return "checkpoint"
    if start.lstrip().startswith(MAGIC.encode()):
        return "param"
    suffix = Path(name).suffix.lower()
    if suffix == ".bin":
        return "bin"
    return "onnx" if suffix == ".onnx" or re.match(rb"\x08[\x01-\x20][\x10-\x72]", start) else ""


def partner_of(path: Path) -> bytes:
    """Content of ncnn's ``.param``, of which ``path`` is one file or the other.

    Raises:
        BadParameter: it, or the ``.bin``, is not there.
    """
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    missing = [each.name for each in (param, weights) if not each.is_file()]
    if missing:
        raise BadParameter(
            f"ncnn keeps a network in two files; put {missing[0]} beside {path.name}."
        )
    with param.open("rb") as file:
        return file.read(MOST_PARAM)


def read_candidate(brought: Brought, tell: Tell = untold) -> Candidate:
    """Read a file of PyTorch's, safetensors', ONNX' or ncnn's form.

    Raises:
        BadParameter: it is none, or a network that cannot be used; the sentence says why.
        EngineUnavailable: what reads it is not installed.
        OutOfMemory: it does not fit.
    """
    path = brought.staged.path
    if brought.staged.size > MOST_BYTES:
        raise BadParameter(
            f"The file has {brought.staged.size:,} bytes; a model may have at most {MOST_BYTES:,}."
        )
    if brought.partner is not None:
        try:
            network = to_onnx(brought.partner.decode("utf-8", "replace"), path.read_bytes(), 1)
        except WeightsMissing as exc:
            raise BadParameter(f"The ncnn files cannot be used: {exc.public_message}") from exc
        return as_onnx(network, 3, "ncnn network")
    if kind_of(path, brought.name) == "checkpoint":
        tensor_names(path)  # refuses what holds more than tensors
        with path.open("rb") as file:
            loaded = load_spandrel(file)
        tell(f"{loaded.architecture}: converting it to ONNX")
        return _converted(loaded, tell)
    network = read_onnx(path.read_bytes())
    channels = network.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    if channels == 1:
        network = per_channel(network)
    return as_onnx(network, channels, f"ONNX network of {len(network.graph.node)} operators")


def add_model(
    folder: WeightsFolder,
    candidate: Candidate,
    brought: Brought,
    name: str,
    settings: Settings,
    *,
    licence: str | None = None,
    tell: Tell = untold,
) -> AddedModel:
    """Measure and check a network, and keep it under ``name``.

    Args:
        folder: of weights, see ``[models] weights_dir``.
        candidate: from :func:`read_candidate` or :func:`superres.pipeline.blending.blend`.
        brought: the file that it was read from.
        name: what people will type; what had it before is replaced.
        settings: say how many processors there are for it.
        licence: of the weights, as their authors say it.
        tell: told what is going on.

    Raises:
        BadParameter: a name or licence that cannot be, or the network does not do what it should.
        EngineError: no engine here runs it.
        OutputError: the folder cannot be written.
    """
    licence = _licence(licence)
    tell("measuring it")
    measured = measure(
        candidate.run,
        multiple=candidate.multiple,
        minimum=candidate.minimum,
        tiles=candidate.tiles,
    )
    with contextlib.ExitStack() as stack:
        kept = brought.staged
        if candidate.network is not None:
            kept = stack.enter_context(folder.keep(candidate.network.SerializeToString()))
        area = _WHOLE_AREA
        if candidate.network is not None:
            areas = _AREAS if not measured.ramp or measured.whole else _SOFT_AREAS
            found, live = costing.windows(
                candidate.network,
                areas[:1] if measured.whole else areas,
                measured.multiple,
                candidate.minimum,
            )
            area = area if measured.whole else found
            candidate = replace(candidate, live_per_pixel=live)
        elif not measured.whole:
            area = _SOFT_AREAS[0] if measured.ramp else _AREAS[0]
        model = _record(candidate, measured, brought, kept, name, licence, area)
        tell("checking it on a test picture")
        half = _check(model, kept, candidate.run, settings)
        model = replace(model, half=half)
        folder.add(kept, model)
    return model


def name_from(file: str) -> str:
    """A name for a model from the name of its file."""
    stem = re.sub(r"\.[A-Za-z]+$", "", file.rstrip("/").rpartition("/")[2])
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower())[:40].strip("._-") or "model"


def _converted(loaded: SpandrelNetwork, tell: Tell) -> Candidate:
    """The ONNX form of a network of PyTorch's, if it has one that gives the same."""
    hints: dict[str, Any] = {
        "channels": loaded.channels,
        "minimum": loaded.minimum,
        "tiles": loaded.tiles,
        "half": loaded.half,
    }
    with contextlib.suppress(EngineError, BadParameter, ValueError):
        found = as_onnx(
            read_onnx(export(loaded)),
            loaded.channels,
            loaded.architecture,
            _fit(_PROBED, loaded, loaded.multiple),
        )
        # What pads its input itself is often exported with the padding of the size it was traced
        # at, and right for all sizes that need none.
        tell("comparing it with PyTorch")
        same = cache(partial(_same, loaded, found))  # 64 × 64 is of every multiple
        for multiple in dict.fromkeys(math.lcm(loaded.multiple, m) for m in _ALIGNED):
            if all(same(_sized(*sides, loaded, multiple)) for sides in _COMPARED):
                return replace(found, multiple=multiple, **hints)
    height, width = _sized(_PROBED, _PROBED, loaded, loaded.multiple)
    macs, live = cost(loaded, height, width)
    pixels = height * width
    return Candidate(
        "torch",
        None,
        loaded,
        loaded.architecture,
        mmac_per_pixel=max(macs / pixels / 1e6, 1e-6),
        live_per_pixel=live / pixels,
        multiple=loaded.multiple,
        **hints,
    )


def _fit(side: int, loaded: SpandrelNetwork, multiple: int) -> int:
    return -(-max(side, loaded.minimum) // multiple) * multiple


def _sized(height: int, width: int, loaded: SpandrelNetwork, multiple: int) -> tuple[int, int]:
    return _fit(height, loaded, multiple), _fit(width, loaded, multiple)


def _same(loaded: SpandrelNetwork, found: Candidate, size: tuple[int, int]) -> bool:
    image = texture(*size)
    try:
        expected, got = loaded(image), found.run(image)
    except OutOfMemory:
        raise
    except EngineError:
        return False
    if expected.shape != got.shape:
        return False
    span = max(1.0, float(expected.max() - expected.min()))
    error = float(np.square(expected.astype(np.float64) - got).mean())
    return error <= (span * 10 ** (-LEAST_DB / 20)) ** 2


def as_onnx(network: Any, channels: int, architecture: str, side: int = _PROBED) -> Candidate:
    """A network of ONNX as a candidate.

    Args:
        network: from :func:`superres.models.onnxfile.read_onnx`, of three channels.
        channels: that it had by itself.
        architecture: in a few words.
        side: of a picture that it takes.

    Raises:
        BadParameter: it does not hold together, or takes too much.
    """
    found = costing.cost(network, side)
    run = _OnnxRun(network)
    return Candidate(
        "onnx", network, run, architecture, channels, max(found.mmac, 1e-6), found.live
    )


class _OnnxRun:
    """Computes a network of ONNX on the processor, in single precision."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, image: Any) -> Any:
        from superres.engines.openvino import load_network

        _, _, height, width = image.shape
        try:
            model = fixed.folded(self._network, height, width)
        except ValueError as exc:
            raise EngineError(f"the network does not take that size: {str(exc)[:120]}") from exc
        program = NetworkProgram("", image.shape, model.SerializeToString)
        return load_network(program)(image)["output"]


def _record(
    candidate: Candidate,
    measured: Measured,
    brought: Brought,
    kept: Staged,
    name: str,
    licence: str,
    area: int,
) -> AddedModel:
    return AddedModel(
        name=name,
        title=Path(brought.name).name[:80] or name,
        architecture=candidate.architecture,
        runtime=candidate.runtime,
        scale=measured.scale,
        channels=candidate.channels,
        context=measured.context,
        ramp=measured.ramp,
        tile_area=area,
        multiple=measured.multiple,
        minimum=candidate.minimum,
        whole=measured.whole,
        half=candidate.half,
        mmac_per_pixel=float(f"{candidate.mmac_per_pixel:.4g}"),
        bytes_per_pixel=max(1, math.ceil(candidate.live_per_pixel * 4 * _HEADROOM)),
        licence=licence,
        sha256=kept.sha256,
        size=kept.size,
        original_sha256=brought.staged.sha256,
        original_size=brought.staged.size,
        source=brought.name,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _check(model: AddedModel, kept: Staged, run: Run, settings: Settings) -> bool:
    descriptor = model.descriptor(kept.path.parent)
    (weights,) = descriptor.weights
    weights = replace(weights, installed=str(kept.path.absolute()))
    engine = select_engine(replace(settings.engine, device="cpu", precision="auto"))
    return golden.check(replace(descriptor, weights=(weights,)), engine, run)


def _licence(said: str | None) -> str:
    if said is None:
        return UNKNOWN_LICENCE
    said = " ".join(said.split())
    if not said or len(said) > LONGEST_LICENCE or not said.isprintable():
        raise BadParameter(
            f"--licence expects a name or a sentence, at most {LONGEST_LICENCE} characters."
        )
    return said
