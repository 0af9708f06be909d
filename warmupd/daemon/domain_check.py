"""The check of a domain: its DNS records are asked for, and judged by the rules in `core/domain.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address, ip_network

from warmupd.config import Config
from warmupd.core import domain as rules
from warmupd.core.finding import Finding, Grade
from warmupd.core.provider import OTHER, OWN, Provider
from warmupd.core.provider_match import match_provider, owns_domain
from warmupd.core.spf import parse_spf, spf_records
from warmupd.daemon.provider_search import records_of
from warmupd.daemon.spf_walk import SpfWalker
from warmupd.mail.organisation import organisation
from warmupd.mail.records import DnsUnanswered, Records

MOST_ADDRESSES = 10  # of mail servers that block lists are asked for


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
        records = spf_records(texts)
        walk = await SpfWalker(self._records, domain).walk(records[0]) if len(records) == 1 else None
        return [rules.judge_spf(domain, texts, include=provider.spf, walk=walk)]

    async def _dkim(self, domain: str, provider: Provider, selectors: Sequence[str]) -> list[Finding]:
        names = selectors or provider.selectors
        texts = await asyncio.gather(*(self._records.texts(f"{name}._domainkey.{domain}") for name in names))
        keys = dict(zip(names, texts, strict=True))
        groups = [{name: keys[name]} for name in keys] if selectors else [keys]  # each that the owner named is in use
        return [rules.judge_dkim(domain, group, given=bool(selectors), provider=provider) for group in groups]

    async def _dmarc(self, domain: str) -> list[Finding]:
        """Of the domain, else of its organisation's (RFC 7489 section 6.6.3), and of none between them."""
        texts = await self._records.texts(f"_dmarc.{domain}")
        above = organisation(domain)
        if above == domain or rules.dmarc_records(texts):
            return [rules.judge_dmarc(domain, texts)]
        return [rules.judge_dmarc(above, await self._records.texts(f"_dmarc.{above}"), below=domain)]

    async def _listings(self, domain: str, provider: Provider) -> list[Finding]:
        """Of the domain; and of its mail servers, when they are its own: a provider minds its servers itself."""
        asked = [(f"{domain}.{zone}", zone, domain) for zone in self._domain_block_lists]
        if self._block_lists and provider.word in {OWN, OTHER}:
            for address in await self._senders(domain):
                asked += [(f"{_reversed(address)}.{zone}", zone, address) for zone in self._block_lists]
        answers = await asyncio.gather(*(self._answer(name) for name, _, _ in asked))
        found = [
            rules.judge_listing(zone, what, answer)
            if isinstance(answer, tuple)
            else rules.unanswered("block list", f"{zone} does not answer", "look whether there still is that list")
            for (_, zone, what), answer in zip(asked, answers, strict=True)
        ]
        odd = {zone for (_, zone, _), finding in zip(asked, found, strict=True) if finding is not None}
        listed = list(dict.fromkeys(finding for finding in found if finding is not None))
        clean = ", ".join(dict.fromkeys(zone for _, zone, _ in asked if zone not in odd))
        fine = [Finding(grade=Grade.OK, check="block list", text=f"not listed at {clean}")] if clean else []
        return listed + fine

    async def _answer(self, name: str) -> "tuple[str, ...] | DnsUnanswered":
        """One list that is dead must not hide what another one says."""
        try:
            return await self._records.ipv4(name)
        except DnsUnanswered as error:
            return error

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
