"""How an object's key becomes the path it is kept at, and back.

A key is any text: S3 and COS allow ``//``, a leading or trailing ``/``, ``..``, and one key
that is the folder of another (``a`` beside ``a/b``). A file system allows none of that, and
the store library refuses or silently trims it. So keys are written with escapes that leave
ordinary ones (``photos/cat.jpg``, ``照片/猫.jpg``) as they are:

- ``%XX``: a byte that has a meaning to file systems or to the store library, and ``%`` itself;
- ``%-``: an empty segment, as in ``a//b``.

On a disk, where one name cannot be both a file and a folder, and no name be longer than 255
bytes, further:

- ``name%``: a file whose name has no dot, or a folder whose name has one. So the names of
  files (``cat.jpg``, ``cat%``) and those of folders (``photos``, ``v1.2%``) never meet;
- ``name%+``: a folder that holds the rest of a long name.

Every escape begins with ``%``, which is itself always escaped: no two keys share a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from superres.errors import BadParameter

#: As in S3 (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html).
MAX_KEY_BYTES = 1024
# File systems end names at 255 bytes, and the store library adds "#1" while it writes.
_MAX_NAME_BYTES = 240
_EMPTY = "%-"
_MARK = "%"
_MORE = "%+"
# Controls; "%", the escape; "#", which the store library uses for its unfinished files; and
# what other systems' file names cannot hold. "/" stands between segments and is none of them.
_ESCAPED = re.compile(r'[\x00-\x1f\x7f-\x9f%#\\:*?"<>|]')
_ATOM = re.compile(r"%[0-9A-F]{2}|%-|[^%]")
_BYTES = re.compile(r"(?:%[0-9A-F]{2})+")


def encode(key: str, *, on_disk: bool) -> str:
    """Return the path for ``key``, relative, of one or more names joined by ``/``.

    Args:
        key: not empty, at most 1,024 bytes of UTF-8.
        on_disk: whether the path is one of a file system (see the module).

    Raises:
        BadParameter: ``key`` is empty, too long, or not text that UTF-8 can hold.
    """
    check(key)
    *folders, name = (_escape(segment) for segment in key.split("/"))
    if not on_disk:
        return "/".join((*folders, name))
    parts = [part for folder in folders for part in _names(folder, is_folder=True)]
    return "/".join((*parts, *_names(name, is_folder=False)))


def decode(path: str) -> str:
    """Return the key that ``encode`` made ``path`` from."""
    segments, held = [], ""
    for name in path.split("/"):
        if name.endswith(_MORE):
            held += name.removesuffix(_MORE)
        else:
            segments.append(_unescape(held + name.removesuffix(_MARK)))
            held = ""
    return "/".join(segments)


def check(key: str) -> None:
    """Raise BadParameter unless ``key`` can name an object at all."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError as exc:
        raise BadParameter("An object's key must be text that UTF-8 can hold.") from exc
    if not 0 < length <= MAX_KEY_BYTES:
        raise BadParameter(f"An object's key must have 1 to {MAX_KEY_BYTES} bytes.")


def _escape(segment: str) -> str:
    escaped = _ESCAPED.sub(lambda match: _percent(match[0]), segment)
    return _undotted(escaped) or _EMPTY


def _undotted(name: str) -> str:
    """Return ``name`` so that it is neither ``.`` nor ``..``, which lead elsewhere."""
    return _percent(".") + name[1:] if name in (".", "..") else name


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _unescape(segment: str) -> str:
    if segment == _EMPTY:
        return ""
    return _BYTES.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), segment)


def _names(segment: str, *, is_folder: bool) -> Iterator[str]:
    """Yield the file system's names for one escaped segment; all but the last are folders."""
    name, size = "", 0
    for atom in _ATOM.findall(segment):
        length = len(atom.encode())
        if size + length > _MAX_NAME_BYTES:
            yield name + _MORE
            name, size = "", 0
        name, size = name + atom, size + length
    name = _undotted(name)  # the rest of a long name may be a dot, too
    yield name + _MARK if ("." in name) == is_folder else name
