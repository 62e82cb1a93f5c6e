"""The wheel, in an empty environment, far from the checkout: what a person installs.

The environment gets the locked runtime
dependencies and nothing else, so a dependency that was forgotten shows here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def run(*command: str | Path, cwd: Path) -> str:
    """Run with nothing of the checkout's on the path; the output is in the failure."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ["PYTHONIOENCODING"] = "utf-8"
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the locked build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    run(*build, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the ``bin`` folder of an environment that holds the wheel and its locked needs."""
    folder = tmp_path_factory.mktemp("outside")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [programs / "python", "-I", "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check"]
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "runtime.txt", cwd=folder)
    run(*pip, "--no-deps", wheel, cwd=folder)
    yield programs
    shutil.rmtree(folder / "venv")  # 700 MB


def test_wheel_holds_what_it_must(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name == f"superres-{VERSION}-py3-none-any.whl"
    for wanted in ("py.typed", "models/catalog.toml"):
        assert f"superres/{wanted}" in names
    weights = [name for name in names if name.startswith("superres/models/weights/")]
    in_tree = ROOT / "src" / "superres" / "models" / "weights"
    assert sorted(weights) == sorted(
        f"superres/models/weights/{path.relative_to(in_tree).as_posix()}"
        for path in in_tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert any(name.endswith(".onnx") for name in weights)
    licences = f"superres-{VERSION}.dist-info/licenses/"
    held = {name.removeprefix(licences) for name in names if name.startswith(licences)}
    assert {"LICENSE", "NOTICE"} <= held
    assert any("weights" in name for name in held), "the weights' own licences are missing"


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"superres", f"superres-{VERSION}.dist-info"}
    for name in archive.namelist():
        assert "__pycache__" not in name
        assert not name.endswith((".pyc", ".orig", ".rej", ".tmp"))
        assert "/tests/" not in name
    assert wheel.stat().st_size < 12 << 20


def test_needs_nothing_but_what_it_declares(outside: Path, tmp_path: Path) -> None:
    run(outside / "python", "-I", "-m", "pip", "check", cwd=tmp_path)
    where = run(
        outside / "python", "-I", "-c", "import superres; print(superres.__file__)", cwd=tmp_path
    )
    assert not Path(where.strip()).is_relative_to(ROOT)


def test_command_tells_version_and_models(outside: Path, tmp_path: Path) -> None:
    assert VERSION in run(outside / "superres", "--version", cwd=tmp_path)
    listed = run(outside / "superres", "models", "list", cwd=tmp_path)
    for model in ("general", "photo", "anime", "anime-video", "faithful"):
        assert model in listed


@pytest.mark.parametrize("model", ["general", "faithful"])
def test_command_enlarges_a_picture(outside: Path, tmp_path: Path, model: str) -> None:
    picture = Image.linear_gradient("L").resize((48, 37)).convert("RGB")
    picture.save(tmp_path / "in.png")
    run(
        outside / "superres",
        "upscale",
        "in.png",
        "-o",
        "out.png",
        "-m",
        model,
        "-s",
        "2",
        cwd=tmp_path,
    )
    with Image.open(tmp_path / "out.png") as result:
        assert (result.size, result.mode) == ((96, 74), "RGB")


def test_library_enlarges_an_array(outside: Path, tmp_path: Path) -> None:
    program = (
        "import numpy, superres;"
        "image = numpy.full((20, 30, 3), 128, numpy.uint8);"
        "print(superres.upscale(image, scale=2).shape)"
    )
    assert run(outside / "python", "-I", "-c", program, cwd=tmp_path).strip() == "(40, 60, 3)"
