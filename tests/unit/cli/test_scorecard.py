"""``superres bench --scorecard``, on the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.cli.calls import Run, draw, names


@pytest.fixture
def pictures(folder: Path, photos) -> Path:
    place = folder / "pictures"
    (place / "deeper").mkdir(parents=True)
    Image.fromarray(photos["coffee"][:160, :200]).save(place / "cup.png")
    Image.fromarray(photos["chelsea"][:160, :200]).save(place / "deeper" / "cat.jpg")
    draw(place / "tiny.png", 20, 20)
    (place / "notes.txt").write_text("no picture")
    return place


WORDS = ("-m", "general", "-s", "4", "--degradation", "clean", "--fidelity", "0", "--no-speed")


def test_a_folder_of_ones_own(run: Run, pictures: Path) -> None:
    before = names(pictures)
    done = run("bench", "--scorecard", pictures, "--out", "scores", *WORDS)
    assert done.code == 0
    assert names(Path("scores")) == ["scorecard.jpg", "scorecard.json", "scorecard.md"]
    assert names(pictures) == before
    assert "tiny is left out" in done.told
    card = json.loads(Path("scores/scorecard.json").read_text("utf-8"))
    assert sorted(each["name"] for each in card["pictures"]) == ["cat", "cup"]
    assert card["methods"] == [["bicubic", ""], ["lanczos", ""], ["general", "0"]]
    assert card["speed"] == []
    assert len(card["rows"]) == 6


def test_results_do_not_go_among_the_pictures(run: Run, pictures: Path) -> None:
    before = names(pictures)
    for out in (pictures, pictures / "scores", pictures / ".." / "pictures" / "x"):
        done = run("bench", "--scorecard", pictures, "--out", out, *WORDS)
        assert done.code == 2
        assert "--out" in done.told
    assert names(pictures) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fidelity", "much"), "--fidelity is a number"),
        (("--fidelity", "2"), "it must be 0 to 1"),
        (("--degradation", "rain"), "Unknown degradation 'rain'"),
        (("-s", "8"), "must be 2, 3 or 4"),
        (("--crop", "10"), "96 pixels"),
        (("--reduce", "0"), "--reduce is 0"),
        (("-m", "fotos"), "Did you mean 'photo'?"),
    ],
)
def test_what_is_not_understood(run: Run, pictures: Path, words, told) -> None:
    done = run("bench", "--scorecard", pictures, "--out", "scores", *words)
    assert done.code == 2
    assert told in done.told
    assert not Path("scores").exists()


def test_folders_without_pictures(run: Run, pictures: Path) -> None:
    Path("empty").mkdir()
    assert "no picture" in run("bench", "--scorecard", "empty", *WORDS).told
    assert "is not a folder" in run("bench", "--scorecard", "nowhere", *WORDS).told
    (Path("small")).mkdir()
    draw("small/a.png", 30, 30)
    done = run("bench", "--scorecard", "small", *WORDS)
    assert done.code == 1
    assert "no picture here to measure on" in done.told
