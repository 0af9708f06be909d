"""Follows an SPF record through all that it leads to, counting what a receiver would (RFC 7208 section 4.6.4)."""

from warmupd.core.spf import MOST_LOOKUPS, MOST_VOIDS, Spf, SpfWalk, parse_spf, spf_records
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

    async def walk(self, record: str) -> SpfWalk:
        """What follows from the domain's own `record`. Raises DnsUnanswered."""
        broken, remedy = "", ""
        try:
            await self._follow(self._domain, parse_spf(record))
        except _PermanentError as error:
            broken, remedy = error.args
        return SpfWalk(seen=tuple(self._seen), broken=broken, remedy=remedy, macros=self._macros, flat=self._flat)

    async def _follow(self, domain: str, spf: Spf) -> None:
        self._seen.append(domain)
        self._flat |= (
            bool(spf.networks) and self._domain in domain
        )  # of a service that flattens: north.test.flat.example
        if spf.unknown:
            text = f"the SPF record of {domain} has a term that is none: {spf.unknown[0]}"
            raise _PermanentError(text, "correct or remove it")
        steps = [*spf.steps, *([("redirect", spf.redirect)] if spf.redirect else [])]
        for name, target in steps:
            self._lookups += 1
            if self._lookups > MOST_LOOKUPS:
                text = f"the SPF record of {self._domain} needs more than {MOST_LOOKUPS} look-ups, so it is void"
                raise _PermanentError(text, "take out includes that are not used any more")
            if "%" in target:
                self._macros = True
            elif name in {"include", "redirect"}:
                await self._enter(domain, name, target)
            elif not await self._finds(domain, name, target or domain):
                self._void(name, target or domain)

    async def _enter(self, domain: str, name: str, target: str) -> None:
        found = spf_records(await self._records.texts(target))
        if len(found) != 1:
            has = f"has {len(found)} SPF records" if found else "has no SPF record"
            text = f"the SPF record of {domain} names {name} {target}, which {has}: so it counts for nothing"
            raise _PermanentError(text, f"take {name} {target} out, or have it mended")
        await self._follow(target, parse_spf(found[0]))

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


class _PermanentError(Exception):
    """What makes receivers answer permerror: a sentence, and what to do."""
