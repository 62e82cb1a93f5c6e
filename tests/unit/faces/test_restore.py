"""Which networks can restore faces here; and one that does, from its file to the picture."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from superres.errors import EngineUnavailable, ModelNotFound, WeightsMissing
from superres.faces import restore
from superres.faces.region import mask, oval
from superres.faces.restore import Restorers, check_restorer, installed
from superres.models.installed import InstalledWeights, WeightsFolder
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import load
from tests.unit.engines.thin import have_torch, write_thin
from tests.unit.models.publisher import weights


@pytest.fixture
def settings(tmp_path):
    return load(None, {"models.weights_dir": tmp_path / "weights"})


@pytest.fixture
def with_torch(monkeypatch):
    """Look as if what runs the networks were there, all but spandrel_extra_arches."""
    find = importlib.util.find_spec

    def found(name, package=None):
        if name == "spandrel_extra_arches":
            return None
        return object() if name in ("torch", "spandrel") else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


@pytest.fixture
def without_torch(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name)
    )


def add(settings, name, architecture, path):
    folder = WeightsFolder(settings.models.weights_dir)
    with folder.stage(path) as staged:
        folder.add(
            staged,
            InstalledWeights(
                name,
                architecture,
                "Apache-2.0",
                False,
                staged.sha256,
                staged.size,
                path.name,
                "2026-11-21T17:00:00+00:00",
            ),
        )


@pytest.fixture
def some(settings, tmp_path):
    """gfpgan, and codeformer under another name; names of tensors, no tensors."""
    for name, architecture in (("gfpgan", "GFPGAN"), ("mine", "CodeFormer")):
        path = tmp_path / f"{name}.pth"
        path.write_bytes(weights(architecture))
        add(settings, name, architecture, path)
    return settings


def test_without_weights(settings, with_torch):
    assert installed(settings) == ()
    with pytest.raises(WeightsMissing, match=r"models pull gfpgan \(or superres models add gfpgan"):
        check_restorer("gfpgan", settings)


def test_a_name_that_nobody_knows(some, with_torch):
    with pytest.raises(ModelNotFound, match="did you mean 'gfpgan'"):
        check_restorer("gfpgn", some)
    with pytest.raises(ModelNotFound, match="gfpgan, restoreformer, codeformer, mine"):
        check_restorer("\x1b[31m" + "x" * 500, some)


def test_without_torch(some, without_torch):
    assert installed(some) == ()
    with pytest.raises(EngineUnavailable, match=r'pip install "superres\[torch\]"'):
        check_restorer("gfpgan", some)
    with pytest.raises(EngineUnavailable, match=r'pip install "superres\[torch\]"'):
        Restorers(some).get("gfpgan")


def test_without_either_the_weights_are_asked_for_first(settings, without_torch):
    with pytest.raises(WeightsMissing):
        Restorers(settings).check("gfpgan")


def test_what_is_installed(some, with_torch):
    check_restorer("gfpgan", some)
    (only,) = installed(some)  # CodeFormer needs a package that is not there
    assert (only.name, only.title, only.licence) == ("gfpgan", "GFPGAN", "Apache-2.0")
    assert "sharp" in only.purpose
    with pytest.raises(EngineUnavailable, match="spandrel_extra_arches"):
        check_restorer("mine", some)


def test_a_damaged_list_is_told_to_who_asks_by_name(some, with_torch):
    (some.models.weights_dir / "installed.json").write_text("{")
    assert installed(some) == ()
    with pytest.raises(WeightsMissing, match=r"installed\.json"):
        check_restorer("gfpgan", some)


def test_one_network_is_kept_and_follows_what_is_installed(some, with_torch, monkeypatch, tmp_path):
    loads = []

    def loaded(file, architecture, threads):
        loads.append((file.read(), architecture, threads))
        return object()

    monkeypatch.setattr(restore, "load_restorer", loaded)
    monkeypatch.setattr(restore, "check_runtime", lambda architecture: None)
    networks = Restorers(some)
    first = networks.get("gfpgan")
    assert networks.get("gfpgan") is first
    other = networks.get("mine")
    assert other is not first
    assert networks.get("gfpgan") is not first
    path = tmp_path / "new.pth"
    path.write_bytes(weights("GFPGAN", seed=1))
    add(some, "gfpgan", "GFPGAN", path)
    networks.get("gfpgan")
    networks.close()
    networks.get("gfpgan")
    assert [architecture for _, architecture, _ in loads] == [
        "GFPGAN",
        "CodeFormer",
        "GFPGAN",
        "GFPGAN",
        "GFPGAN",
    ]
    assert loads[-1][0] == path.read_bytes()


def test_weights_that_were_changed_are_not_loaded(some, with_torch):
    folder = WeightsFolder(some.models.weights_dir)
    (folder.folder / folder.get("gfpgan").file).write_bytes(b"other")
    with pytest.raises(WeightsMissing, match="not the ones that were added"):
        Restorers(some).get("gfpgan")


@pytest.fixture
def portrait(photos):
    return np.ascontiguousarray(photos["astronaut"][:200, 130:330])


@pytest.mark.slow
def test_from_a_file_of_weights_to_the_picture(settings, tmp_path, portrait):
    """The real architecture, the real form of file, the real detector; random weights."""
    have_torch()
    add(settings, "gfpgan", "RestoreFormer", write_thin("RestoreFormer", tmp_path / "a.pth"))
    results = {}
    with Upscaler(settings) as up:
        for strength in (None, 0.0, 0.5, 0.5):
            faces = []
            options = UpscaleOptions(
                scale=2,
                face=True,
                restore=None if strength is None else "gfpgan",
                restore_strength=strength or 0.0,
            )
            picture = up.upscale_pixels(portrait, options, on_faces=faces.extend)
            ((face, tier),) = [(each.face, each.tier) for each in faces]
            results.setdefault(strength, []).append((picture, tier))
    ((plain, _),), ((zero, none),), ((half, some), (again, _)) = results.values()
    assert np.array_equal(plain, zero)
    assert none != "restored"
    assert some == "restored"
    assert np.array_equal(half, again), "same input, same bytes"
    inside = mask([oval(face)], 0, 0, *plain.shape[:2], 2) > 0
    assert np.array_equal(plain[~inside], half[~inside])
    assert (plain != half).any(2)[inside].mean() > 0.5


def test_asking_by_name_fails_before_any_work_and_face_alone_never(settings, portrait):
    with Upscaler(settings) as up:
        options = UpscaleOptions(scale=2, restore="gfpgan")
        with pytest.raises(WeightsMissing, match="models pull gfpgan"):
            up.upscale_pixels(portrait, options)
        picture = up.upscale_pixels(portrait, UpscaleOptions(scale=2, face=True))
    assert picture.shape == (400, 400, 3)
