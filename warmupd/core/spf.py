"""SPF records (RFC 7208), as far as an owner can be told what is wrong with theirs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_LOOKUPS = 10  # RFC 7208 section 4.6.4: with more, receivers answer permerror, and the record counts for nothing
_LOOKING_UP = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_KNOWN = _LOOKING_UP | {"all", "ip4", "ip6", "exp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Spf:
    """One record, taken apart."""

    text: str
    includes: tuple[str, ...]  # domains of include and redirect, in lower case
    lookups: int  # that this record asks for itself
    networks: tuple[str, ...]  # of ip4 and ip6
    end: str  # of "all", with its sign: "+all", "-all", "~all", "?all"; "" without
    unknown: tuple[str, ...]  # terms that no receiver understands: they answer permerror


def spf_records(texts: Sequence[str]) -> list[str]:
    """Those TXT records that are SPF records (section 4.5)."""
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def parse_spf(text: str) -> Spf:
    """Takes a record apart; never fails."""
    includes, networks, unknown, lookups, end = [], [], [], 0, ""
    for term in text.split()[1:]:
        match = re.fullmatch(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?:([:=/])(.*))?", term.lower())
        name = match[2] if match else ""
        value = (match[4] or "") if match else ""
        if match is None or (name not in _KNOWN and match[3] != "="):
            unknown.append(term)
            continue
        lookups += name in _LOOKING_UP
        if name in {"include", "redirect"}:
            includes.append(value.rstrip("."))
        elif name in {"ip4", "ip6"}:
            networks.append(value)
        elif name == "all":
            end = f"{match[1] or '+'}all"
    return Spf(
        text=text,
        includes=tuple(includes),
        lookups=lookups,
        networks=tuple(networks),
        end=end,
        unknown=tuple(unknown),
    )
