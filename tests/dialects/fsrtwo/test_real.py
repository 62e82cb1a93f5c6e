"""A photograph through the real service: its worker process, the real network, 8 times."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.dialects.fsrtwo.conftest import Client, loaded
from tests.e2e.service import serving
from tests.pictures.measures import bicubic, psnr, sharpness

pytestmark = pytest.mark.slow


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
    face = photos["astronaut"][0:256, 96:352]
    eyes = photos["chelsea"][30:286, 80:400]
    links = [
        web.put("face.png", as_file(face, "PNG")),
        web.put("eyes.jpg", as_file(eyes, "JPEG", quality=95)),
    ]
    begun = time.monotonic()
    data = client.finished(client.task(links))
    seconds = time.monotonic() - begun
    assert data["status"] == "3", data
    for sent, one in zip((face, eyes), data["list"], strict=True):
        height, width, _ = sent.shape
        came = np.asarray(loaded(one["image_result"]))
        assert came.shape == (height * 8, width * 8, 3)
        # Made small again it is the picture that was sent, colours and all.
        near = Image.fromarray(came).resize((width, height), Image.Resampling.BOX)
        assert psnr(np.asarray(near), sent) > 28
        drift = came.reshape(-1, 3).mean(0) - sent.reshape(-1, 3).mean(0)
        assert np.abs(drift).max() < 2
        # It is not merely interpolated.
        assert sharpness(came) > 1.1 * sharpness(bicubic(sent, width * 8, height * 8))
    assert seconds < 60
    (worker,) = service.workers()
    assert peak(worker.pid) < 2 << 30
    assert peak(service.process.pid) < 500 << 20
    assert service.in_flight() == []


def test_the_largest_picture(client, service, web, photos):
    """1023 x 1023 becomes 8184 x 8184, 67 megapixels, within the same memory."""
    photo = np.asarray(Image.fromarray(photos["coffee"]).resize((1023, 1023)))
    task = client.task([web.put("most.jpg", as_file(photo, "JPEG", quality=92))], "jpg")
    begun = time.monotonic()
    while (data := client.result(task))["status"] in ("1", "2"):
        assert time.monotonic() - begun < 280
        time.sleep(min(5, int(data["wait_time"])))
    assert data["status"] == "3", data
    came = loaded(data["list"][0]["image_result"])
    assert came.size == (8184, 8184)
    near = np.asarray(came.resize((1023, 1023), Image.Resampling.BOX))
    assert psnr(near, photo) > 28
    (worker,) = service.workers()
    assert peak(worker.pid) < 2 << 30
    assert peak(service.process.pid) < 500 << 20
