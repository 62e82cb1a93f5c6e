"""What was measured so far, on disk, so that a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from superres.errors import OutputError
from superres.scorecard.measure import Row
from superres.scorecard.speed import Speed

NAME = "unfinished.jsonl"


class Record:
    """A file of JSON lines: what the run is, then a row or a speed a line.

    Args:
        folder: where results go; made if it is not there.
        run: what rows depend on. A file of another run is started anew.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._path = folder / NAME
        self.rows: dict[tuple[Any, ...], Row] = {}
        self._stamps: dict[tuple[Any, ...], str] = {}
        self.speeds: dict[tuple[str, str, str], list[Speed]] = {}
        head = json.dumps(run, sort_keys=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._read(head)
            kept: list[Row | Speed] = [*self.rows.values(), *chain(*self.speeds.values())]
            self._path.write_text(
                "\n".join([head, *(self._line(each) for each in kept)]) + "\n", "utf-8"
            )
        except OSError as exc:
            raise OutputError(f"Nothing can be written to {folder}: {exc.strerror}.") from exc

    def add(self, found: Row | Speed, stamp: str = "") -> None:
        """Keep what was measured, at once; ``stamp`` says on what, of a row."""
        self._keep(found, stamp)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._line(found) + "\n")

    def known(self, stamp: str) -> dict[tuple[Any, ...], Row]:
        """Rows that were measured on just this."""
        return {key: row for key, row in self.rows.items() if self._stamps[key] == stamp}

    def close(self) -> None:
        """The run is finished: the next one measures anew."""
        self._path.unlink(missing_ok=True)

    def _keep(self, found: Row | Speed, stamp: str) -> None:
        if isinstance(found, Row):
            self.rows[found.key], self._stamps[found.key] = found, stamp
        else:
            self.speeds.setdefault(found.key, []).append(found)

    def _read(self, head: str) -> None:
        """What a stopped run left; a line that was cut off is left out."""
        if not self._path.is_file():
            return
        first, *lines = self._path.read_text("utf-8", errors="replace").splitlines() or [""]
        for line in lines if first == head else ():
            try:
                fields = json.loads(line)
                stamp = fields.pop("stamp")
                self._keep(Speed(**fields) if "runtime" in fields else Row(**fields), stamp)
            except (ValueError, TypeError, KeyError):
                continue

    def _line(self, found: Row | Speed) -> str:
        stamp = self._stamps[found.key] if isinstance(found, Row) else ""
        return json.dumps({"stamp": stamp, **asdict(found)})
