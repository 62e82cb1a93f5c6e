"""What is taken of a photograph."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superres.errors import CorruptImage, ImageTooSmall, UnsupportedFormat
from superres.scorecard.resample import resample
from superres.scorecard.truths import Source, read_truth, sources


def test_a_small_photograph_whole(tmp_path, photos) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photos["chelsea"]).save(path)  # 451 x 300
    truth = read_truth(Source("a", path), 512)
    left, top, *_ = truth.box
    assert (truth.pixels == photos["chelsea"][top : top + 300, left : left + 448]).all()
    assert truth.box[2:] == (448, 300)
    assert truth.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_of_a_large_one_the_part_with_most_detail(tmp_path, photos) -> None:
    page = np.full((700, 900, 3), 90, np.uint8)
    page[400:, 600:] = photos["astronaut"][:300, :300]
    path = tmp_path / "a.png"
    Image.fromarray(page).save(path)
    truth = read_truth(Source("a", path), 300)
    assert truth.box == (600, 400, 300, 300)
    assert (truth.pixels == page[400:, 600:]).all()
    assert read_truth(Source("a", path, focus=(0.0, 0.1)), 300).box == (0, 70, 300, 300)


def test_reduced_first(tmp_path, photos) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photos["astronaut"]).save(path)
    truth = read_truth(Source("a", path, reduce=2), 512)
    assert (truth.pixels == resample(photos["astronaut"], 256, 256)).all()
    assert truth.box == (0, 0, 512, 512)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_other_kinds_of_pixels(tmp_path, photos, mode) -> None:
    grey = photos["astronaut"][:200, :200, 1]
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(grey).convert(mode)
    path = tmp_path / "a.png"
    picture.save(path)
    truth = read_truth(Source("a", path), 512)
    assert truth.pixels.dtype == np.uint8
    assert (truth.pixels == grey[..., None]).all()


def test_what_is_left_out(tmp_path, photos) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(photos["astronaut"][:95, :400]).save(small)
    with pytest.raises(ImageTooSmall, match="96 pixels or more"):
        read_truth(Source("small", small), 512)
    cut = tmp_path / "cut.jpg"
    Image.fromarray(photos["astronaut"]).save(cut)
    cut.write_bytes(cut.read_bytes()[:9000])
    with pytest.raises(CorruptImage):
        read_truth(Source("cut", cut), 512)
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    with pytest.raises(UnsupportedFormat):
        read_truth(Source("text", text), 512)


def test_names() -> None:
    found = sources([Path("a/x.png"), Path("b/x.jpg"), Path("b/y.jpg")], reduce=2)
    assert [each.name for each in found] == ["a/x.png", "b/x.jpg", "y"]
    assert {each.reduce for each in found} == {2}
