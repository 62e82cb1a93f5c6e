"""The API Explorer: its document, and "Try it out" in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from urllib.parse import urljoin

import pytest
import urllib3

from tests.dialects.ai_solution_kit.conftest import STAGES, picture_of


def get(url, method="GET"):
    return urllib3.request(method, url, retries=False, redirect=False, timeout=30)


@pytest.fixture(params=STAGES)
def stage(request):
    return request.param


def document_of(kit, stage):
    return json.loads(get(f"{kit.server.url}/{stage}/api-explorer/openapi.json").data)


def test_page(kit, stage):
    response = get(f"{kit.server.url}/{stage}/api-explorer")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    page = response.data.decode()
    assert not re.findall(r"https?://", page), "nothing of another host"
    assert not re.findall(r"<script>|<style>| on\w+=", page), "nothing inline"
    addresses = re.findall(r'(?:href|src|data-document)="([^"]+)"', page)
    assert len(addresses) >= 4
    for address in addresses:
        if not address.startswith("data:"):
            assert get(urljoin(f"{kit.server.url}/{stage}/api-explorer", address)).status == 200


def test_document_leads_to_the_stage(kit, stage):
    document = document_of(kit, stage)
    assert document["openapi"].startswith("3.")
    base = urljoin(
        f"{kit.server.url}/{stage}/api-explorer/openapi.json", document["servers"][0]["url"]
    )
    (path,) = document["paths"]
    assert base + path == kit.url(stage)
    assert set(document["paths"][path]) == {"post"}


def test_document_says_how_to_be_let_in(kit):
    parts = {stage: document_of(kit, stage)["components"] for stage in STAGES}
    schemes = {stage: part.get("securitySchemes", {}) for stage, part in parts.items()}
    assert schemes["prod"] == {}
    assert [s["name"] for s in schemes["keyed"].values()] == ["x-api-key"]
    assert [s["x-amazon-apigateway-authtype"] for s in schemes["iam"].values()] == ["awsSigv4"]


def test_document_is_valid(kit, stage):
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_dict(document_of(kit, stage))
    schema.validate()
    assert [operation.ok().label for operation in schema.get_all_operations()] == [
        "POST /image_super_resolution"
    ]


def test_the_example_runs(kit):
    (operation,) = document_of(kit, "prod")["paths"].values()
    examples = operation["post"]["requestBody"]["content"]["application/json"]["examples"]
    body = json.dumps(examples["img"]["value"]).encode()
    response = urllib3.request("POST", kit.url(), body=body, retries=False, timeout=60)
    assert picture_of(response.data).size == (32, 32)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    command = os.environ.get("SUPERRES_TEST_CHROMIUM") or shutil.which("chromium")
    if command is None:
        pytest.skip("chromium is not installed (SUPERRES_TEST_CHROMIUM: the command)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=command, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_try_it_out(kit, browser):
    """As the vendor's guide describes it, step by step, and nothing asked of another host."""
    page = browser.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{kit.server.url}/prod/api-explorer")
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    answer = page.locator(".live-responses-table .response").first
    answer.wait_for(timeout=60_000)
    assert answer.locator(".response-col_status").inner_text().strip().startswith("200")
    shown = answer.locator("pre").first.inner_text()
    assert picture_of(shown.encode()).size == (32, 32)
    assert "x-amzn-requestid" in answer.inner_text().lower()
    page.close()
    assert not complaints
    elsewhere = [u for u in asked if not u.startswith((kit.server.url, "data:", "blob:"))]
    assert not elsewhere
