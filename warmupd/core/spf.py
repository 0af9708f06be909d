"""SPF records (RFC 7208), as far as an owner can be told what is wrong with theirs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

MOST_LOOKUPS = 10  # RFC 7208 section 4.6.4: with more, receivers answer permerror, and the record counts for nothing
MOST_VOIDS = 2  # look-ups that find nothing, by the same section
_LOOKING_UP = frozenset({"include", "a", "mx", "ptr", "exists"})
_NEEDS_DOMAIN = frozenset({"include", "exists"})  # the other ones mean the record's own domain without
_WIDEST = {4: 8, 6: 16}  # prefix lengths: nobody who sends mail has a wider network than these
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.DOTALL)


class Step(NamedTuple):
    """A mechanism that asks DNS."""

    name: str
    target: str  # a domain in lower case; "" for the record's own
    passes: bool  # who matches may send: its sign is +, or it has none


@dataclass(frozen=True, kw_only=True, slots=True)
class Spf:
    """One record, taken apart. What stands behind `all` is left out: receivers do not get there."""

    text: str
    steps: tuple["Step", ...]  # what is looked up, in order
    redirect: str  # the domain that decides in its place; "" without, and beside "all", which has the last word
    networks: tuple[str, ...]  # of ip4 and ip6, as far as they may send
    open: str  # the term that lets everybody send, or nearly so; "" without
    end: str  # of "all", with its sign: "+all", "-all", "~all", "?all"; "" without
    unknown: tuple[str, ...]  # terms that no receiver understands, wherever they stand: they answer permerror


@dataclass(frozen=True, kw_only=True, slots=True)
class SpfWalk:
    """What a receiver meets that follows a record to its end."""

    seen: tuple[str, ...]  # the domains whose records say who may send: of includes and redirects
    end: str  # of "all" where it ends, be it behind redirects; "" without
    open: str = ""  # what lets everybody send, or nearly so, and where
    broken: str = ""  # why receivers answer permerror; "" when they do not
    remedy: str = ""
    macros: bool = False  # it leads to where only a receiver with a message at hand can follow
    flat: bool = False  # it names networks itself, so perhaps those of its provider


def spf_records(texts: Sequence[str]) -> list[str]:
    """Those TXT records that are SPF records (section 4.5)."""
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def parse_spf(text: str) -> Spf:
    """Takes a record apart; never fails."""
    steps, networks, unknown, end, wide, redirects, explained = [], [], [], "", "", [], 0
    for term in text.split(" ")[1:]:
        if not term:
            continue
        if modifier := _MODIFIER.fullmatch(term.lower()):
            redirects += [_domain(modifier[2])] * (modifier[1] == "redirect")
            explained += modifier[1] == "exp"
            if modifier[1] in {"redirect", "exp"} and (not modifier[2] or len(redirects) > 1 or explained > 1):
                unknown.append(term)
            continue
        sign, name, domain = _mechanism(term.lower())
        if not name:
            unknown.append(term)
            continue
        if end:
            continue
        passes = sign in {"", "+"}
        wide = wide or (term if passes and _is_wide(term.lower(), name) else "")
        if name == "all":
            end = f"{sign or '+'}all"
        elif name in _LOOKING_UP:
            steps.append(Step(name, _domain(domain), passes))
        elif passes:
            networks.append(domain)
    return Spf(
        text=text,
        steps=tuple(steps),
        redirect=redirects[0] if redirects and not end else "",
        networks=tuple(networks),
        open=wide,
        end=end,
        unknown=tuple(unknown),
    )


def _mechanism(term: str) -> tuple[str, str, str]:
    """Sign, name, and domain or network; no name when it is written as no receiver reads it (section 5)."""
    sign, name, value = re.fullmatch(r"([+?~-]?)([^:/]*)(.*)", term, re.DOTALL).groups()  # type: ignore[union-attr]  # fits all
    if name in {"ip4", "ip6"}:
        return (sign, name, value[1:]) if value.startswith(":") and _is_network(value[1:], name) else ("", "", "")
    if name == "all":
        return (sign, name, "") if not value else ("", "", "")
    if name not in _LOOKING_UP:
        return "", "", ""
    domain, masks = value, ""
    if name in {"a", "mx"}:
        split = re.fullmatch(r"(.*?)((?:/\d{1,2})?(?://\d{1,3})?)", value, re.DOTALL)
        domain, masks = split.groups() if split else (value, "")
    named = domain.startswith(":") and len(domain) > 1 and "/" not in re.sub(r"%\{[^}]*\}", "", domain)
    bare = not domain and name not in _NEEDS_DOMAIN
    lengths = [int(number) for number in re.findall(r"\d+", masks)]
    fits = all(number <= 128 for number in lengths) and not re.match(r"/(3[3-9]|[4-9]\d)", masks)
    return (sign, name, domain[1:]) if (named or bare) and fits else ("", "", "")


def _is_wide(term: str, name: str) -> bool:
    """Whether it lets everybody send. Of `a` and `mx` the length of an IPv4 network stands first, IPv6's behind //."""
    if name == "all":
        return True
    if name in {"ip4", "ip6"}:
        network = ip_network(term.partition(":")[2], strict=False)
        return network.prefixlen < _WIDEST[network.version]
    lengths = re.search(r"(?<!/)/(\d+)(?://\d+)?$", term), re.search(r"//(\d+)$", term)
    return name in {"a", "mx"} and any(
        found is not None and int(found[1]) < _WIDEST[version] for version, found in zip((4, 6), lengths, strict=True)
    )


def _is_network(text: str, name: str) -> bool:
    try:
        return (
            ip_network(text, strict=False).version == int(name[2]) and re.fullmatch(r"[^/]+(/\d+)?", text) is not None
        )
    except ValueError:
        return False


def _domain(text: str) -> str:
    return text.rstrip(".")
