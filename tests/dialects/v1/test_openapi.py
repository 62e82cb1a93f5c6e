"""The description of this door is true: held against the running server by Schemathesis."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from superres.imageio import WRITABLE
from superres.models import list_models
from superres.server.v1.fields import UpscaleFields
from superres.server.v1.jobs.fields import JobFields
from tests.dialects.conftest import RunningServer, StartServer
from tests.dialects.v1.conftest import picture

EXAMPLES = 4  # of each operation in the fuzzing phase; the others are as many as it has


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> RunningServer:
    """Jobs are done, so that following one comes to an end."""
    return start_server({"jobs.concurrency": 3})


@pytest.fixture(scope="module")
def described(client) -> dict:
    return client.get("/openapi.json").json()


def test_schemathesis_finds_nothing(server, tmp_path):
    command = Path(sys.executable).with_name("schemathesis")
    run = subprocess.run(
        [
            *(command, "run", f"{server.url}/openapi.json", "--no-color"),
            # What a schema cannot say of values that contradict each other, or a picture, is
            # refused rightly; test_refusals.py holds what is refused and how.
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
            # One worker: before Python 3.11.8 two threads cannot both parse source, as Hypothesis
            # does (python/cpython#106905).
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--workers", "1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    operations = re.search(r"Tested: +(\d+)", run.stdout)
    assert operations is not None
    assert int(operations[1]) == 12


def test_every_route_is_described(described):
    assert {(path, method) for path, item in described["paths"].items() for method in item} == {
        ("/v1/upscale", "post"),
        ("/v1/results/{result_id}", "get"),
        ("/v1/results/{result_id}", "head"),
        ("/v1/requests/{request_id}/events", "get"),
        ("/v1/models", "get"),
        ("/v1/estimate", "get"),
        ("/v1/jobs", "post"),
        ("/v1/jobs", "get"),
        ("/v1/jobs/{job_id}", "get"),
        ("/v1/jobs/{job_id}", "delete"),
        ("/v1/jobs/{job_id}/cancel", "post"),
        ("/v1/jobs/{job_id}/events", "get"),
    }


def test_all_forms_and_answers_of_an_upscale(described):
    upscale = described["paths"]["/v1/upscale"]["post"]
    bodies = upscale["requestBody"]["content"]
    assert set(bodies) == {
        "multipart/form-data",
        "application/json",
        "application/octet-stream",
        "image/*",
    }
    names = set(UpscaleFields.model_fields)
    assert {parameter["name"] for parameter in upscale["parameters"]} == names
    assert set(form_fields(upscale)) == names | {"file"}
    assert set(bodies["application/json"]["schema"]["properties"]) == names | {"url", "img"}
    answers = upscale["responses"]["200"]["content"]
    assert set(answers) == {"image/*", "application/json", "text/event-stream"}
    assert upscale["security"] == [{"token": []}, {}]
    properties = bodies["application/json"]["schema"]["properties"]
    assert "enum" not in properties["model"], "models can be added while the server runs"
    for model in list_models():
        assert model.name in properties["model"]["description"]
    assert set(WRITABLE) <= set(properties["format"]["enum"])


def form_fields(upscale: dict) -> dict:
    schema = upscale["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["unevaluatedProperties"] is False
    (more,) = schema["anyOf"]
    return schema["properties"] | more["properties"]


def test_every_refusal_has_the_one_form(described):
    for path, item in described["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and method != "head":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, (path, status)
    assert "HTTPValidationError" not in json.dumps(described)


def test_examples_work_as_they_stand(described, client):
    upscale = described["paths"]["/v1/upscale"]["post"]
    examples = upscale["requestBody"]["content"]["application/json"]["schema"]["examples"]
    for example in examples:
        assert client.post("/v1/upscale", json=example).status_code == 200
    form = form_fields(upscale)
    data = {
        name: str(schema["examples"][0]) for name, schema in form.items() if "examples" in schema
    }
    assert len(data) >= 3
    response = client.post("/v1/upscale", files={"file": ("a.png", picture())}, data=data)
    assert response.status_code == 200
    estimate = described["paths"]["/v1/estimate"]["get"]["parameters"]
    query = {
        parameter["name"]: parameter["schema"]["examples"][0]
        for parameter in estimate
        if "examples" in parameter["schema"]
    }
    told = client.get("/v1/estimate", params=query).json()
    assert (told["out_width"], told["out_height"]) == (3200, 2400)


def test_defaults_are_those_of_the_code(described):
    upscale = described["paths"]["/v1/upscale"]["post"]
    for name, schema in form_fields(upscale).items():
        if name != "file":
            assert schema.get("default") == UpscaleFields.model_fields[name].default


def test_both_forms_and_the_examples_of_a_job(described, client):
    create = described["paths"]["/v1/jobs"]["post"]
    bodies = create["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/json"}
    names = set(JobFields.model_fields)
    assert set(form_fields(create)) == names | {"file"}
    as_json = bodies["application/json"]["schema"]
    assert set(as_json["properties"]) == names | {"images"}
    assert {parameter["name"] for parameter in create["parameters"]} == names | {"Idempotency-Key"}
    assert create["security"] == [{"token": []}, {}]
    job = create["responses"]["202"]["content"]["application/json"]["schema"]
    assert job == {"$ref": "#/components/schemas/Job"}
    (example,) = as_json["examples"]
    response = client.post("/v1/jobs", json=example)
    assert response.status_code == 202
    assert set(response.json()) == set(described["components"]["schemas"]["Job"]["properties"])
    assert [image["name"] for image in response.json()["images"]] == ["one", "two"]
    for name, schema in form_fields(create).items():
        if name != "file":
            assert schema.get("default") == JobFields.model_fields[name].default


def test_models(client):
    told = client.get("/v1/models").json()
    assert told["default"] == "general"
    assert [model["name"] for model in told["models"]] == [model.name for model in list_models()]
    for model in told["models"]:
        assert set(model) == {
            *("name", "title", "purpose", "scales", "fidelity", "faces", "cost", "licence"),
            "added",
        }
    costs = {model["name"]: model["cost"] for model in told["models"]}
    assert costs["general"] == 1
    assert costs["photo"] > 5


def test_estimate(client):
    told = client.get("/v1/estimate?width=100&height=50&scale=2.5&format=webp&fidelity=1").json()
    assert (told["width"], told["height"]) == (100, 50)
    assert (told["out_width"], told["out_height"]) == (250, 125)
    assert (told["model"], told["fidelity"], told["format"]) == ("general", 1.0, "webp")
    assert told["seconds"] >= 0
    assert told["memory_bytes"] > 0
    assert told["scratch_bytes"] > 0
    assert told["passes"]


def test_the_reference_asks_nobody_else(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert client.head("/docs").status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page.text) == []
    assert "<script>" not in page.text
    linked = re.findall(r'(?:src|href|data-document)="([^"]+)"', page.text)
    found = [address for address in linked if not address.startswith("data:")]
    assert "openapi.json" in found
    for address in found:
        assert client.get(str(httpx.URL(f"{client.base_url}/docs").join(address))).is_success


def test_what_a_face_is(described):
    schemas = described["components"]["schemas"]
    assert set(schemas["Face"]["properties"]) == {"box", "score", "tier"}
    assert schemas["Face"]["properties"]["tier"]["enum"] == ["unchanged", "enhanced", "restored"]
    answer = described["paths"]["/v1/upscale"]["post"]["responses"]["200"]
    header = answer["headers"]["X-Faces"]["content"]["application/json"]["schema"]
    assert header["items"] == {"$ref": "#/components/schemas/Face"}
