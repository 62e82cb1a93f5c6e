"""What is kept of buckets and of what is in them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from superres.database.tables import metadata

# Keys are the bytes of their UTF-8: both databases order those in the same way, the one that
# object stores promise, and hold every key, whatever characters it has.

buckets = Table(
    "buckets",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("processing", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
)
Index("ix_buckets_owner", buckets.c.owner)

objects = Table(
    "objects",
    metadata,
    Column("bucket", String(63), ForeignKey("buckets.name"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("content_id", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", String(40), nullable=False),
    Column("content_type", Text, nullable=False),
    Column("headers", Text, nullable=False),  # JSON
    Column("modified_at", Double, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("bucket", String(63), ForeignKey("buckets.name"), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("content_type", Text, nullable=False),
    Column("headers", Text, nullable=False),  # JSON
    Column("created_at", Double, nullable=False),
)
Index("ix_uploads_bucket", uploads.c.bucket, uploads.c.key, uploads.c.id)
Index("ix_uploads_created_at", uploads.c.created_at)

# The row is there before the file and goes after it: no file is ever left behind unknown.
#
#   content_id  expires_at  state
#   null        set         in the making, or being removed by whoever set the moment
#   set         null        in use: of an object, an upload or a derived picture
#   set         set         in use no more; who reads it has until then
pieces = Table(
    "pieces",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("content_id", String(32)),
    Column("position", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("md5", String(32), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
)
Index("ix_pieces_content_id", pieces.c.content_id, pieces.c.position, unique=True)
Index("ix_pieces_expires_at", pieces.c.expires_at)

derived = Table(
    "derived",
    metadata,
    Column("bucket", String(63), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("recipe", String(64), primary_key=True),  # its SHA-256
    Column("etag", String(40), nullable=False),  # of the object, as its size is
    Column("size", BigInteger, nullable=False),
    Column("piece_id", String(32), nullable=False),
    Column("piece_size", BigInteger, nullable=False),
    Column("piece_md5", String(32), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("made_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    ForeignKeyConstraint(["bucket", "key"], ["objects.bucket", "objects.key"]),
)
Index("ix_derived_piece_id", derived.c.piece_id, unique=True)
Index("ix_derived_used_at", derived.c.used_at)
