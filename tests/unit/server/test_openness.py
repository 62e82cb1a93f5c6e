"""Nothing is open to the world unless somebody said so."""

from __future__ import annotations

import pytest

from superres.errors import BadParameter
from superres.server.serve import check_openness
from superres.settings import load


def settings(host: str, stages: str):
    return load(None, {"server.host": host, "ai_solution_kit.stages": stages}, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "superres.example"])
def test_an_open_stage_on_a_public_address_is_refused(host: str) -> None:
    with pytest.raises(BadParameter, match=r"--allow-anonymous") as told:
        check_openness(settings(host, "prod=NONE,keyed=API_KEY"), allow_anonymous=False)
    assert "prod" in str(told.value)
    assert "keyed" not in str(told.value)
    check_openness(settings(host, "prod=NONE"), allow_anonymous=True)
    check_openness(settings(host, "iam=AWS_IAM,keyed=API_KEY"), allow_anonymous=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_alone_it_is_fine(host: str) -> None:
    check_openness(settings(host, "prod=NONE"), allow_anonymous=False)


def test_a_public_address_counts_as_public() -> None:
    given = {"server.public_url": "https://sr.example", "ai_solution_kit.stages": "prod=NONE"}
    with pytest.raises(BadParameter, match=r"sr\.example.*--allow-anonymous"):
        check_openness(load(None, given, {}), allow_anonymous=False)
