"""The project's own scorecard: ``superres bench --scorecard`` on photographs with free licences.

The same code as the command (superres.scorecard), with pictures of its own (bench.pictures) and
with more peers: PyTorch, and ncnn for the networks that this repository keeps as ONNX. Writes
docs/scorecard and the tables of the README, which are never edited by hand. A run that was
stopped goes on where it was.

    python -m bench.scorecard            all of it, about a quarter of an hour
    python -m bench.scorecard --quick    a first look, into bench/results/scorecard
    python -m bench.scorecard --render   only the README's tables and the page, from the JSON
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.pictures import scorecard_photos
from bench.report import RESULTS
from bench.runtimes import flatten, torch_runtime, write_ncnn
from superres.cli.scorecard import Asked, carry_out, wanted
from superres.engines.peers import Enlarge, enlarger, ncnn_files
from superres.models import ModelDescriptor
from superres.models.weights import load_network
from superres.scorecard import tables
from superres.scorecard.card import JSON, MARKDOWN, Wanted, read
from superres.scorecard.speed import PEERS, Peer
from superres.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "scorecard"
README = ROOT / "README.md"
BEGIN, END = "<!-- scorecard:begin -->", "<!-- scorecard:end -->"

MORE = (
    Peer("ncnn", "ncnn", "bench.scorecard:ncnn_written", ("general", "faithful")),
    Peer("PyTorch f32", "torch", "bench.scorecard:torch_f32"),
    Peer("PyTorch bf16", "torch", "bench.scorecard:torch_bf16"),
)


def ncnn_written(model: ModelDescriptor, scale: int) -> Enlarge:
    """ncnn for a network that is kept as ONNX: written back to its format."""
    weights = model.weights_for(scale)
    with tempfile.TemporaryDirectory() as folder:
        param, binary = write_ncnn(flatten(load_network(weights)), Path(folder))
        return enlarger(ncnn_files(param, binary), model, weights)


def torch_f32(model: ModelDescriptor, scale: int) -> Enlarge:
    weights = model.weights_for(scale)
    return enlarger(torch_runtime(weights, bf16=False), model, weights)


def torch_bf16(model: ModelDescriptor, scale: int) -> Enlarge:
    weights = model.weights_for(scale)
    return enlarger(torch_runtime(weights, bf16=True), model, weights)


def plan(quick: bool) -> Wanted:
    """What is measured."""
    missing = [] if importlib.util.find_spec("torch") else [("PyTorch", "not installed")]
    usual = wanted(Asked(quick=quick))
    return replace(usual, peers=(*PEERS, *MORE), absent=(*usual.absent, *missing))


def with_tables(readme: str, short: str) -> str:
    """``readme`` with ``short`` between the markers.

    Raises:
        ValueError: the markers are not there.
    """
    before, mark, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError("the README has no place for the scorecard")
    return f"{before}{BEGIN}\n{short}{END}{after}"


def render() -> None:
    """Write the page and the README's tables from docs/scorecard/scorecard.json."""
    card = read(OUT / JSON)
    (OUT / MARKDOWN).write_text(tables.page(card), "utf-8")
    README.write_text(with_tables(README.read_text("utf-8"), tables.short(card)), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m bench.scorecard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small settings, for a first look")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the tables")
    parser.add_argument("--out", type=Path, help="folder of the results; leaves the README alone")
    asked = parser.parse_args(arguments)
    if not asked.render:
        pictures, absent = scorecard_photos(RESULTS / "photos")
        for line in absent:
            print(line, file=sys.stderr)
        out = asked.out or (RESULTS / "scorecard" if asked.quick else OUT)
        code = carry_out(pictures, out, Settings(), plan(asked.quick))
        if code or out != OUT:
            return code
    render()
    return 0


if __name__ == "__main__":
    sys.exit(main())
