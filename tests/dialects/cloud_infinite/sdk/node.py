"""Tencent's SDK for Node, in a process of its own that does what it is told."""

from __future__ import annotations

import base64
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).with_name("runner.js")
MODULES = Path(sys.prefix) / "node" / "node_modules"
_PATIENCE = 120.0


class NodeError(Exception):
    """What the SDK calls back with instead of data.

    Attributes:
        code, message, status, request_id: as the SDK says them.
        error: all that it says.
        sent: how many requests were sent.
    """

    def __init__(self, error: dict[str, Any], sent: int) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.error = error
        self.code = error.get("code")
        self.message = error.get("message")
        self.status = error.get("statusCode")
        self.request_id = error.get("RequestId")
        self.sent = sent


class Node:
    """The process; calls may come from several threads, and run beside each other."""

    def __init__(self, log: Path) -> None:
        node = _node()
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [node, RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**_without_proxies(), "NODE_PATH": str(MODULES)},
        )
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def call(self, client: dict[str, Any], method: str, **params: Any) -> dict[str, Any]:
        """The data that a method calls back with; ``sent`` in it is how many requests it took.

        Raises:
            NodeError: it calls back with an error.
        """
        assert self._process.stdin is not None
        answered: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            call = next(self._ids)
            self._waiting[call] = answered
            line = {"id": call, "client": client, "method": method, "params": _plain(params)}
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()
        answer = answered.get(timeout=_PATIENCE)
        if answer["error"] is not None:
            raise NodeError(answer["error"], answer["sent"])
        data = _revived(answer.get("data"))
        return {**data, "sent": answer["sent"]} if isinstance(data, dict) else {"": data}

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).put(answer)


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (MODULES / "cos-nodejs-sdk-v5").is_dir():
        pytest.skip("cos-nodejs-sdk-v5 is not installed (scripts/test_tools.sh)")
    return node


def _without_proxies() -> dict[str, str]:
    return {name: each for name, each in os.environ.items() if not name.lower().endswith("_proxy")}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if not isinstance(value, Path) else str(value)


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(found := value.get("$base64"), str):
            return base64.b64decode(found)
        return {name: _revived(each) for name, each in value.items()}
    return [_revived(each) for each in value] if isinstance(value, list) else value
