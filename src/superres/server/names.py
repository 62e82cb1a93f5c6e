"""What a result is called, from what the client called its picture: a name, never a path."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote, urlsplit

_MAX_LETTERS = 80
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")
# Windows takes none of these in a name; a backslash or slash would make it a path.
_UNFIT = re.compile(r'[<>:"/\\|?*]')
DEFAULT_STEM = "image"


def stem_of(name: str | None) -> str:
    r"""The name of a file without folders, extension and anything that is no letter or mark.

    ``C:\photos\Ré sumé.jpg`` → ``Ré sumé``; ``../../etc/passwd`` → ``passwd``.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    last = unicodedata.normalize("NFC", last)
    # Category C: control characters, those that turn the writing direction, lone surrogates.
    last = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")
    last = _UNFIT.sub("_", _EXTENSION.sub("", last))
    return last[:_MAX_LETTERS].strip(" .") or DEFAULT_STEM


def stem_of_address(address: str) -> str:
    """The same of the last part of an address's path."""
    try:
        return stem_of(unquote(urlsplit(address).path))
    except ValueError:
        return DEFAULT_STEM


def disposition(kind: str, name: str) -> str:
    """A Content-Disposition header (RFC 6266, RFC 8187).

    Args:
        kind: ``inline`` or ``attachment``.
        name: from :func:`stem_of` and what was put behind it.
    """
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    plain = re.sub(r'["\\%]', "_", plain)
    header = f'{kind}; filename="{plain}"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name, safe='')}"
    return header
