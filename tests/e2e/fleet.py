"""A fleet: several processes of superres on one database and one store, and ways to hurt them.

A *machine* is a data folder; processes on one machine share it, and the others share nothing
with them but what the two URLs name.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from sqlalchemy import Engine

from superres.database import open_database
from superres.settings import Settings, load
from superres.storage import ObjectStore, open_store
from tests.e2e import held, skewed
from tests.e2e.service import PATIENCE, Service, until

QUICK = {
    "jobs.slot_timeout": 3,
    "jobs.poll_interval": 0.1,
    "server.shutdown_timeout": 5,
}
"""Settings that make a fleet notice soon."""


@dataclass
class Member(Service):
    """One process of a fleet: an API server or a worker.

    Attributes:
        command: ``serve`` or ``worker``.
        machine: the data folder, which other members may have too.
        brake: the file that says how long a tile takes; the fleet's.
        script: what is run; ``held.py`` or one that does more.
        gone: it was ended and is not to come back.
    """

    command: str = "serve"
    machine: Path = field(kw_only=True)
    brake: Path = field(kw_only=True)
    script: Path = Path(held.__file__)
    gone: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.data, self._hold = self.machine, self.brake
        self._lives = 0
        # The same one after each start, as clients know no other.
        self.port = _free_port() if self.command == "serve" else 0

    def spawn(self, *words: str, **how: object) -> subprocess.Popen[bytes]:
        # A group of its own, so that it can be ended with its children and nobody else.
        return subprocess.Popen(
            [sys.executable, str(self.script), *words, "--data-dir", str(self.data)],
            env=self.environment,
            start_new_session=True,
            **how,
        )

    def start(self, *, ready: bool = True) -> None:
        """Start it again, or for the first time; the logs of earlier lives stay."""
        self.begin()
        self.wait_for(ready=ready)

    def begin(self) -> None:
        """The same without waiting for anything."""
        if self._lives:
            self.log.replace(self.log.with_name(f"log.{self._lives}"))
        self._lives += 1
        words = ("--port", str(self.port)) if self.command == "serve" else ()
        with self.log.open("wb") as log:
            self.process = self.spawn(self.command, *words, *self.flags, stdout=log, stderr=log)
        if self.command == "serve":
            self.url = f"http://127.0.0.1:{self.port}"
            self.http.base_url = self.url

    def wait_for(self, *, ready: bool = True) -> None:
        """Wait until a server listens, and is ready; until a worker takes jobs."""
        if self.command == "worker":
            until(self._works, self.said)
            return
        until(self._listens, self.said)
        if ready:
            until(self._is_ready, self.said)

    def _works(self) -> bool:
        assert self.alive, self.said()
        return "doing jobs" in self.said()

    def _is_ready(self) -> bool:
        assert self.alive, self.said()
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self, *, whole: bool = True) -> None:
        """``kill -9``: with its children, or leaving them to find out for themselves."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            if whole:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait(PATIENCE)

    def freeze(self) -> None:
        """It and its children stand still, as on a machine that is cut off."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on, knowing nothing of it."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it in peace, or by force if it does not."""
        self.http.close()
        if self.process is None:
            return
        if self.alive:
            self.thaw()
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # whatever is left of the group
        self.process.wait(PATIENCE)

    def seconds_of_processor(self) -> float:
        """That it and its children have taken so far."""
        return sum(sum(p.cpu_times()[:2]) for p in self.processes())

    def resident(self) -> float:
        """MiB of it and its children."""
        return sum(p.memory_info().rss for p in self.processes()) / 2**20

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def everything_said(self) -> str:
        """The logs of all its lives."""
        logs = sorted(self.folder.glob("log*"), key=lambda path: path.stat().st_mtime)
        return "".join(path.read_text(errors="replace") for path in logs)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Fleet:
    """Processes that share a database and a store.

    Attributes:
        folder: everything lies here: machines, logs.
        database_url: empty: SQLite in the first machine's data folder.
        storage_url: empty: a folder in the first machine's data folder.
        settings: of every member, on top of :data:`QUICK`.
        script: that every member runs.
        at_the_end: more to be closed.
    """

    folder: Path
    database_url: str = ""
    storage_url: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    script: Path = Path(held.__file__)
    members: list[Member] = field(default_factory=list)
    at_the_end: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._brake = self.folder / "hold"

    def add(self, command: str = "serve", machine: str = "a", **settings: object) -> Member:
        """A member that is yet to be started; settings as ``jobs__concurrency=0``."""
        own = {name.replace("__", "."): value for name, value in settings.items()}
        urls = {"database.url": self.database_url, "storage.url": self.storage_url}
        made = Member(
            self.folder / f"{len(self.members)}-{command}-{machine}",
            {**QUICK, **{k: v for k, v in urls.items() if v}, **self.settings, **own},
            command=command,
            machine=self.folder / "machines" / machine,
            brake=self._brake,
            script=self.script,
        )
        made.machine.parent.mkdir(exist_ok=True)
        self.members.append(made)
        return made

    def start(self) -> None:
        """All members that do not live, at the same time."""
        with ThreadPoolExecutor(8) as pool:
            for started in [pool.submit(m.start) for m in self.members if not m.alive]:
                started.result()

    def close(self) -> None:
        """End all members."""
        self.release()
        with self.at_the_end, ThreadPoolExecutor(8) as pool:
            list(pool.map(Member.stop, self.members))

    def hold(self, seconds: float = 1e6) -> None:
        """From now on each tile takes so long."""
        part = self._brake.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self._brake)

    def release(self) -> None:
        """Tiles take no time."""
        self._brake.unlink(missing_ok=True)

    def set_clock(self, seconds: float) -> None:
        """Set every member's clock; they must run ``skewed.py``."""
        part = self._brake.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self._brake.with_suffix(skewed.SUFFIX))

    @property
    def seen_from_outside(self) -> Settings:
        """Settings with which this process sees the same database and store."""
        given: dict[str, object] = {"server.data_dir": self.folder / "machines" / "a"}
        if self.database_url:
            given["database.url"] = self.database_url
        if self.storage_url:
            given["storage.url"] = self.storage_url
        given |= {k: v for k, v in self.settings.items() if k.startswith(("jobs.", "server."))}
        return load(Path(os.devnull), given, {})

    @functools.cached_property
    def database(self) -> Engine:
        """The database, seen from this process."""
        made = open_database(self.seen_from_outside)
        self.at_the_end.callback(made.dispose)
        return made

    @functools.cached_property
    def store(self) -> ObjectStore:
        """The store, seen from this process."""
        return open_store(self.seen_from_outside)

    def told(self, lines: int = 15) -> str:
        """The end of every log."""
        return "\n".join(
            f"--- {m.folder.name} ({'alive' if m.alive else 'dead'}):\n"
            + "\n".join(m.everything_said().splitlines()[-lines:])
            for m in self.members
        )


@contextlib.contextmanager
def fleet(folder: Path, **how: object) -> Iterator[Fleet]:
    """A fleet whose members are all ended at the end."""
    made = Fleet(folder, **how)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def database_of_its_own(server: str) -> Iterator[str]:
    """The URL of a new database on a PostgreSQL server; it goes at the end, whoever uses it."""
    import psycopg
    from psycopg import sql

    name = f"t_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    head, _, options = server.partition("?")
    try:
        yield f"{head.rpartition('/')[0]}/{name}" + (f"?{options}" if options else "")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )
