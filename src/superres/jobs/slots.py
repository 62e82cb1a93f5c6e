"""Which processes do jobs, and whether they still live.

Each life of each process has a slot of its own, which it keeps alive; the slot's id is its name
at DBOS. What a dead one had is given to the others by :mod:`superres.jobs.sweeper`. A process
that was taken for dead and was not does no harm, see :mod:`superres.jobs.ledger`.
"""

from __future__ import annotations

import os
import platform
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, delete, insert, select, text, update

from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.jobs.job import State
from superres.jobs.tables import job_items, jobs, slots

# Any number that nobody else locks in the same database: "suprswep" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"suprswep")


class Slots:
    """The table of processes. Thread-safe; blocks.

    Args:
        database: where it is.
        timeout: silence in seconds after which a process is taken for dead.
        clock: seconds since 1970.
    """

    def __init__(self, database: Engine, timeout: float, clock: Clock = now) -> None:
        self._database, self._timeout, self._clock = database, timeout, clock

    def take(self, concurrency: int) -> str:
        """A slot for this process."""
        slot = str(uuid.uuid4())
        with writing(self._database) as connection:
            moment = self._clock(connection)
            connection.execute(
                insert(slots).values(
                    id=slot,
                    host=_host(),
                    pid=os.getpid(),
                    concurrency=concurrency,
                    pace=0.0,
                    leader=False,
                    started_at=moment,
                    seen_at=moment,
                )
            )
        return slot

    def beat(self, slot: str, concurrency: int, pace: float) -> float:
        """Say that ``slot`` lives; returns the moment. One that was given up is made again."""
        with writing(self._database) as connection:
            moment = self._clock(connection)
            values = {"seen_at": moment, "pace": pace}
            kept = connection.execute(update(slots).where(slots.c.id == slot).values(**values))
            if not kept.rowcount:
                connection.execute(
                    insert(slots).values(
                        id=slot,
                        host=_host(),
                        pid=os.getpid(),
                        concurrency=concurrency,
                        leader=False,
                        started_at=moment,
                        **values,
                    )
                )
        return moment

    def lead(self, slot: str) -> bool:
        """Whether ``slot`` is the one that sweeps for all: it is if no other living one is."""
        with writing(self._database) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
                )
            alive = self._clock(connection) - self._timeout
            query = select(slots.c.id).where(slots.c.leader, slots.c.seen_at > alive)
            leaders = set(connection.scalars(query))
            if leaders:
                return bool(min(leaders) == slot)
            connection.execute(update(slots).values(leader=slots.c.id == slot))
            return True

    def dead(self, slot: str, *, trust_silence: bool = True) -> list[str]:
        """Slots of processes that are no more; ``slot`` is the one that asks.

        Of its own machine the numbers of the processes tell at once, of others silence does.
        """
        host = _host()
        with writing(self._database) as connection:
            moment = self._clock(connection)
            # The clock was set back: what was seen in times to come is counted from now.
            connection.execute(
                update(slots).where(slots.c.seen_at > moment + self._timeout).values(seen_at=moment)
            )
            rows = connection.execute(select(slots).where(slots.c.id != slot)).all()
        return [
            row.id
            for row in rows
            if (trust_silence and row.seen_at < moment - self._timeout)
            or (row.host == host and _ended(row))
        ]

    def every(self) -> set[str]:
        """The ids of all slots."""
        with reading(self._database) as connection:
            return set(connection.scalars(select(slots.c.id)))

    def release(self, slot: str, *, died: bool) -> None:
        """Let the pictures of ``slot`` wait again, before DBOS is told the same.

        Args:
            slot: of a process that does nothing any more.
            died: it did not stop of its own; one of its pictures may be the reason.
        """
        with writing(self._database) as connection:
            # Jobs before their pictures, and in one order, as everybody.
            theirs = select(job_items.c.job_id).where(job_items.c.slot == slot)
            connection.execute(
                select(jobs.c.id).where(jobs.c.id.in_(theirs)).order_by(jobs.c.id).with_for_update()
            )
            connection.execute(
                update(job_items)
                .where(job_items.c.slot == slot, job_items.c.state == State.RUNNING)
                .values(
                    state=State.WAITING,
                    slot=None,
                    stage="queued",
                    progress=0.0,
                    deaths=job_items.c.deaths + int(died),
                )
            )

    def forget(self, slot: str) -> None:
        """Remove a slot whose work has been given away."""
        with writing(self._database) as connection:
            connection.execute(delete(slots).where(slots.c.id == slot))


def _host() -> str:
    """A name within which a process's number means one process: machine, boot, namespace."""
    boot = space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()[:128]} {boot} {space}"


def _ended(row: Any) -> bool:
    """Whether the process of a slot of this machine is no more."""
    if row.pid == os.getpid():
        return False  # several lives in one process are told apart by silence
    try:
        # Its number may be another's by now. Clocks may have been set since: some slack.
        return bool(psutil.Process(row.pid).create_time() > row.started_at + 60.0)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
