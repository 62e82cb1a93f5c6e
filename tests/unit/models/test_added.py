"""Models that people added: the list that names them, and the catalogue that sees it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pytest

from superres.errors import BadParameter, ModelNotFound, WeightsMissing
from superres.models import catalog, get_model, list_models
from superres.models.added import AddedModel, from_record
from superres.models.catalog import attach, detach, shipped_models
from superres.models.installed import WeightsFolder
from superres.models.recipe import make_recipe
from superres.models.weights import load_network
from tests.unit.models.test_installed import add as add_weights
from tests.unit.models.toys import nearest

NETWORK = nearest(2).SerializeToString()


def model(name="mine", **more) -> AddedModel:
    given = {
        "name": name,
        "title": "mine.pth",
        "architecture": "ESRGAN",
        "runtime": "onnx",
        "scale": 2,
        "channels": 3,
        "context": 12,
        "ramp": 0,
        "tile_area": 1024,
        "multiple": 8,
        "minimum": 16,
        "whole": False,
        "half": True,
        "mmac_per_pixel": 1.5,
        "bytes_per_pixel": 100,
        "licence": "MIT",
        "sha256": "0" * 64,
        "size": 1,
        "original_sha256": "1" * 64,
        "original_size": 2,
        "source": "mine.pth",
        "added": "2026-11-21T17:00:00+00:00",
    }
    return AddedModel(**given | more)


def add(folder: WeightsFolder, name="mine", content=NETWORK, **more) -> AddedModel:
    with folder.keep(content) as staged:
        made = model(name, sha256=staged.sha256, size=staged.size, **more)
        folder.add(staged, made)
    return made


def test_a_model_is_kept_and_both_kinds_stand_beside_each_other(folder, tmp_path):
    restorer = add_weights(folder, "gfpgan", b"one", tmp_path)
    made = add(folder)
    again = WeightsFolder(folder.folder)
    assert again.models() == (made,)
    assert again.list() == (restorer,)
    assert (folder.folder / made.file).read_bytes() == NETWORK
    assert again.remove("mine") == made
    assert again.models() == ()
    assert again.list() == (restorer,)
    assert not (folder.folder / made.file).exists()


def test_a_name_is_of_one_of_the_two_kinds(folder, tmp_path):
    add(folder, "twice")
    restorer = add_weights(folder, "twice", b"one", tmp_path)
    assert folder.models() == ()
    assert folder.list() == (restorer,)
    made = add(folder, "twice")
    assert folder.list() == ()
    assert folder.models() == (made,)


def test_a_list_of_the_first_version_is_read(folder, tmp_path):
    restorer = add_weights(folder, "gfpgan", b"one", tmp_path)
    path = folder.folder / "installed.json"
    path.write_text(json.dumps({"version": 1, "weights": [asdict(restorer)]}))
    assert folder.list() == (restorer,)
    assert folder.models() == ()
    add(folder)
    assert folder.list() == (restorer,)


def test_a_list_of_a_newer_version_is_not_touched(folder):
    add(folder)
    path = folder.folder / "installed.json"
    text = json.dumps({**json.loads(path.read_text()), "version": 3})
    path.write_text(text)
    for call in (folder.list, folder.models, lambda: folder.remove("mine"), lambda: add(folder)):
        with pytest.raises(WeightsMissing, match="newer superres"):
            call()
    assert path.read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "../../etc/passwd"},
        {"scale": 5},
        {"scale": "2"},
        {"runtime": "exec"},
        {"multiple": 0},
        {"context": -1},
        {"mmac_per_pixel": 0},
        {"mmac_per_pixel": float("inf")},
        {"mmac_per_pixel": float("nan")},
        {"bytes_per_pixel": 10**400},
        {"half": "yes"},
    ],
)
def test_a_record_that_somebody_wrote_by_hand(change):
    with pytest.raises((ValueError, TypeError)):
        from_record({**asdict(model()), **change})


def test_the_catalogue_sees_what_is_added_and_removed_later(folder):
    attach(folder.folder)
    assert list_models() == shipped_models()
    with pytest.raises(ModelNotFound, match="general"):
        get_model("mine")
    add(folder)
    found = get_model("mine")
    assert found in list_models()
    assert found.added
    assert (found.scales, found.multiple, found.licence) == ((1, 2), 8, "MIT")
    add(folder, scale=4, content=nearest(4).SerializeToString())
    assert get_model("mine").native_scales == (4,)
    folder.remove("mine")
    assert list_models() == shipped_models()
    with pytest.raises(ModelNotFound):
        get_model("mine")


def test_the_list_is_read_only_when_it_has_changed(folder, monkeypatch):
    add(folder)
    attach(folder.folder)
    read = []
    original = WeightsFolder.models
    monkeypatch.setattr(WeightsFolder, "models", lambda self: read.append(1) or original(self))
    for _ in range(5):
        get_model("mine")
    assert len(read) == 1
    os.utime(folder.folder / "installed.json", ns=(1, 1))
    get_model("mine")
    assert len(read) == 2


def test_what_comes_along_cannot_be_shadowed(folder):
    shipped = get_model("general")
    add(folder, "general")  # no command does that: the list was written by hand
    attach(folder.folder)
    assert get_model("general") is shipped
    assert [each.name for each in list_models()].count("general") == 1


def test_of_two_folders_the_last_counts(folder, tmp_path):
    other = WeightsFolder(tmp_path / "other")
    add(folder, licence="first")
    add(folder, "only-here")
    add(other, licence="second")
    attach(folder.folder)
    attach(other.folder)
    assert get_model("mine").licence == "second"
    assert get_model("only-here").licence == "MIT"
    attach(folder.folder)
    assert get_model("mine").licence == "first"
    detach(folder.folder)
    assert get_model("mine").licence == "second"


def test_a_damaged_list_hides_nothing_that_comes_along(folder):
    add(folder)
    attach(folder.folder)
    (folder.folder / "installed.json").write_text("{")
    assert list_models() == shipped_models()
    assert get_model("photo").name == "photo"
    for _ in range(2):
        with pytest.raises(WeightsMissing, match=r"installed\.json"):
            get_model("mine")


@pytest.mark.parametrize("damage", [b"", b"else", None])
def test_a_file_that_is_gone_or_changed_is_said_to_be(folder, damage):
    made = add(folder)
    attach(folder.folder)
    (weights,) = get_model("mine").weights
    assert load_network(weights).graph.node
    path = folder.folder / made.file
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(WeightsMissing, match="run superres models add again"):
        load_network(weights)


def test_a_checkpoint_is_one_operator_that_only_pytorch_knows(folder):
    add(folder, runtime="torch", content=b"weights")
    attach(folder.folder)
    found = get_model("mine")
    recipe = make_recipe(found, 2, 0.0)
    assert recipe.runtime == "torch"
    assert make_recipe(get_model("general"), 4, 0.5).runtime is None
    (node,) = load_network(found.weights[0]).graph.node
    assert (node.domain, node.op_type) == ("superres", "Checkpoint")
    told = {a.name: a.s.decode() or a.i for a in node.attribute}
    assert told["path"] == found.weights[0].installed
    assert told["sha256"] == found.weights[0].sha256
    assert told["scale"] == 2


def test_recipes_of_two_files_have_two_keys(folder):
    add(folder)
    attach(folder.folder)
    one = make_recipe(get_model("mine"), 2, 0.0).key(64, 64, False)
    add(folder, content=nearest(2).SerializeToString() + b"\x12\x00")
    assert make_recipe(get_model("mine"), 2, 0.0).key(64, 64, False) != one


def test_names(folder):
    with pytest.raises(BadParameter, match="cannot be a name"):
        add(folder, "../x")
    assert replace(model(), name="a").name == "a"
    assert not catalog._attached
