"""Workers that end by themselves, before they are of use or as soon as they are."""

from __future__ import annotations

import importlib
import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock

import pytest

from superres.errors import EngineUnavailable
from superres.executors import worker
from superres.executors.clock import Clock
from superres.executors.pool import WorkerPool
from superres.executors.scheduler import Scheduler
from superres.executors.supervisor import Supervisor
from superres.pipeline import UpscaleOptions
from tests.unit.executors.works import is_right, quick, settings, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


@contextmanager
def broken_worker(tmp_path, monkeypatch, body: str) -> Iterator[WorkerPool]:
    """A pool whose workers run ``body`` (``connection`` is to the server) and end."""
    name = f"broken_{tmp_path.name}"
    source = f"def main(connection, settings):\n{textwrap.indent(textwrap.dedent(body), '    ')}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)  # the child is told
    monkeypatch.setattr(worker, "main", importlib.import_module(name).main)
    pool = WorkerPool(settings(tmp_path))
    try:
        yield pool
    finally:
        pool.close()


def test_a_worker_that_exits_at_birth_again_and_again(tmp_path, monkeypatch):
    with broken_worker(tmp_path, monkeypatch, "import os; os._exit(3)") as pool:
        running = pool.submit(quick(tmp_path))
        estimate = pool.estimate(10, 10, UpscaleOptions())
        with pytest.raises(EngineUnavailable, match=r"dies when it starts \(exit code 3\)"):
            running.future.result(20)
        with pytest.raises(EngineUnavailable, match="exit code 3"):
            estimate.result(5)
        with pytest.raises(EngineUnavailable, match="exit code 3"):
            pool.submit(quick(tmp_path)).future.result(0)


def test_the_workers_own_reason_is_kept(tmp_path, monkeypatch):
    body = """
        import os
        from superres.errors import EngineUnavailable
        from superres.executors.wire import Unable
        connection.send(Unable(EngineUnavailable("No such chip.")))
        os._exit(2)
    """
    with broken_worker(tmp_path, monkeypatch, body) as pool:
        until(lambda: pool.state().workers[0].restarts >= 3)
        with pytest.raises(EngineUnavailable, match="No such chip"):
            pool.submit(quick(tmp_path)).future.result(5)


def test_a_worker_killed_by_a_signal_without_a_name(tmp_path, monkeypatch):
    body = "import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 2)"
    with broken_worker(tmp_path, monkeypatch, body) as pool:
        running = pool.submit(quick(tmp_path))
        with pytest.raises(EngineUnavailable, match=r"\(signal \d+\)"):
            running.future.result(20)


def test_a_worker_that_dies_when_it_is_ready_is_not_started_without_end(tmp_path, monkeypatch):
    body = """
        import os
        from superres.executors.wire import Ready
        connection.send(Ready())
        os._exit(1)
    """
    with broken_worker(tmp_path, monkeypatch, body) as pool:
        until(lambda: pool.state().workers[0].restarts >= 3)  # at once, the first times
        time.sleep(3)
        assert pool.state().workers[0].restarts <= 6


def test_killing_a_worker_that_is_being_buried(tmp_path):
    """Its process may be gone between one look and the next."""

    class Fading(Supervisor):
        looks = 0

        @property
        def _process(self):
            self.looks += 1
            return Mock() if self.looks == 1 else None

        @_process.setter
        def _process(self, process):
            pass

    clock = Clock()
    chosen = settings(tmp_path)
    supervisor = Fading(chosen, Scheduler(1, clock, None), clock)
    supervisor.kill()
    assert supervisor.looks == 1
    clock.close()


@pytest.mark.parametrize("lasts", [True, False])
def test_a_device_that_is_lost_gets_a_new_worker(tmp_path, monkeypatch, lasts):
    """Not so where one work cannot be done and others can."""
    body = f"""
        from concurrent.futures import Future
        from superres.engines.fake import FakeSession
        from superres.errors import EngineUnavailable
        from superres.executors import worker
        seen, right = settings.engine.cache_dir.parent / "seen", FakeSession.submit
        if not seen.exists():
            tiles = []
            def submit(self, image):
                tiles.append(image)
                if len(tiles) == 1 or (not {lasts} and len(tiles) > 2):
                    return right(self, image)
                seen.touch()
                future = Future()
                future.set_exception(EngineUnavailable("The device is lost."))
                return future
            FakeSession.submit = submit
        worker.main(connection, settings)
    """
    with broken_worker(tmp_path, monkeypatch, body) as pool:
        until(lambda: pool.state().ready)
        with pytest.raises(EngineUnavailable, match="device is lost"):
            pool.submit(quick(tmp_path)).future.result(30)
        if lasts:
            until(lambda: pool.state().workers[0].restarts == 1 and pool.state().ready)
        again = quick(tmp_path, "again")
        pool.submit(again).future.result(30)
        assert is_right(again)
        assert pool.state().workers[0].restarts == (1 if lasts else 0)
