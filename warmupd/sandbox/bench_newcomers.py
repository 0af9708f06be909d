"""Made-up mailboxes for benches: of many users, in one shared pool, at one server, visited by nobody for a week."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from warmupd.mail.vault import Vault
from warmupd.store.database import Database
from warmupd.store.population import Newcomer, enrol_mailboxes, enrol_users, put_off_visits

PER_USER = 100
DOMAINS = 500
LONG_AGO = dt.timedelta(days=1)  # they were changed then: nobody reads them anew
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class MailHome:
    """Where all their mail is handed in and lies, and everybody's password there."""

    password: str
    smtp_port: int = 587
    smtp_security: str = "STARTTLS"
    imap_port: int = 993


async def enrol_newcomers(db: Database, count: int, home: MailHome, vault: Vault, *, at: dt.datetime) -> dict[int, str]:
    """Enrol them all, proven; addresses by id. The database holds no mailboxes yet."""
    users = await enrol_users(db, ["UTC"] * (1 + (count - 1) // PER_USER), private=False)
    newcomers = _newcomers(count, users, home, vault)
    await enrol_mailboxes(db, newcomers, at=at, proven=True, changed_at=at - LONG_AGO)
    await put_off_visits(db, at + dt.timedelta(days=7))
    return {number: _address(number) for number in range(1, count + 1)}


def _newcomers(count: int, users: Sequence[tuple[UUID, int]], home: MailHome, vault: Vault) -> Iterator[Newcomer]:
    for number in range(1, count + 1):
        user_id, pool_id = users[(number - 1) // PER_USER]
        yield Newcomer(
            mailbox_id=number,
            user_id=user_id,
            pool_id=pool_id,
            address=_address(number),
            display_name=f"Mailbox {number}",
            provider="other",
            smtp_host=HOST,
            smtp_port=home.smtp_port,
            smtp_security=home.smtp_security,
            imap_host=HOST,
            imap_port=home.imap_port,
            smtp_secret=vault.seal(home.password, mailbox_id=number, purpose="smtp"),
            imap_secret=vault.seal(home.password, mailbox_id=number, purpose="imap"),
        )


def _address(number: int) -> str:
    return f"mailbox{number}@domain{number % DOMAINS}.test"
