"""docs/jobs.md: its table is that of the code, its states too, and its commands run."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from superres.jobs import State
from superres.settings import JobsSettings
from tests.unit.cli.calls import Run
from tests.unit.cli.taken import Taken

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "jobs.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]


def test_every_setting_is_in_the_table() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", TEXT, re.MULTILINE))
    plain = {name: value.replace("1 GiB", str(1 << 30)) for name, value in told.items()}
    settings = JobsSettings()
    assert {name: float(value) for name, value in plain.items()} == {
        field.name: float(getattr(settings, field.name)) for field in fields(settings)
    }


def test_every_state_is_drawn() -> None:
    (drawn,) = re.findall(r"```\n(waiting.*?)```", TEXT, re.DOTALL)
    assert set(re.findall(r"[a-z_]+", re.sub(r"  [a-z].*", "", drawn))) == {*State}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_they_stand(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("SUPERRES_SERVER__DATA_DIR", str(folder / "data"))
    Taken(folder / "data").credential("alice")
    name, *words = shlex.split(command)
    assert name == "superres"
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out
