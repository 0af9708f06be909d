"""Changing mailboxes that are enrolled: everything is looked at first, then all is written, or nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.application import SERVER_COLUMNS, USUAL
from warmupd.core.provider_match import match_provider, provider_of
from warmupd.core.provider_rules import Advice, password_advice
from warmupd.daemon.host_check import check_hosts
from warmupd.daemon.keyring import Keyring
from warmupd.daemon.login_check import LoginCheck, refused
from warmupd.daemon.owner_settings import check_together
from warmupd.daemon.settings_rules import LIMITED_BY, check_owner
from warmupd.errors import NotFound
from warmupd.mail.vault import Vault
from warmupd.store.accounts import SealedAccount, load_accounts
from warmupd.store.changes import CHANGEABLE, change_mailboxes, limits_of, own_values
from warmupd.store.database import Database
from warmupd.store.grants import Grant
from warmupd.store.mailbox_report import MailboxReport
from warmupd.store.mended import end_rest
from warmupd.store.resuming import mend_login

FROM_NEXT_DAY = frozenset(
    {  # what is resolved when a day is opened
        "timezone",
        "start_hour",
        "end_hour",
        "weekdays_only",
        "target_daily",
        "min_daily",
        "ramp_start",
        "ramp_step",
        "already_warm",
        "provider_limit",
        "own_mail",
    }
)
FROM_NEXT_DAY_TEXT = (
    "Ramp, quota and window count from the next local day: one that has begun keeps what it was opened with."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What mailboxes are to become. A new login belongs to one of them only."""

    columns: Mapping[str, Any] = field(default_factory=dict)  # of CHANGEABLE, checked by core/entries.py
    add_labels: Sequence[str] = ()
    remove_labels: Sequence[str] = ()
    passwords: tuple[str, str] | None = field(default=None, repr=False)  # of SMTP and IMAP
    grant: Grant | None = field(default=None, repr=False)

    @property
    def concerns_login(self) -> bool:
        """Whether it says how they log in, or where."""
        return bool(self.passwords or self.grant or self.columns.keys() & set(SERVER_COLUMNS))


async def completed(
    db: Database, config: Config, chosen: Sequence[MailboxReport], columns: Mapping[str, Any], *, by_admin: bool = False
) -> dict[str, Any]:
    """`columns` with what follows from them.

    Raises UsageError, ForbiddenHost when they cannot be on one of them, NotAllowed when they are an admin's to set.
    """
    changes = dict(columns)
    _secure_ports(changes)
    _follow_servers(changes, chosen)
    ids = [mailbox.id for mailbox in chosen]
    await check_together(db, config, ids, changes)
    if not by_admin and changes.keys() & set(LIMITED_BY):
        for address, own in await limits_of(db, ids):
            check_owner(address, own | {key: value for key, value in changes.items() if key in own}, own)
    await _check_servers(db, config, ids, changes)
    return changes


async def try_logins(
    db: Database, config: Config, keyring: Keyring, chosen: Sequence[MailboxReport], change: Change
) -> None:
    """Log in with what is to be written; raises when one mailbox is refused."""
    checking = LoginCheck(config)
    sealed = await load_accounts(db, [mailbox.id for mailbox in chosen])
    for mailbox in chosen:
        if mailbox.id not in sealed:
            remedy = "`mailbox remove --undo` brings it back"
            raise NotFound(f"{mailbox.address} was removed in this moment", remedy=remedy)
    vault = vault_of(config)
    accounts = [await keyring.open(_planned(sealed[mailbox.id], change, vault)) for mailbox in chosen]
    answers = await asyncio.gather(*map(checking.check, accounts))
    for account, refusals, mailbox in zip(accounts, answers, chosen, strict=True):
        if refusals:
            raise refused(account.address, refusals, advice=advice_on(mailbox, change))


async def write(
    db: Database, config: Config, clock: Clock, chosen: Sequence[MailboxReport], change: Change, *, actor: str
) -> None:
    """Set it all. A new login ends AUTH_FAILED and the rests that went with it."""
    ids = [mailbox.id for mailbox in chosen]
    await change_mailboxes(
        db,
        ids,
        change.columns,
        add_labels=change.add_labels,
        remove_labels=change.remove_labels,
        secrets=_sealed(change.passwords, ids[0], vault_of(config)) if change.passwords else None,
        grant=change.grant,
    )
    if change.concerns_login:
        for mailbox_id in ids:
            await mend_login(db, mailbox_id, actor=actor, at=clock.now())
        await end_rest(db, ids)


def advice_on(mailbox: MailboxReport, change: Change) -> Advice | None:
    """What speaks against the password that the mailbox has, or is to have, at the provider that it is to be at."""
    if change.grant or (mailbox.oauth_provider and not change.passwords):
        return None
    return password_advice(provider_of(change.columns.get("provider", mailbox.provider)))


def told(change: Change, *, pool: str | None, oauth: str = "") -> list[str]:
    """All of it in words; `pool` is the shared one's name, `oauth` who gives the tokens from now on."""
    return [
        *(in_words(column, value, pool=pool) for column, value in change.columns.items()),
        *([f"it logs in by OAuth of {oauth.lower()}"] if oauth else []),
        *(["a new password"] if change.passwords else []),
        *(f"label {word} added" for word in change.add_labels),
        *(f"label {word} removed" for word in change.remove_labels),
    ]


def in_words(column: str, value: object, *, pool: str | None) -> str:
    """A change as it is told once it is done; `pool` is the shared one's name, None the private one."""
    word = CHANGEABLE[column]
    match column, value:
        case "pool_id", _:
            return "their user's private pool" if pool is None else f"pool {pool}"
        case "junk_folder", "":
            return f"{word} found by itself"
        case _, None | "":
            return f"{word} none" if column == "display_name" else f"{word} the default"
        case _, bool():
            return f"{word} {'yes' if value else 'no'}"
        case _:
            return f"{word} {value}"


def vault_of(config: Config) -> Vault:
    """By the keys of the configuration. Raises SecretsError when there is none."""
    return Vault([key.get_secret_value() for key in config.secrets.keys])


def _secure_ports(changes: dict[str, Any]) -> None:
    """A usual port says how it is secured, unless that is said. At another, what is stored goes on to hold."""
    for kind in ("smtp", "imap"):
        if secured := USUAL.get(changes.get(f"{kind}_port", 0)):
            changes.setdefault(f"{kind}_security", secured)


def _follow_servers(changes: dict[str, Any], chosen: Sequence[MailboxReport]) -> None:
    """Who has mailboxes read elsewhere need not name the provider there, if it is one for all of them."""
    if "imap_host" not in changes or "provider" in changes:
        return
    words = {match_provider(mailbox.address, hosts=[changes["imap_host"]]).provider.word for mailbox in chosen}
    if len(words) == 1 and words != {mailbox.provider for mailbox in chosen}:
        changes["provider"] = words.pop()


async def _check_servers(db: Database, config: Config, ids: Sequence[int], changes: Mapping[str, Any]) -> None:
    """Whether the servers that they are to have may be connected to."""
    for columns in (("smtp_host", "smtp_port"), ("imap_host", "imap_port")):
        if changes.keys() & set(columns):
            rows = [{**own, **changes} for _, own in await own_values(db, ids, columns)]
            await check_hosts(config, [(row[columns[0]], row[columns[1]]) for row in rows])


def _planned(sealed: SealedAccount, change: Change, vault: Vault) -> SealedAccount:
    """The account as it will be."""
    servers = {column: value for column, value in change.columns.items() if column in SERVER_COLUMNS}
    if change.passwords:
        servers["smtp_secret"], servers["imap_secret"] = _sealed(change.passwords, sealed.mailbox_id, vault)
        servers["oauth_provider"] = None
    if grant := change.grant:
        servers |= {"oauth_provider": grant.provider, "access_secret": grant.access_secret}
        servers |= {"renew_at": grant.renew_at, "expires_at": grant.expires_at}
    return replace(sealed, **servers)


def _sealed(passwords: tuple[str, str], mailbox_id: int, vault: Vault) -> tuple[bytes, bytes]:
    smtp, imap = passwords
    return (
        vault.seal(smtp, mailbox_id=mailbox_id, purpose="smtp"),
        vault.seal(imap, mailbox_id=mailbox_id, purpose="imap"),
    )
