"""Telling somebody that a job has ended: a webhook, tried until it is taken.

Each try is a place in a queue, with the time that it is due: no thread waits between two, and
a process that is killed loses none. What is told may arrive twice, always with the same
``webhook-id``, which is the job's.

Signed ones follow Standard Webhooks 1.0 (standardwebhooks.com). The key is the credential's
secret as it stands, its 40 ASCII characters, and not what they would be as base64. So a client
verifies by that project's libraries with the bytes, or with their base64 after ``whsec_``::

    Webhook(secret.encode()).verify(body, headers)  # Python
    Webhook("whsec_" + base64.b64encode(secret.encode()).decode()).verify(body, headers)

or by hand: the header ``webhook-signature`` is a list, with spaces between, that holds ``v1,``
and the base64 of HMAC-SHA256(secret, "<webhook-id>.<webhook-timestamp>.<body>"), over the bytes
of the body as they came; compare in constant time, and refuse a ``webhook-timestamp`` (seconds
since 1970, of this try) that is more than five minutes off.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Engine, select, update

from superres.access import Access
from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import SourceRefused, SuperresError, Unauthenticated
from superres.jobs import rows
from superres.jobs.job import FINAL, Job
from superres.jobs.queue import UNFINISHED, JobQueue, tell_id
from superres.jobs.request import Callback, callback_from_json
from superres.jobs.tables import jobs
from superres.settings import JobsSettings
from superres.sources import Sources

T = TypeVar("T")
Tell = Callable[[Job], bytes]
"""What is posted when a job has ended: JSON in the words of its door."""

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"
# Seconds between one try and the next; the last for all that follow. Most answers that do not
# come are a restart, so the first are short; results are seldom kept for longer than all of it.
PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
_JITTER = 0.2  # that many times the pause, at most, is added: many that failed at once spread out
_GONE = 410
_random = secrets.SystemRandom()
_log = logging.getLogger(__name__)


class Insist(Protocol):
    """Does what it is given, perhaps again and again while the database cannot be used."""

    def __call__(self, ask: Callable[[], T], /) -> T: ...


def _once(ask: Callable[[], T], /) -> T:
    return ask()


class Deliveries:
    """Tells who wants to know that a job has ended. Thread-safe; blocks.

    Args:
        settings: how often is tried, and how long one try may take.
        database: where the jobs are.
        access: knows the secrets that sign.
        sources: posts, under the same guard as everything that is fetched.
        tellers: which door says it how; looked at for each try.
        queue: where the next try waits.
        clock: seconds since 1970.
        pauses: seconds between two tries, the last for all that follow.
    """

    def __init__(
        self,
        settings: JobsSettings,
        database: Engine,
        access: Access,
        sources: Sources,
        tellers: Mapping[str, Tell],
        queue: JobQueue,
        *,
        clock: Clock = now,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._attempts, self._timeout = settings.webhook_attempts, settings.webhook_timeout
        self._database, self._access, self._sources = database, access, sources
        self._tellers, self._queue = tellers, queue
        self._clock, self._pauses = clock, pauses

    def attempt(self, job_id: str, attempt: int, insist: Insist = _once) -> None:
        """Make the ``attempt``-th try, from 1; what became of it is written down with the job.

        A try that was made before is not made again; one that was cut short is.

        Args:
            job_id: of a job that has ended, or is gone.
            attempt: which try.
            insist: asks the database; it may ask again, and nobody is told twice for it.

        Raises:
            StorageError, Overloaded: ``insist`` gave up. :meth:`reconcile` has it tried again.
        """
        due = insist(lambda: self._due(job_id, attempt))
        if due is None:
            return
        state, error = self._told(*due)
        if state == WAITING and attempt >= self._attempts:
            state = FAILED
        if state == FAILED:
            _log.warning("Nobody could be told that the job %s has ended: %s", job_id, error)
        insist(lambda: self._write(job_id, attempt, state, error))

    def reconcile(self) -> int:
        """Queue tries again that were lost, as when the database failed in the middle of one.

        For the sweeper, now and then. Returns how many were.

        Raises:
            StorageError, Overloaded: the database cannot be used.
        """
        query = select(jobs.c.id, jobs.c.callback_attempts).where(
            jobs.c.callback_state == WAITING, jobs.c.state.in_(FINAL)
        )
        with reading(self._database) as connection:
            due = {
                tell_id(row.id, row.callback_attempts + 1): (row.id, row.callback_attempts)
                for row in connection.execute(query)
            }
        states = self._queue.states(list(due))
        lost = [flow for flow in due if states.get(flow) not in UNFINISHED]
        self._queue.forget(lost)  # else its name is taken
        for job_id, made in (due[flow] for flow in lost):
            with writing(self._database) as connection:
                self._queue.tell(connection, job_id, made + 1, self._pause(made + 1))
        return len(lost)

    def _due(self, job_id: str, attempt: int) -> tuple[Job, Callback] | None:
        """The job and whom to tell; None if this try is not due (any more)."""
        with reading(self._database) as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
            if row is None or row.callback_state != WAITING or row.callback_attempts >= attempt:
                return None
            [job] = rows.load(connection, [row], self._clock(connection))
        return job, callback_from_json(row.callback)

    def _write(self, job_id: str, attempt: int, state: str, error: str | None) -> None:
        """Write down what became of a try, and queue the next, if nobody else has."""
        with writing(self._database) as connection:
            written = connection.execute(
                update(jobs)
                .where(
                    jobs.c.id == job_id,
                    jobs.c.callback_state == WAITING,
                    jobs.c.callback_attempts < attempt,
                )
                .values(
                    callback_state=state,
                    callback_attempts=attempt,
                    callback_error=error,
                    version=jobs.c.version + 1,
                )
            )
            if written.rowcount and state == WAITING:
                self._queue.tell(connection, job_id, attempt + 1, self._pause(attempt))

    def _told(self, job: Job, callback: Callback) -> tuple[str, str | None]:
        """Try once; return what the callback's state is then, and why if it was not taken."""
        if job.expires_at is not None and job.expires_at <= job.now:
            return FAILED, "The results were gone before anybody could be told of them."
        teller = self._tellers.get(job.door)
        if teller is None:
            return FAILED, f"This server cannot say it in the words of the door {job.door}."
        try:
            body = teller(job)
            status = self._sources.post(
                callback.url,
                body,
                self._headers(job, callback, body),
                timeout=self._timeout,
                trusted=callback.trusted,
            )
        except Unauthenticated:
            return FAILED, "The credential that signs is not in use any more."
        except SourceRefused as exc:
            return FAILED, exc.public_message
        except SuperresError as exc:
            return WAITING, exc.public_message
        except Exception:  # noqa: BLE001 -- a door's own mistake, say; mended, it is told after all
            _log.exception("A mistake while telling that the job %s has ended", job.id)
            return WAITING, "Something went wrong here; the server's keeper finds it in the log."
        if 200 <= status < 300:
            return DELIVERED, None
        if status == _GONE:
            return FAILED, f"The address answered with {_GONE}: it wants to hear nothing more."
        return WAITING, f"The address answered with {status}."

    def _headers(self, job: Job, callback: Callback, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "webhook-id": job.id,
            "webhook-timestamp": str(int(job.now)),
        }
        if callback.signed_by is not None:
            _, secret = self._access.secret_of(callback.signed_by)
            headers["webhook-signature"] = signature(secret, job.id, int(job.now), body)
        return headers

    def _pause(self, attempt: int) -> float:
        """Seconds between the ``attempt``-th try and the next."""
        pause = self._pauses[min(attempt, len(self._pauses)) - 1]
        return pause * _random.uniform(1.0, 1.0 + _JITTER)


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``, by Standard Webhooks 1.0.

    Args:
        secret: a credential's; its bytes are the key.
        message_id: the value of ``webhook-id``, without a dot.
        timestamp: that of ``webhook-timestamp``, in seconds since 1970.
        body: as it is sent.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(secret.encode(), signed, "sha256")
    return "v1," + base64.b64encode(digest).decode()
