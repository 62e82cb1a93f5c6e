"""What a job is: its states, its pictures, and what can be seen of them.

::

    waiting ──> running ──> done        at least one picture was enlarged
       │           ├──────> failed      none was, and each says why
       ├───────────┼──────> closed      somebody closed it before it was done
       └───────────┴──────> timed_out   it waited, or all that was left ran, too long

A picture has the same states; ``done`` and ``failed`` are its own alone. A running picture
whose process dies waits again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from superres.errors import SuperresError, from_code
from superres.executors.base import Done
from superres.faces import Face, FaceReport
from superres.storage.blobs import Blob


class State(StrEnum):
    """Of a job, and of each of its pictures."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CLOSED = "closed"
    TIMED_OUT = "timed_out"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL


FINAL = frozenset({State.DONE, State.FAILED, State.CLOSED, State.TIMED_OUT})
UNFINISHED = (State.WAITING, State.RUNNING)


@dataclass(frozen=True)
class ItemResult:
    """What became of a picture.

    Attributes:
        blob_id: of the file, see :class:`superres.storage.blobs.Blobs`.
        name: for people who save it, such as ``photo_x4.png``.
        format: "png", "jpeg", "webp" or "tiff".
        media_type: such as ``image/png``.
        width, height: in pixels.
        source_width, source_height: of the picture that came in.
        bytes: size of the file.
        model, fidelity: what ran.
        fetch_seconds: until the picture was here.
        seconds: the work as a whole after that, without waiting.
        inference_seconds: the network alone.
        queue_seconds: waited for a free place among the process's works.
        faces: those that were found, largest first; None if they were not looked for.
    """

    blob_id: str
    name: str
    format: str
    media_type: str
    width: int
    height: int
    source_width: int
    source_height: int
    bytes: int
    model: str
    fidelity: float
    fetch_seconds: float
    seconds: float
    inference_seconds: float
    queue_seconds: float
    faces: tuple[FaceReport, ...] | None = None

    @classmethod
    def of(
        cls, done: Done, blob: Blob, *, with_faces: bool, fetch_seconds: float = 0.0
    ) -> ItemResult:
        """What became of a picture that was done and whose file is kept.

        Args:
            done: by the executor.
            blob: the file.
            with_faces: whether faces were looked for.
            fetch_seconds: until the picture was here.
        """
        report = done.report
        return cls(
            blob_id=blob.id,
            name=blob.name,
            format=report.format,
            media_type=blob.media_type,
            width=report.out_width,
            height=report.out_height,
            source_width=report.width,
            source_height=report.height,
            bytes=blob.size,
            model=report.model,
            fidelity=report.fidelity,
            fetch_seconds=round(fetch_seconds, 4),
            seconds=round(report.seconds, 4),
            inference_seconds=round(report.inference_seconds, 4),
            queue_seconds=round(done.queue_seconds, 4),
            faces=report.faces if with_faces else None,
        )


@dataclass(frozen=True)
class Item:
    """One picture of a job, as it stands.

    Attributes:
        position: from 0, in the order handed in.
        name: stem of the result's name.
        state: its own.
        stage: while it runs: "fetch", "decode", "upscale", "encode" or "store".
        progress: 0…1.
        attempt: how often it was begun.
        error: why, if it failed, was closed or timed out.
        result: if it is done.
        work: expected, in the units of :mod:`superres.jobs.pace`.
        started_at, finished_at: seconds since 1970.
    """

    position: int
    name: str
    state: State
    stage: str
    progress: float
    attempt: int
    error: SuperresError | None
    result: ItemResult | None
    work: float
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    Attributes:
        id: a UUID.
        door: of whom it was handed in, such as "v1" or "fsrtwo".
        owner: the credential's id; empty for callers without one.
        state: of the job as a whole.
        priority: 0…9; 9 is the most urgent.
        items: its pictures, in order.
        details: the door's own, as it was handed in.
        created_at, started_at, finished_at, expires_at: seconds since 1970; after
            ``expires_at`` the results are gone.
        version: counts changes, so that watchers see one.
        now: when it was looked at, by the same clock.
        callback_state: "waiting", "delivered" or "failed"; None: nobody is told.
        callback_error: why the last try to tell failed.
    """

    id: str
    door: str
    owner: str
    state: State
    priority: int
    items: Sequence[Item]
    details: Mapping[str, Any]
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None
    version: int
    now: float
    callback_state: str | None = None
    callback_error: str | None = field(default=None, repr=False)

    @property
    def progress(self) -> float:
        """0…1, of all pictures together."""
        if not self.items:
            return 1.0
        return sum(1.0 if i.state.final else i.progress for i in self.items) / len(self.items)

    def count(self, *states: State) -> int:
        """How many of its pictures are in one of ``states``."""
        return sum(item.state in states for item in self.items)


def outcome(states: Sequence[State], why: State | None) -> State:
    """What a job has become whose pictures are all in final ``states``.

    Args:
        states: of the pictures.
        why: what ended the job early, closed or timed_out; None: nothing did.
    """
    if State.DONE in states:
        return State.DONE
    if why is not None:
        return why
    return State.TIMED_OUT if set(states) == {State.TIMED_OUT} else State.FAILED


def stored_error(code: str | None, message: str | None) -> SuperresError | None:
    """The error as it was, from what was kept of it."""
    return None if code is None else from_code(code, message or "It failed.")


def result_to_json(result: ItemResult) -> str:
    """Write down what became of a picture."""
    return json.dumps(asdict(result))


def result_from_json(text: str) -> ItemResult:
    """Read what :func:`result_to_json` wrote, also before there were faces."""
    record: dict[str, Any] = json.loads(text)
    faces = record.pop("faces", None)
    return ItemResult(**record, faces=None if faces is None else tuple(map(_face, faces)))


def _face(record: Mapping[str, Any]) -> FaceReport:
    face: dict[str, Any] = dict(record["face"])
    points: Any = tuple((x, y) for x, y in face.pop("points"))
    return FaceReport(Face(**face, points=points), record["tier"])
