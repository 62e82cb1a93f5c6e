"""The sheet of crops, and its letters."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from superres.engines.fake import FakeEngine
from superres.pipeline import Upscaler
from superres.scorecard import Method, Source, letters, read_truth, sheet


def test_which_pictures_are_shown() -> None:
    usual = ["clean", "jpeg-75", "jpeg-50", "noise-10", "blur-1"]
    assert sheet.choose(["a", "b"], usual) == [
        ("a", "clean"),
        ("b", "clean"),
        ("a", "jpeg-50"),
        ("b", "noise-10"),
        ("a", "blur-1"),
    ]
    assert sheet.choose(["a"], ["noise-5"]) == [("a", "noise-5")]


def test_a_line_shows_the_same_part(photos, tmp_path) -> None:
    path = tmp_path / "a.png"
    page = np.full((400, 400, 3), 128, np.uint8)
    page[200:, 200:] = photos["astronaut"][:200, :200]
    Image.fromarray(page).save(path)
    truth = read_truth(Source("a", path), 512)
    with Upscaler(engine=FakeEngine()) as upscaler:
        line = sheet.line(truth, 4, "clean", [Method("bicubic"), Method("general")], upscaler)
    labels, crops = zip(*line.crops, strict=True)
    assert labels[:2] == ("truth", "input")
    assert labels[2].startswith("bicubic  ")
    assert labels[2].endswith(" dB")
    assert {crop.shape for crop in crops} == {(192, 192, 3)}
    assert crops[0].std() > 30  # where the photograph is
    small = crops[1][::4, ::4].astype(int)
    assert np.abs(small - crops[0].reshape(48, 4, 48, 4, 3).mean((1, 3))).mean() < 6
    stored = sheet.stored(sheet.compose([line, line], "heading"))
    with Image.open(io.BytesIO(stored)) as image:
        drawn = np.asarray(image.convert("RGB")).astype(int)
    assert drawn.shape[1] == 2 * 16 + 4 * 192 + 3 * 8
    top = 16 + letters.HEIGHT + 8 + letters.HEIGHT
    assert np.abs(drawn[top : top + 192, 16 : 16 + 192] - crops[0]).mean() < 4
    below = drawn[top + 192 : top + 192 + letters.HEIGHT, 16:208]
    assert (below < 120).any()  # the label


def test_small_pictures_have_small_crops(photos, tmp_path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photos["coffee"][:100, :120]).save(path)
    truth = read_truth(Source("a", path), 512)
    with Upscaler(engine=FakeEngine()) as upscaler:
        line = sheet.line(truth, 4, "noise-10", [Method("bicubic")], upscaler)
    assert sheet.compose([line], "x").shape[1] == 2 * 16 + 3 * 192 + 2 * 8


def test_letters_look_like_themselves() -> None:
    page = np.full((30, 200, 3), 255, np.uint8)
    letters.write(page, 4, 4, "general 27.1 dB")
    assert page.min() < 60
    drawn = {}
    for text in ("l", "W", "W ", "?", "é", "×", "x"):
        cell = np.full((letters.HEIGHT, 40, 3), 255, np.uint8)
        letters.write(cell, 0, 0, text)
        drawn[text] = cell.tobytes()
    assert drawn["l"] != drawn["W"]
    assert drawn["é"] == drawn["?"]  # not in the alphabet
    assert drawn["×"] == drawn["x"]
    assert letters.width("WWW") > 2 * letters.width("lll")
    letters.write(page, 25, 190, "beyond the corner")
    letters.write(page, 0, 0, "")


def test_long_labels_are_cut() -> None:
    assert letters.fitted("short", 200) == "short"
    cut = letters.fitted("a very long name of a picture indeed", 100)
    assert cut.endswith("...")
    assert letters.width(cut) <= 100
