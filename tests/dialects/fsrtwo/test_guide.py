"""docs/fsrtwo.md: its commands run as they stand, its tables are those of the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

from superres.server.dialects.fsrtwo.answers import STATUS as STATES
from superres.server.dialects.fsrtwo.errors import STATUS, WRONG_METHOD
from superres.server.dialects.fsrtwo.routes import recipe_for
from superres.server.dialects.fsrtwo.schemas import FORMATS, MAX_IMAGES
from superres.server.errors import ClientGone
from superres.settings import Settings
from superres.settings.sections import FsrtwoSettings
from tests.dialects.fsrtwo.conftest import PATIENCE, Client, check_form, picture

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "fsrtwo.md"
TEXT = GUIDE.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def server(start_server):
    return start_server({"jobs.concurrency": 3, "sources.allow_networks": ["127.0.0.0/8"]})


@pytest.fixture
def environment(server, web):
    """What the page asks for: a credential and the link of a picture."""
    made = server.access.create(os.urandom(8).hex())
    photo = web.put("photo.jpg", picture(256, 270, "JPEG"))
    return {**os.environ, "APPKEY": made.id, "APPSECRET": made.secret, "PHOTO": photo}


def ran(command: list[str], environment: dict[str, str], folder: Path) -> str:
    run = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.mark.parametrize("block", blocks("sh"))
def test_commands_run_as_they_stand(block, server, environment, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    here = block.replace("http://127.0.0.1:8000", server.url)
    said = json.loads(ran(["sh", "-c", here], environment, tmp_path))
    assert said["code"] == 0
    if "TASK" in block:
        check_form(said["data"])
        assert len(said["data"]["list"]) == 1
    else:
        assert said["data"].keys() == {"task_id"}


def test_the_client_runs_as_it_stands(server, environment, tmp_path):
    warm = Client(server.url, environment["APPKEY"], environment["APPSECRET"])
    warm.finished(warm.task([environment["PHOTO"]]))
    time.sleep(1.1)  # it is known how long one has to wait
    [client] = blocks("python")
    here = client.replace("http://127.0.0.1:8000", server.url)
    assert ran([sys.executable, "-c", here], environment, tmp_path) == ""
    with Image.open(tmp_path / "picture0_x8.png") as came:
        assert (came.format, came.size) == ("PNG", (2048, 2160))


def test_the_answers_shown_are_of_the_form_that_is_answered():
    created, result, refused = (json.loads(block) for block in blocks("json"))
    assert created["data"].keys() == {"task_id"}
    check_form(result["data"])
    assert (refused["code"], refused["data"]) == (680400, {})


def test_every_code_is_told_with_its_status():
    told = {
        (int(status), int(code))
        for statuses, code in re.findall(r"^\| (\d{3}[\d, ]*) \| (\d{6}) \|", TEXT, re.MULTILINE)
        for status in statuses.split(",")
    }
    given = {(a.status, a.code) for cls, a in STATUS.items() if cls is not ClientGone}
    assert told == given | {(WRONG_METHOD.status, WRONG_METHOD.code)}


def test_every_state_is_told():
    assert set(re.findall(r"^\| `(\d)` \|", TEXT, re.MULTILINE)) == set(STATES.values())


def test_the_limits_told_are_those_that_hold():
    rules = recipe_for(Settings(), "png").rules
    assert f"both sides {rules.min_side} pixels or more" in TEXT
    assert f"the longer one {rules.max_side} or less" in TEXT
    assert f"at most {rules.max_aspect:g} to 1" in TEXT
    assert rules.max_bytes == 50 << 20
    assert [name.upper() for name in rules.formats] == ["PNG", "JPEG", "BMP"]
    assert f"{MAX_IMAGES} in a task" in TEXT
    assert {name.upper() for name in FORMATS} == {"JPG", "PNG"}
    jobs, sources = Settings().jobs, Settings().sources
    assert (jobs.max_run, jobs.max_wait, sources.timeout) == (1800, 86_400, 20)
    for field in fields(FsrtwoSettings):
        assert f"`[fsrtwo] {field.name}`" in TEXT
