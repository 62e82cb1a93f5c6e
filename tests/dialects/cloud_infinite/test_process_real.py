"""A photograph through the real service: its worker process and the real network."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import superres
from tests.dialects.cloud_infinite.client import Client
from tests.dialects.cloud_infinite.making import (
    IMAGE_PROCESS,
    PROCESS,
    opened,
    operations,
    record,
    rule,
    saved,
)
from tests.e2e.service import serving
from tests.pictures.measures import psnr

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("real"), device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def client(service) -> Client:
    made = service.new_credential()
    there = Client(service.url.removeprefix("http://"), made["id"], made["secret"])
    there = there.on("photos-1250000000")
    assert there("PUT").status == 200
    return there


@pytest.mark.parametrize("magnify", [2, 4])
def test_the_three_ways_give_what_the_library_gives(client, photos, magnify):
    sent = saved(Image.fromarray(photos["chelsea"][60:160, 100:228]), "JPEG", quality=90)
    given = operations(rule("/2.png", magnify), info=1)
    uploaded = client("PUT", "a.jpg", body=sent, **given)
    assert uploaded.status == 200, uploaded.body
    assert record(uploaded.xml)["OriginalInfo"]["ImageInfo"]["Quality"] == "90"
    downloaded = client("GET", "a.jpg", PROCESS | {"magnify": str(magnify)})
    assert downloaded.headers["content-type"] == "image/png"
    assert (
        client("POST", "a.jpg", IMAGE_PROCESS, **operations(rule("/3.png", magnify))).status == 200
    )
    own = opened(superres.upscale(sent, magnify, format="png"))
    assert own.size == (128 * magnify, 100 * magnify)
    for content in (downloaded.body, client("GET", "2.png").body, client("GET", "3.png").body):
        came = opened(content)
        assert came.format == "PNG"
        # Threads add numbers in another order; nothing else may differ.
        assert np.abs(np.asarray(came, int) - np.asarray(own, int)).max() <= 1
    small = np.asarray(own.resize((128, 100), Image.Resampling.BOX))
    assert psnr(small, np.asarray(opened(sent))) > 28
    again = client("GET", "a.jpg", PROCESS | {"magnify": str(magnify)})
    assert again.body == downloaded.body
    assert "x-inference-time" not in again.headers
