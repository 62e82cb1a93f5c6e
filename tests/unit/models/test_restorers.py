"""The list of networks that restore faces."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from superres.errors import ModelNotFound
from superres.models import list_models
from superres.models.installed import check_name
from superres.models.restorers import get_restorer, list_restorers, restorer_of
from tests.unit.models.publisher import NAMES

RESTORERS = list_restorers()


def test_one_for_each_architecture() -> None:
    assert [each.architecture for each in RESTORERS] == ["GFPGAN", "RestoreFormer", "CodeFormer"]
    assert {each.architecture for each in RESTORERS} == set(NAMES)
    names = [each.name for each in RESTORERS]
    assert names == ["gfpgan", "restoreformer", "codeformer"]
    assert not set(names) & {model.name for model in list_models()}
    for each in RESTORERS:
        check_name(each.name)
        assert get_restorer(each.name) is each
        assert restorer_of(each.architecture) is each


@pytest.mark.parametrize("each", RESTORERS, ids=lambda each: each.name)
def test_each_says_where_it_is_and_under_which_terms(each) -> None:
    address = urlsplit(each.url)
    assert address.scheme == "https"
    assert address.path.endswith(".pth")
    assert re.fullmatch(r"[0-9a-f]{64}", each.sha256)
    assert 250e6 < each.size < 400e6
    assert each.source.startswith("URL: ")
    assert "SHA-256: " in each.source
    assert len(each.terms) > 200
    assert "commercial" in each.terms


def test_the_non_commercial_one_is_known_as_such() -> None:
    assert [each.name for each in RESTORERS if not each.commercial] == ["codeformer"]


def test_others_are_unknown() -> None:
    with pytest.raises(ModelNotFound, match="did you mean 'codeformer'"):
        get_restorer("codeforme")
    with pytest.raises(LookupError):
        restorer_of("StyleGAN")
