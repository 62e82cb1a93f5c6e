"""Forms of this door: files in one field, the parameters in fields of their own names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from starlette.requests import Request

from superres.errors import BadParameter
from superres.server import multipart
from superres.server.multipart import Expected, Form
from superres.server.v1.fields import check_names

FILE = "file"
"""Name of the field that holds the picture, or each of the pictures."""


async def read_form(request: Request, file: Path, known: Collection[str], max_bytes: int) -> Form:
    """Read a form with one picture, which goes to ``file``.

    Args:
        request: its body is not read yet.
        file: where the field ``file`` goes.
        known: names of the other fields.
        max_bytes: of the whole body, as it arrives.

    Raises:
        BadParameter: not well-formed, a field unknown, repeated or too long, or no file.
        SourceTooLarge: more than ``max_bytes``.
        StorageError: no room on the disk.
        ClientDisconnect: the client went away.
    """
    expected = Expected([FILE], known, max_bytes, unknown=refuse(known))
    form = await multipart.read_form(request, expected, lambda _: file)
    if not form.files:
        raise BadParameter(f"The picture is missing: send it in the field {FILE!r}.")
    return form


def refuse(known: Collection[str]) -> Callable[[str, bool], None]:
    """What refuses a part that is neither a picture nor one of the fields ``known``."""

    def unknown(name: str, is_file: bool) -> None:
        if is_file:
            raise BadParameter(f"The picture goes in the field {FILE!r}, not in {name[:64]!a}.")
        check_names([name], [FILE, *known])

    return unknown
