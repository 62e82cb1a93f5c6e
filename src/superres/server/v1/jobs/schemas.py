"""What is answered about jobs, for the answers and for their description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, PlainSerializer, WithJsonSchema

from superres.jobs import State
from superres.server.v1.schemas import Answer, Picture


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Failure(Answer):
    """Why a picture was not done."""

    code: str = Field(
        description="For programs: as of a refusal of POST /v1/upscale, or job_cancelled.",
        examples=["source_unreachable"],
    )
    message: str = Field(description="For people: one sentence that says what to do.")


class Image(Answer):
    """One picture of a job."""

    position: int = Field(description="From 0, in the order handed in.")
    name: str = Field(description="Its result is called so, and more.", examples=["photo"])
    state: State
    stage: str | None = Field(
        description="While it runs: fetch, decode, upscale, encode or store.", examples=["upscale"]
    )
    progress: float = Field(ge=0, le=1)
    attempts: int = Field(description="How often it was begun; a process may have died.")
    error: Failure | None = Field(description="Why, if it failed, was closed or timed out.")
    result: Picture | None = Field(description="If it is done.")


class Counts(Answer):
    """How many pictures are in each state."""

    waiting: int
    running: int
    done: int
    failed: int
    closed: int
    timed_out: int


class Webhook(Answer):
    """What became of telling that the job has ended."""

    state: str = Field(description="waiting, delivered or failed.", examples=["waiting"])
    error: str | None = Field(description="Why the last try failed.")


class Job(Answer):
    """A job as it stands."""

    id: str = Field(examples=[_ID])
    state: State = Field(
        description="waiting, running; then done: at least one picture is; failed: none is; "
        "closed: it was cancelled before; timed_out: it took too long."
    )
    priority: int = Field(description="9 is the most urgent.", ge=0, le=9)
    progress: float = Field(description="Of all pictures together.", ge=0, le=1)
    wait_seconds: float | None = Field(
        description="An honest guess, when it will be done; null when it is finished."
    )
    created: Instant
    started: Instant | None
    finished: Instant | None
    expires: Instant | None = Field(
        description="When the job and its results go; null until it is finished."
    )
    counts: Counts
    images: list[Image]
    webhook: Webhook | None = Field(description="null if there is none.")


class Jobs(Answer):
    """Jobs, the newest first."""

    jobs: list[Job]
    next: str | None = Field(description="There are older ones: give this as `before`.")
