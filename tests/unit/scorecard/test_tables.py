"""The Markdown of a scorecard."""

from __future__ import annotations

import pytest

from superres.scorecard import tables


def row(method, setting, psnr, ssim, degradation="clean", scale=4, picture="a", **more):
    keys = ("ms_ssim", "shift", "delta_e", "blur", "perceptual", "fidelity")
    rest = dict.fromkeys(keys, 0.5) | {"perceptual": None} | more
    return {
        "picture": picture,
        "scale": scale,
        "degradation": degradation,
        "method": method,
        "setting": setting,
        "psnr_y": psnr,
        "ssim": ssim,
        **rest,
    }


@pytest.fixture
def card():
    speed = {
        "version": "1",
        "model": "general",
        "side": 256,
        "scale": 4,
        "start": 0.5,
        "peak": 200 << 20,
    }
    return {
        "date": "2026-11-21",
        "machine": {"processor": "Some Processor", "cores": "2"},
        "device": "cpu",
        "precision": "f16",
        "quick": False,
        "side": 512,
        "seed": 7,
        "perceptual": None,
        "scales": [4],
        "degradations": {"clean": "as reduced", "jpeg-50": "saved as JPEG"},
        "methods": [["bicubic", ""], ["general", "0"], ["general", "1"], ["general", "default"]],
        "pictures": [
            {
                "name": name,
                "width": 512,
                "height": 384,
                "box": [0, 0, 512, 384],
                "reduced": 1,
                "sha256": "ab" * 32,
                "blur": blur,
                "credit": "somebody",
            }
            for name, blur in (("a", 0.3), ("b", 0.4))
        ],
        "skipped": [{"name": "c", "why": "too small"}],
        "absent": [{"name": "ncnn", "why": "not installed"}],
        "speed": [
            speed | {"runtime": "superres", "setting": "0", "seconds": 0.1},
            speed | {"runtime": "superres", "setting": "default", "seconds": 0.2},
            speed | {"runtime": "ncnn", "setting": "alone", "seconds": 0.75},
        ],
        "rows": [
            row("bicubic", "", 25.0, 0.7),
            row("bicubic", "", 27.0, 0.9, picture="b"),
            row("general", "0", 24.0, 0.85),
            row("general", "1", 28.0, 0.75),
            row("general", "default", 24.0, 0.85),
            row("bicubic", "", 20.0, 0.5, "jpeg-50"),
        ],
    }


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_means_and_the_best(card) -> None:
    table = tables.quality_table(card, 4, "clean")
    assert cells(table, "bicubic")[1:3] == ["26.00", "0.8000"]
    assert cells(table, "`general` 1")[1] == "**28.00**"
    assert cells(table, "`general` default")[2] == "**0.8500**"
    assert "LPIPS" not in table
    only = tables.quality_table(card, 4, "jpeg-50")
    assert len(only.splitlines()) == 3  # what was not measured has no line
    assert "**" not in only  # one alone is not the best


def test_speed(card) -> None:
    table = tables.speed_table(card)
    assert cells(table, "`general` 0")[2:4] == ["1.53", "0.095"]
    assert cells(table, "`general`")[1:] == [
        "ncnn 1",
        "11.4",
        "0.72",
        "0.5 s",
        "200 MiB",
        "7.5 ×",  # as the model alone, which comes first
    ]


def test_the_short_form(card) -> None:
    text = tables.short(card)
    assert "mean of 2 photographs" in text
    assert cells(text, "bicubic")[1:] == ["26.00 0.800", "20.00 0.500", "0.50"]
    assert "`general` 1" not in text.partition("elsewhere")[0]  # that is the faithful model
    assert "| `general` 0 |" not in text.partition("elsewhere")[0]  # the default is the same
    assert cells(text, "`general` default")[2] == "–"


def test_the_page_says_all(card) -> None:
    text = tables.page(card)
    for words in (
        "Some Processor",
        "seed 7",
        "512 × 512",
        "Not measured here: ncnn: not installed.",
        "Left out: c: too small",
        "`abababababababab…`",
        "a square of 256 × 256 pixels",
        "somebody",
    ):
        assert words in text
    assert "quick" not in text
    assert "not to be quoted" in tables.page(card | {"quick": True})


def test_stored_and_read_again(card) -> None:
    text = tables.dumped(card)
    assert tables.loaded(text) == card
    assert sum("bicubic" in line for line in text.splitlines()) >= 3  # a row a line
    with pytest.raises(ValueError, match="scorecard"):
        tables.loaded("[]")
