"""How fast, how soon, how big: every method in a process of its own."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import Cancelled, EngineUnavailable, SuperresError
from superres.models import FAITHFUL, get_model
from superres.models.catalog import attach
from superres.pipeline import UpscaleOptions, Upscaler
from superres.pipeline.peak import peak_memory
from superres.scorecard.resample import Photo, as_photo
from superres.settings import Settings

OWN = "superres"
SCALE, SIDE, HEAVY_SIDE, SMALL = 4, 256, 128, 64
"""Enlargements that are timed; sides of the pictures in pixels, for most models and for those
that take more than :data:`HEAVY`; the small one is for start-up."""
HEAVY = 4.0
"""Million multiply-accumulates per pixel."""
ROUNDS = 2
"""Processes for each, in turns with the others, so that what disturbs one disturbs all."""
_ENOUGH, _MOST, _LIMIT, _POLL = 2.0, 9, 600.0, 0.05


@dataclass(frozen=True)
class Peer:
    """Another runtime for the same weights.

    Attributes:
        name: what tables call it.
        distribution: the Python package that must be installed.
        entry: ``module:function``, which takes a descriptor and a scale and returns what enlarges
            a photo; see ``superres.engines.peers``.
        models: that it can run; None is all.
    """

    name: str
    distribution: str
    entry: str
    models: tuple[str, ...] | None = None

    @property
    def version(self) -> str | None:
        """Of the package; None if it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


PEERS = (
    Peer("ONNX Runtime", "onnxruntime", "superres.engines.peers:onnx_runtime"),
    Peer("ncnn", "ncnn", "superres.engines.peers:ncnn", ("photo", "anime", "anime-video")),
)


@dataclass(frozen=True)
class Job:
    """What one process is to do.

    Attributes:
        runtime: "superres" or a peer's name.
        model, setting, options: as of a method; a peer runs the model alone.
        entry: a peer's; None for superres.
        side: of the square picture, pixels.
        device, precision, cache_dir, weights_dir: of the settings.
    """

    runtime: str
    model: str
    setting: str
    options: dict[str, Any]
    entry: str | None = None
    side: int = SIDE
    device: str = "auto"
    precision: str = "auto"
    cache_dir: str | None = None
    weights_dir: str | None = None


@dataclass(frozen=True)
class Speed:
    """What a process took.

    Attributes:
        runtime, version, model, setting: which.
        side, scale: of the input, pixels; how many times it is enlarged.
        seconds: for that picture, best of several; pixels in, pixels out.
        start: from the start of the process to the end of a first picture of 64 × 64.
        peak: largest resident size of the process, bytes; 0 where it cannot be told.
    """

    runtime: str
    version: str
    model: str
    setting: str
    side: int
    scale: int
    seconds: float
    start: float
    peak: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells speeds apart."""
        return (self.runtime, self.model, self.setting)

    @property
    def per_megapixel_in(self) -> float:
        """Seconds per million pixels of input."""
        return self.seconds / (self.side**2 / 1e6)

    @property
    def per_megapixel_out(self) -> float:
        """Seconds per million pixels of the result."""
        return self.per_megapixel_in / self.scale**2


def jobs(
    models: Sequence[str], peers: Sequence[Peer], settings: Settings, *, quick: bool = False
) -> list[Job]:
    """What is timed: each model alone and with its default, and the peers that are installed."""
    made = []
    common: dict[str, Any] = {
        "device": settings.engine.device,
        "precision": settings.engine.precision,
        "cache_dir": str(settings.engine.cache_dir),
        "weights_dir": str(settings.models.weights_dir),
    }
    for name in models:
        model = get_model(name)
        if SCALE not in model.scales:
            continue
        common["side"] = HEAVY_SIDE if quick or model.mmac_per_pixel > HEAVY else SIDE
        settled: list[tuple[str, dict[str, Any]]] = [("default", {})]
        if name != FAITHFUL and model.fidelity > 0:
            settled.insert(0, ("0", {"fidelity": 0.0}))
        if name == FAITHFUL:
            settled = [("", {})]
        made += [Job(OWN, name, setting, options, **common) for setting, options in settled]
        for peer in peers:
            if peer.version is not None and (peer.models is None or name in peer.models):
                made.append(Job(peer.name, name, "alone", {}, peer.entry, **common))
    return made


def measure(job: Job, version: str, *, cancelled: Callable[[], bool] = lambda: False) -> Speed:
    """Run ``job`` in a process of its own.

    Raises:
        EngineUnavailable: the process failed; the message says how.
        Cancelled: ``cancelled`` said so; the process is ended.
    """
    found = _process(job, cancelled)
    seconds, start, peak = found["seconds"], found["start"], int(found["peak"])
    return Speed(
        job.runtime, version, job.model, job.setting, job.side, SCALE, seconds, start, peak
    )


def best(rounds: Sequence[Speed]) -> Speed:
    """The shortest times of the same job, and the largest peak."""
    return replace(
        rounds[0],
        seconds=min(each.seconds for each in rounds),
        start=min(each.start for each in rounds),
        peak=max(each.peak for each in rounds),
    )


def _process(job: Job, cancelled: Callable[[], bool]) -> dict[str, float]:
    began = time.time()
    call = [sys.executable, "-m", __name__, json.dumps(asdict(job))]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(  # noqa: S603 -- this very program
            call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            while process.poll() is None:  # it writes one line, which a pipe holds
                time.sleep(_POLL)
                if cancelled():
                    raise Cancelled("Measuring was stopped.")
                if time.time() - began > _LIMIT:
                    raise EngineUnavailable(f"It took more than {_LIMIT:g} s.")
            out = process.communicate()[0]
            log.seek(0)
            errors = log.read()
        finally:
            if process.poll() is None:
                process.kill()
    lines = out.splitlines()
    if process.returncode or not lines:
        told = errors.strip().splitlines() or ["no reason given"]
        raise EngineUnavailable(told[-1])
    found: dict[str, float] = json.loads(lines[-1])
    return {**found, "start": found["first"] - began}


def main(arguments: Sequence[str]) -> int:
    """Do the job that the one argument describes, as JSON, and print what it took."""
    job = Job(**json.loads(arguments[0]))
    try:
        if job.weights_dir is not None:
            attach(Path(job.weights_dir))
        enlarge, close = _own(job) if job.entry is None else (_peer(job), lambda: None)
        enlarge(picture(SMALL))
        first = time.time()
        photo, times = picture(job.side), list[float]()
        until = time.perf_counter() + _ENOUGH
        while not times or (len(times) < _MOST and time.perf_counter() < until):
            began = time.perf_counter()
            enlarge(photo)
            times.append(time.perf_counter() - began)
        close()
    except SuperresError as error:
        print(error.public_message, file=sys.stderr)
        return 1
    print(json.dumps({"first": first, "seconds": min(times), "peak": peak_memory()}))
    return 0


def _own(job: Job) -> tuple[Callable[[Photo], Any], Callable[[], None]]:
    default = Settings()
    cache = default.engine.cache_dir if job.cache_dir is None else Path(job.cache_dir)
    engine = replace(default.engine, device=job.device, precision=job.precision, cache_dir=cache)
    models = default.models
    if job.weights_dir is not None:
        models = replace(models, weights_dir=Path(job.weights_dir))
    upscaler = Upscaler(replace(default, engine=engine, models=models))
    options = UpscaleOptions(scale=SCALE, model=job.model, **job.options)
    return lambda photo: upscaler.upscale_pixels(photo, options), upscaler.close


def _peer(job: Job) -> Callable[[Photo], Any]:
    module, _, name = str(job.entry).partition(":")
    load = getattr(importlib.import_module(module), name)
    made: Callable[[Photo], Any] = load(get_model(job.model), SCALE)
    return made


def picture(side: int) -> Photo:
    """A square with a photograph's spectrum: noise whose amplitude falls as 1/f; no damage."""
    rng = np.random.default_rng(side)
    y, x = np.fft.fftfreq(side)[:, None, None], np.fft.rfftfreq(side)[None, :, None]
    falling = 1 / np.maximum(np.hypot(y, x), 1 / side) ** 1.5
    noise = np.fft.rfft2(rng.standard_normal((side, side, 3)), axes=(0, 1)) * falling
    waves = np.fft.irfft2(noise, s=(side, side), axes=(0, 1))
    values = 128 + 48 * (waves - waves.mean()) / waves.std()
    return as_photo(values)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
