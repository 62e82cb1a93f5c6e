"""What was written to a bucket by many at once, and what may therefore be seen in it.

Everything written can be told from everything else: bytes by their ETag, pictures by the number
they show (:mod:`tests.e2e.chaos`). A :class:`Ledger` knows for every key what was written when,
and what was answered, and so what may be there at any moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.dialects.cloud_infinite.client import Answer
from tests.e2e.chaos import SIDE, number_in

SLACK = 0.5
"""How much later than its process's end a transaction may end, on a server of its own."""
_SIDES = {1: SIDE, 2: 2 * SIDE, 4: 4 * SIDE}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass(eq=False)
class Write:
    """One writing of one key; ``what`` is its mark, None if it was deleted.

    It happened between ``begun`` and ``ended`` if it was answered, and in that time or never if
    it was not.
    """

    key: str
    what: object
    begun: float
    ended: float = float("inf")
    answered: bool = False


@dataclass
class Ledger:
    """What was written to which key. Of many threads."""

    writes: dict[str, list[Write]] = field(default_factory=lambda: defaultdict(list))
    contents: dict[object, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, what: str) -> None:
        with self._lock:
            self.wrong.append(what)

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    @contextlib.contextmanager
    def writing(self, marks: Mapping[str, object]) -> Iterator[Callable[[], None]]:
        """While keys get these marks; yields what is called once that was answered."""
        begun = time.monotonic()
        noted = [Write(key, mark, begun) for key, mark in marks.items()]
        with self._lock:
            for write in noted:
                self.writes[write.key].append(write)

        def answered() -> None:
            for write in noted:
                write.ended, write.answered = time.monotonic(), True

        try:
            yield answered
        finally:
            for write in noted:
                write.ended = min(write.ended, time.monotonic() + SLACK)

    def forget(self, marks: Mapping[str, object]) -> None:
        """What was refused: it did not happen."""
        with self._lock:
            for key, mark in marks.items():
                self.writes[key] = [w for w in self.writes[key] if w.what != mark]

    def possible(self, key: str, begun: float, ended: float) -> list[object]:
        """All that may be seen by who looks in that time."""
        with self._lock:
            writes = [Write(key, None, 0.0, 0.0, True), *self.writes[key]]
        known = [w.begun for w in writes if w.answered and w.ended < begun]
        latest = max(known)  # whatever ended before that one began is over
        return [w.what for w in writes if w.begun < ended and w.ended >= latest]

    def check(self, key: str, seen: object, begun: float, ended: float) -> None:
        if seen not in (possible := self.possible(key, begun, ended)):
            self.say(f"{key} is {seen}, and might be {possible}")


def mark_of(key: str, answer: Answer) -> object:
    """What an answer shows: an ETag, a picture's number, or None.

    Raises:
        ValueError: it is not whole, or not what its ETag says.
    """
    if answer.status == 404:
        return None
    if answer.status not in (200, 206):
        raise ValueError(f"{answer.status} {answer.body[:300]!r}")
    if int(answer.headers["content-length"]) != len(answer.body):
        raise ValueError(f"it ends after {len(answer.body)} bytes")
    etag = answer.headers["etag"].strip('"')
    if "-" not in etag and md5(answer.body) != etag:
        raise ValueError(f"its ETag is {etag}, and it is {md5(answer.body)}")
    if (magnify := magnify_of(key)) is not None:
        return number_in(answer.body, _SIDES[magnify])
    return etag


def magnify_of(key: str) -> int | None:
    """Of keys of pictures: ``a/1-x4.png``."""
    head, _, end = key.rpartition("-x")
    return int(end.removesuffix(".png")) if head else None
