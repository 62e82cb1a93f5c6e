"""What is kept of credentials."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
)

from superres.database.columns import UtcDateTime
from superres.database.tables import metadata

# A revoked credential stays, for the record, without what opens doors: token_hash and secret
# are null then.
credentials = Table(
    "credentials",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("token_hash", LargeBinary),  # SHA-256
    Column("secret", LargeBinary),  # sealed: see superres.access.sealing
    Column("key_id", String(16), nullable=False),  # of the key that it was sealed with
    Column("policy", Text),  # JSON; null allows everything
    Column("plan", Text),  # JSON; null limits nothing
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)
Index("ix_credentials_token_hash", credentials.c.token_hash, unique=True)
# Names tell apart those that are in use; a revoked one's is free again.
Index(
    "ix_credentials_name",
    credentials.c.name,
    unique=True,
    sqlite_where=credentials.c.revoked_at.is_(None),
    postgresql_where=credentials.c.revoked_at.is_(None),
)

quota_use = Table(
    "quota_use",
    metadata,
    Column("credential_id", ForeignKey("credentials.id", ondelete="CASCADE"), primary_key=True),
    Column("period", String(5), primary_key=True),  # day, week, month
    Column("starts_on", Date, primary_key=True),
    Column("used", BigInteger, nullable=False),
)
