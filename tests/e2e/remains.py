"""What the servers of a fleet leave behind in database, store and folders when all have ended."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import obstore
from sqlalchemy import select

from superres.buckets import Buckets
from superres.buckets.pieces import BUCKET
from superres.buckets.tables import derived, objects, pieces, uploads
from superres.database.clock import now
from superres.settings import BucketsSettings
from tests.e2e.fleet import Fleet, Member


def swept(fleet: Fleet, later: float) -> None:
    """As a server does so many seconds later."""
    buckets = Buckets(
        BucketsSettings(), fleet.database, fleet.store, clock=lambda c: now(c) + later
    )
    while buckets.sweep():
        pass


def leftovers(fleet: Fleet) -> list[str]:
    """What is wrong with rows and files once all servers have ended and time has passed."""
    wrong: list[str] = []
    swept(fleet, 7 * 3600)  # what the dead had begun
    wrong += compared(fleet)
    swept(fleet, 8 * 86_400)  # uploads that nobody completes
    wrong += compared(fleet)
    with fleet.database.connect() as connection:
        if connection.execute(select(uploads.c.id)).first() is not None:
            wrong.append("uploads are never dropped")
    for member in fleet.members:
        wrong += spooled(member)
    return wrong


def compared(fleet: Fleet) -> list[str]:
    """Files against rows of pieces against what they belong to."""
    with fleet.database.connect() as connection:
        rows = connection.execute(select(pieces)).all()
        owners = {
            *connection.scalars(select(objects.c.content_id)),
            *connection.scalars(select(uploads.c.id)),
            *connection.scalars(select(derived.c.piece_id)),
        }
        sizes = dict(connection.execute(select(objects.c.content_id, objects.c.size)).all())
    held, known = files(fleet), {row.id for row in rows}
    wrong = [f"the file {name} is nobody's" for name in held - known]
    wrong += [f"the piece {name} has no file" for name in known - held]
    wrong += [f"the piece {row.id} is of nothing" for row in rows if row.content_id not in owners]
    wrong += [f"the piece {row.id} ends at {row.expires_at}" for row in rows if row.expires_at]
    for content_id, size in sizes.items():
        found = sum(row.size for row in rows if row.content_id == content_id)
        if found != size:
            wrong.append(f"the content {content_id} has {found} bytes instead of {size}")
    return wrong


def files(fleet: Fleet) -> set[str]:
    """Names of all files in the store, whatever they are."""
    url = urlsplit(fleet.storage_url)
    if url.scheme == "s3":
        backend, _ = fleet.store._layout.place(BUCKET, "x")
        found = obstore.list(backend, f"{BUCKET}/").collect()
        return {each["path"].rpartition("/")[2] for each in found}
    folder = Path(url.path) if url.path else fleet.folder / "machines" / "a" / "objects"
    return {path.name.rstrip("%") for path in folder.rglob("*") if path.is_file()}


def spooled(member: Member) -> list[str]:
    """What a server that has ended left behind for requests that nobody waits for."""
    left = [*(member.data / "spool").rglob("*"), *(member.folder / "scratch").rglob("*")]
    return [f"{path} was left" for path in left]
