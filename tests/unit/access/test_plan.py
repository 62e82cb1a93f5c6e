"""Plans: their limits, and their form at rest."""

from __future__ import annotations

import math

import pytest

from superres.access import Plan, Quota
from superres.errors import BadParameter

PLANS = [
    Plan(),
    Plan(rate=0.5),
    Plan(rate=10, burst=20),
    Plan(quota=Quota(day=1)),
    Plan(rate=1, burst=1, quota=Quota(day=10, week=50, month=100)),
]


@pytest.mark.parametrize("plan", PLANS)
def test_the_form_at_rest_comes_back(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan


def test_a_burst_not_given_is_a_second_s_worth() -> None:
    assert [Plan(rate=rate).effective_burst for rate in (0.1, 1, 2.5, 1e6)] == [1, 1, 3, 100_000]
    assert Plan(rate=2.5, burst=7).effective_burst == 7


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 1e7, True, "5"])
def test_a_wrong_rate(rate: float) -> None:
    with pytest.raises(BadParameter, match="The rate must be"):
        Plan(rate=rate)


@pytest.mark.parametrize("burst", [0, -1, 100_001, 1.5, True])
def test_a_wrong_burst(burst: int) -> None:
    with pytest.raises(BadParameter, match="The burst must be"):
        Plan(rate=1, burst=burst)


def test_a_burst_alone() -> None:
    with pytest.raises(BadParameter, match="needs a rate"):
        Plan(burst=5)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, 10**16])
def test_a_wrong_quota(limit: int) -> None:
    with pytest.raises(BadParameter, match="quota per week"):
        Quota(week=limit)


def test_limits_are_those_that_are_set() -> None:
    assert Quota(day=3, month=9).limits() == {"day": 3, "month": 9}
    assert Quota().limits() == {}
