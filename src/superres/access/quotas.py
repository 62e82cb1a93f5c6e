"""Quotas: counted in the database, exact whoever counts at the same time.

One request is one transaction with one statement a period: insert a row with what it asks for
(1, or as many as it has pictures), or add that to the row where it still fits under the limit.
Both databases decide that atomically, so of all processes that ask, exactly as many are
admitted as the plan says. Either every period counts the request, and all of it, or none does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from superres.access.plan import Quota
from superres.access.tables import quota_use as table
from superres.database import reading, writing
from superres.errors import QuotaExceeded

PERIODS = ("day", "week", "month")  # always taken in this order, so that nobody deadlocks
# Counts of past periods are kept this long after they began.
_KEPT = timedelta(days=400)


@dataclass(frozen=True)
class Usage:
    """How much of one period's quota is used. ``ends`` is when counting starts anew."""

    period: str
    used: int
    limit: int
    ends: datetime


def bounds(period: str, today: date) -> tuple[date, date]:
    """First day of the period that ``today`` is in, and first day of the next one."""
    if period == "day":
        return today, today + timedelta(days=1)
    if period == "week":  # ISO: Monday is the first day
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    first = today.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True)
class Spent:
    """What was counted, to be given back where nothing came of it.

    Attributes:
        credential_id: whose quota it was.
        count: how much of it, in each period.
        periods: each period that counted it, and its first day.
    """

    credential_id: str
    count: int
    periods: tuple[tuple[str, date], ...]


class _Short(Exception):
    """Some period has too little left: the transaction is rolled back."""


class Quotas:
    """Counts requests against quotas. Thread-safe.

    Args:
        database: where the counts are.
        now: the clock, in UTC.
    """

    def __init__(self, database: Engine, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._now = now or (lambda: datetime.now(UTC))
        self._insert = postgresql.insert if database.dialect.name == "postgresql" else sqlite.insert

    def count(self, credential_id: str, quota: Quota, count: int = 1) -> Spent:
        """Count a request of ``count`` pictures in every period that is limited.

        Raises:
            QuotaExceeded: one of them has less left; nothing is counted. ``retry_after`` is
                the time until the last of those that have less ends.
        """
        if count < 1:
            raise ValueError(f"count is {count}")
        limits = quota.limits()
        now = self._now()
        spent: list[str] = []
        counted: list[tuple[str, date]] = []
        if not limits:
            return Spent(credential_id, count, ())
        try:
            with writing(self._database) as connection:
                for period in PERIODS:
                    limit = limits.get(period)
                    if not limit:
                        continue
                    if self._add(connection, credential_id, period, now, limit, count):
                        counted.append((period, bounds(period, now.date())[0]))
                    else:
                        spent.append(period)
                if spent:
                    raise _Short
        except _Short:
            raise _exceeded(spent, limits, now, count) from None
        return Spent(credential_id, count, tuple(counted))

    def give_back(self, spent: Spent) -> None:
        """Undo one :meth:`count`, in the periods that counted it. To be done once."""
        if not spent.periods:
            return
        with writing(self._database) as connection:
            for period, start in spent.periods:
                connection.execute(
                    update(table)
                    .where(
                        table.c.credential_id == spent.credential_id,
                        table.c.period == period,
                        table.c.starts_on == start,
                        table.c.used >= spent.count,
                    )
                    .values(used=table.c.used - spent.count)
                )

    def usage(self, credential_id: str, quota: Quota) -> list[Usage]:
        """How much of each limited period is used so far."""
        today = self._now().date()
        found = []
        with reading(self._database) as connection:
            for period, limit in quota.limits().items():
                start, end = bounds(period, today)
                query = select(table.c.used).where(
                    table.c.credential_id == credential_id,
                    table.c.period == period,
                    table.c.starts_on == start,
                )
                used = connection.scalar(query) or 0
                found.append(Usage(period, used, limit, _midnight(end)))
        return found

    def _add(
        self,
        connection: Connection,
        credential_id: str,
        period: str,
        now: datetime,
        limit: int,
        count: int,
    ) -> bool:
        if count > limit:  # the row might not be there yet
            return False
        start, _ = bounds(period, now.date())
        row = {"credential_id": credential_id, "period": period, "starts_on": start, "used": count}
        statement = (
            self._insert(table)
            .values(row)
            .on_conflict_do_update(
                index_elements=[table.c.credential_id, table.c.period, table.c.starts_on],
                set_={"used": table.c.used + count},
                where=table.c.used <= limit - count,
            )
            .returning(table.c.used)
        )
        used = connection.scalar(statement)
        if used == count:  # the first of its period tidies up
            connection.execute(
                delete(table).where(
                    table.c.credential_id == credential_id,
                    table.c.period == period,
                    table.c.starts_on < start - _KEPT,
                )
            )
        return used is not None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _exceeded(spent: list[str], limits: dict[str, int], now: datetime, count: int) -> QuotaExceeded:
    ends = {period: _midnight(bounds(period, now.date())[1]) for period in spent}
    last = max(spent, key=lambda period: ends[period])
    again = ends[last]
    wait = max(1.0, (again - now).total_seconds())
    if never := [period for period in spent if limits[period] < count]:
        return QuotaExceeded(
            f"The plan's {limits[never[0]]:,} requests a {never[0]} are never enough for {count:,} "
            "pictures at once; send fewer.",
            wait,
        )
    if count > 1:
        return QuotaExceeded(
            f"Of the plan's {limits[last]:,} requests for this {last} fewer than {count:,} are "
            f"left; send fewer pictures, or try again from {again:%Y-%m-%d %H:%M} UTC.",
            wait,
        )
    return QuotaExceeded(
        f"The plan's {limits[last]:,} requests for this {last} are used up; try again from "
        f"{again:%Y-%m-%d %H:%M} UTC.",
        wait,
    )
