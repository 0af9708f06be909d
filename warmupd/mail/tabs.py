"""The tabs of an inbox: Gmail shows some of its messages apart, and tells which when it is asked."""

from collections.abc import Sequence

from warmupd.mail.imap import ImapDenied, ImapSession
from warmupd.mail.imap_messages import MOST_UIDS, search
from warmupd.mail.imap_syntax import uid_set

# Gmail's help, "Search operators": the tabs besides "primary". X-GM-RAW (developers.google.com/gmail/imap) takes what
# its search box takes. An owner may have turned tabs off, or some of them; that no server tells.
_CATEGORIES = ("social", "promotions", "updates", "forums")
_QUERY = " OR ".join(f"category:{name}" for name in _CATEGORIES)


async def in_tabs(session: ImapSession, uids: Sequence[int]) -> frozenset[int]:
    """Those of `uids`, messages of the INBOX that is open, that lie in a tab other than the primary one.

    None where the server knows no tabs or will not say: then the INBOX is believed to be what it seems. Nothing but
    these messages is asked about, and nothing is changed.
    """
    found: set[int] = set()
    if not session.offers("X-GM-EXT-1"):
        return frozenset()
    for at in range(0, len(uids), MOST_UIDS):
        some = uids[at : at + MOST_UIDS]
        try:
            found |= set(await search(session, "UID", uid_set(some), "X-GM-RAW", f'"{_QUERY}"')).intersection(some)
        except ImapDenied:
            return frozenset()
    return frozenset(found)
