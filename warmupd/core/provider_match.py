"""Whose mailbox an address is: told by its servers, its domain, or the domain's MX hosts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from warmupd.core.provider import OTHER, OWN, Provider, Server
from warmupd.core.providers import PROVIDERS, TABLE


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The provider of one address, and how it is reached there."""

    provider: Provider
    smtp: Server | None
    imap: Server | None
    exchange: str = ""


def match_provider(address: str, *, exchanges: Sequence[str] = (), hosts: Sequence[str] = ()) -> Match:
    """Whose mailbox `address` is: by the servers that its owner named, by its domain, by the domain's MX hosts.

    Never fails: what is not known is the provider "other", without servers.
    """
    local, _, domain = address.lower().rpartition("@")
    for provider in _candidates(domain, exchanges, hosts):
        exchange = _ending(exchanges, provider.exchanges)
        places = {"local": local, "domain": domain, "address": address, "exchange": exchange or domain}
        return Match(
            provider=provider,
            smtp=_filled(provider.smtp, places),
            imap=_filled(provider.imap, places),
            exchange=exchange,
        )
    return Match(provider=PROVIDERS[OTHER], smtp=None, imap=None)


def match_word(word: str, address: str) -> Match:
    """The provider of that word, with the servers of its first row that can be named for `address`."""
    local, _, domain = address.lower().rpartition("@")
    rows = [row for row in TABLE if row.word == word]
    row = next((row for row in rows if domain in row.domains), rows[0] if rows else PROVIDERS[OTHER])
    places = {"local": local, "domain": domain, "address": address, "exchange": (*row.exchanges, domain)[0]}
    return Match(provider=row, smtp=_filled(row.smtp, places), imap=_filled(row.imap, places))


def provider_of(word: str) -> Provider:
    """The provider of that word; "other" for one that the table does not know (any more)."""
    return PROVIDERS.get(word, PROVIDERS[OTHER])


@lru_cache(maxsize=10_000)
def lane(host: str) -> str:
    """What conversations with `host` are counted with: all servers of a provider together, another server alone.

    A provider sees one client, however many names its servers have.
    """
    name = host.lower().rstrip(".")
    return next((row.word for row in TABLE if _ending((name,), row.hosts)), name)


def providers_at(hosts: Iterable[str]) -> list[Provider]:
    """The rows of all whose customers use one of these servers."""
    names = tuple(hosts)
    return [row for row in TABLE if _ending(names, row.hosts)]


def owns_domain(provider: Provider, domain: str) -> bool:
    """Whether the addresses of that domain are the provider's own, so that its DNS is the provider's business."""
    return any(domain.lower() in row.domains for row in TABLE if row.word == provider.word)


def _candidates(domain: str, exchanges: Sequence[str], hosts: Sequence[str]) -> Iterable[Provider]:
    """Rows that fit, the likeliest first."""
    by_domain = [row for row in TABLE if domain in row.domains]
    by_hosts = providers_at(hosts)
    yield from (row for row in by_hosts if row in by_domain)
    yield from (row for row in by_hosts if _ending(exchanges, row.exchanges))
    yield from (row for row in by_hosts if not row.domains)
    yield from by_hosts
    yield from by_domain
    yield from (row for row in TABLE if _ending(exchanges, row.exchanges))
    if _ending(exchanges, (domain,)):
        yield PROVIDERS[OWN]


def _ending(names: Iterable[str], endings: Iterable[str]) -> str:
    """The first of `endings` that one of the host `names` is, or lies beneath; "" when none."""
    plain = [f".{name.lower().rstrip('.')}" for name in names]
    return next((end for end in endings if any(name.endswith(f".{end}") for name in plain)), "")


def _filled(server: Server | None, places: Mapping[str, str]) -> Server | None:
    if server is None:
        return None
    return replace(server, host=server.host.format(**places), username=server.username.format(**places))
