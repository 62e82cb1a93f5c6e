"""What is kept of files that have a link or wait to be read, for a while."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, LargeBinary, String, Table, Text

from superres.database.tables import metadata

# The row is there before the object is and goes after it: nothing is ever left behind unknown.
blobs = Table(
    "blobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),  # for people who save it; never a path
    Column("media_type", String(127), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("ready", Boolean, nullable=False),  # the object is whole
    Column("counted", Boolean, nullable=False),  # goes early when room is short
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)
Index("ix_blobs_expires_at", blobs.c.expires_at)

service_keys = Table(
    "service_keys",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
)
