"""The certificate is the name's, though the connection is to the address that was checked."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from superres.errors import SourceRefused, SourceUnreachable
from tests.unit.sources.servers import Table, redirect, reply, serve, taking


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for good.example and 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("good.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def asked():
    """The names that clients said in their TLS handshakes (SNI)."""
    return []


@pytest.fixture
def server_side(certificate, asked):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    return context


@pytest.fixture
def trusting(certificate):
    return ssl.create_default_context(cafile=str(certificate))


NAMES = Table(good_example=[["127.0.0.1"]], bad_example=[["127.0.0.1"]])


def test_a_name_and_an_address(target, local, server_side, trusting, asked):
    with serve(reply(b"picture"), tls=server_side) as server:
        sources = local(NAMES, tls=trusting)
        assert sources.fetch(server.url(host="good.example", scheme="https"), target) == 7
        assert sources.fetch(server.url(host="127.0.0.1", scheme="https"), target) == 7
    assert asked == ["good.example", None]
    assert b"Host: good.example:" in server.requests[0]


def test_a_certificate_for_another_name(target, local, server_side, trusting):
    with serve(reply(), tls=server_side) as server, pytest.raises(SourceUnreachable):
        local(NAMES, tls=trusting).fetch(server.url(host="bad.example", scheme="https"), target)
    assert server.requests == []


def test_a_certificate_that_nobody_vouches_for(target, local, server_side):
    with serve(reply(), tls=server_side) as server, pytest.raises(SourceUnreachable):
        local(NAMES).fetch(server.url(host="good.example", scheme="https"), target)
    assert server.requests == []


def test_posting(local, server_side, trusting, asked):
    bodies: list[bytes] = []
    with serve(taking(bodies, reply(b"", "204 x")), tls=server_side) as server:
        good, bad = (server.url(host=f"{who}.example", scheme="https") for who in ("good", "bad"))
        assert local(NAMES, tls=trusting).post(good, b"{}", {}, timeout=10.0) == 204
        for sources, url in ((local(NAMES), good), (local(NAMES, tls=trusting), bad)):
            with pytest.raises(SourceUnreachable):
                sources.post(url, b"{}", {}, timeout=10.0)
    assert asked == ["good.example", "good.example", "bad.example"]
    assert bodies == [b"{}"]  # nobody else was told anything


def test_no_redirect_to_what_anyone_can_read(target, local, server_side, trusting):
    with (
        serve(reply()) as plain,
        serve(redirect(plain.url()), tls=server_side) as server,
        pytest.raises(SourceRefused, match="https to http"),
    ):
        local(NAMES, tls=trusting).fetch(server.url(host="good.example", scheme="https"), target)
    assert plain.connections == 0


def test_a_handshake_that_never_ends(target, local):
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(SourceUnreachable, match=r"\[sources\] timeout"),
    ):
        local(timeout=0.5).fetch(f"https://127.0.0.1:{mute.getsockname()[1]}/", target)
