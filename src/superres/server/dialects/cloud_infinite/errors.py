"""What this door answers when it must refuse: one table, error class to COS's status and code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from superres import errors
from superres.errors import SuperresError
from superres.server.errors import row_of


@dataclass(frozen=True)
class Answer:
    """A refusal.

    Attributes:
        status: of HTTP.
        code: COS's word, such as ``NoSuchKey``.
        message: for people; ``{}`` stands for the error's own public message.
        details: further elements of the XML document, behind TraceId.
        headers: further headers.
    """

    status: int
    code: str
    message: str = "{}"
    details: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A refusal of the door itself, which the rooms below know nothing of.

    Args:
        status: of HTTP.
        code: COS's word, such as ``InvalidArgument``.
        message: one sentence for people.
        details: further elements of the XML document, such as ``ServerTime``.
        headers: further headers, such as ``Content-Range``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.answer = Answer(status, code, message, details or {}, headers or {})


_ARGUMENT = Answer(400, "InvalidArgument")
_NOT_A_PICTURE = Answer(400, "InvalidImageFormat")
_SOURCE = Answer(400, "InvalidImageSource")
_DENIED = Answer(403, "AccessDenied")
_SLOW_DOWN = Answer(503, "SlowDown")
_BROKEN = Answer(500, "InternalError")
_UNFORESEEN = Answer(
    500, "InternalError", "Something went wrong in the server; its log says more under this id."
)

STATUS: dict[type[SuperresError], Answer] = {
    errors.SuperresError: _BROKEN,
    errors.InputError: _ARGUMENT,
    errors.BadParameter: _ARGUMENT,
    errors.UnsupportedFormat: _NOT_A_PICTURE,
    errors.CorruptImage: _NOT_A_PICTURE,
    errors.ImageTooLarge: Answer(400, "ImageResolutionExceed"),
    errors.ImageTooSmall: _NOT_A_PICTURE,
    errors.SourceRefused: _SOURCE,
    errors.SourceUnreachable: _SOURCE,
    errors.SourceTooLarge: Answer(400, "ImageTooLarge"),
    errors.InvalidPart: Answer(400, "InvalidPart"),
    errors.AccessError: _DENIED,
    errors.Unauthenticated: _DENIED,
    errors.PermissionDenied: _DENIED,
    errors.RateLimited: _SLOW_DOWN,
    # Clients try again after 5xx at once, and a spent quota stays spent.
    errors.QuotaExceeded: Answer(403, "QuotaExceeded"),
    errors.CapacityError: _SLOW_DOWN,
    errors.Overloaded: _SLOW_DOWN,
    errors.DeadlineExceeded: Answer(504, "RequestTimeout"),
    errors.JobError: _BROKEN,
    errors.JobNotFound: _BROKEN,
    errors.JobExpired: _BROKEN,
    errors.JobCancelled: _SLOW_DOWN,
    errors.StorageError: _BROKEN,
    errors.BucketNotFound: Answer(404, "NoSuchBucket"),
    errors.BucketExists: Answer(409, "BucketAlreadyExists"),
    errors.BucketNotEmpty: Answer(409, "BucketNotEmpty"),
    errors.ObjectNotFound: Answer(404, "NoSuchKey"),
    errors.UploadNotFound: Answer(404, "NoSuchUpload"),
    errors.EngineError: _BROKEN,
    errors.ModelNotFound: _BROKEN,
    errors.WeightsMissing: _BROKEN,
    errors.EngineUnavailable: _BROKEN,
    errors.OutOfMemory: _BROKEN,
    errors.WorkerLost: _BROKEN,
    errors.BadOutput: _BROKEN,
    errors.OutputError: _BROKEN,
    errors.Cancelled: _SLOW_DOWN,
}
"""Every error, and what a client of this door is told."""


def answer_to(error: Exception) -> Answer:
    """What a client is told of ``error``; anything not foreseen is an internal error."""
    if isinstance(error, Refused):
        return error.answer
    if (answer := row_of(STATUS, error)) is None:
        return _UNFORESEEN
    said = getattr(error, "public_message", "")
    return replace(answer, message=answer.message.replace("{}", said))
