"""The whole scorecard: measure, then write JSON, Markdown and the sheet."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from superres.errors import BadParameter, EngineError, InputError, OutputError, SuperresError
from superres.imageio import Limits
from superres.models import get_model
from superres.pipeline import Upscaler
from superres.scorecard import sheet, speed, tables
from superres.scorecard.degrade import DEGRADATIONS, SEED, described
from superres.scorecard.machine import machine
from superres.scorecard.measure import SCALES, Clock, Perceptual, Plan, Row, measure
from superres.scorecard.methods import FIDELITIES, Method, baselines, of_models
from superres.scorecard.metrics import blur, luma
from superres.scorecard.record import Record
from superres.scorecard.truths import LEAST, Source, Truth, read_truth
from superres.settings import Settings

SIDE, QUICK_SIDE, QUICK_PICTURES = 384, 256, 3
QUICK_DEGRADATIONS = ("clean", "jpeg-50", "noise-25")
JSON, MARKDOWN, SHEET = "scorecard.json", "scorecard.md", "scorecard.jpg"
ABSENT = (
    ("super-image", "its weights lie on a hub, and nothing is fetched from the network"),
    ("OpenCV dnn_superres", "no package carries its models"),
)
"""Peers with weights of their own that nobody can have from a package index."""
_SPEED_COST = 3e6
"""What timing one method costs, in the unit of the plan's cost; for the forecast only."""


@dataclass(frozen=True)
class Wanted:
    """What a scorecard covers.

    Attributes:
        models: names of the catalogue.
        fidelities: 0…1, None for the default.
        scales: 2, 3 or 4.
        degradations: see :func:`superres.scorecard.degrade.small_file`.
        side: longest side of what is measured of a photograph, pixels.
        quick: three pictures, small, for a first look.
        timed: whether speed and memory are measured too.
        others: networks of others with weights of their own.
        peers: other runtimes for the same weights.
        absent: what is not measured, and why.
    """

    models: tuple[str, ...]
    fidelities: tuple[float | None, ...] = FIDELITIES
    scales: tuple[int, ...] = SCALES
    degradations: tuple[str, ...] = DEGRADATIONS
    side: int = SIDE
    quick: bool = False
    timed: bool = True
    others: tuple[Method, ...] = ()
    peers: tuple[speed.Peer, ...] = speed.PEERS
    absent: tuple[tuple[str, str], ...] = ABSENT

    def __post_init__(self) -> None:
        for name in self.models:
            get_model(name)
        for degradation in self.degradations:
            described(degradation)
        if not set(self.scales) <= {2, 3, 4} or not self.scales:
            raise BadParameter("The scale of a scorecard must be 2, 3 or 4.")
        if self.side < LEAST:
            raise BadParameter(f"The part that is measured must be {LEAST} pixels or more wide.")
        for fidelity in self.fidelities:
            if fidelity is not None and not 0 <= fidelity <= 1:
                raise BadParameter(f"fidelity is {fidelity:g}; it must be 0 to 1.")

    @property
    def methods(self) -> tuple[Method, ...]:
        """Everything that is compared, in the order of the tables."""
        return (*baselines(), *of_models(self.models, self.fidelities), *self.others)

    def quickly(self) -> Wanted:
        """The same for a first look."""
        return replace(self, quick=True, side=min(self.side, QUICK_SIDE), scales=self.scales[:1])


class Teller(Protocol):
    """Is told how far the work is, on the thread that works."""

    def progress(self, what: str, fraction: float, left: float | None) -> None:
        """Now at ``what``; a fraction of 1 done; seconds left, None if it cannot be told."""

    def note(self, text: str) -> None:
        """Something was left out."""


@dataclass
class _Work:
    """State of one run."""

    wanted: Wanted
    out: Path
    upscaler: Upscaler
    teller: Teller
    cancelled: Callable[[], bool]
    perceptual: tuple[str, Perceptual] | None
    record: Record
    clock: Clock
    rows: list[Row] = field(default_factory=list)
    speeds: list[speed.Speed] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, name: str, error: SuperresError) -> None:
        self.skipped.append({"name": name, "why": error.public_message})
        self.teller.note(f"{name} is left out: {error.public_message}")

    def tell(self, what: str) -> None:
        self.teller.progress(what, self.clock.fraction, self.clock.left)


def make(
    pictures: Sequence[Source],
    wanted: Wanted,
    out: Path,
    settings: Settings,
    teller: Teller,
    *,
    perceptual: tuple[str, Perceptual] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Measure and write ``scorecard.json``, ``.md`` and ``.jpg`` into ``out``.

    A run that was stopped goes on where it was, if the same is asked of the same version.

    Args:
        pictures: photographs to measure on; those that cannot be are left out with a word.
        wanted: what is measured.
        out: folder for the results, made if it is not there. Nothing else is written to.
        settings: of the engine.
        teller: is told of progress.
        perceptual: name and function of a learned measure, if one is installed.
        cancelled: asked often; True stops.

    Returns:
        What ``scorecard.json`` holds.

    Raises:
        InputError: there is no picture that can be measured on.
        EngineError, OutputError: the machine is at fault.
        Cancelled: ``cancelled`` said so; what was measured is kept for the next run.
    """
    wanted = wanted.quickly() if wanted.quick else wanted
    plan = Plan(wanted.methods, wanted.scales, wanted.degradations)
    with Upscaler(settings) as upscaler:
        record = Record(out, _identity(wanted, upscaler, perceptual))
        timed = speed.jobs(wanted.models, wanted.peers, settings, quick=wanted.quick)
        timed, rounds = timed if wanted.timed else [], 1 if wanted.quick else speed.ROUNDS
        cost = sum(plan.cost(scale, method) for scale, method, _ in plan.cells())
        chosen = list(pictures)[: QUICK_PICTURES if wanted.quick else None]
        total = cost * wanted.side**2 * len(chosen) + _SPEED_COST * len(timed) * rounds
        clock = Clock(total)
        work = _Work(wanted, out, upscaler, teller, cancelled, perceptual, record, clock)
        work.clock.start()
        for source in chosen:
            _picture(work, plan, source, cost * wanted.side**2)
        if not work.rows:
            raise InputError(
                "There is no picture here to measure on; it takes photographs of "
                f"{LEAST} x {LEAST} pixels or more."
            )
        _time(work, timed, rounds)
        page = _sheet(work, chosen)
    stored = tables.dumped(_card(work))
    card = tables.loaded(stored)  # the page shows what is stored, rounded as that is
    files = {
        SHEET: page,
        JSON: stored.encode(),
        MARKDOWN: tables.page(card).encode(),
    }
    for name, data in files.items():
        _write(out / name, data)
    record.close()
    teller.progress("done", 1.0, 0.0)
    return card


def _identity(
    wanted: Wanted, upscaler: Upscaler, perceptual: tuple[str, Perceptual] | None
) -> dict[str, Any]:
    """What a row depends on besides its key."""
    weights = {name: [w.sha256 for w in get_model(name).weights] for name in wanted.models}
    return {
        "superres": _version(),
        "weights": weights,
        "side": wanted.side,
        "quick": wanted.quick,
        "device": upscaler.engine.device,
        "precision": upscaler.precision,
        "perceptual": perceptual[0] if perceptual else None,
        "seed": SEED,
    }


def _picture(work: _Work, plan: Plan, source: Source, share: float) -> None:
    """Measure on one photograph; ``share`` is what the forecast held for it."""
    before = work.clock.done + work.clock.skipped
    try:
        truth = _truth(work, source)
    except InputError as error:
        work.skip(source.name, error)
        work.clock.skipped += share
        return
    pixels = truth.pixels.shape[0] * truth.pixels.shape[1]
    stamp = f"{truth.sha256} {truth.box} {truth.reduce}"
    known = work.record.known(stamp)

    def on_row(row: Row, cost: float) -> None:
        if row.key in known:
            work.clock.skipped += cost * pixels
        else:
            work.clock.done += cost * pixels
            work.record.add(row, stamp)
        work.tell(f"{truth.name} x{row.scale} {f'{row.method} {row.setting}'.strip()}")

    work.rows += measure(
        plan,
        truth,
        work.upscaler,
        known=known,
        perceptual=work.perceptual[1] if work.perceptual else None,
        on_row=on_row,
        on_failure=lambda method, error: work.skip(f"{method.label} on {truth.name}", error),
        cancelled=work.cancelled,
    )
    work.clock.skipped += max(0.0, before + share - work.clock.done - work.clock.skipped)
    border = max(plan.scales)
    sharp = blur(luma(truth.pixels)[border:-border, border:-border])
    height, width = truth.pixels.shape[:2]
    work.pictures.append(
        {
            "name": truth.name,
            "width": width,
            "height": height,
            "box": list(truth.box),
            "reduced": truth.reduce,
            "sha256": truth.sha256,
            "blur": round(sharp, 4),
            "credit": truth.credit,
        }
    )


def _truth(work: _Work, source: Source) -> Truth:
    limits = work.upscaler.settings.limits
    return read_truth(source, work.wanted.side, Limits(**asdict(limits)))


def _time(work: _Work, jobs: Sequence[speed.Job], rounds: int) -> None:
    """Time in turns: all jobs, then all of them again."""
    versions = {peer.name: peer.version or "" for peer in work.wanted.peers}
    failed = set()
    for number in range(rounds):
        for job in jobs:
            key = (job.runtime, job.model, job.setting)
            work.tell(f"timing {' '.join(key)}")
            if key in failed or len(work.record.speeds.get(key, ())) > number:
                work.clock.skipped += _SPEED_COST
                continue
            try:
                version = versions.get(job.runtime, _version())
                work.record.add(speed.measure(job, version, cancelled=work.cancelled))
            except EngineError as error:
                failed.add(key)
                work.skip(f"{job.runtime} {job.model}", error)
            work.clock.done += _SPEED_COST
    kept = work.record.speeds
    keys = [(job.runtime, job.model, job.setting) for job in jobs]
    work.speeds = [speed.best(kept[key]) for key in keys if key in kept]


def _sheet(work: _Work, chosen: Sequence[Source]) -> bytes:
    """Some pictures once more, for the eye."""
    names = [each["name"] for each in work.pictures]
    by_name = {source.name: source for source in chosen}
    shown = [Method("bicubic"), *of_models(work.wanted.models, (None,)), *work.wanted.others]
    scale = max(work.wanted.scales)
    lines = []
    for name, degradation in sheet.choose(names, work.wanted.degradations):
        work.tell(f"drawing {name}")
        truth = _truth(work, by_name[name])
        methods = [m for m in shown if m.scales is None or scale in m.scales]
        lines.append(sheet.line(truth, scale, degradation, methods, work.upscaler, work.cancelled))
    heading = (
        f"Enlarged {scale} times, parts of {sheet.CELL} x {sheet.CELL} pixels shown one to one; "
        "models with default settings; PSNR-Y of the part shown"
    )
    return sheet.stored(sheet.compose(lines, heading))


def _card(work: _Work) -> dict[str, Any]:
    wanted = work.wanted
    missing = [(p.name, f"not installed ({p.distribution})") for p in wanted.peers if not p.version]
    if work.perceptual is None:
        missing.append(("LPIPS", "it takes PyTorch and weights: pip install stlpips-pytorch"))
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "device": work.upscaler.engine.device,
        "precision": work.upscaler.precision,
        "quick": wanted.quick,
        "side": wanted.side,
        "seed": SEED,
        "perceptual": work.perceptual[0] if work.perceptual else None,
        "scales": list(wanted.scales),
        "degradations": {name: described(name) for name in wanted.degradations},
        "methods": [[method.name, method.setting] for method in wanted.methods],
        "pictures": work.pictures,
        "skipped": work.skipped,
        "absent": [{"name": n, "why": why} for n, why in (*missing, *wanted.absent)],
        "speed": [asdict(each) for each in work.speeds],
        "rows": [asdict(row) for row in work.rows],
    }


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path.name} cannot be written: {exc.strerror}.") from exc


def read(path: Path) -> dict[str, Any]:
    """What a ``scorecard.json`` holds.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return tables.loaded(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(f"{path.name} is no scorecard.") from exc


def _version() -> str:
    return importlib.metadata.version("superres")
