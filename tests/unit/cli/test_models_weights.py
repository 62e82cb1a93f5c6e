"""``superres models add``, ``pull``, ``remove``, and what ``list`` and ``info`` say of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from superres.models import download, restorers
from superres.models.installed import WeightsFolder
from tests.unit.cli.calls import Result, Run
from tests.unit.models.publisher import (
    Publisher,
    archive,
    certificate,
    publishing,
    safetensors,
    weights,
)

GFPGAN, CODEFORMER = weights("GFPGAN"), weights("CodeFormer")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def models(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``superres models`` with an empty folder of weights."""
    monkeypatch.setenv("SUPERRES_MODELS__WEIGHTS_DIR", str(folder.parent / "weights"))
    Path("gfpgan.pth").write_bytes(GFPGAN)
    Path("codeformer.pth").write_bytes(CODEFORMER)

    def call(command: str, *words: str | Path, stdin: bytes | None = None) -> Result:
        return run("models", command, *words, stdin=stdin)

    return call


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def publisher(models: Run, pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """The authors' server: what is known as published is what it has."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    known = restorers.list_restorers()
    with publishing(pem) as found:
        found.files = {"/gfpgan": GFPGAN, "/codeformer": CODEFORMER}
        mine = tuple(
            replace(
                each,
                url=found.url(f"/{each.name}"),
                size=len(weights(each.architecture)),
                sha256=sha(weights(each.architecture)),
            )
            for each in known
        )
        monkeypatch.setattr(restorers, "list_restorers", lambda: mine)
        yield found


def listed(models: Run) -> dict[str, dict[str, object]]:
    records = json.loads(models("list", "--json").out)
    return {each["name"]: each for each in records if each["kind"] == "faces"}


def installed(folder: Path) -> list[str]:
    return [each.name for each in WeightsFolder(folder.parent / "weights").list()]


def test_a_file_is_added_listed_told_of_and_removed(models: Run, folder: Path) -> None:
    assert not listed(models)["gfpgan"]["installed"]
    assert "superres models pull gfpgan" in " ".join(models("info", "gfpgan").out.split())
    done = models("add", "gfpgan", "gfpgan.pth", "--sha256", sha(GFPGAN).upper())
    assert done.code == 0, done.err
    assert sha(GFPGAN) in done.out
    assert "--restore gfpgan" in done.out
    record = listed(models)["gfpgan"]
    assert record["installed"]
    assert record["sha256"] == sha(GFPGAN)
    assert record["size"] == len(GFPGAN)
    assert record["source"] == "gfpgan.pth"
    assert record == json.loads(models("info", "gfpgan", "--json").out)
    told = " ".join(models("info", "gfpgan").out.split())
    assert "from gfpgan.pth" in told
    assert "read the LICENSE" in told
    done = models("remove", "gfpgan")
    assert done.code == 0
    assert done.out.startswith("Removed gfpgan")
    assert installed(folder) == []
    done = models("remove", "gfpgan")
    assert done.code == 1
    assert "is not installed" in done.told


def test_the_licence_is_shown_before(models: Run) -> None:
    done = models("add", "gfpgan", "gfpgan.pth")
    assert done.code == 0
    assert "except for the third-party components listed below" in done.told
    assert "not the one published" in done.told


def test_a_non_commercial_licence_has_to_be_accepted(models: Run, folder: Path) -> None:
    done = models("add", "codeformer", "codeformer.pth")
    assert done.code == 2
    assert "use for non-commercial purpose" in done.told
    assert "--accept-licence" in done.told
    assert installed(folder) == []
    assert models("add", "mine", "codeformer.pth").code == 2, "under another name as well"
    done = models("add", "codeformer", "codeformer.pth", "--accept-licence")
    assert done.code == 0
    assert WeightsFolder(folder.parent / "weights").get("codeformer").accepted
    assert listed(models)["codeformer"]["commercial"] is False


def test_a_name_of_ones_own(models: Run, folder: Path) -> None:
    Path("r.safetensors").write_bytes(safetensors("RestoreFormer"))
    assert models("add", "portraits", "r.safetensors").code == 0
    record = listed(models)["portraits"]
    assert record["architecture"] == "RestoreFormer"
    assert record["title"] == "RestoreFormer, weights of your own"
    assert "portraits" in models("list").out
    assert models("info", "portraits").code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("gfpgan", "none.pth"), 2, "none.pth cannot be read: No such file"),
        (("gfpgan", "."), 2, "cannot be read"),
        (("gfpgan", "text.pth"), 2, "no file of weights"),
        (("gfpgan", "other.pth"), 2, "not weights of a network that restores faces"),
        (("gfpgan", "codeformer.pth", "--accept-licence"), 2, "holds weights of CodeFormer"),
        (("general", "gfpgan.pth"), 2, "general is the name of a model that comes along"),
        (("A/B", "gfpgan.pth"), 2, "cannot be a name"),
        (("gfpgan", "gfpgan.pth", "--sha256", "12"), 2, "expects 64"),
        (("gfpgan", "gfpgan.pth", "--sha256", "0" * 64), 1, f"not {'0' * 64}; nothing was added"),
        (("gfpgan", "http://example.org/a.pth"), 1, "like https://host/file.pth"),
        (("gfpgan", "s3://bucket/a.pth"), 1, "like https://host/file.pth"),
    ],
)
def test_what_is_refused(
    models: Run, folder: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    Path("text.pth").write_text("hello")
    Path("other.pth").write_bytes(archive({"conv.weight": 0}))
    done = models("add", *words)
    assert told in done.told
    assert done.code == code
    assert "Traceback" not in done.err
    assert installed(folder) == []


def test_pull(models: Run, publisher: Publisher, folder: Path) -> None:
    done = models("pull", "gfpgan")
    assert done.code == 0, done.err
    assert "except for the third-party components" in done.told
    assert publisher.url("/gfpgan") in done.told.replace(" ", "")
    assert "GFPGAN v1.4" in done.out
    assert installed(folder) == ["gfpgan"]
    assert listed(models)["gfpgan"]["title"] == "GFPGAN v1.4"
    done = models("pull", "gfpgan")
    assert done.out == "gfpgan is installed already.\n"
    assert len(publisher.asked) == 1
    weights_file = WeightsFolder(folder.parent / "weights").get("gfpgan").file
    (folder.parent / "weights" / weights_file).write_bytes(b"damaged")
    assert models("pull", "gfpgan").code == 0
    assert len(publisher.asked) == 2


def test_pull_goes_on(models: Run, publisher: Publisher, folder: Path) -> None:
    publisher.breaks = [100] + [0] * 20
    done = models("pull", "gfpgan")
    assert done.code == 1
    assert "hung up at 100 of" in done.told
    assert installed(folder) == []
    publisher.breaks = []
    assert models("pull", "gfpgan").code == 0
    assert publisher.asked[-1] == ("/gfpgan", "bytes=100-")


def test_pull_shows_the_licence_before_it_asks_anybody(models: Run, publisher: Publisher) -> None:
    done = models("pull", "codeformer")
    assert done.code == 2
    assert "non-commercial purpose" in done.told
    assert publisher.asked == []
    assert models("pull", "codeformer", "--accept-licence").code == 0


def test_pull_takes_only_what_is_known(models: Run, publisher: Publisher, folder: Path) -> None:
    publisher.files["/gfpgan"] = weights("GFPGAN", seed=1)
    done = models("pull", "gfpgan")
    assert done.code == 1
    assert "not what was expected" in done.told
    publisher.files["/gfpgan"] = GFPGAN + b"more"
    done = models("pull", "gfpgan")
    assert done.code == 1
    assert "nothing was added" in done.told
    assert installed(folder) == []
    done = models("pull", "gfpgn")
    assert done.code == 2
    assert "did you mean 'gfpgan'" in done.told


def test_an_address_needs_a_digest_or_an_answer(
    models: Run, publisher: Publisher, folder: Path
) -> None:
    mine = weights("GFPGAN", seed=7)
    publisher.files["/mine"] = mine
    for answer in (b"n\n", b""):
        done = models("add", "mine", publisher.url("/mine"), stdin=answer)
        assert done.code == 130
        assert sha(mine) in done.err
        assert installed(folder) == []
    assert models("add", "mine", publisher.url("/mine"), stdin=b"y\n").code == 0
    assert installed(folder) == ["mine"]
    assert models("remove", "mine").code == 0
    assert models("add", "mine", publisher.url("/mine"), "--sha256", sha(mine)).code == 0
    done = models("add", "again", publisher.url("/mine"), "--sha256", "0" * 64)
    assert done.code == 1
    assert "not what was expected" in done.told
    assert installed(folder) == ["mine"]
    # What is published under the name is known, wherever it comes from.
    publisher.files["/mirror"] = GFPGAN
    assert models("add", "gfpgan", publisher.url("/mirror")).code == 0


def test_a_token_in_an_address_is_not_written_down(
    models: Run, publisher: Publisher, folder: Path
) -> None:
    publisher.files["/own?token=s3cret"] = GFPGAN
    done = models("add", "own", publisher.url("/own?token=s3cret"), "--sha256", sha(GFPGAN))
    assert done.code == 0, done.err
    assert listed(models)["own"]["source"] == publisher.url("/own")
    assert "s3cret" not in (folder.parent / "weights" / "installed.json").read_text()


def test_what_it_needs_to_run_is_told(models: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "torch" else find(name, *more),
    )
    done = models("add", "gfpgan", "gfpgan.pth")
    assert done.code == 0
    assert 'pip install "superres[torch]"' in done.told


def test_a_damaged_list(models: Run, folder: Path) -> None:
    (folder.parent / "weights").mkdir()
    (folder.parent / "weights" / "installed.json").write_text("{")
    for command in ("list", "info", "add", "remove"):
        words = {"info": ["gfpgan"], "add": ["gfpgan", "gfpgan.pth"], "remove": ["gfpgan"]}
        done = models(command, *words.get(command, []))
        assert done.code == 1
        assert "installed.json" in done.told


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_list_fits(models: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    models("add", "a-name-of-thirty-eight-letters-and-more", "gfpgan.pth")
    monkeypatch.setenv("COLUMNS", str(width))
    out = models("list").out
    assert max(map(len, out.splitlines())) <= width
    flat = "".join(out.split())
    for word in ("gfpgan", "restoreformer", "codeformer", "S-LabLicense1.0", "notinstalled"):
        assert word in flat
    assert "…" not in out


def test_the_settings_file_says_where(models: Run, folder: Path, monkeypatch) -> None:
    monkeypatch.delenv("SUPERRES_MODELS__WEIGHTS_DIR")
    Path("my.toml").write_text('[models]\nweights_dir = "mine"\n')
    assert models("add", "gfpgan", "gfpgan.pth", "--config", "my.toml").code == 0
    assert (folder / "mine" / "installed.json").is_file()
    records = json.loads(models("list", "--json", "--config", "my.toml").out)
    assert [each["name"] for each in records if each.get("installed")] == ["gfpgan"]
