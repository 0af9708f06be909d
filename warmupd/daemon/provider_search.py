"""Finding out who runs a mailbox: from what its owner says, its domain, or the domain's MX records."""

from collections.abc import Sequence

from warmupd.config import Config
from warmupd.core.provider_match import Match, match_provider
from warmupd.mail.records import DnsUnanswered, Records


def records_of(config: Config) -> Records:
    """What answers questions about domains: the name servers of the configuration, else this machine's."""
    return Records(config.dns.servers, seconds=config.dns.timeout_seconds)


class ProviderSearch:
    """One a command: a domain is asked for once, however many of its mailboxes are enrolled."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def find(self, address: str, hosts: Sequence[str] = ()) -> Match:
        """The provider of `address`, given the servers that its owner named; "other" when nothing tells.

        DNS is asked only when a server is not named and the domain is not a provider's own. Name servers that do not
        answer are as good as none: the owner can name the servers himself.
        """
        known = match_provider(address, hosts=hosts)
        if known.smtp is not None or len(hosts) >= 2:
            return known
        try:
            exchanges = await self._records.exchanges(address.rpartition("@")[2])
        except DnsUnanswered:
            return known
        return match_provider(address, exchanges=exchanges, hosts=hosts)
