"""A server that runs sees models that are added and removed meanwhile, at every door."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import httpx
import numpy as np
import pytest

from superres.models.installed import WeightsFolder
from superres.pipeline.adding import Brought, add_model, read_candidate
from superres.settings import load
from tests.dialects.conftest import running_command
from tests.dialects.v1.conftest import opened, picture

NETWORK = Path(str(resources.files("superres.models") / "weights" / "faithful_x2.onnx"))


def add(folder: Path, name: str) -> None:
    place = WeightsFolder(folder)
    with place.stage(NETWORK) as staged:
        brought = Brought(staged, "mine.onnx")
        add_model(place, read_candidate(brought), brought, name, load(), licence="Apache-2.0")


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(opened(answer.content))


def test_a_model_comes_and_goes(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    environment = {
        "SUPERRES_MODELS__WEIGHTS_DIR": str(folder),
        "SUPERRES_AI_SOLUTION_KIT__MODEL": "mine",
    }
    if "SUPERRES_ENGINE__CACHE_DIR" in os.environ:
        environment["SUPERRES_ENGINE__CACHE_DIR"] = os.environ["SUPERRES_ENGINE__CACHE_DIR"]
    data = tmp_path / "data"
    data.mkdir()
    sent = {"file": ("a.png", picture(40, 30), "image/png")}
    with (
        running_command(data, environment) as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):

        def names() -> list[str]:
            return [model["name"] for model in client.get("/v1/models").json()["models"]]

        def upscale(**fields: object) -> httpx.Response:
            how = {"scale": 2, "format": "png", **fields}
            return client.post("/v1/upscale", files=sent, data=how)

        assert "mine" not in names()
        refused = upscale(model="mine")
        assert refused.status_code in (400, 404)
        assert "'mine'" in refused.json()["error"]["message"]
        add(folder, "mine")
        told = {m["name"]: m for m in client.get("/v1/models").json()["models"]}["mine"]
        assert (told["licence"], told["added"], told["scales"]) == ("Apache-2.0", True, [1, 2])
        out, same = (pixels(upscale(model=name, fidelity=0)) for name in ("mine", "faithful"))
        assert out.shape == (60, 80, 3)
        # It is the faithful network under another name.
        np.testing.assert_allclose(out.astype(int), same.astype(int), atol=1)
        assert np.abs(out.astype(int) - pixels(upscale(model="general", fidelity=0))).max() > 1
        asked = {"width": 100, "height": 50, "model": "mine", "scale": 2}
        assert client.get("/v1/estimate", params=asked).json()["passes"] == [2]
        job = client.post("/v1/jobs", files=sent, data={"model": "mine", "scale": 2})
        assert job.status_code in (200, 202), job.text
        WeightsFolder(folder).remove("mine")
        assert "mine" not in names()
        refused = upscale(model="mine")
        assert refused.status_code in (400, 404)
        assert pixels(upscale(model="general")).shape == (60, 80, 3)


@pytest.mark.parametrize("damage", [b"{", b""])
def test_a_damaged_list_stops_nothing_else(start_server, tmp_path, damage) -> None:
    folder = tmp_path / "weights"
    add(folder, "mine")
    server = start_server({"models.weights_dir": str(folder)})
    with httpx.Client(base_url=server.url, timeout=60) as client:
        (folder / "installed.json").write_bytes(damage)
        found = client.get("/v1/models").json()["models"]
        assert "general" in [model["name"] for model in found]
        how = {"model": "mine", "scale": 2}
        sent = {"file": ("a.png", picture(20, 20), "image/png")}
        refused = client.post("/v1/upscale", files=sent, data=how)
        assert refused.json()["error"]["code"] == "weights_missing"
        assert client.post("/v1/upscale", files=sent, data={"scale": 2}).status_code == 200


def test_a_dialects_default(start_server, tmp_path) -> None:
    folder = tmp_path / "weights"
    given = {"models.weights_dir": str(folder), "ai_solution_kit.model": "mine"}
    server = start_server({**given, "ai_solution_kit.stages": {"prod": "NONE"}})
    add(folder, "mine")
    import base64

    sent = {"img": base64.b64encode(picture(20, 20)).decode(), "scale": 2}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.post("/prod/image_super_resolution", json=sent)
        assert answer.status_code == 200, answer.text
        WeightsFolder(folder).remove("mine")
        assert client.post("/prod/image_super_resolution", json=sent).status_code != 200


def test_a_default_that_was_removed(tmp_path: Path) -> None:
    """Whoever names another model is served; who names none is told."""
    environment = {"SUPERRES_MODELS__DEFAULT": "gone"}
    if "SUPERRES_ENGINE__CACHE_DIR" in os.environ:
        environment["SUPERRES_ENGINE__CACHE_DIR"] = os.environ["SUPERRES_ENGINE__CACHE_DIR"]
    data = tmp_path / "data"
    data.mkdir()
    sent = {"file": ("a.png", picture(40, 30), "image/png")}
    with (
        running_command(data, environment) as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        assert client.get("/v1/models").json()["default"] == "gone"
        how = {"scale": "2", "format": "png"}
        done = client.post("/v1/upscale", files=sent, data={**how, "model": "faithful"})
        assert pixels(done).shape == (60, 80, 3)
        refused = client.post("/v1/upscale", files=sent, data=how)
        assert refused.status_code in (400, 404)
        assert "'gone'" in refused.json()["error"]["message"]
        bare = client.post("/v1/upscale", content=picture(40, 30))
        assert "'gone'" in bare.json()["error"]["message"]
