"""What a network would cost, told before it is run."""

from __future__ import annotations

import time

import numpy as np
import pytest
from onnx import helper

from superres.errors import BadParameter, OutOfMemory
from superres.models.recipe import _at_size
from superres.pipeline import costing
from tests.unit.models.toys import nearest, network


def node(kind: str, given: str, made: str, **attributes):
    return helper.make_node(kind, given.split(), made.split(), **attributes)


def global_attention():
    """Every pixel looks at every other."""
    return nearest(
        1,
        node("Reshape", "near flat", "q"),
        node("Transpose", "q", "k", perm=[0, 2, 1]),
        node("MatMul", "k q", "a"),
        node("Softmax", "a", "p", axis=-1),
        node("MatMul", "q p", "o"),
        node("Shape", "input", "shape"),
        node("Reshape", "o shape", "output"),
        flat=np.array([1, 3, -1]),
    )


def cubed():
    """Adds a constant of height³ values."""
    return network(
        1,
        [
            node("Shape", "input", "shape", start=2, end=3),
            node("Mul", "shape shape", "square"),
            node("Mul", "square shape", "cube"),
            node("ConstantOfShape", "cube", "many"),
            node("ReduceMean", "many", "mean", keepdims=0),
            node("Add", "input mean", "output"),
        ],
    )


def test_memory_that_grows_by_the_square_of_the_picture():
    with pytest.raises(BadParameter, match="ever more memory"):
        costing.windows(global_attention(), (512 * 512, 224 * 224), 1, 1)


def test_windows_are_as_large_as_constants_allow():
    area, live = costing.windows(cubed(), (512 * 512, 224 * 224), 1, 1)
    assert area == 224 * 224
    assert live == pytest.approx(3 + 3, abs=1)


def test_a_window_that_no_memory_holds_is_out_of_memory(monkeypatch):
    # The pass then takes smaller ones; the engine, asked to, would fill the machine's memory.
    monkeypatch.setattr("superres.models.recipe._network", lambda _: cubed())
    assert _at_size("weights", 64, 64).graph.node
    with pytest.raises(OutOfMemory, match="4096 × 4096"):
        _at_size("weights", 4096, 4096)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            nearest(
                1,
                node("Conv", "near wide", "w"),
                *(node("Erf", f"{'w' if not i else f'e{i}'}", f"e{i + 1}") for i in range(1500)),
                node("Conv", "e1500 narrow", "output"),
                wide=np.ones((4000, 3, 1, 1), np.float32),
                narrow=np.ones((3, 4000, 1, 1), np.float32),
            ),
            "values for each pixel",
        ),
        (
            nearest(
                1,
                *(node("Relu", f"{f'r{i}' if i else 'near'}", f"r{i + 1}") for i in range(20_001)),
                node("Identity", "r20001", "output"),
            ),
            "operators",
        ),
        (
            nearest(
                1,
                node("Resize", "near  up", "large", mode="nearest"),
                node("Resize", "large  down", "output", mode="nearest"),
                up=np.array([1, 1, 200, 200], np.float32),
                down=np.array([1, 1, 0.005, 0.005], np.float32),
            ),
            None,
        ),
    ],
)
def test_networks_that_take_too_long_or_too_much(model, told):
    for each in model.graph.node:
        if each.op_type == "Resize":
            each.input.insert(1, "")
    with pytest.raises(BadParameter, match=told or "bytes for each pixel"):
        costing.cost(model, 64)


def test_many_values_alive_are_counted_quickly():
    count = 15_000
    model = nearest(
        1,
        *(node("Relu", "near", f"r{i}") for i in range(count)),
        helper.make_node("Sum", [f"r{i}" for i in range(count)], ["output"]),
    )
    begun = time.perf_counter()
    with pytest.raises(BadParameter, match="bytes for each pixel"):
        costing.cost(model, 64)
    assert time.perf_counter() - begun < 10  # seen: minutes, when each node counted all of them
