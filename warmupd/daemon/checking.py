"""The logins of mailboxes that are enrolled, tried now; nothing is changed by it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.daemon.keyring import Keyring, keyring_of
from warmupd.daemon.login_check import LoginCheck, Refusal
from warmupd.errors import SecretsError
from warmupd.mail.oauth import OAuthError
from warmupd.store.accounts import SealedAccount, load_accounts
from warmupd.store.database import Database
from warmupd.store.mailbox_report import MailboxReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What its servers said to one mailbox."""

    mailbox: MailboxReport
    refusals: Sequence[Refusal]  # empty: both let us in

    @property
    def ok(self) -> bool:
        return not self.refusals


async def check_logins(db: Database, config: Config, clock: Clock, chosen: Sequence[MailboxReport]) -> list[Checked]:
    """SMTP and IMAP of each, once. Those that were removed in this moment are left out."""
    checking = LoginCheck(config)
    sealed = await load_accounts(db, [mailbox.id for mailbox in chosen])
    there = [mailbox for mailbox in chosen if mailbox.id in sealed]
    async with keyring_of(config, db, clock) as keyring:
        answers = await asyncio.gather(*(_check_one(checking, sealed[mailbox.id], keyring) for mailbox in there))
    return [Checked(mailbox=mailbox, refusals=bad) for mailbox, bad in zip(there, answers, strict=True)]


async def _check_one(checking: LoginCheck, sealed: SealedAccount, keyring: Keyring) -> list[Refusal]:
    """What cannot be opened, or has no token to be had, is refused: the others are tried all the same."""
    try:
        account = await keyring.open(sealed)
    except (SecretsError, OAuthError) as error:
        told, remedy = Exception.__str__(error), error.remedy
        return [Refusal(protocol="SMTP", host=sealed.smtp_host, port=sealed.smtp_port, message=told, remedy=remedy)]
    return await checking.check(account)
