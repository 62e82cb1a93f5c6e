"""What this door answers when it must refuse: one table, error class to API Gateway's answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from superres import errors
from superres.errors import SuperresError
from superres.server.errors import row_of

Shape = Literal["message", "Message", "text"]


class Refused(Exception):
    """A refusal of the door itself, which the rooms below know nothing of.

    Args:
        status: HTTP status.
        message: for the client.
        error_type: header ``x-amzn-ErrorType``.
        shape: a JSON object with ``message``, one with ``Message``, or plain text.
    """

    def __init__(
        self, status: int, message: str, error_type: str | None, shape: Shape = "message"
    ) -> None:
        super().__init__(message)
        self.answer = Answer(status, message, error_type, shape)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: of HTTP.
        message: for the client; ``{}`` stands for the error's own public message.
        error_type: header ``x-amzn-ErrorType``, None leaves it out.
        shape: a JSON object with ``message``, one with ``Message``, or plain text.
    """

    status: int
    message: str
    error_type: str | None = None
    shape: Shape = "message"


_INVALID = Answer(400, "invalid param: {}", shape="text")
_ILLEGAL = Answer(400, "parameter `url` illegal: {}", shape="text")
_THROTTLED = Answer(429, "Too Many Requests", "TooManyRequestsException")
_TIMED_OUT = Answer(504, "Endpoint request timed out")
_UNAVAILABLE = Answer(503, "Service Unavailable", "ServiceUnavailableException")
_BROKEN = Answer(502, "Internal server error")

STATUS: dict[type[SuperresError], Answer] = {
    errors.SuperresError: _BROKEN,
    errors.InputError: _INVALID,
    errors.BadParameter: _INVALID,
    errors.UnsupportedFormat: _INVALID,
    errors.CorruptImage: _INVALID,
    errors.ImageTooLarge: _INVALID,
    errors.ImageTooSmall: _INVALID,
    errors.SourceRefused: _ILLEGAL,
    errors.SourceUnreachable: _INVALID,
    errors.SourceTooLarge: _INVALID,
    errors.InvalidPart: _INVALID,
    errors.AccessError: Answer(403, "Forbidden", "ForbiddenException"),
    errors.Unauthenticated: Answer(403, "Forbidden", "ForbiddenException"),
    errors.PermissionDenied: Answer(403, "{}", "AccessDeniedException", "Message"),
    errors.RateLimited: _THROTTLED,
    errors.QuotaExceeded: Answer(429, "Limit Exceeded", "LimitExceededException"),
    errors.CapacityError: _UNAVAILABLE,
    errors.Overloaded: _THROTTLED,
    errors.DeadlineExceeded: _TIMED_OUT,
    errors.JobError: _BROKEN,
    errors.JobNotFound: _BROKEN,
    errors.JobExpired: _BROKEN,
    errors.JobCancelled: _UNAVAILABLE,
    errors.StorageError: _BROKEN,
    errors.BucketNotFound: _INVALID,
    errors.BucketExists: _INVALID,
    errors.BucketNotEmpty: _INVALID,
    errors.ObjectNotFound: _INVALID,
    errors.UploadNotFound: _INVALID,
    errors.EngineError: _BROKEN,
    errors.ModelNotFound: _BROKEN,
    errors.WeightsMissing: _BROKEN,
    errors.EngineUnavailable: _BROKEN,
    errors.OutOfMemory: _BROKEN,
    errors.WorkerLost: _BROKEN,
    errors.BadOutput: _BROKEN,
    errors.OutputError: _BROKEN,
    errors.Cancelled: _UNAVAILABLE,
}
"""Every error, and what a client of this door is told."""


def answer_to(error: Exception) -> Answer:
    """What a client is told of ``error``; anything not foreseen is an internal error."""
    if isinstance(error, Refused):
        return error.answer
    if (answer := row_of(STATUS, error)) is None:
        return _BROKEN
    said = getattr(error, "public_message", "")
    return replace(answer, message=answer.message.replace("{}", said))
