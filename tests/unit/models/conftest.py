from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from superres.models import download
from superres.models.installed import WeightsFolder
from tests.unit.models.publisher import Publisher, certificate, publishing


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def publisher(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """An https server that this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    with publishing(pem) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    return WeightsFolder(tmp_path / "weights")
