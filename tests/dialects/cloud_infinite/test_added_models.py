"""What is kept of a picture is kept for the weights that made it, not for a model's name."""

from __future__ import annotations

from superres.models.catalog import attach
from superres.models.installed import WeightsFolder
from superres.pipeline import UpscaleOptions
from superres.server.dialects.cloud_infinite.pictures import recipe
from superres.settings import load
from tests.unit.models.test_added import NETWORK, add


def test_other_weights_under_the_same_name(tmp_path):
    folder = WeightsFolder(tmp_path / "weights")
    attach(folder.folder)
    add(folder)
    options = UpscaleOptions(model="mine", scale=2.0)
    first = recipe(load(), options)
    assert recipe(load(), options) == first
    add(folder, content=NETWORK + b"\x12\x00")
    assert recipe(load(), options) != first
