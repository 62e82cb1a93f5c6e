"""The project's own scorecard: the README shows what the JSON holds, and nothing else."""

from __future__ import annotations

import pytest

from bench import scorecard
from superres.models import list_models
from superres.scorecard import tables
from superres.scorecard.card import JSON, MARKDOWN, SHEET, read


@pytest.fixture(scope="module")
def card():
    return read(scorecard.OUT / JSON)


def test_the_readme_shows_the_tables_of_the_json(card) -> None:
    """They are never edited by hand: python -m bench.scorecard --render writes them."""
    readme = scorecard.README.read_text("utf-8")
    assert scorecard.with_tables(readme, tables.short(card)) == readme


def test_the_page_shows_the_json(card) -> None:
    assert (scorecard.OUT / MARKDOWN).read_text("utf-8") == tables.page(card)
    assert (scorecard.OUT / SHEET).stat().st_size > 50_000


def test_it_is_complete(card) -> None:
    assert not card["quick"]
    assert {name for name, _ in card["methods"]} >= {model.name for model in list_models()}
    assert len(card["pictures"]) >= 4
    kinds = {name.partition("-")[0] for name in card["degradations"]}
    assert kinds == {"clean", "jpeg", "noise", "blur"}
    cells = len(card["methods"]) * len(card["degradations"]) * len(card["scales"])
    assert len(card["rows"]) == cells * len(card["pictures"])
    assert {each["runtime"] for each in card["speed"]} >= {"superres", "ONNX Runtime", "ncnn"}
    assert all(each["credit"] for each in card["pictures"])


def test_an_edit_by_hand_is_seen() -> None:
    text = f"before\n{scorecard.BEGIN}\nold\n{scorecard.END}\nafter"
    assert scorecard.with_tables(text, "new\n") == text.replace("old", "new")
    with pytest.raises(ValueError, match="no place"):
        scorecard.with_tables("nothing", "new")
