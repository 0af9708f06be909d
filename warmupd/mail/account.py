"""An account: all that is needed to talk to a mailbox's servers, credentials opened. Never logged, never stored."""

from dataclasses import dataclass, field
from enum import StrEnum


class Security(StrEnum):
    """How the connection is protected; there is no unprotected way. The Postgres ENUM `mail_security`."""

    TLS = "TLS"  # from the first byte (ports 465 and 993)
    STARTTLS = "STARTTLS"  # demanded, never opportunistic (port 587)


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Endpoint:
    """One server and how to log in to it."""

    host: str
    port: int
    security: Security
    username: str
    password: str = field(repr=False)
    by_token: bool = False  # the password is an OAuth access token, and the way in is XOAUTH2


@dataclass(kw_only=True, slots=True)  # not frozen: made for each send (core/job.py)
class Account:
    """One mailbox as its mail servers know it."""

    mailbox_id: int
    address: str
    display_name: str
    smtp: Endpoint
    imap: Endpoint
    language: str = "en"
    provider: str = "other"  # a word of core/providers.py
    junk_folder: str = ""  # the owner's word for it; "" means: find it
    warmup_folder: str = "Warmup"

    @property
    def by_token(self) -> bool:
        """Whether its servers are shown an access token, which may have been revoked before its time."""
        return self.smtp.by_token or self.imap.by_token
