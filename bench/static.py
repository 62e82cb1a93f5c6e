"""A plain static file server to compare with: nginx, or what Python has where that is missing."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# One process, as the server it is compared with; files sent by the kernel, written beside and
# renamed. Its own defaults otherwise.
_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {home}/files;
    dav_methods PUT DELETE;
    create_full_put_path on;
  }}
}}
"""
_PATIENCE = 20.0


@dataclass(frozen=True)
class Static:
    """A running file server.

    Attributes:
        name: what it is, in words.
        port: on 127.0.0.1.
        takes: whether PUT and DELETE work, not GET alone.
        files: its folder.
    """

    name: str
    port: int
    takes: bool
    files: Path


@contextlib.contextmanager
def static_server(folder: Path) -> Iterator[Static]:
    """The best one this machine has, over ``folder``, which is the server's own."""
    files = folder / "files"
    files.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found:
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(home=folder, port=port))
        about = subprocess.run([found, "-V"], capture_output=True, text=True, check=True).stderr
        takes = "http_dav_module" in about
        name = about.partition("nginx version: ")[2].split()[0] + ", one process"
        command = [found, "-e", str(folder / "error.log"), "-c", str(config)]
    else:
        takes, name = False, "Python's http.server"
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        command += ["--directory", str(files), "--protocol", "HTTP/1.1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "log")
        yield Static(name, port, takes, files)
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the file server did not start: {log.read_text(errors='replace')}")
