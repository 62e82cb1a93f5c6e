"""YuNet: the right file, the right answers, rightly read."""

import hashlib

import numpy as np
import onnxruntime
import pytest

from superres.engines.openvino import load_network
from superres.errors import WeightsMissing
from superres.faces import yunet


def outputs(side):
    """Of a network that sees nothing at all."""
    empty = {}
    for stride in (8, 16, 32):
        cells = (side // stride) ** 2
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            empty[f"{name}_{stride}"] = np.zeros((1, cells, width), np.float32)
    return empty


def test_it_is_the_file_that_was_published():
    assert hashlib.sha256(yunet.weights()).hexdigest() == yunet.SHA256


@pytest.mark.parametrize(
    ("file", "said"), [("PROVENANCE.md", "is not the one"), ("gone.onnx", "are missing")]
)
def test_another_file_is_not_loaded(monkeypatch, file, said):
    monkeypatch.setattr(yunet, "FILE", file)
    with pytest.raises(WeightsMissing, match=said):
        load_network(yunet.program(256))


def test_it_answers_as_another_runtime_does(photos):
    image = np.zeros((1, 3, 640, 640), np.float32)
    image[0, :, :512, :512] = photos["astronaut"][..., ::-1].transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(yunet.weights(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    ours = load_network(yunet.program(640))(image)
    for name, other in zip(names, session.run(names, {"input": image}), strict=True):
        assert np.abs(ours[name] - other).max() < 1e-3, name
    decoded = yunet.decode(ours, 640, 0.8)
    best = decoded[decoded[:, 14].argmax()]
    assert np.hypot(*(best[:2] + best[2:4] / 2 - (223, 121))) < 8


def test_nothing_is_read_of_nothing():
    assert yunet.decode(outputs(64), 64, 0.01).shape == (0, yunet.COLUMNS)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_cell_is_read_as_the_paper_says(stride):
    said, cell = outputs(64), 64 // stride + 1  # the second cell of the second row
    said[f"cls_{stride}"][0, cell] = 0.81
    said[f"obj_{stride}"][0, cell] = 1.5  # clipped to 1
    said[f"bbox_{stride}"][0, cell] = (0.5, 0.25, np.log(2), np.log(3))
    said[f"kps_{stride}"][0, cell] = np.arange(10) / 10
    (row,) = yunet.decode(said, 64, 0.5)
    assert row[14] == pytest.approx(0.9)
    assert row[2:4] == pytest.approx([2 * stride, 3 * stride])
    middle = row[:2] + row[2:4] / 2
    assert middle == pytest.approx([1.5 * stride, 1.25 * stride])
    points = (np.arange(10) / 10 + 1) * stride
    assert row[4:14] == pytest.approx(points)
    assert len(yunet.decode(said, 64, 0.91)) == 0
