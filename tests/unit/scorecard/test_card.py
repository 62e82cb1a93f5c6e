"""The whole scorecard on the fake engine: files, what is left out, going on after a stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from superres.errors import BadParameter, Cancelled, InputError
from superres.scorecard import sources, tables
from superres.scorecard.card import JSON, MARKDOWN, SHEET, Wanted, make, read
from superres.scorecard.record import NAME
from superres.scorecard.speed import Peer
from superres.settings import Settings

WANTED = Wanted(
    models=("general", "faithful"),
    fidelities=(0.0, None),
    scales=(4,),
    degradations=("clean", "jpeg-75"),
    side=128,
    timed=False,
)


class Told:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.fractions: list[float] = []

    def progress(self, what: str, fraction: float, left: float | None) -> None:
        self.fractions.append(fraction)
        assert left is None or left >= 0

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def settings() -> Settings:
    default = Settings()
    return replace(default, engine=replace(default.engine, device="fake"))


@pytest.fixture
def folder(tmp_path, photos) -> Path:
    place = tmp_path / "pictures"
    place.mkdir()
    for name in ("coffee", "chelsea"):
        Image.fromarray(photos[name]).save(place / f"{name}.png")
    Image.fromarray(photos["coffee"][:40, :40]).save(place / "tiny.png")
    (place / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much")
    return place


def pictures(folder: Path):
    return sources(sorted(folder.iterdir()))


def test_what_is_written(folder, tmp_path, settings) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    told, out = Told(), tmp_path / "out" / "deep"
    card = make(pictures(folder), WANTED, out, settings, told)
    assert sorted(each.name for each in out.iterdir()) == sorted([JSON, MARKDOWN, SHEET])
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert [each["name"] for each in card["pictures"]] == ["chelsea", "coffee"]
    assert {each["name"] for each in card["skipped"]} == {"tiny", "broken"}
    assert any("tiny" in note and "96 pixels" in note for note in told.notes)
    assert told.fractions == sorted(told.fractions)
    assert told.fractions[-1] == 1
    assert len(card["rows"]) == 2 * 2 * 5
    again = read(out / JSON)
    assert tables.page(again) == (out / MARKDOWN).read_text("utf-8")
    assert again == card
    assert len(again["pictures"][0]["sha256"]) == 64
    with Image.open(out / SHEET) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width > 5 * 192


def test_a_stopped_run_goes_on(folder, tmp_path, settings) -> None:
    out = tmp_path / "out"

    class Counts(Told):
        def __init__(self, stop: int) -> None:
            super().__init__()
            self.stop = stop

        def stopped(self) -> bool:
            return len(self.fractions) >= self.stop

    first = Counts(7)
    with pytest.raises(Cancelled):
        make(pictures(folder), WANTED, out, settings, first, cancelled=first.stopped)
    assert [each.name for each in out.iterdir()] == [NAME]
    lines = (out / NAME).read_text().splitlines()
    assert len(lines) == 1 + 7
    # A figure that could not be: if it comes back, it was not measured again.
    row = json.loads(lines[3]) | {"psnr_y": 12.345}
    lines[3] = json.dumps(row)
    (out / NAME).write_text("\n".join(lines) + '\n{"picture": "cut o')
    card = make(pictures(folder), WANTED, out, settings, Told())
    assert [each["psnr_y"] for each in card["rows"]].count(12.345) >= 1
    assert len(card["rows"]) == 20
    assert not (out / NAME).exists()


def test_a_picture_that_changed_is_measured_again(folder, tmp_path, settings, photos) -> None:
    out = tmp_path / "out"
    told = Told()
    with pytest.raises(Cancelled):
        make(
            pictures(folder), WANTED, out, settings, told, cancelled=lambda: len(told.fractions) > 3
        )
    Image.fromarray(photos["astronaut"]).save(folder / "chelsea.png")
    card = make(pictures(folder), WANTED, out, settings, Told())
    fresh = make(pictures(folder), WANTED, tmp_path / "fresh", settings, Told())
    assert card["rows"] == fresh["rows"]


def test_another_run_starts_anew(folder, tmp_path, settings) -> None:
    out = tmp_path / "out"
    first = Told()
    with pytest.raises(Cancelled):
        make(
            pictures(folder),
            WANTED,
            out,
            settings,
            first,
            cancelled=lambda: len(first.fractions) > 3,
        )
    head, *lines = (out / NAME).read_text().splitlines()
    wrong = [json.dumps(json.loads(line) | {"psnr_y": 12.345}) for line in lines]
    (out / NAME).write_text("\n".join([head, *wrong]) + "\n")
    card = make(pictures(folder), replace(WANTED, side=112), out, settings, Told())
    assert all(each["psnr_y"] != 12.345 for each in card["rows"])
    assert {(each["width"], each["height"]) for each in card["pictures"]} == {(112, 112)}


def test_nothing_to_measure_on(folder, tmp_path, settings) -> None:
    with pytest.raises(InputError, match="no picture here"):
        make(sources([folder / "tiny.png"]), WANTED, tmp_path / "out", settings, Told())


def test_peers_that_are_not_installed_are_named(folder, tmp_path, settings) -> None:
    peers = (Peer("Nobody's runtime", "no-such-package-here", "nowhere:nothing"),)
    wanted = replace(WANTED, peers=peers, timed=True, quick=True, models=("faithful",))
    card = make(sources([folder / "coffee.png"]), wanted, tmp_path / "out", settings, Told())
    assert {"name": "Nobody's runtime", "why": "not installed (no-such-package-here)"} in (
        card["absent"]
    )
    assert "Nobody's runtime" in (tmp_path / "out" / MARKDOWN).read_text("utf-8")
    (speed,) = card["speed"]
    assert speed["seconds"] < speed["start"]
    assert speed["peak"] > 30 << 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": (5,)},
        {"scales": ()},
        {"side": 40},
        {"fidelities": (1.5,)},
        {"degradations": ("rain",)},
    ],
)
def test_what_cannot_be_asked(wrong) -> None:
    with pytest.raises(BadParameter):
        replace(WANTED, **wrong)
