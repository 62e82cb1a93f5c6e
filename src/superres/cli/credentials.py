"""What the commands of ``superres keys`` share: opening the credentials, and naming one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superres.cli.console import printable

if TYPE_CHECKING:
    from superres.access import Access, Credential

Who = Annotated[
    str,
    typer.Argument(metavar="ID_OR_NAME", help="The credential, by its id or by its name."),
]


@contextmanager
def open_access(data_dir: Path | None, config: Path | None) -> Iterator[Access]:
    """The credentials of a data folder; it is made if it is not there.

    Raises:
        SuperresError: the server's libraries are missing, a setting is wrong, or the database
            or the key file cannot be used.
    """
    from superres import settings
    from superres.cli.extras import server_extra

    with server_extra():
        from superres import access
        from superres.database import open_database
    chosen = settings.load(config, {"server.data_dir": data_dir})
    with server_extra():  # a migration imports more
        database = open_database(chosen)
    try:
        yield access.open_access(chosen, database)
    finally:
        database.dispose()


def called(credential: Credential) -> str:
    """A credential for people to read."""
    return f"{printable(credential.name)} ({credential.id})"


def minute(moment: datetime) -> str:
    """``2026-11-21 09:30``."""
    return f"{moment:%Y-%m-%d %H:%M}"
