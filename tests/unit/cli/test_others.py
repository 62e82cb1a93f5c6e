"""The commands that show something, and the root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import superres
from superres.models import list_models
from superres.models.restorers import list_restorers
from tests.unit.cli.calls import Run, draw

MODELS = [model.name for model in list_models()]
RESTORERS = [each.name for each in list_restorers()]


def test_version(run: Run) -> None:
    assert run("--version").out == f"superres {superres.__version__}\n"


def test_alone_it_shows_the_help(run: Run) -> None:
    done = run()
    assert done.code == 0
    for word in ("upscale", "models", "bench", "config"):
        assert word in done.out


def test_a_forgotten_command(run: Run) -> None:
    draw("photo.jpg")
    done = run("photo.jpg")
    assert done.code == 2
    assert "superres upscale photo.jpg" in done.told
    done = run("upscal", "photo.jpg")
    assert done.code == 2
    assert "Did you mean 'upscale'?" in done.told


def test_the_help_of_upscale_teaches(run: Run) -> None:
    done = run("upscale", "--help")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    for example in (
        "superres upscale photo.jpg  ",
        "superres upscale holiday/ -o large/ --recursive --resume",
        "superres upscale photo.jpg --megapixels 24 -o print.jpg --quality 95",
        "| superres upscale - > a.png",
        "Exit status",
    ):
        assert example in done.out
    assert "list[str]" not in done.out
    assert "<bool>" not in done.out


@pytest.mark.parametrize("width", [40, 80, 160])
def test_models_list(run: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = run("models", "list")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= width
    for model in list_models():
        assert model.name in done.out
        assert model.licence in done.out
        assert model.purpose.split()[-1] in done.out
    assert "…" not in done.out


def test_models_in_json(run: Run) -> None:
    records = json.loads(run("models", "list", "--json").out)
    assert [record["name"] for record in records if record["kind"] == "enlarge"] == MODELS
    assert [record["name"] for record in records if record["kind"] == "faces"] == RESTORERS
    info = json.loads(run("models", "info", "general", "--json").out)
    assert info == next(record for record in records if record["name"] == "general")
    assert len(info["weights"][0]["sha256"]) == 64


@pytest.mark.parametrize("name", MODELS)
def test_models_info(run: Run, name: str) -> None:
    model = next(model for model in list_models() if model.name == name)
    out = run("models", "info", name).out
    flat = " ".join(out.split())
    for value in (model.title, model.purpose, model.architecture, model.licence, model.provenance):
        assert value in flat
    assert f"{model.context} input pixels" in flat
    assert f"{model.mmac_per_pixel:g} million" in flat
    for weights in model.weights:
        assert weights.sha256 in flat
        assert f"Weights ×{weights.scale}" in flat


def test_an_unknown_model(run: Run) -> None:
    done = run("models", "info", "fotos")
    assert done.code == 2
    assert "Did you mean 'photo'?" in done.told


@pytest.mark.parametrize("width", [40, 80, 160])
def test_config_show(run: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    Path("superres.toml").write_text("[engine]\nstreams = 3\n")
    done = run("config", "show")
    assert done.code == 0
    assert "from environment" in " ".join(done.out.split())
    assert "superres.toml" in "".join(done.out.split())
    rows = {row["name"]: row for row in json.loads(run("config", "show", "--json").out)}
    assert rows["engine.streams"]["value"] == "3"
    assert rows["engine.device"] | {"doc": ""} == {
        "name": "engine.device",
        "value": "fake",
        "default": "auto",
        "doc": "",
        "source": "environment",
    }


def test_config_show_with_a_wrong_file(run: Run) -> None:
    Path("x.toml").write_text("[engin]\nstreams = 3\n")
    done = run("config", "show", "--config", "x.toml")
    assert done.code == 2
    assert "engin.streams (x.toml) is not a setting; did you mean engine.streams?" in done.told


def test_bench(run: Run) -> None:
    words = ["bench", "--seconds", "0.05", "-m", "general", "-m", "faithful"]
    rows = json.loads(run(*words, "--json").out)
    assert [row["model"] for row in rows] == ["general", "faithful"]
    for row in rows:
        assert row["megapixels_per_second"] >= row["whole"] > 0
        assert row["scale"] == 4
    table = run(*words).out
    assert "MP/s" in table
    assert max(map(len, table.splitlines())) <= 80
    done = run("bench", "--seconds", "0")
    assert done.code == 2


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("superres upscale a.jpg -m ", MODELS),
        ("superres upscale a.jpg --model ani", ["anime", "anime-video"]),
        ("superres upscale a.jpg --format ", ["png", "jpeg", "webp", "tiff"]),
        ("superres upscale a.jpg --precision b", ["bf16"]),
        ("superres upscale a.jpg --device c", ["cpu", "cuda", "cuda:0"]),
        ("superres models info ", MODELS + RESTORERS),
        ("superres models pull g", ["gfpgan"]),
        ("superres models remove ", []),
        (
            "superres ",
            ["upscale", "serve", "worker", "jobs", "keys", "buckets", "models", "bench", "config"],
        ),
    ],
)
def test_shell_completion(
    run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_SUPERRES_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    from typer.testing import CliRunner

    from superres.cli import app

    done = CliRunner().invoke(app, [], prog_name="superres")
    assert sorted(done.stdout.split()) == sorted(offered)
