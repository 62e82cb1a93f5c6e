from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.sources.addresses import carried_address, may_connect, networks

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "169.253.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "2400:3200::1",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.23",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "2a00:1450::5efe:127.0.0.1",
    "2a00:1450::200:5efe:10.0.0.1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text):
    assert may_connect(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_others(text):
    assert not may_connect(ip_address(text))


@given(st.ip_addresses(v=4))
def test_nothing_that_python_holds_for_private_is_public(address):
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not may_connect(address)


@given(st.ip_addresses(v=6))
def test_nor_of_ipv6(address):
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not may_connect(address)


FORMS = [
    lambda v4: IPv6Address((0xFFFF << 32) | int(v4)),
    lambda v4: IPv6Address(int(v4)),
    lambda v4: IPv6Address((0x64FF9B << 96) | int(v4)),
    lambda v4: IPv6Address((0x64FF9B0001 << 80) | int(v4)),
    lambda v4: IPv6Address((0x2002 << 112) | (int(v4) << 80)),
    lambda v4: IPv6Address((0x20010000 << 96) | (int(v4) ^ 0xFFFFFFFF)),
    lambda v4: IPv6Address((0x2A001450 << 96) | (0x5EFE << 32) | int(v4)),
]


@pytest.mark.parametrize("form", FORMS)
@given(v4=st.ip_addresses(v=4).filter(lambda v4: int(v4) > 1))
def test_carried_addresses_are_found_and_never_public(form, v4):
    assert carried_address(form(v4)) == v4
    assert not may_connect(form(v4))


@pytest.mark.parametrize(
    ("allowed", "text", "may"),
    [
        ("127.0.0.0/8", "127.9.9.9", True),
        ("127.0.0.0/8", "128.0.0.1", True),  # public anyway
        ("127.0.0.0/8", "10.0.0.1", False),
        ("127.0.0.0/8", "::ffff:127.0.0.1", False),  # as written, and no other way
        ("10.0.0.0/8", "10.1.2.3", True),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "fd00:ec2::254", False),  # metadata: only by its own name
        ("fd00:ec2::254/128", "fd00:ec2::254", True),
        ("169.254.0.0/16", "169.254.1.1", True),
        ("169.254.0.0/16", "169.254.169.254", False),
        ("169.254.169.254/32", "169.254.169.254", True),
        ("0.0.0.0/0", "169.254.169.254", False),
        ("0.0.0.0/0", "168.63.129.16", False),
        ("100.64.0.0/10", "100.64.0.1", True),
        ("100.64.0.0/10", "100.100.100.200", False),
        ("64:ff9b::/96", "64:ff9b::8.8.8.8", True),  # a network that has IPv6 alone
        ("64:ff9b::/96", "64:ff9b::10.0.0.1", False),
        ("64:ff9b::/96", "64:ff9b::169.254.169.254", False),
        ("::/0", "::1", True),
        ("::/0", "::ffff:10.0.0.1", False),
        ("::/0", "2002:a9fe:a9fe::", False),
    ],
)
def test_allowed_networks(allowed, text, may):
    assert may_connect(ip_address(text), networks([allowed])) is may


def test_several_networks_carry_each_other():
    allowed = networks(["64:ff9b::/96", "10.0.0.0/8"])
    assert may_connect(IPv6Address("64:ff9b::10.0.0.1"), allowed)
    assert not may_connect(IPv6Address("64:ff9b::192.168.0.1"), allowed)
    assert carried_address(IPv4Address("10.0.0.1")) is None
