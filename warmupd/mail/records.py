"""What a domain's DNS says of its mail: MX, TXT and address records, asked with time-outs and remembered a while."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from warmupd.errors import WarmupdError

MOST_ANSWERS = 1000  # remembered; an import of many rows asks for few domains
# RFC 2606 and RFC 6761: names for documentation and tests, which no name server of the Internet has mail for.
RESERVED = frozenset(
    {"test", "example", "invalid", "localhost", "local", "internal", "example.com", "example.net", "example.org"}
)


class DnsUnanswered(WarmupdError):
    """The name servers did not answer, or refused to: whether there is such a record is not known."""


class Records:
    """Asks `servers` ("address" or "address:port"), or those of this machine when there are none.

    Reserved names are asked of named servers alone, since nobody else can know them. Answers are kept for the life
    of this object.
    """

    def __init__(self, servers: Sequence[str] = (), *, seconds: float = 5.0) -> None:
        self._named = bool(servers)
        self._seconds = seconds
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._servers = [_nameserver(server) for server in servers]
        self._answers: dict[tuple[str, str], tuple[str, ...]] = {}
        self._asked: dict[tuple[str, str], asyncio.Task[tuple[str, ...]]] = {}  # without an answer yet
        self._turns = asyncio.Semaphore(20)

    def can_know(self, domain: str) -> bool:
        """Whether asking for this domain makes sense."""
        labels = domain.lower().rstrip(".").split(".")
        return self._named or RESERVED.isdisjoint({labels[-1], ".".join(labels[-2:])})

    async def exchanges(self, domain: str) -> tuple[str, ...]:
        """The MX hosts, the preferred first, in lower case without final dot; "" is a null MX (RFC 7505)."""
        rows = [row.split() for row in await self._ask(domain, "MX")]
        preferred = sorted((int(row[0]), row[1].rstrip(".").lower()) for row in rows if len(row) == 2)
        return tuple(host for _, host in preferred)

    async def texts(self, name: str) -> tuple[str, ...]:
        """The TXT records, the parts of each joined as they are (RFC 7208 section 3.3)."""
        return await self._ask(name, "TXT")

    async def ipv4(self, name: str) -> tuple[str, ...]:
        """The A records alone: block lists answer by them, and a resolver with DNS64 invents AAAA ones beside."""
        return await self._ask(name, "A")

    async def addresses(self, host: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses, as text."""
        found = await asyncio.gather(self._ask(host, "A"), self._ask(host, "AAAA"))
        return (*found[0], *found[1])

    async def _ask(self, name: str, kind: str) -> tuple[str, ...]:
        """The records as text; none where there is no such name or record. Raises DnsUnanswered.

        Asked for once, however many want to know at the same time; again after a question that was not answered.
        """
        key = name.lower().rstrip("."), kind
        if not self.can_know(key[0]):
            return ()
        if key in self._answers:
            return self._answers[key]
        if key not in self._asked:
            task = self._asked[key] = asyncio.create_task(self._resolve(*key), name=f"dns {kind} {key[0]}")
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(self._asked[key])

    def _keep(self, key: tuple[str, str], done: asyncio.Task[tuple[str, ...]]) -> None:
        del self._asked[key]
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._answers) >= MOST_ANSWERS:
            self._answers.clear()
        self._answers[key] = done.result()

    async def _resolve(self, name: str, kind: str) -> tuple[str, ...]:
        try:
            async with self._turns:
                answer = await self._get_resolver().resolve(dns.name.from_text(name), kind, lifetime=self._seconds)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.name.LabelTooLong, dns.name.EmptyLabel, dns.name.NameTooLong, UnicodeError):
            return ()
        except dns.resolver.LifetimeTimeout:
            raise DnsUnanswered(
                f"no name server answered for {name} within {self._seconds:g} seconds",
                remedy="try again, or name other servers in dns.servers",
            ) from None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnanswered(
                f"the name servers cannot tell the {kind} records of {name} ({type(error).__name__})",
                remedy="look whether the domain's name servers work, or name other resolvers in dns.servers",
            ) from None
        if kind == "TXT":
            return tuple(_plain(b"".join(row.strings)) for row in answer)
        return tuple(row.to_text() for row in answer)

    def _get_resolver(self) -> dns.asyncresolver.Resolver:
        """Made when first needed: a machine without a resolver's configuration may still enrol by hand."""
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver(configure=not self._named)
            if self._named:
                self._resolver.nameservers = list(self._servers)
        return self._resolver


def _plain(octets: bytes) -> str:
    """Text that may be shown: whoever owns the domain writes what stands in it."""
    text = octets.decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """Of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:53`; ValueError when it is none."""
    host, port = text, 53
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = int(rest.lstrip(":") or 53)
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
        port = int(number)
    return dns.nameserver.Do53Nameserver(str(ip_address(host)), port)
