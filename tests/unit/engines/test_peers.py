"""Other runtimes do the same work: their pictures are ours."""

from __future__ import annotations

import numpy as np
import pytest

from superres.engines import peers
from superres.errors import EngineUnavailable
from superres.models import get_model
from superres.pipeline import UpscaleOptions, Upscaler
from tests.pictures.measures import psnr


@pytest.mark.parametrize(
    ("load", "model", "scale"),
    [
        (peers.onnx_runtime, "general", 4),
        (peers.onnx_runtime, "faithful", 2),
        (peers.ncnn, "anime-video", 4),
    ],
)
def test_the_same_picture(photos, load, model, scale) -> None:
    pytest.importorskip("onnxruntime" if load is peers.onnx_runtime else "ncnn")
    photo = np.ascontiguousarray(photos["coffee"][:96, :120])
    theirs = load(get_model(model), scale)(photo)
    with Upscaler() as upscaler:
        options = UpscaleOptions(scale=scale, model=model, fidelity=0.0, colour_lock=False)
        ours = upscaler.upscale_pixels(photo, options)
    inside = (slice(16 * scale, -16 * scale),) * 2
    assert theirs.dtype == np.uint8
    assert psnr(theirs[inside], ours[inside]) > 45


def test_tiles_of_a_large_network_leave_nothing_out() -> None:
    model = get_model("photo")
    seen = []

    def twice(planes):
        seen.append(planes.shape)
        return planes.repeat(4, 1).repeat(4, 2)

    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (200, 390, 3), dtype=np.uint8)
    made = peers.enlarger(twice, model, model.weights_for(4))(photo)
    assert (made == photo.repeat(4, 0).repeat(4, 1)).all()
    assert len(seen) == 2 * 3
    assert max(max(shape[1:]) for shape in seen) <= peers.TILE + 2 * peers.PAD


def test_weights_that_ncnn_has_not() -> None:
    with pytest.raises(EngineUnavailable, match="not kept as files of ncnn"):
        peers.ncnn(get_model("general"), 4)
