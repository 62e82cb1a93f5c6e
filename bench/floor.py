"""What a machine does at its best with bytes, which is what servers of files are held against."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Report, Table

MB = 1_000_000


def floor(report: Report, folder: Path) -> None:
    """What the machine does at its best, one thread, MB/s."""
    content = memoryview(bytearray(os.urandom(100 * MB)))
    target = folder / "floor"

    def write(*, sync: bool) -> None:
        with target.open("wb", buffering=0) as file:
            for start in range(0, len(content), MB):
                file.write(content[start : start + MB])
            if sync:
                os.fsync(file.fileno())

    work: dict[str, Callable[[], object]] = {
        "copy in memory": lambda: bytes(content),
        "MD5": lambda: hashlib.md5(content).hexdigest(),
        "write a file": lambda: write(sync=False),
        "write a file, fsync": lambda: write(sync=True),
        "read a file": target.read_bytes,
        "loopback": lambda: _loopback(content),
    }
    table = Table("The floor: 100 MB, one thread", ("", "MB/s"))
    for name, call in work.items():
        times = []
        for _ in range(3):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        speed = 100 / min(times)
        table.rows.append((name, f"{speed:,.0f}"))
        report.figures[f"floor_{name}"] = speed
    target.unlink()
    report.tables.append(table)


def _loopback(content: memoryview) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def sink() -> None:
            with listening.accept()[0] as other:
                buffer = bytearray(MB)
                while other.recv_into(buffer):
                    pass

        thread = threading.Thread(target=sink)
        thread.start()
        with socket.create_connection(listening.getsockname()) as sending:
            sending.sendall(content)
        thread.join()
