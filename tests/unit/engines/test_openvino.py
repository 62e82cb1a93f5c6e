"""OpenVINO beyond the contract: the cache of compilations, failures, faults."""

import hashlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from superres.engines import openvino
from superres.engines.openvino import OpenVINOEngine
from superres.errors import EngineUnavailable, OutOfMemory
from tests.contract.toys import answer, program, tile


class Counted:
    """A program that counts how often it is built."""

    def __init__(self, **how):
        self.times = 0
        self._plain = program(**how)
        self.program = replace(self._plain, build=self._build)

    def _build(self):
        self.times += 1
        return self._plain.build()


def right(session):
    got = session.submit(tile()).result(60).pixels
    return np.abs(got - np.rint(answer(tile(), 2) * 255)).max() <= 1


def test_the_second_start_does_not_compile(tmp_path):
    counted = Counted()
    for _ in range(3):
        engine = OpenVINOEngine(cache_dir=tmp_path, streams=1, threads=1)
        assert right(engine.load(counted.program, "f32"))
    assert counted.times == 1


def test_a_compilation_is_for_one_precision_and_one_use_of_the_machine(tmp_path):
    counted = Counted()
    one, two = (OpenVINOEngine(cache_dir=tmp_path, streams=n, threads=2) for n in (1, 2))
    for engine in (one, two):
        for precision in engine.precisions:
            engine.load(counted.program, precision)
    assert counted.times == 2 * len(one.precisions)
    one.load(replace(counted.program, key="another"), "f32")
    assert counted.times == 2 * len(one.precisions) + 1


def test_without_a_folder_it_compiles_each_time():
    counted = Counted()
    engine = OpenVINOEngine(streams=1, threads=1)
    assert right(engine.load(counted.program, "f32"))
    assert right(engine.load(counted.program, "f32"))
    assert counted.times == 2


@pytest.mark.parametrize("damaged", [b"", b"no compilation at all", None])
def test_a_compilation_that_is_damaged_is_made_again(tmp_path, damaged):
    counted = Counted()
    OpenVINOEngine(cache_dir=tmp_path, streams=1, threads=1).load(counted.program, "f32")
    (file,) = tmp_path.glob("*.blob")
    if damaged is None:  # a bit flipped on the disk
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:  # whole, but not what this version of the runtime reads
        file.write_bytes(hashlib.sha256(damaged).digest() + damaged)
    for _ in range(2):
        engine = OpenVINOEngine(cache_dir=tmp_path, streams=1, threads=1)
        assert right(engine.load(counted.program, "f32"))
    assert counted.times == 2


def test_twins_compile_once(tmp_path):
    counted = Counted()
    engine = OpenVINOEngine(cache_dir=tmp_path, streams=2)
    with ThreadPoolExecutor(4) as threads:
        sessions = list(threads.map(lambda _: engine.load(counted.program, "f32"), range(4)))
    assert all(right(session) for session in sessions)
    assert counted.times == 1


class Failing:
    """An infer request that fails, or quietly writes nothing."""

    def __init__(self, request, error):
        self._request, self._error = request, error

    def get_tensor(self, name):
        return self._request.get_tensor(name)

    def infer(self):
        if self._error is not None:
            raise self._error


def spoilt(error):
    engine = OpenVINOEngine(streams=1, threads=1)
    session = engine.load(program(), "f32")
    good = session._idle.get()
    session._idle.put(Failing(good, error))
    return session, good


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Check failed\nsomething went wrong", EngineUnavailable),
        ("Exception: std::bad_alloc", OutOfMemory),
        ("not enough memory", OutOfMemory),
    ],
)
def test_a_failure_arrives_through_the_future_and_the_request_is_used_again(text, kind):
    session, good = spoilt(RuntimeError(text))
    for _ in range(3):
        error = session.submit(tile()).exception(60)
        assert type(error) is kind
        assert isinstance(error.__cause__, RuntimeError)
    session._idle.get(timeout=5)
    session._idle.put(good)
    assert right(session)


def test_a_run_that_writes_nothing_leaves_no_older_tile():
    session, good = spoilt(None)
    good.get_tensor("image").data[:] = tile()[None]
    good.infer()
    assert np.isnan(session.submit(tile(1)).result(60).reduced).all()


def test_no_more_tiles_run_at_a_time_than_there_are_streams():
    engine = OpenVINOEngine(streams=2, threads=2)
    assert engine._workers._max_workers == engine.streams == 2
    session = engine.load(program(), "f32")
    assert session._idle.qsize() == 2
    before = threading.active_count()
    for future in [session.submit(tile(seed)) for seed in range(12)]:
        future.result(60)
    assert threading.active_count() <= before + 2


def test_precisions_follow_the_processor(monkeypatch):
    class Core:
        def get_property(self, device, name):
            return ["FP32", "BF16"] if name == "OPTIMIZATION_CAPABILITIES" else "a processor"

    monkeypatch.setattr(openvino, "_core", Core)
    engine = OpenVINOEngine(streams=1)
    assert engine.precisions == ("bf16", "f32")
    with pytest.raises(EngineUnavailable, match=r"no fast f16; choose one of bf16, f32"):
        engine.load(program(), "f16")


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_signal_after_engines_have_ended_is_no_crash() -> None:
    code = """
import gc, os, signal
from superres.engines.openvino import OpenVINOEngine
engines = [OpenVINOEngine(), OpenVINOEngine()]
del engines[0]
gc.collect()
del engines[0]
gc.collect()
junk = [bytearray(11_824) for _ in range(2000)]  # the freed stack is somebody else's now
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
assert heard == [1]
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
