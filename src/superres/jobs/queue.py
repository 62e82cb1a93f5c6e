"""Who does what next: queues of DBOS Transact, in the service's own database.

Its tables are in the same SQLite file, or in a schema of their own in the same PostgreSQL
database, so that a job and its place in the queue are written in one transaction. Each picture
is a workflow without steps: what there is to know about it is in ``job_items``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, WorkflowSerializationFormat
from dbos import error as dbos_error
from sqlalchemy import Connection, Engine, text

from superres.database import reading, translated
from superres.database.sqlite import WRITING

NAME = "superres"
# Pinned: by default it is a hash of the code, and an upgrade would strand what waits.
VERSION = "1"
ITEMS, TELL = "superres.items", "superres.tell"
"""The queues, and the workflows on them: pictures to do, and ends of jobs to tell."""

UNFINISHED = ["PENDING", "ENQUEUED", "DELAYED"]
_CHUNK = 500
# Messages that begin with the same so many letters are the same, for so many seconds.
_SAME, _RARELY_S = 32, 10.0


def item_id(job_id: str, position: int) -> str:
    """The workflow of a picture."""
    return f"{job_id}.{position}"


def tell_id(job_id: str, attempt: int) -> str:
    """The workflow of the ``attempt``-th try to tell that a job has ended."""
    return f"{job_id}.tell.{attempt}"


def urgency(priority: int) -> int:
    """DBOS's priority, where lower is sooner and unset soonest, of ours."""
    return 10 - priority


def priority_of(urgency: int) -> int:
    """Ours of DBOS's, see :func:`urgency`."""
    return 10 - urgency


class JobQueue:
    """The queues, from outside: puts in, takes out, gives back. Thread-safe; blocks.

    Args:
        database: from :func:`superres.database.open_database`.

    Raises:
        StorageError: DBOS's tables cannot be made or used.
    """

    def __init__(self, database: Engine) -> None:
        _quiet()
        with translated():
            schema = schema_of(database)
            DBOS.migrate(_url(database), schema=schema)
            self._client = DBOSClient(
                # A writer's transaction holds SQLite's lock from its start.
                system_database_engine=database.execution_options(**{WRITING: True}),
                dbos_system_schema=schema,
                application_name=NAME,
                retry_connection_errors=False,
            )

    def add(
        self,
        connection: Connection,
        job_id: str,
        positions: Iterable[int],
        priority: int,
        created_at: float,
    ) -> None:
        """Queue pictures of a job, in the transaction of ``connection``."""
        for position in positions:
            self._enqueue(
                connection,
                ITEMS,
                item_id(job_id, position),
                (job_id, position, urgency(priority), created_at),
                {"priority": urgency(priority)},
            )

    def tell(self, connection: Connection, job_id: str, attempt: int, delay: float = 0.0) -> None:
        """Queue the ``attempt``-th try, from 1, to tell that a job has ended, in ``delay`` s."""
        more: dict[str, Any] = {"delay_seconds": delay} if delay > 0 else {}
        self._enqueue(
            connection, TELL, tell_id(job_id, attempt), (job_id, attempt), {"priority": 1, **more}
        )

    def cancel(self, ids: Sequence[str]) -> None:
        """Take workflows out that are not finished; those that run are not stopped by this."""
        for chunk in _chunks(ids):
            with translated():
                self._client.cancel_workflows(chunk)

    def forget(self, ids: Sequence[str]) -> None:
        """Remove every trace of workflows."""
        for chunk in _chunks(ids):
            with translated():
                self._client.delete_workflows(chunk)

    def give_back(self, executor_id: str) -> int:
        """Let others do what that process has claimed; returns how many that are.

        It may still live: what it records about them later is refused, as the claim's token
        has changed.
        """
        held = self.held_by(executor_id)
        for queue in set(held.values()):
            for chunk in _chunks([flow for flow, its in held.items() if its == queue]):
                self._resume(chunk, queue)
        return len(held)

    def holders(self) -> set[str]:
        """The executors that have claimed something and not finished it."""
        with translated():
            held = self._client.list_workflows(
                status="PENDING", load_input=False, load_output=False
            )
        return {flow.executor_id for flow in held if flow.executor_id is not None}

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """DBOS's state of each workflow that it knows."""
        found: dict[str, str] = {}
        for chunk in _chunks(ids):
            with translated():
                flows = self._client.list_workflows(
                    workflow_ids=chunk, load_input=False, load_output=False
                )
            found |= {flow.workflow_id: flow.status for flow in flows}
        return found

    def held_by(self, executor_id: str) -> dict[str, str]:
        """What that process has claimed and not finished: the queue of each workflow."""
        with translated():
            held = self._client.list_workflows(
                status="PENDING", executor_id=executor_id, load_input=False, load_output=False
            )
        return {flow.workflow_id: flow.queue_name or ITEMS for flow in held}

    def holds(self, executor_id: str, workflow_id: str) -> bool:
        """Whether that process has claimed it, and nobody since."""
        with translated():
            found = self._client.list_workflows(
                workflow_ids=[workflow_id],
                status="PENDING",
                executor_id=executor_id,
                load_input=False,
                load_output=False,
            )
        return bool(found)

    def put_back(self, executor_id: str, workflow_id: str, queue: str = ITEMS) -> None:
        """Let anybody do what that process has claimed; not what others have since."""
        if self.holds(executor_id, workflow_id):
            self._resume([workflow_id], queue)

    def _resume(self, ids: list[str], queue: str) -> None:
        try:
            with translated():
                self._client.resume_workflows(ids, queue_name=queue)
        except dbos_error.DBOSNonExistentWorkflowError:  # a job was deleted just now
            if len(ids) > 1:
                for each in ids:
                    self._resume([each], queue)

    def close(self) -> None:
        """Let go; the database stays open. Safe to repeat."""
        self._client.destroy()

    def _enqueue(
        self,
        connection: Connection,
        queue: str,
        workflow_id: str,
        arguments: tuple[object, ...],
        more: dict[str, Any],
    ) -> None:
        options: EnqueueOptions = {
            "workflow_name": queue,
            "queue_name": queue,
            "workflow_id": workflow_id,
            "app_version": VERSION,
            # Nothing that is read from the database is unpickled.
            "serialization_type": WorkflowSerializationFormat.PORTABLE,
            **more,  # type: ignore[typeddict-item]
        }
        self._client.enqueue_in_transaction(connection, options, *arguments)


def configuration(database: Engine, executor_id: str) -> DBOSConfig:
    """How DBOS is run by the process whose slot is ``executor_id``."""
    _quiet()
    return {
        "name": NAME,
        "system_database_url": _url(database),
        "dbos_system_schema": schema_of(database),
        "executor_id": executor_id,
        "application_version": VERSION,
        "run_migrations": False,
        "use_listen_notify": False,
        # PostgreSQL allows 100 connections in all unless told otherwise.
        "sys_db_pool_size": 8,
        "notification_listener_polling_interval_sec": 1.0,
        "scheduler_polling_interval_sec": 60.0,
        "enable_otlp": False,
        "log_level": "WARNING",
    }


def schema_of(database: Engine) -> str:
    """Where DBOS's tables are in PostgreSQL: beside ours, so that services which share a
    database by schemas of their own do not take each other's work. SQLite has none.
    """
    if database.dialect.name != "postgresql":
        return NAME
    with reading(database) as connection:
        ours: str = connection.scalar(text("SELECT current_schema()"))
    return f"{NAME if ours == 'public' else ours}_dbos"


def _url(database: Engine) -> str:
    url = database.url
    if url.drivername != "sqlite":
        url = url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


class _Rarely(logging.Filter):
    """Lets through now and then what is said again and again, such as that the database is away."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, what = time.monotonic(), str(record.msg)[:_SAME]
        if now < self._said.get(what, 0.0):
            return False
        self._said = {key: until for key, until in self._said.items() if until > now}
        self._said[what] = now + _RARELY_S
        return True


def _quiet() -> None:
    """Let DBOS log as everything else here does, and only what matters."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:  # else it adds one of its own, and keeps its lines to itself
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_Rarely())
    logger.setLevel(logging.WARNING)


def _chunks(ids: Sequence[str]) -> Iterable[list[str]]:
    return (list(ids[at : at + _CHUNK]) for at in range(0, len(ids), _CHUNK))
