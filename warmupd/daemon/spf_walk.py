"""Follows an SPF record through all that it leads to, counting what a receiver would (RFC 7208 section 4.6.4)."""

from ipaddress import ip_network

from warmupd.core.spf import MOST_LOOKUPS, MOST_VOIDS, Spf, SpfWalk, Step, parse_spf, spf_records
from warmupd.mail.records import Records

MOST_EXCHANGES = 10  # MX hosts of one `mx`, by the same section


class SpfWalker:
    """One a domain. As a receiver that nothing matches it evaluates each term, one that comes twice twice."""

    def __init__(self, records: Records, domain: str) -> None:
        self._records = records
        self._domain = domain
        self._seen: list[str] = []
        self._lookups = 0
        self._voids = 0
        self._macros = False
        self._flat = False
        self._open = ""

    async def walk(self, record: str) -> SpfWalk:
        """What follows from the domain's own `record`. Raises DnsUnanswered."""
        broken, remedy, end = "", "", ""
        try:
            end = await self._follow(self._domain, parse_spf(record))
        except _PermanentError as error:
            broken, remedy = error.args
        return SpfWalk(
            seen=tuple(self._seen),
            end=end,
            open=self._open,
            broken=broken,
            remedy=remedy,
            macros=self._macros,
            flat=self._flat,
        )

    async def _follow(self, domain: str, spf: Spf, *, passes: bool = True) -> str:
        """Its end, or that of the record which decides in its place. Without `passes` who matches may not send."""
        if passes:
            self._seen.append(domain)
            self._flat |= self._is_ours(domain) and any(map(_is_range, spf.networks))
            if spf.open and not self._open:
                self._open = spf.open if domain == self._domain else f"{spf.open} in the record of {domain}"
        if spf.unknown:
            text = f"the SPF record of {domain} has a term that is none: {spf.unknown[0]}"
            raise _PermanentError(text, "correct or remove it")
        steps = [*spf.steps, *([Step("redirect", spf.redirect, passes=True)] if spf.redirect else [])]
        end = spf.end
        for name, target, lets in steps:
            self._lookups += 1
            if self._lookups > MOST_LOOKUPS:
                text = f"the SPF record of {self._domain} needs more than {MOST_LOOKUPS} look-ups, so it is void"
                raise _PermanentError(text, "take out includes that are not used any more")
            if "%" in target:
                self._macros = True
            elif name in {"include", "redirect"}:
                its = await self._enter(domain, name, target, passes=passes and lets)
                end = its if name == "redirect" else end
            elif not await self._finds(domain, name, target or domain):
                self._void(name, target or domain)
        return end

    def _is_ours(self, domain: str) -> bool:
        """The domain itself, or one that was made for it by a service that flattens: north.test.flat.example."""
        return f".{self._domain}." in f".{domain}."

    async def _enter(self, domain: str, name: str, target: str, *, passes: bool) -> str:
        found = spf_records(await self._records.texts(target))
        if len(found) != 1:
            has = f"has {len(found)} SPF records" if found else "has no SPF record"
            text = f"the SPF record of {domain} names {name} {target}, which {has}: so it counts for nothing"
            raise _PermanentError(text, f"take {name} {target} out, or have it mended")
        return await self._follow(target, parse_spf(found[0]), passes=passes)

    async def _finds(self, domain: str, name: str, target: str) -> bool:
        """Whether a look-up of this kind has an answer. `ptr` asks for the sender's address, not known here."""
        if name == "mx":
            hosts = await self._records.exchanges(target)
            if len(hosts) > MOST_EXCHANGES:
                text = f"the SPF record of {domain} asks for the {len(hosts)} MX hosts of {target}; receivers give up"
                raise _PermanentError(text, f"name their addresses instead: more than {MOST_EXCHANGES} are too many")
            return bool(hosts)
        return name == "ptr" or bool(await self._records.addresses(target))

    def _void(self, name: str, target: str) -> None:
        self._voids += 1
        if self._voids > MOST_VOIDS:
            text = (
                f"the SPF record of {self._domain} asks for more than {MOST_VOIDS} names that there are not,"
                f" such as {target}: receivers give up"
            )
            raise _PermanentError(text, f"take {name}:{target} out, and what else is gone")


def _is_range(network: str) -> bool:
    """A single address is the owner's own server: no provider that others include sends from one alone."""
    return ip_network(network, strict=False).num_addresses > 1


class _PermanentError(Exception):
    """What makes receivers answer permerror: a sentence, and what to do."""
