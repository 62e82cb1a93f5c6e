"""What is logged, and what never is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from superres.server import logs
from superres.settings import ServerSettings

SECRET = "srk_do-not-tell"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail(token: str) -> None:
    headers = {"authorization": token}
    raise ZeroDivisionError(f"{len(headers)} headers")


@pytest.mark.parametrize("form", ["json", "text", "auto"])
def test_a_traceback_tells_no_values(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(ServerSettings(log_format=form))
    try:
        fail(SECRET)
    except ZeroDivisionError as exc:
        structlog.get_logger("superres.server").error("unexpected error", exc_info=exc)
        logging.getLogger("elsewhere").error("so too", exc_info=exc)
    told = capsys.readouterr().err
    assert told.count("1 headers") == 2
    assert "fail" in told  # the traceback is there
    assert SECRET not in told


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(ServerSettings(log_format="json"))
    structlog.get_logger("superres.server").info("request", path="/a\nb", status=200)
    logging.getLogger("superres.executors").info("Worker %s is ready", "cpu")
    logging.getLogger("uvicorn.error").info("chatter")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["path"], first["level"]) == ("request", "/a\nb", "info")
    assert second["event"] == "Worker cpu is ready"
    assert "timestamp" in second
