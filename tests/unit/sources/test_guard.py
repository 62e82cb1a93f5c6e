"""No way of writing an address leads inside: neither at once, nor later."""

from __future__ import annotations

import pytest

from superres.errors import SourceRefused, SourceUnreachable
from superres.settings import SourcesSettings
from superres.sources import Sources
from tests.unit.sources.servers import Table, redirect, reply, serve

PUBLIC = "93.184.216.34"  # never connected to: each of these tests refuses before
NAMES = {
    "inside.example": ["127.0.0.1"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "mixed6.example": ["2606:4700::1111", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "compatible.example": ["::127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "local-nat64.example": ["64:ff9b:1::7f00:1"],
    "6to4.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:4136:e378:8000:63bf:80ff:fffe"],
    "isatap.example": ["2a00:1450::5efe:7f00:1"],
    "zone.example": ["fe80::1%1"],
    "private.example": ["10.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "metadata6.example": ["fd00:ec2::254"],
    "xn--bcher-kva.example": ["127.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
    "foo.localhost": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
}
HOSTS = [
    *NAMES,
    "LOCALHOST",
    "localhost.",
    "inside.example.",
    "ｌocalhost",
    "bücher.example",
    "inside。example",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0x7F.1",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.0x1",
    "4294967295",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[2a00:1450::5efe:127.0.0.1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[::1%25lo]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    f"{PUBLIC}@127.0.0.1",
    f"{PUBLIC}:80@127.0.0.1",
    f"127.0.0.1\\@{PUBLIC}",
    f"{PUBLIC}\t.127.0.0.1",
    "127.0.0.1\x00.example",
]


@pytest.fixture(scope="module")
def canary():
    """Something inside that must never hear of anything."""
    with serve(reply(b"secret")) as server:
        yield server
        assert server.connections == 0


@pytest.fixture(scope="module")
def closed() -> Sources:
    return Sources(SourcesSettings(), None, Table(**{n: [said] for n, said in NAMES.items()}))


def test_the_list_is_long_enough():
    assert len(set(HOSTS)) >= 40


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", HOSTS)
def test_no_form_of_a_host_leads_inside(canary, closed, target, host, scheme):
    with pytest.raises(SourceRefused):
        closed.fetch(f"{scheme}://{host}:{canary.port}/", target)
    assert not target.exists()
    with pytest.raises(SourceRefused):
        closed.post(f"{scheme}://{host}:{canary.port}/", b"{}", {}, timeout=10.0)
    assert canary.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "0x7f000002", "inside.example", "10.0.0.1"])
def test_no_redirect_leads_inside(canary, target, local, host, status):
    resolver = Table(inside_example=[["127.0.0.3"]])
    with (
        serve(redirect(f"http://{host}:{canary.port}/", f"{status} Moved")) as outside,
        pytest.raises(SourceRefused),
    ):
        local(resolver).fetch(outside.url(), target)
    assert outside.connections == 1
    assert canary.connections == 0


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "data:,a"])
def test_no_redirect_leads_to_another_kind_of_address(target, local, location):
    with serve(redirect(location)) as outside, pytest.raises(SourceRefused):
        local().fetch(outside.url(), target)


def test_a_name_is_asked_for_once_and_what_it_said_is_connected_to(target, local):
    """DNS rebinding: the second answer would lead inside, and nobody asks for it."""
    with serve(reply(b"outside"), "127.0.0.1") as outside, serve(reply(b"x"), "127.0.0.2") as other:
        rebinding = Table(evil_example=[["127.0.0.1"], ["127.0.0.2"]])
        sources = local(rebinding)
        sources.fetch(outside.url(host="evil.example"), target)
        assert target.read_bytes() == b"outside"
        assert rebinding.asked == ["evil.example"]
        assert f"Host: evil.example:{outside.port}".encode() in outside.requests[0]
        # Asked again, by another request, it is refused.
        with pytest.raises(SourceRefused):
            sources.fetch(outside.url(host="evil.example"), target)
        assert other.connections == 0


def test_a_redirect_to_the_same_name_is_looked_up_and_checked_anew(target, local):
    rebinding = Table(evil_example=[["127.0.0.1"], ["127.0.0.2"]])
    with serve(redirect("/next")) as outside, pytest.raises(SourceRefused):
        local(rebinding).fetch(outside.url(host="evil.example"), target)
    assert rebinding.asked == ["evil.example"] * 2
    assert outside.connections == 1


def test_an_address_that_may_be_connected_to_does_not_excuse_one_that_may_not(target, local):
    with serve(reply()) as outside, pytest.raises(SourceRefused):
        local(Table(mixed_example=[["127.0.0.1", "10.0.0.1"]])).fetch(
            outside.url(host="mixed.example"), target
        )
    assert outside.connections == 0


def test_what_is_refused_says_the_same_whether_somebody_listens(canary, closed, target):
    said = set()
    for port in (canary.port, 1):
        with pytest.raises(SourceRefused) as caught:
            closed.fetch(f"http://127.0.0.1:{port}/", target)
        said.add(caught.value.public_message)
    assert len(said) == 1
    assert "[sources] allow_networks" in said.pop()


def test_an_allowed_network_is_fetched_from(target, local):
    with serve(reply(b"picture")) as server:
        assert local().fetch(server.url(), target) == 7
        resolver = Table(intranet=[["127.0.0.1"]])
        assert local(resolver).fetch(server.url(host="intranet"), target) == 7
        with pytest.raises(SourceRefused):  # one network, not all
            local(allow_networks=("10.0.0.0/8",)).fetch(server.url(), target)


def test_an_allowed_network_is_not_allowed_to_whoever_is_not_trusted(target, local):
    with serve(reply(b"picture")) as server:
        resolver = Table(intranet=[["127.0.0.1"]])
        for url in (server.url(), server.url(host="intranet")):
            with pytest.raises(SourceRefused):
                local(resolver).fetch(url, target, trusted=False)
        assert server.connections == 0
    assert not target.exists()


def test_unknown_names(target, local):
    with pytest.raises(SourceUnreachable, match=r"no host nowhere\.example"):
        local().fetch("http://nowhere.example/", target)
    for nonsense in ([], ["not an address"]):
        with pytest.raises(SourceUnreachable):
            local(Table(a_example=[nonsense])).fetch("http://a.example/", target)


def test_the_systems_resolver_is_the_default(target):
    with serve(reply(b"picture")) as server:
        with pytest.raises(SourceRefused):
            Sources(SourcesSettings(), None).fetch(server.url(host="localhost"), target)
        allowing = SourcesSettings(allow_networks=("127.0.0.0/8", "::1/128"))
        assert Sources(allowing, None).fetch(server.url(host="localhost"), target) == 7
