"""A photograph through the real service: its worker process, the real network, 8 times."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.dialects.fsrtwo.conftest import Client, loaded
from tests.e2e.service import serving
from tests.pictures.measures import bicubic, psnr, sharpness

pytestmark = pytest.mark.slow
LONG = 250.0
"""Seconds that two processor cores without matrix arithmetic may take, and some."""


def peak(pid: int) -> int:
    """The most resident memory that a process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("/proc is not there")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) << 10


def as_file(pixels: np.ndarray, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    settings = {"sources.allow_networks": "127.0.0.0/8"}
    with serving(tmp_path_factory.mktemp("real"), settings=settings, device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def client(service):
    made = service.new_credential()
    return Client(service.url, made["id"], made["secret"])


def test_a_photo(client, service, web, photos):
    sent = photos["astronaut"][0:256, 96:352]
    data = client.finished(client.task([web.put("face.png", as_file(sent, "PNG"))]), LONG)
    assert data["status"] == "3", data
    came = np.asarray(loaded(data["list"][0]["image_result"]))
    assert came.shape == (2048, 2048, 3)
    # Made small again it is the picture that was sent, colours and all.
    near = np.asarray(Image.fromarray(came).resize((256, 256), Image.Resampling.BOX))
    assert psnr(near, sent) > 28
    drift = came.reshape(-1, 3).mean(0) - sent.reshape(-1, 3).mean(0)
    assert np.abs(drift).max() < 2
    # It is not merely interpolated.
    assert sharpness(came) > 1.1 * sharpness(bicubic(sent, 2048, 2048))
    (worker,) = service.workers()
    assert peak(worker.pid) < 2 << 30
    assert peak(service.process.pid) < 500 << 20
    assert service.in_flight() == []


def test_the_longest_picture(client, service, web, photos):
    """1023 x 256 becomes 8184 x 2048, within the same memory and a sane time."""
    photo = np.asarray(Image.fromarray(photos["coffee"]).resize((1023, 682)))[200:456]
    link = web.put("most.jpg", as_file(photo, "JPEG", quality=92))
    data = client.finished(client.task([link], "jpg"), LONG)
    assert data["status"] == "3", data
    came = loaded(data["list"][0]["image_result"])
    assert (came.format, came.size) == ("JPEG", (8184, 2048))
    assert psnr(np.asarray(came.resize((1023, 256), Image.Resampling.BOX)), photo) > 28
    (worker,) = service.workers()
    assert peak(worker.pid) < 2 << 30
    assert peak(service.process.pid) < 500 << 20
