"""Processes that are timed: the real ones."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from superres.errors import Cancelled, EngineUnavailable
from superres.scorecard import speed
from superres.settings import Settings


@pytest.fixture
def settings() -> Settings:
    default = Settings()
    return replace(default, engine=replace(default.engine, device="fake"))


def test_what_is_timed(settings) -> None:
    peers = (
        speed.Peer("ONNX", "onnxruntime", "x:y"),
        speed.Peer("Only photo", "onnxruntime", "x:y", ("photo",)),
        speed.Peer("Nobody", "no-such-package-here", "x:y"),
    )
    jobs = speed.jobs(["general", "photo", "faithful"], peers, settings)
    assert [(job.runtime, job.model, job.setting) for job in jobs] == [
        ("superres", "general", "0"),
        ("superres", "general", "default"),
        ("ONNX", "general", "alone"),
        ("superres", "photo", "0"),
        ("superres", "photo", "default"),
        ("ONNX", "photo", "alone"),
        ("Only photo", "photo", "alone"),
        ("superres", "faithful", ""),
        ("ONNX", "faithful", "alone"),
    ]
    assert {job.model: job.side for job in jobs} == {"general": 256, "photo": 128, "faithful": 256}


def test_a_process_of_our_own(settings) -> None:
    job = replace(speed.jobs(["faithful"], (), settings)[0], side=64)
    found = speed.measure(job, "1.2")
    assert found.runtime == "superres"
    assert found.version == "1.2"
    assert 0 < found.seconds < found.start < 60
    assert 20 << 20 < found.peak < 4 << 30
    assert found.per_megapixel_in == pytest.approx(found.seconds / 0.004096)
    assert found.per_megapixel_out == pytest.approx(found.per_megapixel_in / 16)


@pytest.mark.parametrize(
    ("runtime", "model"), [("ONNX Runtime", "general"), ("ncnn", "anime-video")]
)
def test_a_peers_process(settings, runtime, model) -> None:
    jobs = [job for job in speed.jobs([model], speed.PEERS, settings) if job.runtime == runtime]
    if not jobs:
        pytest.skip(f"{runtime} is not installed")
    found = speed.measure(replace(jobs[0], side=64), "1")
    assert 0 < found.seconds < found.start


def test_a_process_that_fails(settings) -> None:
    job = speed.Job("ncnn", "general", "alone", {}, "superres.engines.peers:ncnn")
    with pytest.raises(EngineUnavailable, match="not kept as files of ncnn"):
        speed.measure(job, "1")
    with pytest.raises(EngineUnavailable, match="No module named"):
        speed.measure(replace(job, entry="nowhere_at_all:x"), "1")


def test_stopping_ends_the_process(settings) -> None:
    job = speed.jobs(["faithful"], (), settings)[0]
    began = time.monotonic()
    with pytest.raises(Cancelled):
        speed.measure(job, "1", cancelled=lambda: True)
    assert time.monotonic() - began < 5


def test_the_best_of_rounds() -> None:
    one = speed.Speed("superres", "1", "general", "0", 256, 4, 0.5, 2.0, 100)
    other = replace(one, seconds=0.4, start=2.5, peak=120)
    assert speed.best([one, other]) == replace(one, seconds=0.4, start=2.0, peak=120)


def test_the_picture_is_the_same_every_time() -> None:
    assert (speed.picture(64) == speed.picture(64)).all()
    assert 30 < np.std(speed.picture(256)) < 60
