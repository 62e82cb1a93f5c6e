"""What the tests of the command share: a call and what came of it, small pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image


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
