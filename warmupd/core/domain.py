"""What a domain's DNS records mean for mail that is sent from it, a sentence each on what is wrong and what to do."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

from warmupd.core.finding import Finding, Grade
from warmupd.core.provider import OTHER, OWN, Provider
from warmupd.core.spf import Spf, SpfWalk, parse_spf, spf_records

_NAMED = "`warmupd mailbox check ADDRESS --dkim-selector WORD`"
MOST_SHOWN = 200  # characters of a record
# Octets of a DER public key: RSA of 1024 bits has 162 (140 without its wrapping), of 2048 bits 294 (270).
_SHORT_KEY, _GOOD_KEY = 136, 260


def judge_mx(
    domain: str, exchanges: Sequence[str], provider: Provider, found: Provider, *, lost: Sequence[str] = ()
) -> Finding:
    """`exchanges` are the MX hosts; `provider` is who the mailbox is read at, `found` whose MX hosts they are.

    `lost` are those of the hosts that have no address.
    """
    if not exchanges:
        return _bad(
            "mx", f"{domain} has no MX record: many servers refuse mail from where no answer can go", "publish one"
        )
    if "" in exchanges:
        return _bad("mx", f"{domain} says that it takes no mail (a null MX)", "publish the MX records of its provider")
    told = ", ".join(exchanges[:3])
    if lost:
        text = f"{lost[0]}, where mail for {domain} goes, has no address"
        return (_bad if len(lost) == len(exchanges) else _odd)("mx", text, "correct that MX record, or take it out")
    if OTHER not in {provider.word, found.word} and provider.name != found.name:
        text = f"mail for {domain} goes to {found.name} ({told}), but the mailbox is read at {provider.name}"
        return _odd("mx", text, "enter the servers where its mail arrives, or correct the MX records")
    return _ok("mx", told)


def judge_spf(domain: str, texts: Sequence[str], *, include: str, walk: SpfWalk | None) -> Finding:
    """`include` is what the provider's customers name, "" when not known; `walk` is where the one record leads to."""
    records = spf_records(texts)
    wanted = f"include:{include} " if include else "mx "
    if not records:
        return _bad("spf", f"{domain} has no SPF record", f'publish a TXT record at {domain}: "v=spf1 {wanted}~all"')
    if len(records) > 1 or walk is None:
        text = f"{domain} has {len(records)} SPF records, so receivers take none of them"
        return _bad("spf", text, "join them into one: all their terms behind a single v=spf1")
    if walk.broken:
        return _bad("spf", walk.broken, walk.remedy)
    spf = parse_spf(records[0])
    return _weak_spf(domain, spf, include, walk) or _ok("spf", spf.text[:MOST_SHOWN])


def judge_dkim(domain: str, keys: Mapping[str, Sequence[str]], *, given: bool, provider: Provider) -> Finding:
    """`keys` are the TXT records by selector; `given` when the owner named the selectors."""
    if not keys:
        text = f"the DKIM selector of {domain} is not known"
        return _odd("dkim", text, f"it is s= in the DKIM-Signature of a message you sent: {_NAMED}")
    found = {selector: [text for text in texts if _is_key(text)] for selector, texts in keys.items()}
    present = {selector: texts for selector, texts in found.items() if texts}
    names = " and ".join(f"{selector}._domainkey.{domain}" for selector in keys)
    if not present:
        whose = "its control panel" if provider.word in {OTHER, OWN} else provider.name
        remedy = f"turn DKIM on at {whose} and publish the record that it shows"
        if given:
            return _bad("dkim", f"there is no DKIM key at {names}", remedy)
        return _odd("dkim", f"there is no DKIM key at {names}", f"{remedy}; at another selector: {_NAMED}")
    sizes = {selector: max(map(_key_octets, texts)) for selector, texts in present.items()}
    best = max(sizes.values())
    if best == 0:
        return _bad("dkim", f"the DKIM key at {names} is withdrawn (its p= is empty) or damaged", "publish the new key")
    if best < _SHORT_KEY:
        return _bad("dkim", f"the DKIM key of {domain} is shorter than 1024 bits", "make one of 2048 bits")
    if best < _GOOD_KEY and not any(_is_ed25519(text) for texts in present.values() for text in texts):
        return _odd("dkim", f"the DKIM key of {domain} has 1024 bits", "make one of 2048 bits")
    return _ok("dkim", f"a key at {' and '.join(selector for selector, octets in sizes.items() if octets)}")


def dmarc_records(texts: Sequence[str]) -> list[str]:
    """Those TXT records that are DMARC records (RFC 7489 section 6.4)."""
    return [text for text in texts if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]


def judge_dmarc(domain: str, texts: Sequence[str], *, below: str = "") -> Finding:
    """`texts` are the TXT records at _dmarc of `domain`; `below` is the subdomain that has it from there."""
    records = dmarc_records(texts)
    record = f'"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"'
    if not records:
        return _bad("dmarc", f"{domain} has no DMARC record", f"publish a TXT record at _dmarc.{domain}: {record}")
    if len(records) > 1:
        text = f"{domain} has {len(records)} DMARC records, so receivers take none of them"
        return _bad("dmarc", text, "leave one")
    tag = "sp" if below and _tag(records[0], "sp") else "p"
    policy = _tag(records[0], tag).lower()
    if not _tag(records[0], "p") or policy not in {"none", "quarantine", "reject"}:
        text = f"the DMARC record of {domain} has no policy that is valid (p=none, quarantine or reject)"
        return _bad("dmarc", text, f"correct it: {record}")
    return _ok("dmarc", f"{tag}={policy}" + (f", of {domain}" if below else ""))


def judge_listing(zone: str, what: str, answers: Sequence[str]) -> Finding | None:
    """What a block list's `answers` for an address or domain mean; None: it is not listed (RFC 5782)."""
    if not answers:
        return None
    # Spamhaus' codes for those it does not serve; 127.0.0.1 is listed nowhere (RFC 5782 section 5): a blocked resolver
    if any(answer.startswith("127.255.255.") or answer == "127.0.0.1" for answer in answers):
        text = f"{zone} does not answer us: {', '.join(answers)}"
        return _odd("block list", text, "ask it by a resolver of your own (dns.servers), or take it out")
    if any(not answer.startswith("127.") for answer in answers):
        text = f"{zone} answers what no block list would: {', '.join(answers)}"
        return _odd("block list", text, "the zone is gone, or the resolver invents answers: take it out")
    remedy = f"find out there why, mend that, and ask for removal; until then many servers refuse mail from {what}"
    return _bad("block list", f"{what} is listed at {zone} ({', '.join(answers)})", remedy)


def unanswered(check: str, text: str, remedy: str) -> Finding:
    """The name servers did not tell."""
    return _odd(check, text, remedy)


def _weak_spf(domain: str, spf: Spf, include: str, walk: SpfWalk) -> Finding | None:
    if walk.open:
        remedy = "end it with ~all or -all" if walk.open.lower() in {"all", "+all"} else "take that out"
        return _bad("spf", f"the SPF record of {domain} lets everybody send as it ({walk.open[:MOST_SHOWN]})", remedy)
    if include and include.lower() not in {name.lower() for name in walk.seen}:
        text = f"the SPF record of {domain} does not name its provider"
        if walk.macros or walk.flat:
            text = f"{text} by name; whether the addresses in it are the provider's cannot be told from here"
            return _odd("spf", text, f"see that they are those of {include}, or add include:{include}")
        return _bad("spf", text, f"add include:{include} to it")
    if not walk.end and not (spf.redirect and walk.macros):
        return _odd("spf", f"the SPF record of {domain} does not say what of all others", "end it with ~all or -all")
    return None


def _is_key(text: str) -> bool:
    return bool(re.search(r"(^|;)\s*p\s*=", text)) and not dmarc_records([text])


def _is_ed25519(text: str) -> bool:
    return _tag(text, "k").lower() == "ed25519"


def _key_octets(text: str) -> int:
    """How long the key is; an Ed25519 key is always long enough."""
    value = re.sub(r"\s", "", _tag(text, "p"))
    try:
        octets = len(base64.b64decode(value + "=" * (-len(value) % 4), validate=True))
    except (binascii.Error, ValueError):
        return 0
    return _SHORT_KEY if octets and _is_ed25519(text) else octets


def _tag(text: str, name: str) -> str:
    tags = (part.partition("=") for part in text.split(";"))
    return next((value.strip() for tag, _, value in tags if tag.strip().lower() == name), "")


def _ok(check: str, text: str) -> Finding:
    return Finding(grade=Grade.OK, check=check, text=text)


def _odd(check: str, text: str, remedy: str) -> Finding:
    return Finding(grade=Grade.WARN, check=check, text=text, remedy=remedy)


def _bad(check: str, text: str, remedy: str) -> Finding:
    return Finding(grade=Grade.FAIL, check=check, text=text, remedy=remedy)
