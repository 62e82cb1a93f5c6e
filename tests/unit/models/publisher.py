"""Files of weights as they are published: what they look like, and an https server for them."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import ipaddress
import json
import pickle
import re
import ssl
import struct
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = {
    "GFPGAN": ["toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight", "final_conv.weight"],
    "CodeFormer": [
        "position_emb",
        "idx_pred_layer.1.weight",
        "quantize.embedding.weight",
        "encoder.blocks.0.weight",
    ],
    "RestoreFormer": [
        "quantize.embedding.weight",
        "encoder.conv_in.weight",
        "quant_conv.weight",
        "decoder.conv_out.weight",
    ],
}


def archive(content: object, inner: str = "archive/data.pkl") -> bytes:
    """A file with the frame of PyTorch's: a zip around a pickle."""
    return archive_of(pickle.dumps(content, protocol=2), inner)


def archive_of(pickled: bytes, inner: str = "archive/data.pkl") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:  # its entries have no time: same content, same bytes
        file.writestr(zipfile.ZipInfo(inner), pickled)
        file.writestr(zipfile.ZipInfo(inner.replace("data.pkl", "data/0")), b"\0" * 64)
    return out.getvalue()


def weights(architecture: str = "GFPGAN", prefix: str = "", seed: int = 0) -> bytes:
    """A file that has the names of that network's tensors, and no tensors."""
    names = {prefix + name: seed for name in NAMES[architecture]}
    return archive({"params_ema": names})


def safetensors(architecture: str = "RestoreFormer") -> bytes:
    header = {
        name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in NAMES[architecture]
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 4


@dataclass
class Publisher:
    """An https server with files.

    Attributes:
        files: by path, such as "/a.pth".
        redirects: from path to where.
        breaks: how many bytes of an answer's body are sent before it hangs up; used up in turn.
        ranges: whether it knows them.
        asked: what was asked for: path and Range.
    """

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str, scheme: str = "https") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextlib.contextmanager
def publishing(pem: Path) -> Iterator[Publisher]:
    """Serve files over https, with ``pem`` from :func:`certificate`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            here.asked.append((self.path, wanted))
            if self.path in here.redirects:
                self.send_response(302)
                self.send_header("Location", here.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.path not in here.files:
                self.send_error(404)
                return
            body = here.files[self.path]
            start = 0
            if wanted and here.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            body = body[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: here.breaks.pop(0)] if here.breaks else body)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            pass  # clients that hang up

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    here = Publisher(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
