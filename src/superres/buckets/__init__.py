"""Buckets with objects, as object stores have them: rows in the database, bytes in the store.

An object's bytes are one or more *pieces*, files in the store that never change. What makes an
object visible, replaces or removes it is one transaction that moves its row from pieces to
pieces: nobody sees a half, and pieces that no row names any more are removed later. So it is
consistent after a ``kill -9`` at any moment.
"""

from __future__ import annotations

from sqlalchemy import Engine

from superres.buckets.buckets import Buckets
from superres.buckets.records import (
    Bucket,
    Kept,
    Listing,
    NewObject,
    Part,
    StoredObject,
    Upload,
)
from superres.settings import Settings
from superres.storage import ObjectStore

__all__ = [
    "Bucket",
    "Buckets",
    "Kept",
    "Listing",
    "NewObject",
    "Part",
    "StoredObject",
    "Upload",
    "open_buckets",
]


def open_buckets(settings: Settings, database: Engine, store: ObjectStore) -> Buckets:
    """The buckets of a service, over its database and its store."""
    return Buckets(settings.buckets, database, store)
