"""YuNet: the network that finds faces and their five points.

Wu, Peng, Yu: *YuNet: A Tiny Millisecond-level Face Detector*, Machine Intelligence Research
2023. The weights lie in ``weights/``, whose PROVENANCE.md tells where they are from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from superres.engines.network import NetworkProgram
from superres.errors import WeightsMissing

FILE = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

COLUMNS = 15
"""Of what :func:`decode` returns: x, y, width, height, five points x, y, score."""

_STRIDES = (8, 16, 32)


def program(side: int) -> NetworkProgram:
    """YuNet for squares of ``side`` pixels, a multiple of 32.

    Its input is ``(1, 3, side, side)`` float32, blue, green, red, 0…255.
    """
    return NetworkProgram(key=f"yunet {SHA256} {side}", shape=(1, 3, side, side), build=weights)


def weights() -> bytes:
    """The ONNX model.

    Raises:
        WeightsMissing: the file is absent, or is not the one it should be.
    """
    try:
        data = resources.files("superres.faces").joinpath("weights", FILE).read_bytes()
    except OSError as exc:
        raise WeightsMissing(f"The weights {FILE} are missing; install superres again.") from exc
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise WeightsMissing(
            f"The file {FILE} is not the one that finds faces (SHA-256 {found[:12]}… instead of "
            f"{SHA256[:12]}…), so it is not loaded; install superres again."
        )
    return data


def decode(
    outputs: Mapping[str, NDArray[np.float32]], side: int, least: float
) -> NDArray[np.float64]:
    """Read what the network said of a square of ``side`` pixels.

    Each cell of a grid of 8, 16 and 32 pixels tells of the face nearest to it: a class and an
    objectness score, whose geometric mean counts; the box's middle and the points relative to
    the cell's corner in cells; the logarithm of the box's size in cells.

    Args:
        outputs: of the network, by name: ``cls_s``, ``obj_s``, ``bbox_s`` and ``kps_s``, each
            ``(1, cells, …)``, for s = 8, 16, 32.
        side: of the square.
        least: the least score of interest.

    Returns:
        ``(n, 15)``, see :data:`COLUMNS`, in pixels. A face is in it many times.
    """
    found = []
    for stride in _STRIDES:
        names = (f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps"))
        kind, there, box, points = (outputs[name][0] for name in names)
        score = np.sqrt(np.clip(kind[:, 0], 0, 1) * np.clip(there[:, 0], 0, 1))
        chosen = np.flatnonzero(score >= least)
        cell = np.stack([chosen % (side // stride), chosen // (side // stride)], axis=1)
        middle = (cell + box[chosen, :2]) * float(stride)
        size = np.exp(box[chosen, 2:].astype(np.float64)) * stride
        five = (points[chosen].reshape(-1, 5, 2) + cell[:, None]) * float(stride)
        parts = [middle - size / 2, size, five.reshape(-1, 10), score[chosen, None]]
        found.append(np.concatenate(parts, axis=1))
    return np.concatenate(found)
