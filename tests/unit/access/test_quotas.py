"""Quotas: exact to the request, whoever asks at the same time, in UTC periods."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from superres.access import ANONYMOUS, Access, Plan, Quota
from superres.access.quotas import PERIODS, Quotas, Usage, bounds
from superres.access.tables import quota_use
from superres.database import reading
from superres.errors import QuotaExceeded, RateLimited
from superres.settings import Settings

# A Saturday, in a week that ends in the same month.
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ASK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from superres.access import open_access
from superres.database import open_database
from superres.errors import QuotaExceeded
from superres.settings import load
settings = load(None, {"server.data_dir": sys.argv[1], "database.url": sys.argv[2] or None})
access = open_access(settings, open_database(settings))
caller = access.by_token(sys.argv[3])
def ask(_):
    try:
        access.admit(caller)
    except QuotaExceeded:
        return 0
    return 1
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(2) as pool:
    print(sum(pool.map(ask, range(40))))
"""


class Clock:
    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quotas(database: Engine, clock: Clock) -> Quotas:
    return Quotas(database, clock)


@pytest.fixture
def owner(access: Access) -> str:
    return access.create("a").id


def used(quotas: Quotas, owner: str, quota: Quota) -> dict[str, int]:
    return {usage.period: usage.used for usage in quotas.usage(owner, quota)}


def test_counted_in_every_period(quotas: Quotas, owner: str) -> None:
    quota = Quota(day=3, week=10, month=20)
    assert used(quotas, owner, quota) == {"day": 0, "week": 0, "month": 0}
    quotas.count(owner, quota)
    quotas.count(owner, quota)
    assert quotas.usage(owner, quota) == [
        Usage("day", 2, 3, datetime(2026, 11, 22, tzinfo=UTC)),
        Usage("week", 2, 10, datetime(2026, 11, 23, tzinfo=UTC)),
        Usage("month", 2, 20, datetime(2026, 12, 1, tzinfo=UTC)),
    ]


def test_used_up(quotas: Quotas, owner: str) -> None:
    quota = Quota(day=2)
    quotas.count(owner, quota)
    quotas.count(owner, quota)
    with pytest.raises(QuotaExceeded) as caught:
        quotas.count(owner, quota)
    assert caught.value.retry_after == 12 * 3600
    assert caught.value.public_message == (
        "The plan's 2 requests for this day are used up; try again from 2026-11-22 00:00 UTC."
    )
    assert used(quotas, owner, quota) == {"day": 2}


@pytest.mark.parametrize("tight", PERIODS)
def test_all_periods_or_none(quotas: Quotas, owner: str, tight: str) -> None:
    quota = Quota(**{**dict.fromkeys(PERIODS, 5), tight: 1})
    quotas.count(owner, quota)
    with pytest.raises(QuotaExceeded, match=f"for this {tight}"):
        quotas.count(owner, quota)
    assert used(quotas, owner, quota) == {"day": 1, "week": 1, "month": 1}


def test_the_last_to_end_tells_when_to_come_again(quotas: Quotas, owner: str) -> None:
    quota = Quota(day=1, month=1)
    quotas.count(owner, quota)
    with pytest.raises(
        QuotaExceeded, match="this month are used up; try again from 2026-12-01"
    ) as c:
        quotas.count(owner, quota)
    assert c.value.retry_after == timedelta(days=9, hours=12).total_seconds()


def test_a_new_period_begins(quotas: Quotas, owner: str, clock: Clock) -> None:
    quota = Quota(day=1, week=2, month=3)
    quotas.count(owner, quota)
    clock.now = datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=UTC)
    with pytest.raises(QuotaExceeded) as caught:
        quotas.count(owner, quota)
    assert caught.value.retry_after == 1.0  # not "in no time"
    clock.now = datetime(2026, 11, 22, tzinfo=UTC)  # Sunday, the same week
    quotas.count(owner, quota)
    clock.now = datetime(2026, 11, 23, tzinfo=UTC)  # Monday
    quotas.count(owner, quota)
    clock.now = datetime(2026, 11, 24, tzinfo=UTC)  # the month is spent, the day is not
    with pytest.raises(QuotaExceeded, match="this month"):
        quotas.count(owner, quota)
    assert used(quotas, owner, quota) == {"day": 0, "week": 1, "month": 3}
    clock.now = datetime(2026, 12, 1, tzinfo=UTC)
    quotas.count(owner, quota)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_periods_follow_each_other_without_a_gap(day: date) -> None:
    for period in PERIODS:
        start, end = bounds(period, day)
        assert start <= day < end
        assert bounds(period, end)[0] == end
        assert bounds(period, end - timedelta(days=1)) == (start, end)
    assert bounds("week", day)[0].isoweekday() == 1
    assert bounds("week", day)[0].isocalendar()[1] == day.isocalendar()[1]
    assert bounds("month", day)[0].day == 1


def test_a_smaller_quota_holds_at_once(quotas: Quotas, owner: str) -> None:
    for _ in range(3):
        quotas.count(owner, Quota(day=5))
    with pytest.raises(QuotaExceeded):
        quotas.count(owner, Quota(day=2))
    quotas.count(owner, Quota(day=4))


def test_no_quota_leaves_no_trace(quotas: Quotas, owner: str, database: Engine) -> None:
    quotas.count(owner, Quota())
    with reading(database) as connection:
        assert connection.execute(select(quota_use)).all() == []


def test_old_counts_go(quotas: Quotas, owner: str, clock: Clock, database: Engine) -> None:
    quotas.count(owner, Quota(day=1))
    clock.now += timedelta(days=300)
    quotas.count(owner, Quota(day=1))
    clock.now += timedelta(days=300)
    quotas.count(owner, Quota(day=1))
    with reading(database) as connection:
        days = connection.scalars(select(quota_use.c.starts_on)).all()
    assert sorted(days) == [NOON.date() + timedelta(days=300), NOON.date() + timedelta(days=600)]


def test_credentials_do_not_share(quotas: Quotas, owner: str, access: Access) -> None:
    other = access.create("b").id
    quotas.count(owner, Quota(day=1))
    quotas.count(other, Quota(day=1))


def test_many_threads(access: Access) -> None:
    made = access.create("a")
    access.set_plan("a", Plan(quota=Quota(day=100, week=60, month=500)))
    caller = access.by_token(made.token)

    def ask(_: int) -> bool:
        try:
            access.admit(caller)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(160))) == 60
    assert [usage.used for usage in access.usage("a")] == [60, 60, 60]


def test_many_processes(access: Access, where: Settings) -> None:
    made = access.create("a")
    access.set_plan("a", Plan(quota=Quota(day=70, month=500)))
    argv = [sys.executable, "-c", ASK, where.server.data_dir, where.database.url, made.token]
    pipe = subprocess.PIPE
    askers = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for asker in askers:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin is not None
        asker.stdin.write("\n")
        asker.stdin.flush()
    admitted = [int(asker.communicate(timeout=120)[0]) for asker in askers]
    assert sum(admitted) == 70
    assert [usage.used for usage in access.usage("a")] == [70, 70]
    assert {asker.returncode for asker in askers} == {0}


def test_a_plan_without_quota_shows_no_use(access: Access) -> None:
    access.create("a")
    assert access.usage("a") == []
    access.set_plan("a", Plan(rate=5))
    assert access.usage("a") == []


# ---------------------------------------------------------------- several pictures at once


def test_several_at_once_count_as_many(quotas: Quotas, owner: str) -> None:
    quota = Quota(day=10, week=10)
    quotas.count(owner, quota, 4)
    quotas.count(owner, quota, 6)
    assert used(quotas, owner, quota) == {"day": 10, "week": 10}
    with pytest.raises(QuotaExceeded, match="are used up"):
        quotas.count(owner, quota)
    for count in (0, -3):
        with pytest.raises(ValueError, match="count"):
            quotas.count(owner, quota, count)


@pytest.mark.parametrize("tight", PERIODS)
def test_all_of_them_or_none(quotas: Quotas, owner: str, tight: str) -> None:
    quota = Quota(**{**dict.fromkeys(PERIODS, 50), tight: 8})
    quotas.count(owner, quota, 3)
    with pytest.raises(QuotaExceeded, match="fewer than 6 are left; send fewer pictures, or"):
        quotas.count(owner, quota, 6)
    assert used(quotas, owner, quota) == dict.fromkeys(PERIODS, 3)
    quotas.count(owner, quota, 5)
    assert used(quotas, owner, quota) == dict.fromkeys(PERIODS, 8)


@pytest.mark.parametrize("before", [0, 1])
def test_more_than_there_ever_is(quotas: Quotas, owner: str, before: int) -> None:
    quota = Quota(day=5, month=100)
    for _ in range(before):
        quotas.count(owner, quota)
    with pytest.raises(QuotaExceeded, match="5 requests a day are never enough for 6 pictures"):
        quotas.count(owner, quota, 6)
    assert used(quotas, owner, quota) == {"day": before, "month": before}


def test_what_was_for_nothing_is_given_back(quotas: Quotas, owner: str, clock: Clock) -> None:
    quota = Quota(day=5, month=20)
    quotas.count(owner, quota, 2)
    spent = quotas.count(owner, quota, 3)
    clock.now += timedelta(days=1)  # back to the day that it was taken from
    quotas.count(owner, quota, 5)
    quotas.give_back(spent)
    assert used(quotas, owner, quota) == {"day": 5, "month": 7}
    clock.now -= timedelta(days=1)
    assert used(quotas, owner, quota) == {"day": 2, "month": 7}
    nothing = quotas.count(owner, Quota(), 3)
    quotas.give_back(nothing)
    assert used(quotas, owner, quota) == {"day": 2, "month": 7}


def test_the_rate_counts_one_request(access: Access) -> None:
    made = access.create("a")
    access.set_plan("a", Plan(rate=0.01, burst=2, quota=Quota(day=50)))
    caller = access.by_token(made.token)
    access.admit(caller, 20)
    access.admit(caller, 20)
    with pytest.raises(RateLimited):
        access.admit(caller, 1)
    assert [usage.used for usage in access.usage("a")] == [40]


def test_spending_apart_from_the_rate(access: Access) -> None:
    made = access.create("a")
    access.set_plan("a", Plan(rate=0.01, burst=1, quota=Quota(day=5)))
    caller = access.by_token(made.token)
    access.pace(caller)
    spent = access.spend(caller, 5)
    with pytest.raises(QuotaExceeded):
        access.spend(caller)
    access.give_back(spent)
    access.give_back(access.spend(ANONYMOUS, 3))
    assert [usage.used for usage in access.usage("a")] == [0]


def test_many_threads_with_several_each(access: Access) -> None:
    made = access.create("a")
    access.set_plan("a", Plan(quota=Quota(day=200, week=100)))
    caller = access.by_token(made.token)

    def ask(at: int) -> int:
        count = 1 + at % 7
        try:
            spent = access.spend(caller, count)
        except QuotaExceeded:
            return 0
        if at % 3 == 0:
            access.give_back(spent)
            return 0
        return count

    with ThreadPoolExecutor(16) as pool:
        taken = sum(pool.map(ask, range(160)))
    assert [usage.used for usage in access.usage("a")] == [taken, taken]
    assert taken <= 100
    # What is left fits one by one, to the last.
    with ThreadPoolExecutor(16) as pool:
        taken += sum(pool.map(lambda _: ask(7), range(100 - taken + 5)))
    assert taken == 100


def test_many_processes_with_several_each(access: Access, where: Settings) -> None:
    made = access.create("a")
    access.set_plan("a", Plan(quota=Quota(day=100, month=500)))
    program = ASK.replace("admit(caller)", "admit(caller, 3)").replace("range(40)", "range(12)")
    argv = [sys.executable, "-c", program, where.server.data_dir, where.database.url, made.token]
    pipe = subprocess.PIPE
    askers = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for asker in askers:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin is not None
        asker.stdin.write("\n")
        asker.stdin.flush()
    admitted = [int(asker.communicate(timeout=120)[0]) for asker in askers]
    assert sum(admitted) == 33
    assert [usage.used for usage in access.usage("a")] == [99, 99]
