"""Rates, counted in this process and in the real Redis."""

from __future__ import annotations

import logging
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from superres.access import ANONYMOUS, Access, Plan, Quota
from superres.access.rates import Rates
from superres.errors import BadParameter, RateLimited, StorageError
from tests.unit.database.places import REDIS

ASK = """
import sys
from superres.access import Plan
from superres.access.rates import Rates
from superres.errors import RateLimited
rates = Rates(sys.argv[1])
rates.check()
print("ready", flush=True)
sys.stdin.readline()
admitted = 0
for _ in range(20):
    try:
        rates.admit(sys.argv[2], Plan(rate=0.01, burst=30))
        admitted += 1
    except RateLimited:
        pass
print(admitted)
"""


@pytest.fixture
def who() -> Iterator[str]:
    """A credential id of this test's own; what Redis knows of it goes at the end."""
    name = f"test-{secrets.token_hex(8)}"
    yield name
    if REDIS:
        import redis

        with redis.from_url(REDIS) as client:
            for key in client.scan_iter(f"superres:rate/{name}/*"):
                client.delete(key)


@pytest.fixture(params=["memory", "redis"])
def rates(request: pytest.FixtureRequest) -> Rates:
    if request.param == "memory":
        return Rates("memory://")
    if not REDIS:
        pytest.skip("SUPERRES_TEST_REDIS does not name a Redis")
    return Rates(REDIS)


def admitted(rates: Rates, who: str, plan: Plan, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            rates.admit(who, plan)
            count += 1
        except RateLimited:
            pass
    return count


@pytest.mark.parametrize("plan", [Plan(rate=0.05, burst=5), Plan(rate=0.5), Plan(rate=3, burst=20)])
def test_a_burst_and_no_more(rates: Rates, who: str, plan: Plan) -> None:
    assert admitted(rates, who, plan, 30) == plan.effective_burst


def test_a_pace_counts_for_the_rate_and_not_for_the_quota(lite: Access) -> None:
    made = lite.create("looker")
    lite.set_plan("looker", Plan(rate=0.05, burst=2, quota=Quota(day=1)))
    lite.pace(lite.by_token(made.token))
    assert [usage.used for usage in lite.usage("looker")] == [0]
    lite.admit(lite.by_token(made.token))
    with pytest.raises(RateLimited):
        lite.pace(lite.by_token(made.token))
    lite.pace(ANONYMOUS)


def test_a_doors_own_rate_holds_where_the_plan_has_none(lite: Access) -> None:
    made, door = lite.create("guest"), Plan(rate=0.05, burst=2)
    for plan in (None, Plan(quota=Quota(day=100))):
        lite.set_plan("guest", plan)
        lite.admit(lite.by_token(made.token), default=door)
        lite.admit(lite.by_token(made.token))  # other doors have none
    with pytest.raises(RateLimited):
        lite.admit(lite.by_token(made.token), default=door)
    with pytest.raises(RateLimited):
        lite.pace(lite.by_token(made.token), door)
    lite.set_plan("guest", Plan(rate=1000))
    lite.pace(lite.by_token(made.token), door)
    lite.pace(ANONYMOUS, door)


def test_the_wait_that_is_told_is_enough_and_needed(rates: Rates, who: str) -> None:
    plan = Plan(rate=10, burst=3)  # a window of 0.3 s, which whole seconds cannot say
    start = time.monotonic()
    assert admitted(rates, who, plan, 3) == 3
    with pytest.raises(RateLimited) as caught:
        rates.admit(who, plan)
    assert 0 < caught.value.retry_after <= 0.3
    assert "More than 10 requests per second, or 3 at once" in caught.value.public_message
    time.sleep(caught.value.retry_after + 0.005)
    rates.admit(who, plan)
    assert time.monotonic() - start >= 0.29


def test_the_average_is_the_rate(rates: Rates, who: str) -> None:
    plan = Plan(rate=40, burst=4)
    count, start = 0, time.monotonic()
    while time.monotonic() - start < 1.0:
        count += admitted(rates, who, plan, 1)
        time.sleep(0.002)
    # 4 at once, then 4 in each of the ten windows; a slow machine may miss some.
    assert 20 <= count <= 44


def test_credentials_do_not_share(rates: Rates, who: str) -> None:
    plan = Plan(rate=0.01, burst=1)
    assert admitted(rates, who, plan, 2) == 1
    assert admitted(rates, f"{who}/other", plan, 2) == 1


def test_no_rate_is_no_limit(rates: Rates, who: str) -> None:
    assert admitted(rates, who, Plan(quota=Quota(day=1)), 50) == 50


def test_many_threads(rates: Rates, who: str) -> None:
    plan = Plan(rate=0.01, burst=25)
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda _: admitted(rates, who, plan, 10), range(8))
        assert sum(parts) == 25


@pytest.mark.skipif(not REDIS, reason="SUPERRES_TEST_REDIS does not name a Redis")
def test_many_processes_share_redis(who: str) -> None:
    argv, pipe = [sys.executable, "-c", ASK, REDIS, who], subprocess.PIPE
    askers = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for asker in askers:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin is not None
        asker.stdin.write("\n")
        asker.stdin.flush()
    assert sum(int(asker.communicate(timeout=60)[0]) for asker in askers) == 30


def test_check(rates: Rates) -> None:
    rates.check()


def silent_port() -> tuple[socket.socket, int]:
    """A port that nobody answers at: connections wait in the queue for ever."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    return listener, listener.getsockname()[1]


def test_redis_is_away_at_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"redis://:hunter2@127.0.0.1:{taken.getsockname()[1]}/0"
        with pytest.raises(StorageError, match="does not answer") as caught:
            Rates(url).check()
    assert "hunter2" not in caught.value.public_message


def test_redis_goes_away(who: str, caplog: pytest.LogCaptureFixture) -> None:
    listener, port = silent_port()
    rates = Rates(f"redis://:hunter2@127.0.0.1:{port}/0")
    plan = Plan(rate=1, burst=1)
    with listener, caplog.at_level(logging.WARNING):
        start = time.monotonic()
        rates.admit(who, plan)  # let through, after a moment
        assert time.monotonic() - start < 4
        start = time.monotonic()
        for _ in range(100):
            rates.admit(who, plan)  # and Redis is left alone for a while
        assert time.monotonic() - start < 0.5
    (record,) = caplog.records
    assert "requests are let through" in record.getMessage()
    assert "hunter2" not in record.getMessage()


@pytest.mark.parametrize(
    "url", ["", "memcached://localhost", "redis://:hunter2@localhost:port/0", "memory://x"]
)
def test_other_urls_are_refused(who: str, url: str) -> None:
    with pytest.raises(BadParameter, match=r"access\.rate_limit_url") as caught:
        Rates(url).check()
    assert "hunter2" not in caught.value.public_message


def test_a_request_that_the_rate_refuses_costs_no_quota(lite: Access) -> None:
    made = lite.create("a")
    lite.set_plan("a", Plan(rate=0.01, burst=2, quota=Quota(day=10)))
    caller = lite.by_token(made.token)
    for _ in range(2):
        lite.admit(caller)
    for _ in range(3):
        with pytest.raises(RateLimited):
            lite.admit(caller)
    assert [usage.used for usage in lite.usage("a")] == [2]


def test_access_checks_what_it_needs(lite: Access) -> None:
    lite.check()
