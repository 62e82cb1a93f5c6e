"""What these doors say of an error: an HTTP status before a task is taken in, a state after."""

from __future__ import annotations

from superres import errors
from superres.errors import SuperresError
from superres.server.errors import row_of

STATUS: dict[type[SuperresError], int] = {
    errors.SuperresError: 500,
    errors.InputError: 400,
    errors.BadParameter: 400,
    errors.UnsupportedFormat: 400,
    errors.CorruptImage: 400,
    errors.ImageTooLarge: 400,
    errors.ImageTooSmall: 400,
    errors.SourceRefused: 400,
    errors.SourceUnreachable: 400,
    errors.SourceTooLarge: 413,
    errors.InvalidPart: 400,
    errors.AccessError: 401,
    errors.Unauthenticated: 401,
    # The vendor's 401 is for a service that is not opened for the key, too.
    errors.PermissionDenied: 401,
    errors.RateLimited: 429,
    errors.QuotaExceeded: 429,
    errors.CapacityError: 500,
    errors.Overloaded: 429,
    errors.DeadlineExceeded: 500,
    errors.JobError: 500,
    errors.JobNotFound: 404,
    errors.JobExpired: 404,
    errors.JobCancelled: 500,
    errors.StorageError: 500,
    errors.BucketNotFound: 404,
    errors.BucketExists: 500,
    errors.BucketNotEmpty: 500,
    errors.ObjectNotFound: 404,
    errors.UploadNotFound: 404,
    errors.EngineError: 500,
    errors.ModelNotFound: 500,
    errors.WeightsMissing: 500,
    errors.EngineUnavailable: 500,
    errors.OutOfMemory: 500,
    errors.WorkerLost: 500,
    errors.BadOutput: 500,
    errors.OutputError: 500,
    errors.Cancelled: 500,
}
"""Every error, and the HTTP status that a client of these doors gets for it."""

TIMED_OUT, _INVALID, _TOO_LARGE, _NO_DOWNLOAD, _NO_UPLOAD, _FAILED = -8, -7, -5, -3, -2, -1
DETAILS = {
    TIMED_OUT: "Timeout",
    _INVALID: "Invalid image",
    _TOO_LARGE: "Image too large",
    _NO_DOWNLOAD: "Download failed",
    _NO_UPLOAD: "Upload failed",
    _FAILED: "Failed",
}
"""The states of a failed task, and a word for each."""

# The first that fits holds.
_STATES: tuple[tuple[type[SuperresError], int], ...] = (
    (errors.SourceTooLarge, _TOO_LARGE),
    (errors.SourceRefused, _NO_DOWNLOAD),
    (errors.SourceUnreachable, _NO_DOWNLOAD),
    (errors.PermissionDenied, _NO_DOWNLOAD),
    (errors.BucketNotFound, _NO_DOWNLOAD),
    (errors.ObjectNotFound, _NO_DOWNLOAD),
    (errors.InputError, _INVALID),
    (errors.DeadlineExceeded, TIMED_OUT),
    (errors.StorageError, _NO_UPLOAD),
    (errors.OutputError, _NO_UPLOAD),
)


def status_of(error: Exception) -> tuple[int, str]:
    """HTTP status and message for ``error``; what nobody foresaw is told without its words."""
    if (status := row_of(STATUS, error)) is None:
        return 500, "Something went wrong in the server; try again later."
    return status, getattr(error, "public_message", "")


def state_of(error: SuperresError | None, *, by_url: bool) -> int:
    """The state of a task that failed with ``error``.

    Args:
        error: why its picture was not done.
        by_url: the picture was to be downloaded, not sent along.
    """
    state = next((state for cls, state in _STATES if isinstance(error, cls)), _FAILED)
    if by_url:
        return state
    return {_TOO_LARGE: _INVALID, _NO_DOWNLOAD: _NO_UPLOAD}.get(state, state)
