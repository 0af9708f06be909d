"""What a delivery report says became of a message, recipient by recipient, and which of that concerns ours."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """One recipient's part of a report (RFC 3464 section 2.3)."""

    final: str  # Final-Recipient: the address that the reporting server tried; lower case
    original: str  # Original-Recipient: the one that the sender had named; "" when it is not given
    failed: bool  # for good; else it was put off, relayed or delivered
    code: int | None  # of the SMTP reply that it quotes
    status: str  # RFC 3463, such as "5.1.1"; "" when it gives none
    text: str  # for people, fit to be shown


def fate_of(fates: Iterable[Fate], address: str) -> Fate | None:
    """The part that speaks of `address`; of several one that failed. None: the report is about somebody else.

    The final recipient counts. A recipient who keeps a copy and forwards has the forwarding address's failure reported
    under his own as the original one; so the original address counts only where the final one is of the same domain,
    or one beneath the other, as when a server rewrites addresses for its inner hosts.
    """
    wanted = address.strip().lower()
    ours = [one for one in fates if one.final == wanted or (one.original == wanted and _at_home(one.final, wanted))]
    return next((one for one in ours if one.failed), ours[0] if ours else None)


def _at_home(final: str, address: str) -> bool:
    one, other = (text.rpartition("@")[2] for text in (final, address))
    return not one or one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
