"""Finding out who runs a mailbox: from what its owner says, its domain, or the domain's MX records."""

import asyncio
from collections.abc import Sequence

from warmupd.config import Config
from warmupd.core.provider_match import Match, match_provider
from warmupd.mail.records import DnsUnanswered, Records

SILENCES = 10  # questions in a row without an answer, after which name servers are asked no more


def records_of(config: Config) -> Records:
    """What answers questions about domains: the name servers of the configuration, else this machine's."""
    return Records(config.dns.servers, seconds=config.dns.timeout_seconds)


class ProviderSearch:
    """One a command: a domain is asked for once, however many of its mailboxes are enrolled."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._asked: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._turns = asyncio.Semaphore(SILENCES)
        self._silences = 0  # in a row

    async def find(self, address: str, hosts: Sequence[str] = ()) -> Match:
        """The provider of `address`, given the servers that its owner named; "other" when nothing tells.

        DNS is asked only when a server is not named and the domain is not a provider's own. Name servers that do not
        answer are as good as none: the owner can name the servers himself.
        """
        known = match_provider(address, hosts=hosts)
        if known.smtp is not None or len(hosts) >= 2:
            return known
        exchanges = await self._exchanges(address.rpartition("@")[2].lower())
        return match_provider(address, exchanges=exchanges, hosts=hosts) if exchanges else known

    async def _exchanges(self, domain: str) -> tuple[str, ...]:
        """The MX hosts, asked for once, however many want to know."""
        if domain not in self._asked:
            self._asked[domain] = asyncio.create_task(self._ask(domain), name=f"mx {domain}")
        return await asyncio.shield(self._asked[domain])

    async def _ask(self, domain: str) -> tuple[str, ...]:
        async with self._turns:
            if self._silences >= SILENCES:
                return ()
            try:
                exchanges = await self._records.exchanges(domain)
            except DnsUnanswered:
                self._silences += 1
                return ()
            self._silences = 0
            return exchanges
