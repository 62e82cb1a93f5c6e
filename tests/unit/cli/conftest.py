"""The command on the fake engine, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from superres.cli import app


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str
    raw: bytes

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def told(self) -> str:
        """Standard error without the console's line breaks."""
        return " ".join(self.err.split())


Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in."""
    monkeypatch.setenv("SUPERRES_ENGINE__DEVICE", "fake")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def run(folder: Path) -> Run:
    """Run ``superres`` with these words."""

    def call(*words: str | Path, stdin: bytes | None = None) -> Result:
        done = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr, done.stdout_bytes)

    return call


def draw(path: str | Path, width: int = 12, height: int = 8, mode: str = "RGB") -> Path:
    """Make a picture file, and the folders it needs."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((width, height), 40).convert(mode).save(path)
    return path


def size_of(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def names(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
