"""docs/picwish.md: its commands run as they stand, its tables are those of the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from superres.server.dialects.picwish.errors import DETAILS, STATUS
from superres.server.dialects.picwish.schemas import _LADDERS, NAMES
from superres.settings.sections import PicwishSettings
from tests.dialects.picwish.conftest import COMPLETE, PATIENCE, opened, picture

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "picwish.md"
TEXT = GUIDE.read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_commands_run_as_they_stand(block, server, token, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "photo.jpg").write_bytes(picture(120, 90, "JPEG"))
    here = block.replace("http://127.0.0.1:8000", server.url)
    run = subprocess.run(
        ["sh", "-c", f"TOKEN={token}\n{here}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert run.stderr == ""
    if "-o large.jpg" in block:
        assert opened((tmp_path / "large.jpg").read_bytes()).size == (480, 360)
    else:
        assert json.loads(run.stdout)["data"]["state"] in (1, 4)
        assert ("TASK" in block) or json.loads(run.stdout)["data"]["image_width"] == 480


def test_the_answer_shown_has_every_field():
    [shown] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert json.loads(shown)["data"].keys() == COMPLETE.keys()


def test_every_parameter_state_status_and_setting_is_told():
    rows = set(re.findall(r"^\| `?([\w-]+)`? \|", TEXT, re.MULTILINE))
    assert {*NAMES, "image_file", "image_base64"} <= rows
    assert {str(state) for state in (*DETAILS, 1, 4)} <= rows
    assert {str(status) for status in STATUS.values()} <= rows
    assert all(
        f"`{field.name}`" in TEXT or f" {field.name}`" in TEXT for field in fields(PicwishSettings)
    )


def test_the_table_of_factors():
    rows = re.findall(r"^\| (\d+)–(\d+)" + r" \| ×(\d)" * 4, TEXT, re.MULTILINE)
    assert len(rows) == 3
    for row in rows:
        first, last, *factors = map(int, row)
        for factor, times in zip((None, 1, 2, 4), factors, strict=True):
            for side in (first, last):
                assert next(s for most, s in _LADDERS[factor] if side <= most) == times
