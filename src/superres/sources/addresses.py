"""Which Internet addresses may be fetched from: public ones, and what the settings allow.

The lists are those of the IANA special-purpose address registries (RFC 6890 and its
successors), written out because what Python's ``is_global`` says changes between versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# IPv6 is the other way round: only this is given out, so that loopback, link-local,
# site-local, unique local, multicast, mapped, compatible, NAT64 and what is yet to be
# invented are out without being named.
_GIVEN_OUT = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# Where clouds give their machines credentials. They lie within networks that one may well
# want to allow, and no picture ever lies there: only naming the very address opens them.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # most of them
        "169.254.169.123",
        "169.254.170.2",  # AWS containers
        "169.254.170.23",
        "169.254.0.23",  # Tencent
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure; a public address that leads inside
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
    )
)
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of the setting ``[sources] allow_networks``."""
    return tuple(ip_network(text) for text in texts)


def may_connect(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Return whether ``address`` is public, or within one of ``allowed``.

    A form of IPv6 that carries an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo,
    ISATAP) is never public; allowed, it still leads only where the address that it carries
    may lead. A metadata service's address is only allowed by itself.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False  # no public address has a zone, and a zone names one of our interfaces
    named = [network for network in allowed if address in network]
    if address in _METADATA:
        return any(network.num_addresses == 1 for network in named)
    carried = carried_address(address)
    if carried is not None:
        return bool(named) and may_connect(carried, allowed)
    return bool(named) or _is_public(address)


def carried_address(address: Address) -> IPv4Address | None:
    """Return the IPv4 address within one of IPv6, where a router or system would go."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    whole = int(address)
    if any(address in network for network in _NAT64) or (whole >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(whole & 0xFFFFFFFF)
    if address in _COMPATIBLE and whole > 1:  # :: and ::1 are what they are
        return IPv4Address(whole & 0xFFFFFFFF)
    return None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    return address in _GIVEN_OUT and not any(address in network for network in _NOT_PUBLIC_6)
