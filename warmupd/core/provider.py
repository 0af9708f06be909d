"""A mail provider: its servers, limits and habits. The table of those that are known is `core/providers.py`."""

from dataclasses import dataclass
from typing import Literal

OTHER = "other"  # the word of a provider that is not known
OWN = "own"  # a server in the address's own domain: cPanel, Plesk, a Postfix of one's own


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """One server. In host and user name stand {domain}, {local}, {address} or {exchange}, the end of the MX's name."""

    host: str
    port: int
    security: Literal["TLS", "STARTTLS"]
    username: str = "{address}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """One line of the table. Rows of one word differ in servers alone: regions of the same provider."""

    word: str  # stored on the mailbox's row, a label of metrics
    name: str
    smtp: Server | None = None
    imap: Server | None = None
    domains: tuple[str, ...] = ()  # of its customers' addresses
    exchanges: tuple[str, ...] = ()  # ends of the names of its MX hosts: customers with domains of their own
    hosts: tuple[str, ...] = ()  # ends of the names of the servers that customers use
    junk: tuple[str, ...] = ()  # names of that folder where no special-use flag tells, without prefix, likeliest first
    sent: tuple[str, ...] = ()
    keeps_sent: bool | None = None  # puts a copy of what it is handed by SMTP into Sent
    daily_limit: int | None = None  # messages a mailbox and day
    connections: int | None = None  # at once, for one mailbox
    poll_minutes: int = 0  # between visits, at least
    needs_oauth: bool = False  # takes no password, unless its administrator allows it for the mailbox
    selectors: tuple[str, ...] = ()  # of the DKIM keys that its customers publish
    spf: str = ""  # what a customer's SPF record includes
    hint: str = ""  # what an owner must do first
