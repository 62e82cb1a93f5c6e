"""What this door answers when it must refuse: one table, error class to HTTP status."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from superres import errors
from superres.errors import SuperresError
from superres.server.errors import ClientGone, retry_after, row_of
from superres.server.identity import request_id

DOOR = "v1"
"""This door's name in the log, in the metrics and among jobs."""

STATUS: dict[type[SuperresError], int] = {
    errors.SuperresError: 500,
    errors.InputError: 400,
    errors.BadParameter: 400,
    errors.UnsupportedFormat: 415,
    errors.CorruptImage: 422,
    errors.ImageTooLarge: 413,
    errors.ImageTooSmall: 422,
    errors.SourceRefused: 400,
    errors.SourceUnreachable: 422,
    errors.SourceTooLarge: 413,
    errors.InvalidPart: 400,
    errors.AccessError: 403,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.RateLimited: 429,
    errors.QuotaExceeded: 429,
    errors.CapacityError: 503,
    errors.Overloaded: 503,
    errors.DeadlineExceeded: 504,
    errors.JobError: 500,
    errors.JobNotFound: 404,
    errors.JobExpired: 410,
    errors.JobCancelled: 409,
    errors.StorageError: 500,
    errors.BucketNotFound: 404,
    errors.BucketExists: 409,
    errors.BucketNotEmpty: 409,
    errors.ObjectNotFound: 404,
    errors.UploadNotFound: 404,
    errors.EngineError: 500,
    errors.ModelNotFound: 400,  # the client named it
    errors.WeightsMissing: 501,
    errors.EngineUnavailable: 503,
    errors.OutOfMemory: 500,
    errors.WorkerLost: 500,
    errors.BadOutput: 500,
    errors.OutputError: 500,
    errors.Cancelled: 503,  # by the server's stop: a client's own is ClientGone
    ClientGone: 499,  # nobody reads it; the log does
}
"""Every error's status; the ``code`` in the answer is the error's own."""

# What HTTP itself refuses.
_OF_HTTP = {
    404: ("not_found", "There is nothing at this address; /docs tells what there is."),
    405: ("method_not_allowed", "This address does not take this method; see the header Allow."),
    406: ("not_acceptable", ""),
    416: ("range_not_satisfiable", ""),
}
_UNEXPECTED = (
    "Something went wrong in the server; the log tells more under this request's id. "
    "Try again, and report it if it stays."
)
# Coming again without being told when.
_SOON = {503: 1.0}


def render(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed with ``error``: ``{"error": {…}}``."""
    headers: dict[str, str] = {}
    said: dict[str, str | float] = {}
    if isinstance(error, SuperresError):
        status = row_of(STATUS, error) or 500
        said |= {"code": error.code, "message": error.public_message}
        if (wait := retry_after(error, _SOON.get(status))) is not None:
            headers["Retry-After"] = str(wait)
            said["retry_after"] = wait
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, HTTPException):
        status = error.status_code
        code, message = _OF_HTTP.get(status, ("refused", ""))
        said |= {"code": code, "message": message or error.detail}
        headers |= error.headers or {}
    else:
        status = 500
        said |= {"code": "internal", "message": _UNEXPECTED}
    headers["Cache-Control"] = "no-store"
    return JSONResponse({"error": {**said, "request_id": request_id(request)}}, status, headers)
