"""Fetching weights: over https, whole or not at all, going on where it broke."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import namedtuple

import pytest

from superres.errors import OutputError, SourceRefused, SourceTooLarge, SourceUnreachable
from superres.models import download as module
from superres.models.download import download

BODY = bytes(range(256)) * 8192  # 2 MiB
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def served(publisher):
    publisher.files["/a.pth"] = BODY
    return publisher


def leftovers(folder):
    return [p.name for p in folder.folder.glob("*") if p.is_file() and not p.name.endswith(".lock")]


def test_fetched(served, folder):
    told = []
    with download(
        served.url("/a.pth"), folder, sha256=SHA, on_bytes=lambda *n: told.append(n)
    ) as staged:
        assert staged.path.read_bytes() == BODY
        assert (staged.sha256, staged.size) == (SHA, len(BODY))
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert leftovers(folder) == []


def test_without_a_digest_it_is_told(served, folder):
    with download(served.url("/a.pth"), folder, sha256=None) as staged:
        assert staged.sha256 == SHA
    assert leftovers(folder) == []


def test_it_goes_on_where_it_broke(served, folder):
    served.breaks = [700_000, 0, 100_000]
    with download(served.url("/a.pth"), folder, sha256=SHA) as staged:
        assert staged.path.read_bytes() == BODY
    assert [wanted for _, wanted in served.asked] == [
        None,
        "bytes=700000-",
        "bytes=700000-",
        "bytes=800000-",
    ]


def test_the_next_call_goes_on(served, folder):
    served.breaks = [700_000] + [0] * 20
    with (
        pytest.raises(SourceUnreachable, match="700,000 of 2,097,152"),
        download(served.url("/a.pth"), folder, sha256=SHA),
    ):
        pass
    assert leftovers(folder) == [f".part-{SHA}"]
    served.breaks, served.asked[:] = [], []
    with download(served.url("/a.pth"), folder, sha256=SHA) as staged:
        assert staged.path.read_bytes() == BODY
    assert served.asked == [("/a.pth", "bytes=700000-")]
    assert leftovers(folder) == []


def test_a_server_without_ranges_begins_anew(served, folder):
    served.breaks, served.ranges = [700_000], False
    with download(served.url("/a.pth"), folder, sha256=SHA) as staged:
        assert staged.path.read_bytes() == BODY


def test_what_is_no_beginning_is_thrown_away(served, folder):
    folder.folder.mkdir()
    part = folder.folder / f".part-{SHA}"
    part.write_bytes(b"x" * (len(BODY) + 5))
    with download(served.url("/a.pth"), folder, sha256=SHA) as staged:
        assert staged.path.read_bytes() == BODY
    part.write_bytes(b"x" * 1000)
    with (
        pytest.raises(SourceUnreachable, match="SHA-256"),
        download(served.url("/a.pth"), folder, sha256=SHA),
    ):
        pass
    assert leftovers(folder) == []


def test_an_old_beginning_of_another_file_is_forgotten_and_of_this_gone_on_with(served, folder):
    folder.folder.mkdir()
    for name, content in ((f".part-{SHA}", BODY[:1000]), (".part-other", b"half")):
        (folder.folder / name).write_bytes(content)
        os.utime(folder.folder / name, (0, 0))
    with download(served.url("/a.pth"), folder, sha256=SHA):
        assert not (folder.folder / ".part-other").exists()
    assert served.asked == [("/a.pth", "bytes=1000-")]


def test_what_is_there_whole_is_not_fetched_again(served, folder):
    folder.folder.mkdir()
    (folder.folder / f".part-{SHA}").write_bytes(BODY)
    with download(served.url("/a.pth"), folder, sha256=SHA) as staged:
        assert staged.sha256 == SHA
    assert served.asked == []


def test_other_bytes_are_not_taken(served, folder):
    wrong = "0" * 64
    with (
        pytest.raises(SourceUnreachable, match=f"{SHA}, not {wrong}"),
        download(served.url("/a.pth"), folder, sha256=wrong),
    ):
        pass
    assert leftovers(folder) == []


@pytest.mark.parametrize("announced", [True, False])
def test_too_large(served, folder, announced, monkeypatch):
    if not announced:
        monkeypatch.setattr(module, "_check_size", after(module._check_size, 1))
    with (
        pytest.raises(SourceTooLarge, match="1,000,000"),
        download(served.url("/a.pth"), folder, sha256=SHA, limit=1_000_000),
    ):
        pass
    assert sum(p.stat().st_size for p in folder.folder.iterdir()) == 0


def after(function, calls):
    """``function`` from the next call but ``calls`` on: as if nothing had been announced."""
    left = [calls]

    def call(*arguments):
        if left[0]:
            left[0] -= 1
            return None
        return function(*arguments)

    return call


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.pth",
        "file:///etc/passwd",
        "ftp://host/a",
        "https://",
        "https://user:secret@host/a",
        "https://host/a b",
        "https://host/\u00e9",
        "https://[::1/a",
        "https://host:99999/a",
    ],
)
def test_addresses_that_are_refused(folder, url):
    with pytest.raises(SourceRefused, match="https://host/file"), download(url, folder, sha256=SHA):
        pass
    assert not folder.folder.exists()


def test_a_redirect_to_https_is_followed_and_no_other(served, folder):
    served.redirects["/r"] = served.url("/a.pth")
    with download(served.url("/r"), folder, sha256=SHA) as staged:
        assert staged.sha256 == SHA
    for there in (served.url("/a.pth", "http"), "file:///etc/passwd", "https://u:p@127.0.0.1/"):
        served.redirects["/r"] = there
        with (
            pytest.raises((SourceRefused, SourceUnreachable)),
            download(served.url("/r"), folder, sha256=SHA),
        ):
            pass
        assert leftovers(folder) == [f".part-{SHA}"]
        assert (folder.folder / f".part-{SHA}").stat().st_size == 0
    served.redirects["/r"] = served.url("/r")
    with pytest.raises(SourceUnreachable), download(served.url("/r"), folder, sha256=SHA):
        pass


def test_errors_are_told_once(served, folder):
    with (
        pytest.raises(SourceUnreachable, match="answered with 404"),
        download(served.url("/none"), folder, sha256=SHA),
    ):
        pass
    assert len(served.asked) == 1


def test_a_certificate_that_nobody_vouches_for(served, folder, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        pytest.raises(SourceUnreachable, match="cannot be reached"),
        download(served.url("/a.pth"), folder, sha256=SHA),
    ):
        pass
    assert served.asked == []


def test_nobody_there(folder):
    with (
        pytest.raises(SourceUnreachable, match="cannot be reached"),
        download("https://127.0.0.1:9/a", folder, sha256=SHA),
    ):
        pass


def test_one_at_a_time(served, folder):
    with (
        download(served.url("/a.pth"), folder, sha256=SHA),
        pytest.raises(OutputError, match="Another superres"),
        download(served.url("/a.pth"), folder, sha256=SHA),
    ):
        pass


def test_no_room(served, folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 40, 1 << 40, 1 << 20))
    with (
        pytest.raises(OutputError, match=r"\[models\] weights_dir"),
        download(served.url("/a.pth"), folder, sha256=SHA),
    ):
        pass


def test_an_empty_file(served, folder):
    served.files["/e"] = b""
    with (
        pytest.raises(SourceUnreachable, match="empty"),
        download(served.url("/e"), folder, sha256=SHA),
    ):
        pass
