"""What only processes do: die, hang, be left alone by their parent."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from superres.errors import BadParameter, Cancelled, EngineUnavailable, ModelNotFound, WorkerLost
from superres.executors.pool import WorkerPool, _worker_settings
from superres.pipeline import UpscaleOptions
from superres.settings import (
    AccessSettings,
    DatabaseSettings,
    EngineSettings,
    ModelsSettings,
    Settings,
)
from tests.unit.executors.works import is_right, quick, settings, slow, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., WorkerPool]]:
    pools: list[WorkerPool] = []

    def start(**workers: object) -> WorkerPool:
        pool = WorkerPool(settings(tmp_path, **workers))
        pools.append(pool)
        until(lambda: pool.state().ready)
        return pool

    yield start
    for pool in pools:
        pool.close()


def pid(pool: WorkerPool) -> int:
    found = pool.state().workers[0].pid
    assert found is not None
    return found


def kill(pool: WorkerPool, number: int = signal.SIGKILL) -> None:
    os.kill(pid(pool), number)


def test_it_is_made_at_once_and_takes_work_before_it_is_ready(tmp_path):
    pool = WorkerPool(settings(tmp_path))
    try:
        assert not pool.state().ready
        running = pool.submit(quick(tmp_path))
        estimate = pool.estimate(10, 10, UpscaleOptions())
        assert estimate.result(30).out_width == 40
        assert running.future.result(30).attempts == 1
    finally:
        pool.close()


def test_closed_before_it_is_ready(tmp_path):
    pool = WorkerPool(settings(tmp_path))
    running = pool.submit(quick(tmp_path))
    estimate = pool.estimate(10, 10, UpscaleOptions())
    pool.close()
    assert isinstance(running.future.exception(0), Cancelled)
    assert isinstance(estimate.exception(5), EngineUnavailable)
    assert pool.state().workers[0].pid is None


def test_a_worker_killed_at_work_costs_one_retry(start, tmp_path, caplog):
    caplog.set_level(logging.INFO, "superres.executors")
    pool = start()
    begun = threading.Event()
    seen: list[float] = []

    def listen(progress) -> None:
        seen.append(progress.fraction)
        begun.set()

    work = slow(tmp_path)
    running = pool.submit(work, on_progress=listen)
    assert begun.wait(30)
    first = pid(pool)
    kill(pool)
    assert running.future.result(60).attempts == 2
    assert is_right(work)
    assert pid(pool) != first
    assert pool.state().workers[0].restarts == 1
    assert min(seen[1:]) < 0.1  # progress began again
    assert f"started (pid {first})" in caplog.text
    assert "ended (signal SIGKILL) with 1 in hand" in caplog.text


def test_a_worker_killed_twice_is_an_error(start, tmp_path):
    pool = start()
    work = slow(tmp_path, side=1500)
    running = pool.submit(work)
    for _ in range(2):
        until(lambda: pool.state().running == 1)
        kill(pool)
        until(lambda: pool.state().running == 0 or running.future.done())
    with pytest.raises(WorkerLost):
        running.future.result(30)
    assert not work.target.exists()
    assert pool.submit(quick(tmp_path)).future.result(30).attempts == 1


def test_a_poisonous_picture_hits_only_itself(start, tmp_path):
    """Whenever the culprit is begun, its worker dies; the others must all come out right."""
    pool = start(concurrency=3)
    culprit = slow(tmp_path, "culprit", side=1500)
    innocent = [slow(tmp_path, f"i{i}") for i in range(2)]
    later = [quick(tmp_path, f"l{i}") for i in range(4)]
    alone: list[int] = []

    def poison(progress) -> None:
        alone.append(pool.state().running)
        kill(pool)

    running = [pool.submit(work) for work in innocent]
    poisoned = pool.submit(culprit, on_progress=poison)
    queued = [pool.submit(work) for work in later]
    with pytest.raises(WorkerLost):
        poisoned.future.result(60)
    assert [r.future.result(60).attempts for r in running] == [2, 2]
    assert [r.future.result(60).attempts for r in queued] == [1] * 4
    assert all(is_right(work) for work in (*innocent, *later))
    assert alone[0] == 3
    assert alone[-1] == 1
    assert pool.state().workers[0].restarts == 2


def test_a_worker_that_hangs_is_killed(start, tmp_path):
    """A stopped process stands for one that is stuck in native code."""
    pool = start(hang_timeout=0.5)
    hung, other = slow(tmp_path, "a", side=1500), slow(tmp_path, "b")
    begun = threading.Event()
    running = pool.submit(hung, on_progress=lambda _: begun.set())
    beside = pool.submit(other)
    assert begun.wait(30)
    until(lambda: pool.state().running == 2)
    kill(pool, signal.SIGSTOP)
    running.cancel()
    with pytest.raises(Cancelled):
        running.future.result(10)
    done = beside.future.result(60)
    assert done.attempts == 2
    assert is_right(other)
    assert pool.state().workers[0].restarts == 1


def test_estimates_survive_a_worker(start):
    pool = start()
    kill(pool, signal.SIGSTOP)
    estimate = pool.estimate(100, 100, UpscaleOptions())
    kill(pool)
    assert estimate.result(30).out_width == 400


def test_a_worker_told_to_end_finishes_first(start, tmp_path):
    pool = start()
    begun = threading.Event()
    work = slow(tmp_path)
    running = pool.submit(work, on_progress=lambda _: begun.set())
    assert begun.wait(30)
    first = pid(pool)
    kill(pool, signal.SIGTERM)
    assert running.future.result(60).attempts == 1
    assert is_right(work)
    until(lambda: pool.state().ready and pid(pool) != first)
    assert pool.submit(quick(tmp_path)).future.result(30).attempts == 1


def test_ctrl_c_is_the_parents_affair(start, tmp_path):
    pool = start()
    begun = threading.Event()
    running = pool.submit(slow(tmp_path), on_progress=lambda _: begun.set())
    kill(pool, signal.SIGINT)
    assert begun.wait(30)
    kill(pool, signal.SIGINT)
    assert running.future.result(60).attempts == 1


def test_ctrl_c_at_birth(tmp_path):
    pool = WorkerPool(settings(tmp_path))
    try:
        until(lambda: pool.state().workers[0].pid)
        for _ in range(20):
            kill(pool, signal.SIGINT)
        until(lambda: pool.state().ready)
        assert pool.state().workers[0].restarts == 0
    finally:
        pool.close()


def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from pathlib import Path
            from superres.executors.pool import WorkerPool
            from tests.unit.executors.works import settings, slow, until

            if __name__ == "__main__":
                root = Path(sys.argv[1])
                pool = WorkerPool(settings(root))
                until(lambda: pool.state().ready)
                pool.submit(slow(root, side=3000))
                until(lambda: pool.state().running)
                print(pool.state().workers[0].pid, flush=True)
                time.sleep(60)
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        assert worker.is_running()
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 5)


def test_the_servers_process_loads_no_runtime(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            from superres.executors.pool import WorkerPool
            from tests.unit.executors.works import quick, settings

            if __name__ == "__main__":
                root = Path(sys.argv[1])
                pool = WorkerPool(settings(root))
                pool.submit(quick(root)).future.result(30)
                pool.close()
                print(*sorted({"openvino", "pyvips", "torch"} & set(sys.modules)), "none")
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=True,
    )
    assert result.stdout.strip() == "none"


def test_an_unknown_device_is_refused_at_once(tmp_path):
    wrong = Settings(engine=EngineSettings(device="abacus"))
    with pytest.raises(BadParameter, match=r"abacus.*\[engine\] device"):
        WorkerPool(wrong)


def test_an_engine_that_cannot_be_had(tmp_path, caplog):
    """Works then fail with the reason, rather than wait for ever."""
    wrong = Settings(
        engine=EngineSettings(device="fake", precision="f16", cache_dir=tmp_path / "cache")
    )
    pool = WorkerPool(wrong)
    try:
        running = pool.submit(quick(tmp_path))
        with pytest.raises(EngineUnavailable, match="f16"):
            running.future.result(30)
        with pytest.raises(EngineUnavailable, match="f16"):
            pool.submit(quick(tmp_path)).future.result(0)
        assert not pool.state().ready
        assert "cannot start" in caplog.text
    finally:
        pool.close()


def test_a_default_model_that_somebody_removed(tmp_path):
    """Works that name another are done; options that name it are refused where they are made."""
    gone = replace(settings(tmp_path), models=ModelsSettings(default="gone"))
    pool = WorkerPool(gone)
    try:
        assert pool.submit(quick(tmp_path)).future.result(60)
        with pytest.raises(ModelNotFound, match="gone"):
            UpscaleOptions(model="gone")
    finally:
        pool.close()


def test_a_worker_that_dies_at_birth_again_and_again(tmp_path):
    """Works are told after a few times; the pool goes on trying."""
    pool = WorkerPool(settings(tmp_path))
    try:
        running = pool.submit(quick(tmp_path))
        killed: set[int] = set()

        def kill_the_newborn() -> bool:
            newborn = pool.state().workers[0].pid
            if newborn is not None and newborn not in killed:
                killed.add(newborn)
                os.kill(newborn, signal.SIGKILL)
            return running.future.done()

        until(kill_the_newborn, 20)
        with pytest.raises(EngineUnavailable, match=r"dies when it starts \(signal SIGKILL\)"):
            running.future.result(0)
        assert len(killed) == 3
        until(lambda: pool.state().ready)
        assert pool.submit(quick(tmp_path)).future.result(30)
    finally:
        pool.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_worker_is_handed_no_secrets(start):
    chosen = Settings(database=DatabaseSettings(url="postgresql://u:hunter2@h/db"))
    assert "hunter2" not in repr(pickle.dumps(_worker_settings(chosen, "cpu")))
    assert b"hunter2" not in Path(f"/proc/{pid(start())}/cmdline").read_bytes()


def test_memory_stays_within_bounds(start, tmp_path):
    pool = start()
    work = quick(tmp_path)

    def rounds(count: int) -> int:
        for _ in range(count):
            for running in [pool.submit(work) for _ in range(20)]:
                running.future.result(60)
        return pool.state().workers[0].rss_bytes

    before = rounds(3)
    assert rounds(10) < before + (16 << 20)


def test_workers_are_told_no_secrets():
    full = Settings(access=AccessSettings(rate_limit_url="redis://:password@host/0"))
    told = _worker_settings(full, "cpu")
    assert "password" not in repr(told)
    assert told.engine.device == "cpu"


@pytest.mark.slow
def test_with_the_real_engine(tmp_path, isolated_settings):
    chosen = Settings(engine=EngineSettings(device="cpu", cache_dir=isolated_settings))
    pool = WorkerPool(chosen)
    try:
        work = quick(tmp_path, options=UpscaleOptions(model="faithful"))
        done = pool.submit(work).future.result(120)
        assert done.report.device == "cpu"
        with Image.open(work.target) as after, Image.open(work.source) as before:
            assert after.size == (160, 120)
            small = np.asarray(after.resize(before.size, Image.Resampling.BOX), int)
            assert np.abs(small - np.asarray(before)).max() < 24
    finally:
        pool.close()
