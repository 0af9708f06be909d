"""Which mail hosts may be connected to: public addresses and mail ports only, unless the configuration says otherwise.

The address that was judged is the address that is returned and connected to. Resolving the name a second time would
let its owner answer with a public address first and an internal one next (DNS rebinding).
"""

import asyncio
import errno
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from warmupd.errors import WarmupdError

MAIL_PORTS = frozenset({25, 465, 587, 2525, 143, 993})
DNS_SECONDS = 5.0
CACHE_SECONDS = 60.0
CACHE_HOSTS = 10_000

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ForbiddenHost(WarmupdError):
    """The mail host is not public or its port not a mail port, and `security.allow_hosts` does not name it."""


class UnresolvedHost(WarmupdError):
    """The mail host's name has no address, or the name servers did not say in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostPolicy:
    """`security.allow_hosts`: names, addresses and networks that may be private and use any port."""

    allow_hosts: tuple[str, ...] = ()
    _names: frozenset[str] = field(init=False, repr=False)
    _networks: tuple[Network, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        networks = {entry: _network(entry) for entry in self.allow_hosts}
        object.__setattr__(self, "_names", frozenset(_plain(name) for name, net in networks.items() if net is None))
        object.__setattr__(self, "_networks", tuple(net for net in networks.values() if net is not None))

    def names(self, host: str) -> bool:
        """Whether the configuration vouches for this host by its name, wherever it is."""
        return _plain(host) in self._names

    def exempts(self, host: str, address: Address) -> bool:
        """Whether the configuration vouches for this host by its name or by the address it resolved to."""
        return self.names(host) or any(address in network for network in self._networks)


def lacks_files(error: BaseException) -> bool:
    """Whether it is this process or machine that has no file left for a connection: no server had a part in it."""
    return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}


async def resolve_public(
    host: str, port: int, policy: HostPolicy, *, source_address: str = "", ports: frozenset[int] = MAIL_PORTS
) -> str:
    """The address to connect to for `host`: the first that may be, in the resolver's order of preference.

    Connect to this very address and verify the certificate against `host`. From a `source_address` only addresses of
    its family can be reached. `ports` are those that are usual for the purpose. Raises UnresolvedHost, ForbiddenHost,
    or OSError when no file is left to ask a name server with.
    """
    addresses = await _resolve(host)
    allowed = [one for one in addresses if policy.exempts(host, one) or (port in ports and is_public(one))]
    if not allowed:
        raise _forbidden(host, port, odd_port=any(is_public(address) for address in addresses), ports=ports)
    version = ip_address(source_address).version if source_address else None
    usable = [address for address in allowed if version in {None, address.version}]
    if not usable:
        raise UnresolvedHost(
            f"{host} has no IPv{version} address, and connections leave from {source_address}",
            remedy="an operator can change sending.source_address",
        )
    return str(usable[0])


async def refuse_forbidden(host: str, port: int, policy: HostPolicy) -> None:
    """Raise ForbiddenHost for what `resolve_public` would not let through.

    Where the name has no address at present that is the port alone: what it resolves to is judged when it does.
    """
    try:
        await resolve_public(host, port, policy)
    except UnresolvedHost:
        if port not in MAIL_PORTS and not policy.names(host):
            raise _forbidden(host, port, odd_port=True) from None


def _forbidden(host: str, port: int, *, odd_port: bool, ports: frozenset[int] = MAIL_PORTS) -> ForbiddenHost:
    odd = f"{port} is not a {_purpose(ports)} port ({', '.join(map(str, sorted(ports)))})"
    return ForbiddenHost(
        f"{host}:{port} may not be connected to: {odd if odd_port else 'it is not at a public address'}",
        remedy=f"use a public {_purpose(ports)} server and its port,"
        " or have the operator name it in security.allow_hosts",
    )


def _purpose(ports: frozenset[int]) -> str:
    return "mail" if ports == MAIL_PORTS else "web"


@lru_cache(CACHE_HOSTS)
def is_public(address: Address) -> bool:
    """Whether packets to `address` leave for the public Internet (IANA special-purpose registries, RFC 6890).

    Own tables, because `ipaddress.is_global` changed its mind between patch releases of Python.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    inner = _embedded_ipv4(address)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_IPV6)


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped (RFC 4291) or NAT64 (RFC 6052) address really leads to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


async def _resolve(host: str) -> tuple[Address, ...]:
    literal = _address(host.strip("[]"))
    if literal is not None:
        return (literal,)
    name = _plain(host)
    known = _cache.get(name)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    addresses = await _ask(name)
    if len(_cache) >= CACHE_HOSTS:
        _cache.clear()
    _cache[name] = (time.monotonic() + CACHE_SECONDS, addresses)
    return addresses


async def _ask(name: str) -> tuple[Address, ...]:
    if not name or name.startswith("."):
        raise UnresolvedHost(f"{name!r} is not a host name")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DNS_SECONDS):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise UnresolvedHost(f"the name servers did not answer for {name} within {DNS_SECONDS:.0f} seconds") from None
    except (OSError, UnicodeError, ValueError) as error:
        if lacks_files(error):
            raise  # nobody could even be asked: that says nothing of the name
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise UnresolvedHost(f"{name} has no address: {reason}", remedy="check the host name") from None
    addresses = _in_order(str(entry[4][0]) for entry in found)
    if not addresses:
        raise UnresolvedHost(f"{name} has no address", remedy="check the host name")
    return addresses


def _in_order(found: Iterable[str]) -> tuple[Address, ...]:
    addresses = (_address(text) for text in found)
    return tuple(dict.fromkeys(address for address in addresses if address is not None))


@lru_cache(CACHE_HOSTS)
def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ip_network(text.strip().strip("[]"), strict=False)
    except ValueError:
        return None


def _plain(name: str) -> str:
    return name.strip().rstrip(".").lower()


_cache: dict[str, tuple[float, tuple[Address, ...]]] = {}  # name -> (valid until, by time.monotonic; addresses)

_SPECIAL_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all else is loopback, unique local, link-local, multicast or unassigned
_SPECIAL_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: leads to an IPv4 address of the writer's choice
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
