"""Everything superres raises on purpose.

::

    SuperresError
    ├── InputError              something is wrong with what was handed in
    │   ├── BadParameter            an option is outside its range or contradicts another
    │   ├── UnsupportedFormat       not a picture format that is read or written here
    │   ├── CorruptImage            the file says it is a picture, but it cannot be decoded
    │   ├── ImageTooLarge           more pixels (or bytes) than a limit allows
    │   ├── ImageTooSmall           no pixels at all
    │   ├── SourceRefused           an address that is not allowed or not understood
    │   ├── SourceUnreachable       nothing, or an error, came from the address
    │   ├── SourceTooLarge          more bytes came than a limit allows
    │   └── InvalidPart             a part of an upload is not there, or is not what was sent
    ├── AccessError             who is asking may not have this, or not now
    │   ├── Unauthenticated         no credential, an unknown one, or a wrong signature
    │   ├── PermissionDenied        the credential's policy does not allow it
    │   ├── RateLimited             too many requests at once; try again soon
    │   └── QuotaExceeded           the plan's requests for this day, week or month are spent
    ├── CapacityError           right, but not now
    │   ├── Overloaded              the queue is full
    │   └── DeadlineExceeded        it took longer than it may
    ├── JobError                something about a job (work handed in, done later)
    │   ├── JobNotFound             no such job, or not this caller's
    │   ├── JobExpired              it was finished, and its time is over
    │   └── JobCancelled            it was closed before it was done
    ├── StorageError            something is wrong with an object or a bucket
    │   ├── BucketNotFound          no such bucket
    │   ├── BucketExists            the name is taken
    │   ├── BucketNotEmpty          only an empty bucket can be deleted
    │   ├── ObjectNotFound          no such object
    │   └── UploadNotFound          no such upload in parts, or it is over
    ├── EngineError             something is wrong with what computes
    │   ├── ModelNotFound           no model of that name in the catalogue
    │   ├── WeightsMissing          the weights file is absent or is not the one it should be
    │   ├── EngineUnavailable       the runtime, device or precision cannot be had here
    │   ├── OutOfMemory             the work does not fit under the memory ceiling
    │   ├── WorkerLost              the process that computed died, twice
    │   └── BadOutput               the network returned something that is not the picture
    ├── OutputError             the result could not be written where it was asked for
    └── Cancelled               somebody asked to stop

Every class has a stable ``code`` (snake case, for programs) and a ``public_message``:
one sentence for people that says what to do and holds no secrets and no paths of
the server's own.
"""

from __future__ import annotations

from typing import ClassVar


class SuperresError(Exception):
    """Base of every error that superres raises on purpose.

    Arguments are positional, so that the error survives pickling between processes.
    """

    code: ClassVar[str] = "error"

    def __init__(self, public_message: str) -> None:
        super().__init__(public_message)
        self.public_message = public_message


class InputError(SuperresError):
    """Something is wrong with what was handed in; the same call will fail again."""

    code = "input_error"


class BadParameter(InputError, ValueError):
    """An option is outside its range, unknown, or contradicts another option."""

    code = "bad_parameter"


class UnsupportedFormat(InputError):
    """The content is not a picture format that is read (or written) here."""

    code = "unsupported_format"


class CorruptImage(InputError):
    """The file claims to be a picture but cannot be decoded whole."""

    code = "corrupt_image"


class ImageTooLarge(InputError):
    """More pixels or bytes than a limit allows; the message names the limit's setting."""

    code = "image_too_large"


class ImageTooSmall(InputError):
    """The picture has no pixels."""

    code = "image_too_small"


class SourceRefused(InputError):
    """The address has a form that is not understood, or leads where it may not."""

    code = "source_refused"


class SourceUnreachable(InputError):
    """The address answered nothing in time, or an error."""

    code = "source_unreachable"


class SourceTooLarge(InputError):
    """More bytes than a limit allows; the message names the limit's setting."""

    code = "source_too_large"


class InvalidPart(InputError):
    """A part that an upload is to be made of is not there, or has another ETag."""

    code = "invalid_part"


class AccessError(SuperresError):
    """Who is asking may not have this, or not now."""

    code = "access_error"


class Unauthenticated(AccessError):
    """No credential, an unknown or revoked one, or a signature that does not fit.

    ``expired`` is True for a temporary one whose time is over.
    """

    code = "unauthenticated"

    def __init__(self, public_message: str, expired: bool = False) -> None:
        super().__init__(public_message)
        self.expired = expired


class PermissionDenied(AccessError):
    """The credential is known, and its policy does not allow this."""

    code = "permission_denied"


class RateLimited(AccessError):
    """Too many requests at once. ``retry_after`` is in seconds."""

    code = "rate_limited"

    def __init__(self, public_message: str, retry_after: float = 1.0) -> None:
        super().__init__(public_message)
        self.retry_after = retry_after


class QuotaExceeded(AccessError):
    """The plan's requests are spent. ``retry_after`` is in seconds, until the period ends."""

    code = "quota_exceeded"

    def __init__(self, public_message: str, retry_after: float = 86_400.0) -> None:
        super().__init__(public_message)
        self.retry_after = retry_after


class CapacityError(SuperresError):
    """The request is right, and cannot be served now."""

    code = "capacity_error"


class Overloaded(CapacityError):
    """The queue is full. ``retry_after`` is in seconds, from the work ahead."""

    code = "overloaded"

    def __init__(self, public_message: str, retry_after: float = 1.0) -> None:
        super().__init__(public_message)
        self.retry_after = retry_after


class DeadlineExceeded(CapacityError):
    """The work took longer than it may, and was stopped."""

    code = "deadline_exceeded"


class JobError(SuperresError):
    """Something about a job: work handed in, done later."""

    code = "job_error"


class JobNotFound(JobError):
    """There is no job of that id, or it is somebody else's."""

    code = "job_not_found"


class JobExpired(JobError):
    """The job was finished, and the time its results are kept for is over."""

    code = "job_expired"


class JobCancelled(JobError):
    """The job was closed before this picture was done."""

    code = "job_cancelled"


class StorageError(SuperresError):
    """Something is wrong with an object or a bucket."""

    code = "storage_error"


class BucketNotFound(StorageError):
    """There is no bucket of that name."""

    code = "bucket_not_found"


class BucketExists(StorageError):
    """The bucket's name is taken. ``owner`` says by whom, empty if that is not known."""

    code = "bucket_exists"

    def __init__(self, public_message: str, owner: str = "") -> None:
        super().__init__(public_message)
        self.owner = owner


class BucketNotEmpty(StorageError):
    """The bucket has objects or unfinished uploads; delete them first."""

    code = "bucket_not_empty"


class ObjectNotFound(StorageError):
    """There is no object of that name."""

    code = "object_not_found"


class UploadNotFound(StorageError):
    """There is no upload in parts of that id, or it was completed, aborted or forgotten."""

    code = "upload_not_found"


class EngineError(SuperresError):
    """Something is wrong with what computes, not with the picture."""

    code = "engine_error"


class ModelNotFound(EngineError, LookupError):
    """No model of that name is in the catalogue."""

    code = "model_not_found"


class WeightsMissing(EngineError):
    """A model's weights are absent, or are not the bytes the catalogue names."""

    code = "weights_missing"


class EngineUnavailable(EngineError):
    """The runtime, device or precision asked for cannot be had on this machine."""

    code = "engine_unavailable"


class OutOfMemory(EngineError):
    """The work does not fit under the memory ceiling."""

    code = "out_of_memory"


class WorkerLost(EngineError):
    """The process that computed died under this request, and again when it was tried anew."""

    code = "worker_lost"


class BadOutput(EngineError):
    """The network's answer failed the plausibility checks twice and was thrown away."""

    code = "bad_output"


class OutputError(SuperresError):
    """The result could not be written where it was asked for."""

    code = "output_error"


class Cancelled(SuperresError):
    """The work was stopped on request before it was finished."""

    code = "cancelled"


def from_code(code: str, public_message: str) -> SuperresError:
    """The error of that ``code`` again, as it was stored; an unknown code makes the base class."""
    found = _BY_CODE.get(code) or _gather().get(code, SuperresError)
    return found(public_message)


_BY_CODE: dict[str, type[SuperresError]] = {}


def _gather() -> dict[str, type[SuperresError]]:
    kinds = [SuperresError]
    for kind in kinds:
        kinds.extend(each for each in kind.__subclasses__() if each not in kinds)
        if kind.__module__ == __name__:
            _BY_CODE[kind.code] = kind
    return _BY_CODE
