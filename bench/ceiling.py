"""How fast can this machine convolve at all? The yardstick of bench.engine.

Two chains of plain 3 × 3 convolutions on 128 × 128 pixels, 256 and 64 channels wide, run by
OpenVINO with the engine's streams and threads, in every precision that the processor has.
Nothing else is in the chains, so that data stay in the layout the hardware likes.

Floor: arithmetic. One multiply-accumulate counts as two operations; 256 channels reuse each
value most and come nearest to the hardware's peak, 64 channels are what the networks have
and move four times as many bytes per operation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import onnx
import openvino as ov
from onnx import helper, numpy_helper

from bench.report import Report, Table, program, say
from bench.timing import best, interleaved
from superres.engines.openvino import OpenVINOEngine

SIDE = 128
CHAINS = {256: 6, 64: 32}
"""Channels to the number of convolutions in the chain."""


def chain(channels: int, count: int, side: int = SIDE) -> tuple[onnx.ModelProto, float]:
    """``count`` convolutions in a row; the model and its operations per run."""
    rng = np.random.default_rng(0)
    widths = [3, *[channels] * (count + 1), 3]
    nodes, constants, operations = [], [], 0.0
    for index, (before, after) in enumerate(pairwise(widths)):
        # Values keep their size from one end of the chain to the other.
        kernel = rng.normal(0, (9 * before) ** -0.5, (after, before, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(kernel, f"w{index}"))
        nodes.append(
            helper.make_node(
                "Conv",
                [f"x{index}", f"w{index}"],
                [f"x{index + 1}"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
            )
        )
        operations += 2.0 * kernel.size * side**2
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, side, side])
        for name in ("x0", f"x{len(nodes)}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9), operations


class Network:
    """An ONNX model on OpenVINO as the engine would run it, without anything around it.

    Calling it computes ``batch`` inputs, as many at a time as there are streams.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        shape: tuple[int, int],
        precision: str,
        engine: OpenVINOEngine,
        batch: int,
    ) -> None:
        core = ov.Core()
        network = core.read_model(model.SerializeToString())
        network.reshape([1, 3, *shape])
        config = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": engine.streams,
            "INFERENCE_NUM_THREADS": engine.threads,
        }
        self._queue = ov.AsyncInferQueue(core.compile_model(network, "CPU", config), engine.streams)
        self._batch = batch
        values = np.random.default_rng(1).random((1, 3, *shape), np.float32)
        for request in self._queue:
            request.set_input_tensor(ov.Tensor(values.copy()))

    def __call__(self) -> None:
        for _ in range(self._batch):
            self._queue.start_async()
        self._queue.wait_all()


def yardsticks(engine: OpenVINOEngine, precision: str) -> dict[int, tuple[Network, float]]:
    """By channels: a network to time and its operations per call."""
    made = {}
    for channels, count in CHAINS.items():
        model, operations = chain(channels, count)
        network = Network(model, (SIDE, SIDE), precision, engine, engine.streams)
        made[channels] = network, operations * engine.streams
    return made


def run(asked: argparse.Namespace) -> Report:
    engine = OpenVINOEngine()
    work, operations = {}, {}
    for precision in engine.precisions:
        for channels, (network, count) in yardsticks(engine, precision).items():
            name = f"{precision} {channels}"
            work[name], operations[name] = network, count
    say("Convolutions …")
    times = interleaved(work, rounds=3 if asked.quick else 10, least=0.2 if asked.quick else 1.0)
    speed = {name: operations[name] / seconds / 1e12 for name, seconds in best(times).items()}
    columns = ("precision", *(f"{c} → {c} channels, 3×3, {SIDE}²" for c in CHAINS))
    table = Table(f"Convolution ceiling, TFLOP/s, {engine.streams} streams", columns)
    for precision in engine.precisions:
        cells = (f"{speed[f'{precision} {channels}']:.2f}" for channels in CHAINS)
        table.rows.append((precision, *cells))
    return Report([table], figures={"tflops": speed, "seconds": times})


def main(arguments: Sequence[str] | None = None) -> int:
    return program("ceiling", __doc__, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
