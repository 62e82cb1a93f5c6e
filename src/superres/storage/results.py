"""Finished pictures that have a link, for a while.

Each is two files: ``<id>`` with the content and ``<id>.json`` with its name and media type. A
result is there once both are; the second is written last and whole. The content's time of
modification is when it was kept, so that a restart loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from superres.errors import ObjectNotFound, OutputError

_ID = re.compile(r"[0-9a-f]{32}")
_DESCRIPTION = ".json"
# A file without its other half is left by a process that died; a younger one may be in the
# making by another.
_ORPHAN_SECONDS = 3600.0


@dataclass(frozen=True)
class Kept:
    """A kept result.

    Attributes:
        id: of 128 random bits; who knows it may read the result.
        path: of the content; may vanish at any time after ``expires``, or before for want of
            room.
        name: for people who save it; never a path.
        media_type: such as ``image/png``.
        size: in bytes.
        expires: seconds since 1970.
    """

    id: str
    path: Path
    name: str
    media_type: str
    size: int
    expires: float


class Results:
    """Keeps results for ``lifetime`` seconds; the oldest go first when room is short.

    Thread-safe. One process at a time uses a folder.

    Args:
        folder: made if it is not there; nothing else may be in it.
        lifetime: seconds.
        max_bytes: what all results may take together.
        clock: seconds since 1970.

    Raises:
        OutputError: the folder cannot be made or read.
    """

    def __init__(
        self,
        folder: Path,
        lifetime: float,
        max_bytes: int,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._lifetime, self._max_bytes = folder, lifetime, max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}  # oldest first
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._read_folder()
        except OSError as exc:
            raise OutputError(
                f"The folder of results cannot be used ({exc.strerror}); choose another data "
                "folder with [server] data_dir."
            ) from exc
        self.expire()

    def keep(self, file: Path, name: str, media_type: str) -> str:
        """Move ``file`` here; returns the id of the link.

        Args:
            file: a finished file; afterwards it is gone from where it was.
            name: for people who save it; a path's last part is taken.
            media_type: such as ``image/png``.

        Raises:
            OutputError: it is larger than everything that may be kept, or cannot be written.
        """
        new = secrets.token_hex(16)
        path = self._folder / new
        try:
            size = file.stat().st_size
            if size > self._max_bytes:
                raise OutputError(
                    "The result is larger than all kept results may be ([server] "
                    "max_results_bytes); ask for the picture itself instead of a link."
                )
            now = self._clock()
            kept = Kept(new, path, _plain(name), media_type, size, now + self._lifetime)
            _move(file, path)
            os.utime(path, (now, now))
            with self._lock:
                self._drop(now, room_for=size)
                self._describe(kept)
                self._kept[new] = kept
        except OSError as exc:
            self._remove(new)
            raise OutputError(
                f"The result could not be kept ({exc.strerror}); make room in [server] data_dir."
            ) from exc
        return new

    def open(self, result_id: str) -> Kept:
        """The result of that id.

        Raises:
            ObjectNotFound: there is none, or no more.
        """
        with self._lock:
            kept = self._kept.get(result_id)
        if kept is None or kept.expires <= self._clock() or not kept.path.is_file():
            raise ObjectNotFound("There is no such result, or its time is over; upscale again.")
        return kept

    def expire(self) -> int:
        """Remove what is too old or too much; returns how many went."""
        with self._lock:
            return self._drop(self._clock())

    def _drop(self, now: float, room_for: int = 0) -> int:
        total = sum(kept.size for kept in self._kept.values()) + room_for
        gone = []
        for kept in self._kept.values():
            if kept.expires > now and total <= self._max_bytes:
                break
            total -= kept.size
            gone.append(kept.id)
        for each in gone:
            del self._kept[each]
            self._remove(each)
        return len(gone)

    def _remove(self, result_id: str) -> None:
        for name in (result_id + _DESCRIPTION, result_id):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()

    def _describe(self, kept: Kept) -> None:
        text = json.dumps({"name": kept.name, "media_type": kept.media_type})
        part = self._folder / f"{kept.id}.part"
        part.write_text(text, "utf-8")
        part.replace(self._folder / (kept.id + _DESCRIPTION))

    def _read_folder(self) -> None:
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if _ID.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    kept = self._described(entry.name, status)
                    if kept is not None:
                        found.append(kept)
                        continue
                elif (self._folder / entry.name.partition(".")[0]).is_file():
                    continue
                self._orphan(Path(entry.path))
        self._kept = {kept.id: kept for kept in sorted(found, key=lambda kept: kept.expires)}

    def _described(self, result_id: str, status: os.stat_result) -> Kept | None:
        try:
            text = json.loads((self._folder / (result_id + _DESCRIPTION)).read_text("utf-8"))
            name, media_type = str(text["name"]), str(text["media_type"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        expires = status.st_mtime + self._lifetime
        path = self._folder / result_id
        return Kept(result_id, path, _plain(name), media_type, status.st_size, expires)

    def _orphan(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < self._clock() - _ORPHAN_SECONDS:
                path.unlink()


def _plain(name: str) -> str:
    """The last part of a path in any system's writing."""
    return re.split(r"[/\\]", name)[-1] or "result"


def _move(file: Path, target: Path) -> None:
    try:
        file.replace(target)
    except OSError:
        # Another disk: not whole at once, which nobody sees before it is described.
        shutil.copyfile(file, target)
        file.unlink()
