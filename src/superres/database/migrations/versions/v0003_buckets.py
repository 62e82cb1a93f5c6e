"""Buckets, their objects, and the pieces that those are made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "buckets",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("processing", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_buckets"),
    )
    op.create_index("ix_buckets_owner", "buckets", ["owner"])
    op.create_table(
        "objects",
        sa.Column("bucket", sa.String(63), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("content_id", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(40), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("modified_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name="fk_objects_bucket"),
        sa.PrimaryKeyConstraint("bucket", "key", name="pk_objects"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("bucket", sa.String(63), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name="fk_uploads_bucket"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_bucket", "uploads", ["bucket", "key", "id"])
    op.create_index("ix_uploads_created_at", "uploads", ["created_at"])
    op.create_table(
        "pieces",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("content_id", sa.String(32), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("md5", sa.String(32), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pieces"),
    )
    op.create_index("ix_pieces_content_id", "pieces", ["content_id", "position"], unique=True)
    op.create_index("ix_pieces_expires_at", "pieces", ["expires_at"])
    op.create_table(
        "derived",
        sa.Column("bucket", sa.String(63), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("recipe", sa.String(64), nullable=False),
        sa.Column("etag", sa.String(40), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("piece_id", sa.String(32), nullable=False),
        sa.Column("piece_size", sa.BigInteger(), nullable=False),
        sa.Column("piece_md5", sa.String(32), nullable=False),
        sa.Column("media_type", sa.String(127), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bucket", "key"], ["objects.bucket", "objects.key"], name="fk_derived_bucket"
        ),
        sa.PrimaryKeyConstraint("bucket", "key", "recipe", name="pk_derived"),
    )
    op.create_index("ix_derived_piece_id", "derived", ["piece_id"], unique=True)
    op.create_index("ix_derived_used_at", "derived", ["used_at"])
