"""Whose a domain is: the registered domain above it, by the public suffix list, which comes with its library."""

from functools import cache

from publicsuffixlist import PublicSuffixList


def organisation(domain: str) -> str:
    """The organisational domain (RFC 7489 section 3.2), such as north.co.uk for mail.north.co.uk.

    One label below the longest public suffix; the domain itself where it is one, or below none that is known.
    """
    return _suffixes().privatesuffix(domain.lower().rstrip(".")) or domain


@cache
def _suffixes() -> PublicSuffixList:
    """Read when first asked for: most commands never do. Its names are in ASCII, as those in DNS."""
    return PublicSuffixList()
