"""docs/api.md: its commands run as they stand, its tables are those of the code."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from superres.errors import SuperresError
from superres.server.errors import ClientGone
from superres.server.v1.errors import STATUS
from superres.server.v1.fields import UpscaleFields
from tests.dialects.v1.conftest import opened, picture

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
TEXT = GUIDE.read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.split("\n")[:-1]
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_they_stand(command, server, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "photo.jpg").write_bytes(picture(120, 90, "JPEG"))
    here = command.replace("http://127.0.0.1:8000", server.url)
    run = subprocess.run(
        ["sh", "-c", here], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert '"error"' not in run.stdout
    written = re.search(r"-o (\S+)", command)
    if written:
        image = opened((tmp_path / written[1]).read_bytes())
        assert image.width in (240, 1200)
    else:
        assert run.stdout


def test_every_parameter_is_in_the_table():
    rows = re.findall(r"^\| (`[^|]+) \|", TEXT, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(
        UpscaleFields.model_fields
    )


def test_every_code_is_in_the_table_under_its_status():
    told: dict[str, set[int]] = {}
    for statuses, codes in re.findall(r"^\| (\d[\d, ]*) \| (.*) \|$", TEXT, re.MULTILINE):
        for code in re.findall(r"`(\w+)`", codes):
            told[code] = {int(status) for status in statuses.split(",")}
    for cls, status in STATUS.items():
        if cls is not ClientGone and not has_kinds(cls):
            assert status in told[cls.code], cls.code


def has_kinds(cls: type[SuperresError]) -> bool:
    return any(kind is not ClientGone for kind in cls.__subclasses__())
