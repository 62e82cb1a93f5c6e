"""Web addresses taken apart, strictly.

What RFC 3986 leaves open, browsers guess and libraries guess differently; between two guesses
an address can be checked as one host and fetched from another. So there is one parser, whose
parts are the very ones that are connected to, and whatever it does not know it refuses.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote, urljoin

import idna

from superres.errors import SourceRefused
from superres.sources.addresses import Address

MAX_LENGTH = 8192
_MAX_NAME = 253  # RFC 1035
_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_FORM = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
    r"//(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# As in the URL standard: such a last label makes the whole host a number to many resolvers.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 3986's reserved and unreserved characters and "%"; anything else is escaped.
_KEPT = "%-._~:/?#[]@!$&'()*+,;="


class Url(NamedTuple):
    """An http or https address.

    Attributes:
        scheme: ``http`` or ``https``.
        host: in lower case and ASCII, without brackets and without a last dot.
        address: the host, if it is an address and not a name.
        port: 1 to 65535.
        target: path and query as they go into the request; ASCII.
    """

    scheme: str
    host: str
    address: Address | None
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str) -> Url:
    """Take apart an address.

    Spaces and other characters beyond ASCII within path and query are escaped, as browsers
    do; a fragment is dropped.

    Raises:
        SourceRefused: not of a form known here.
    """
    if len(text) > MAX_LENGTH:
        raise _too_long()
    if _FORBIDDEN.search(text):
        raise SourceRefused("The address contains a character that none may; escape it.")
    form = _FORM.fullmatch(text)
    scheme = form["scheme"].lower() if form else ""
    if form is None or scheme not in _PORTS:
        raise SourceRefused("The address must begin with http:// or https://.")
    if "@" in form["authority"]:
        raise SourceRefused("The address must not contain a user name or password.")
    authority = _AUTHORITY.fullmatch(form["authority"])
    if authority is None:
        raise SourceRefused("The address has no proper host and port after //.")
    port = int(authority["port"] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise SourceRefused("The address's port must be 1 to 65535.")
    host, address = _host(authority["host"])
    target = quote((form["path"] or "/") + (form["query"] or ""), safe=_KEPT)
    if len(target) > MAX_LENGTH:
        raise _too_long()
    return Url(scheme, host, address, port, target)


def join(base: Url, location: str) -> Url:
    """Take apart where a redirect from ``base`` leads; it may be relative.

    Raises:
        SourceRefused: as ``parse``, or from https to http, which whoever listens can read
            and change.
    """
    if len(location) > MAX_LENGTH or _FORBIDDEN.search(location):
        raise SourceRefused(f"{base.host} redirects to an address that is none.")
    try:
        url = parse(urljoin(str(base), location))
    except ValueError as exc:  # brackets that are none
        raise SourceRefused(f"{base.host} redirects to an address that is none.") from exc
    if base.scheme == "https" and url.scheme == "http":
        raise SourceRefused(
            f"{base.host} redirects from https to http; give the http address if that is meant."
        )
    return url


def _host(text: str) -> tuple[str, Address | None]:
    if text.startswith("["):
        try:
            if "%" in text:
                raise AddressValueError("zone")
            ipv6 = IPv6Address(text[1:-1])
        except AddressValueError as exc:
            raise SourceRefused("The address's host in brackets is no IPv6 address.") from exc
        return str(ipv6), ipv6
    name = _ascii(text).removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            ipv4 = IPv4Address(name)
        except AddressValueError as exc:
            raise SourceRefused(
                "The address's host is a number; write four decimal numbers with dots between."
            ) from exc
        return str(ipv4), ipv4
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise SourceRefused("The address's host is no proper name.")
    return name, None


def _ascii(host: str) -> str:
    """Return a host name as it is asked for in DNS (UTS 46, non-transitional)."""
    if host.isascii() or len(host) > _MAX_NAME:
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError) as exc:
        raise SourceRefused("The address's host is no proper name.") from exc


def _too_long() -> SourceRefused:
    return SourceRefused(f"The address is too long; it may have {MAX_LENGTH} characters.")
