"""A name server on a free UDP port of loopback: zones are a dictionary, and it can refuse or keep silent."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zones = Mapping[tuple[str, str], Sequence[str]]  # (name, type) to records, as in a zone file


class NameServer(asyncio.DatagramProtocol):
    """Answers what its zones hold; NXDOMAIN for names that are in none."""

    def __init__(self, zones: Zones, *, silent: Sequence[str] = (), refused: Sequence[str] = ()) -> None:
        self.asked: Counter[str] = Counter()
        self.address = ""
        self._zones = {(name.lower(), kind): records for (name, kind), records in zones.items()}
        self._silent = silent
        self._refused = refused
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:  # loops have their own classes of it
        self._transport = transport
        self.address = "{}:{}".format(*transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[f"{name} {kind}"] += 1
        if any(name == one or name.endswith(f".{one}") for one in self._silent):
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if any(name == one or name.endswith(f".{one}") for one in self._refused):
            response.set_rcode(dns.rcode.REFUSED)
        else:
            self._answer(response, name, kind)
        assert self._transport
        self._transport.sendto(response.to_wire(max_size=65_000), addr)

    def _answer(self, response: dns.message.Message, name: str, kind: str) -> None:
        while (name, "CNAME") in self._zones:
            (target,) = self._zones[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(dns.name.from_text(name), 60, "IN", "CNAME", f"{target}."))
            name = target
        if (name, kind) in self._zones:
            records = self._zones[name, kind]
            response.answer.append(dns.rrset.from_text(dns.name.from_text(name), 60, "IN", kind, *records))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self._zones):
            response.set_rcode(dns.rcode.NXDOMAIN)


@asynccontextmanager
async def name_server(
    zones: Zones, *, silent: Sequence[str] = (), refused: Sequence[str] = ()
) -> AsyncIterator[NameServer]:
    """Up for the time of a test."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zones, silent=silent, refused=refused), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


def text(*parts: str) -> str:
    """A TXT record as in a zone file."""
    return " ".join(f'"{part}"' for part in parts)
