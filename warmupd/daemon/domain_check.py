"""The check of a domain: its DNS records are asked for, and judged by the rules in `core/domain.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address, ip_network

from warmupd.config import Config
from warmupd.core import domain as rules
from warmupd.core.finding import Finding, Grade
from warmupd.core.provider import OTHER, OWN, Provider
from warmupd.core.provider_match import match_provider, owns_domain
from warmupd.core.spf import MOST_LOOKUPS, parse_spf, spf_records
from warmupd.daemon.provider_search import records_of
from warmupd.mail.records import DnsUnanswered, Records

MOST_ADDRESSES = 10  # of mail servers that block lists are asked for
MOST_RECORDS = 30  # SPF records that one leads to: a receiver gives up long before


def domain_check_of(config: Config) -> "DomainCheck":
    """The check by the name servers and block lists of the configuration."""
    lists = config.dns
    return DomainCheck(records_of(config), block_lists=lists.block_lists, domain_block_lists=lists.domain_block_lists)


class DomainCheck:
    """Checks domains, one after the other or many at once; each record is asked for once."""

    def __init__(
        self, records: Records, *, block_lists: Sequence[str] = (), domain_block_lists: Sequence[str] = ()
    ) -> None:
        self._records = records
        self._block_lists = block_lists
        self._domain_block_lists = domain_block_lists

    async def check(self, domain: str, provider: Provider, *, selectors: Sequence[str] = ()) -> list[Finding]:
        """MX, SPF, DKIM, DMARC and block lists of `domain`, whose mailboxes are at `provider`.

        `selectors` are those of the owner's DKIM keys; without them the provider's usual ones are tried.
        """
        if not self._records.can_know(domain):
            return [Finding(grade=Grade.OK, check="domain", text=f"{domain} is a name for tests, and is not looked up")]
        if owns_domain(provider, domain):
            text = f"{domain} is {provider.name}'s own: its records are not the owner's business"
            return [Finding(grade=Grade.OK, check="domain", text=text)]
        found = await asyncio.gather(
            _told("mx", lambda: self._mx(domain, provider)),
            _told("spf", lambda: self._spf(domain, provider)),
            _told("dkim", lambda: self._dkim(domain, provider, selectors)),
            _told("dmarc", lambda: self._dmarc(domain)),
            _told("block list", lambda: self._listings(domain, provider)),
        )
        return [finding for some in found for finding in some]

    async def _mx(self, domain: str, provider: Provider) -> list[Finding]:
        exchanges = await self._records.exchanges(domain)
        found = match_provider(f"postmaster@{domain}", exchanges=exchanges).provider
        if found.word not in {OTHER, OWN}:
            return [rules.judge_mx(domain, exchanges, provider, found)]  # a provider minds its servers itself
        hosts = [host for host in exchanges[:MOST_ADDRESSES] if host]
        addresses = await asyncio.gather(*(self._records.addresses(host) for host in hosts))
        lost = [host for host, known in zip(hosts, addresses, strict=True) if not known]
        return [rules.judge_mx(domain, exchanges, provider, found, lost=lost)]

    async def _spf(self, domain: str, provider: Provider) -> list[Finding]:
        texts = await self._records.texts(domain)
        seen: dict[str, int] = {}  # domain to the look-ups of its record
        (record,) = spf_records(texts) if len(spf_records(texts)) == 1 else ("",)
        await self._follow(domain, record, seen)
        lookups = sum(seen.values())
        return [rules.judge_spf(domain, texts, include=provider.spf, lookups=lookups, seen=list(seen))]

    async def _follow(self, domain: str, record: str, seen: dict[str, int]) -> None:
        """Count the look-ups of a record and of all that it leads to, each domain once."""
        spf = parse_spf(record)
        seen[domain] = spf.lookups
        for name in spf.includes:
            if name in seen or "%" in name or len(seen) >= MOST_RECORDS or sum(seen.values()) > 3 * MOST_LOOKUPS:
                continue
            further = spf_records(await self._records.texts(name))
            await self._follow(name, further[0] if further else "", seen)

    async def _dkim(self, domain: str, provider: Provider, selectors: Sequence[str]) -> list[Finding]:
        names = selectors or provider.selectors
        texts = await asyncio.gather(*(self._records.texts(f"{name}._domainkey.{domain}") for name in names))
        keys = dict(zip(names, texts, strict=True))
        return [rules.judge_dkim(domain, keys, given=bool(selectors), provider=provider)]

    async def _dmarc(self, domain: str) -> list[Finding]:
        """Of the domain, else of the next one above it: a subdomain has its organisation's (RFC 7489 section 6.6.3)."""
        labels = domain.split(".")
        for above in range(max(1, len(labels) - 1)):
            texts = await self._records.texts(f"_dmarc.{'.'.join(labels[above:])}")
            if any(text.startswith("v=DMARC1") for text in texts):
                return [rules.judge_dmarc(domain, texts)]
        return [rules.judge_dmarc(domain, ())]

    async def _listings(self, domain: str, provider: Provider) -> list[Finding]:
        """Of the domain; and of its mail servers, when they are its own: a provider minds its servers itself."""
        asked = [(f"{domain}.{zone}", zone, domain) for zone in self._domain_block_lists]
        if self._block_lists and provider.word in {OWN, OTHER}:
            for address in await self._senders(domain):
                asked += [(f"{_reversed(address)}.{zone}", zone, address) for zone in self._block_lists]
        answers = await asyncio.gather(*(self._records.addresses(name) for name, _, _ in asked))
        found = [rules.judge_listing(zone, what, a) for (_, zone, what), a in zip(asked, answers, strict=True)]
        listed = list(dict.fromkeys(finding for finding in found if finding is not None))
        if listed or not asked:
            return listed
        zones = ", ".join(dict.fromkeys(zone for _, zone, _ in asked))
        return [Finding(grade=Grade.OK, check="block list", text=f"not listed at {zones}")]

    async def _senders(self, domain: str) -> list[str]:
        """The single addresses that its SPF record names, and those of its MX hosts."""
        records = spf_records(await self._records.texts(domain))
        named = [text for record in records for text in parse_spf(record).networks]
        found = [text.partition("/")[0] for text in named if _is_single(text)]
        for host in await self._records.exchanges(domain):
            if host:
                found += await self._records.addresses(host)
        return list(dict.fromkeys(found))[:MOST_ADDRESSES]


async def _told(check: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What `look` finds, or that the name servers did not tell."""
    try:
        return await look()
    except DnsUnanswered as error:
        return [rules.unanswered(check, Exception.__str__(error), error.remedy)]


def _is_single(network: str) -> bool:
    try:
        return ip_network(network, strict=False).num_addresses == 1
    except ValueError:
        return False


def _reversed(address: str) -> str:
    """As block lists are asked for it (RFC 5782 section 2.1)."""
    return ip_address(address).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
