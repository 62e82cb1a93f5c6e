"""What is kept of jobs.

Moments are seconds since 1970 by the database's own clock (see :mod:`superres.database.clock`),
so that machines whose clocks differ agree.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from superres.database.tables import metadata

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("door", String(32), nullable=False),  # whose words its owner speaks
    Column("owner", String(20), nullable=False),  # a credential's id; empty: callers without one
    Column("state", String(10), nullable=False),
    Column("priority", Integer, nullable=False),  # 0 to 9, 9 is the most urgent
    Column("details", Text, nullable=False),  # JSON, the door's own
    Column("callback", Text),  # JSON; null: nobody is told
    Column("callback_state", String(10)),  # waiting, delivered, failed
    Column("callback_attempts", Integer, nullable=False),
    Column("callback_error", Text),
    Column("idempotency_key", String(255)),
    Column("fingerprint", String(64)),  # of what was asked with that key
    Column("max_wait", Double, nullable=False),
    Column("max_run", Double, nullable=False),
    Column("lifetime", Double, nullable=False),  # of its results
    Column("version", Integer, nullable=False),  # counts changes
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),  # when the results go; set when it is finished
)
Index("ix_jobs_owner", jobs.c.owner, jobs.c.created_at)
Index("ix_jobs_state", jobs.c.state, jobs.c.created_at)
Index("ix_jobs_expires_at", jobs.c.expires_at)
Index(
    "ix_jobs_idempotency_key",
    jobs.c.idempotency_key,
    jobs.c.door,
    jobs.c.owner,
    unique=True,
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # from 0
    Column("state", String(10), nullable=False),
    Column("priority", Integer, nullable=False),  # the job's
    Column("name", Text, nullable=False),  # stem of the result's name
    Column("source", Text, nullable=False),  # JSON
    Column("recipe", Text, nullable=False),  # JSON
    Column("work", Double, nullable=False),  # expected: see superres.jobs.pace
    Column("attempt", Integer, nullable=False),  # how often begun; fences late writers
    Column("deaths", Integer, nullable=False),  # how often its process died meanwhile
    Column("slot", String(36)),  # who has it
    Column("stage", String(10), nullable=False),
    Column("progress", Double, nullable=False),  # 0 to 1
    Column("error_code", String(32)),
    Column("error_message", Text),
    Column("result", Text),  # JSON
    Column("blob_id", String(32)),  # of the result
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),  # the last time
    Column("finished_at", Double),
)
Index("ix_job_items_state", job_items.c.state, job_items.c.priority)
Index("ix_job_items_slot", job_items.c.slot)

slots = Table(
    "slots",
    metadata,
    Column("id", String(36), primary_key=True),  # one life of one process
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("pace", Double, nullable=False),  # work per second of late; 0: not known yet
    Column("leader", Boolean, nullable=False),  # sweeps for all
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)
