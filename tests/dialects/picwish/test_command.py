"""``superres serve`` with its defaults and the real network: what a new customer meets."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.dialects.conftest import running_command
from tests.dialects.picwish.conftest import (
    Client,
    Native,
    complete,
    loaded,
    opened,
    png_of,
    refused,
)


@pytest.mark.slow
def test_the_command_with_the_real_network(tmp_path, photos):
    photo = Image.fromarray(photos["astronaut"][:300, :400])
    sent = io.BytesIO()
    photo.save(sent, "JPEG", quality=90)
    data_dir = tmp_path / "data"
    create = [sys.executable, "-m", "superres", "keys", "create", "one", "--json"]
    made = subprocess.run(
        [*create, "--data-dir", str(data_dir)], capture_output=True, check=True, timeout=60
    )
    token = json.loads(made.stdout)["token"]
    # On a machine that is busy with other tests half a minute may be too short.
    with running_command(data_dir, {"SUPERRES_PICWISH__DEADLINE": "200"}) as url:
        native, market = Native(url, token), Client(url, token, market=True)
        data = market.done(sent.getvalue())
        assert (data["image_width"], data["image_height"]) == (1600, 1200)
        larger = loaded(data["image"])
        assert (larger.format, larger.size) == ("JPEG", (1600, 1200))
        small = np.asarray(larger.resize((400, 300), Image.Resampling.BOX), np.float32)
        assert np.abs(small - np.asarray(photo)).mean() < 6
        # Repaired at its own size.
        task_id = native.create(sent.getvalue(), scale_factor=1, return_type=2, format="png")
        data = complete(native.finished(task_id), 2)
        repaired = opened(base64.b64decode(data["image"]))
        assert (repaired.format, repaired.size) == ("PNG", (400, 300))
        assert np.abs(np.asarray(repaired, np.float32) - np.asarray(photo)).mean() < 6
        assert data["time_elapsed"] > 10


def test_15_megabytes_are_taken_and_no_more(start_server):
    server = start_server()
    whole = 15 << 20

    def client() -> Native:  # a new key each time: two requests per second for each
        return Native(server.url, server.access.create(f"key {len(server.access.list())}").token)

    content = png_of(whole)
    client().create(content)
    client().create(image_base64=base64.encodebytes(content).decode())
    refused(client().post(content + b"\0", sync=0), 413, "15,728,640")
    refused(client().post(image_base64=base64.b64encode(content + b"\0").decode()), 413)


def test_curl_learns_why_a_large_file_is_refused(start_server, tmp_path):
    """It asks whether to go on (Expect: 100-continue), and reads the answer if it may not."""
    server = start_server()
    (tmp_path / "large").write_bytes(bytes(40 << 20))
    made = server.access.create("one")
    command = ["curl", "-s", f"{server.url}/api/tasks/visual/scale"]
    command += ["-H", f"X-API-KEY: {made.token}", "-F", f"image_file=@{tmp_path / 'large'}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout)["status"] == 413
