"""Where a request comes from, past proxies that may be believed."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from fastapi import Request

Address = IPv4Address | IPv6Address
UNKNOWN = "unknown"


def client_of(request: Request, trusted: Sequence[str]) -> str:
    """The client's address: the last hop of X-Forwarded-For that is none of `trusted` proxies.

    From the right, since whatever stands left of a hop that is not trusted was said by a stranger. So was what stands
    left of a hop that says no address (`unknown`): then the proxy that wrote it counts as the client.
    """
    at = _address(request.client.host if request.client else "")
    hops = [part.strip() for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
    while at is not None and hops and _is_of(at, trusted):
        said = _address(_without_port(hops.pop()))
        if said is None:
            break
        at = said
    return str(at) if at is not None else UNKNOWN


def lane_of(client: str) -> str:
    """What of an address is counted: of IPv6 the /64, since whoever has one address has all of those."""
    address = _address(client)
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else client


def is_secure(request: Request, trusted: Sequence[str], public_url: str) -> bool:
    """Whether the browser speaks HTTPS: by `http.public_url`, or as a trusted proxy says."""
    if request.url.scheme == "https" or public_url.startswith("https://"):
        return True
    at = _address(request.client.host if request.client else "")
    believed = at is not None and _is_of(at, trusted)
    return believed and request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower() == "https"


def _without_port(hop: str) -> str:
    """`1.2.3.4:5555` and `[2001:db8::1]:5555`, as some proxies write them (RFC 7239 section 6), without the port."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _is_of(address: Address, networks: Sequence[str]) -> bool:
    return any(address in _network(text) for text in networks)


@lru_cache(maxsize=256)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
