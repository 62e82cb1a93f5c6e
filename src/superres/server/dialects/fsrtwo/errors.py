"""What this door answers when it must refuse: one table, error class to status and code."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException

from superres import errors
from superres.errors import SuperresError
from superres.server.errors import ClientGone, row_of


@dataclass(frozen=True)
class Answer:
    """A refusal.

    Attributes:
        status: of HTTP.
        code: of the vendor's body.
        wait: seconds for ``Retry-After`` if the error itself does not say; None leaves it out.
    """

    status: int
    code: int
    wait: float | None = None


BAD_PARAMETER = Answer(400, 680400)
BAD_CREDENTIALS = Answer(401, 680401)
NOT_ALLOWED = Answer(403, 680403)
UNKNOWN = Answer(404, 680404)
WRONG_METHOD = Answer(405, 680405)
TOO_MANY = Answer(429, 680429, 1.0)
NO_BALANCE = Answer(429, 490027)
"""The vendor's own "insufficient balance"."""
INTERNAL = Answer(500, 680500)
NOT_NOW = Answer(503, 680500, 1.0)

STATUS: dict[type[SuperresError], Answer] = {
    errors.SuperresError: INTERNAL,
    errors.InputError: BAD_PARAMETER,
    errors.BadParameter: BAD_PARAMETER,
    errors.UnsupportedFormat: BAD_PARAMETER,
    errors.CorruptImage: BAD_PARAMETER,
    errors.ImageTooLarge: BAD_PARAMETER,
    errors.ImageTooSmall: BAD_PARAMETER,
    errors.SourceRefused: BAD_PARAMETER,
    errors.SourceUnreachable: BAD_PARAMETER,
    errors.SourceTooLarge: BAD_PARAMETER,
    errors.InvalidPart: BAD_PARAMETER,
    errors.AccessError: NOT_ALLOWED,
    errors.Unauthenticated: BAD_CREDENTIALS,
    errors.PermissionDenied: NOT_ALLOWED,
    errors.RateLimited: TOO_MANY,
    errors.QuotaExceeded: NO_BALANCE,
    errors.CapacityError: NOT_NOW,
    errors.Overloaded: TOO_MANY,
    errors.DeadlineExceeded: NOT_NOW,
    errors.JobError: INTERNAL,
    errors.JobNotFound: UNKNOWN,
    errors.JobExpired: UNKNOWN,
    errors.JobCancelled: INTERNAL,
    errors.StorageError: INTERNAL,
    errors.BucketNotFound: INTERNAL,
    errors.BucketExists: INTERNAL,
    errors.BucketNotEmpty: INTERNAL,
    errors.ObjectNotFound: UNKNOWN,
    errors.UploadNotFound: UNKNOWN,
    errors.EngineError: INTERNAL,
    errors.ModelNotFound: INTERNAL,
    errors.WeightsMissing: INTERNAL,
    errors.EngineUnavailable: INTERNAL,
    errors.OutOfMemory: INTERNAL,
    errors.WorkerLost: INTERNAL,
    errors.BadOutput: INTERNAL,
    errors.OutputError: INTERNAL,
    errors.Cancelled: NOT_NOW,  # by the server's stop
    ClientGone: Answer(499, 680500),  # nobody reads it; the log does
}
"""Every error, and what a client of this door is told. Of a picture that fails the class does
not matter: its ``reason`` is the error's sentence."""

_OF_HTTP = {
    404: (UNKNOWN, "There is nothing at this address."),
    405: (WRONG_METHOD, "This address does not take this method; see the header Allow."),
}
_UNEXPECTED = "Something went wrong in the server; its log says more. Try again."


def answer_to(error: Exception) -> tuple[Answer, str]:
    """What a client is told of ``error``, and in which words."""
    if isinstance(error, SuperresError):
        return row_of(STATUS, error) or INTERNAL, error.public_message
    if isinstance(error, HTTPException):
        return _OF_HTTP.get(error.status_code, (INTERNAL, _UNEXPECTED))
    return INTERNAL, _UNEXPECTED
