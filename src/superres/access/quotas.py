"""Quotas: counted in the database, exact whoever counts at the same time.

One request is one transaction with one statement a period: insert a row with 1, or add 1 to
the row where it is still below the limit. Both databases decide that atomically, so of all
processes that ask, exactly as many are admitted as the plan says. Either every period counts
the request or none does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, Engine, delete, select
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


class _Spent(Exception):
    """Some period has nothing left: the transaction is rolled back."""


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

    def count(self, credential_id: str, quota: Quota) -> None:
        """Count one request in every period that is limited.

        Raises:
            QuotaExceeded: one of them is used up; nothing is counted. ``retry_after`` is the
                time until the last of those that are used up ends.
        """
        limits = quota.limits()
        if not limits:
            return
        now = self._now()
        spent: list[str] = []
        try:
            with writing(self._database) as connection:
                for period in PERIODS:
                    limit = limits.get(period)
                    if limit and not self._add(connection, credential_id, period, now, limit):
                        spent.append(period)
                if spent:
                    raise _Spent
        except _Spent:
            raise _exceeded(spent, limits, now) from None

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
        self, connection: Connection, credential_id: str, period: str, now: datetime, limit: int
    ) -> bool:
        start, _ = bounds(period, now.date())
        row = {"credential_id": credential_id, "period": period, "starts_on": start, "used": 1}
        statement = (
            self._insert(table)
            .values(row)
            .on_conflict_do_update(
                index_elements=[table.c.credential_id, table.c.period, table.c.starts_on],
                set_={"used": table.c.used + 1},
                where=table.c.used < limit,
            )
            .returning(table.c.used)
        )
        used = connection.scalar(statement)
        if used == 1:  # the first of its period tidies up
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


def _exceeded(spent: list[str], limits: dict[str, int], now: datetime) -> QuotaExceeded:
    ends = {period: _midnight(bounds(period, now.date())[1]) for period in spent}
    last = max(spent, key=lambda period: ends[period])
    again = ends[last]
    return QuotaExceeded(
        f"The plan's {limits[last]:,} requests for this {last} are used up; try again from "
        f"{again:%Y-%m-%d %H:%M} UTC.",
        max(1.0, (again - now).total_seconds()),
    )
