"""Every dialect has words for every error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from starlette.requests import Request
from starlette.responses import Response

from superres import errors
from superres.errors import SuperresError
from superres.server.dialects import ai_solution_kit
from superres.server.dialects.ai_solution_kit import answers
from superres.server.dialects.ai_solution_kit.errors import STATUS as AI_SOLUTION_KIT
from superres.server.dialects.cloud_infinite.answers import refusal as render_cloud_infinite
from superres.server.dialects.cloud_infinite.errors import STATUS as CLOUD_INFINITE
from superres.server.dialects.fsrtwo.answers import refusal as render_fsrtwo
from superres.server.dialects.fsrtwo.errors import STATUS as FSRTWO
from superres.server.dialects.picwish.answers import refusal as render_picwish
from superres.server.dialects.picwish.errors import STATUS as PICWISH
from superres.server.v1.errors import STATUS as V1
from superres.server.v1.errors import render as render_v1

ERRORS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, SuperresError)
]
DIALECTS: dict[str, tuple[dict, Callable[[Request, Exception], Response]]] = {
    "v1": (V1, render_v1),
    ai_solution_kit.__name__.rpartition(".")[2]: (AI_SOLUTION_KIT, answers.refusal),
    "cloud_infinite": (CLOUD_INFINITE, render_cloud_infinite),
    "fsrtwo": (FSRTWO, render_fsrtwo),
    "picwish": (PICWISH, render_picwish),
}
SERVERS_FAULT = (errors.EngineError, errors.OutputError, errors.CapacityError)
WORDS = "Exactly what was wrong."


def request() -> Request:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    return Request({**scope, "app": SimpleNamespace()})


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_error_has_its_own_row_and_answer(dialect: str, cls: type[SuperresError]) -> None:
    table, render = DIALECTS[dialect]
    assert cls in table
    answer = render(request(), cls(WORDS))
    assert 400 <= answer.status_code < 600
    if issubclass(cls, errors.InputError):
        assert answer.status_code < 500
        assert WORDS in bytes(answer.body).decode()  # who sent it can mend it
    if issubclass(cls, SERVERS_FAULT) and cls is not errors.ModelNotFound:
        assert answer.status_code >= 500 or answer.status_code == 429
    if issubclass(cls, errors.RateLimited | errors.QuotaExceeded | errors.Overloaded):
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_nobody_foresaw_is_told_without_its_words(dialect: str) -> None:
    answer = DIALECTS[dialect][1](request(), ZeroDivisionError("a secret"))
    assert answer.status_code in (500, 502)
    assert "secret" not in bytes(answer.body).decode()


def test_every_dialect_is_here() -> None:
    from pathlib import Path

    folder = Path(inspect.getfile(ai_solution_kit)).parents[1]
    there = {path.name for path in folder.iterdir() if (path / "errors.py").is_file()}
    assert there <= set(DIALECTS)
