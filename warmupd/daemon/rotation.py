"""Rotation: every secret that was sealed with an older key is sealed anew with the newest one, while workers go on."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.daemon.notif_post import PURPOSE
from warmupd.daemon.treatment import LET_GO
from warmupd.errors import SecretsError, UsageError
from warmupd.mail.vault import Vault
from warmupd.store import notice_settings, sealed
from warmupd.store.database import Database
from warmupd.store.notice_settings import SealedWebhook
from warmupd.store.sealed import Resealed, Sealed

BATCH = 500  # mailboxes a statement: none of their rows is held for long
PASSES = 5  # over all; a later one finds what was changed during the one before


@dataclass(frozen=True, kw_only=True, slots=True)
class Shut:
    """A secret that no key at hand opens."""

    address: str
    purpose: str  # smtp, imap, oauth refresh, oauth access; webhook, then the address is its user's
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotated:
    """How a rotation ended."""

    resealed: int  # secrets that are under the newest key now
    already_newest: int
    not_opened: list[Shut]
    # Until when the old keys are needed all the same: messages that are under way are recognised by them.
    keep_old_keys_until: dt.datetime | None


async def rotate(db: Database, config: Config, clock: Clock, *, progress: Callable[[int], object]) -> Rotated:
    """Seal all secrets with the newest key; `progress` is told how many were. Safe to break off, to repeat, and to do
    from several machines at once: a secret that somebody changes meanwhile is never overwritten.

    Raises SecretsError without a key, and UsageError while a live worker has another newest key, or none.
    """
    vault = Vault([key.get_secret_value() for key in config.secrets.keys])
    await _demand_workers(db, vault)
    rotation = _Rotation(db, vault, progress)
    shut = await rotation.carry_out()
    webhooks = await rotation.carry_out_webhooks()
    addresses = await sealed.addresses_of(db, [one.mailbox_id for one, _ in shut])
    kept = dt.timedelta(days=config.engagement.retention_days) + LET_GO
    return Rotated(
        resealed=rotation.resealed,
        already_newest=rotation.already_newest,
        not_opened=[
            Shut(address=addresses[one.mailbox_id], purpose=one.purpose, why=str(why))
            for one, why in shut
            if one.mailbox_id in addresses
        ]
        + webhooks,
        keep_old_keys_until=clock.now() + kept if len(vault.key_ids) > 1 else None,
    )


class _Rotation:
    def __init__(self, db: Database, vault: Vault, progress: Callable[[int], object]) -> None:
        self.resealed = 0
        self.already_newest = 0
        self._db = db
        self._vault = vault
        self._progress = progress

    async def carry_out(self) -> list[tuple[Sealed, SecretsError]]:
        """All of them; those that do not open, and why."""
        for _ in range(PASSES):
            shut, missed = await self._pass()
            if not missed:
                break
        return shut

    async def _pass(self) -> tuple[list[tuple[Sealed, SecretsError]], int]:
        """Once over all. Those that do not open, and how many somebody else changed meanwhile."""
        shut: list[tuple[Sealed, SecretsError]] = []
        newest, before, missed, last = 0, self.resealed, 0, 0
        while found := await sealed.sealed_after(self._db, last, limit=BATCH):
            last = found[-1].mailbox_id
            old = [one for one in found if not self._vault.is_current(one.secret)]
            newest += len(found) - len(old)
            changes = [change for one in old if (change := self._resealed(one, shut)) is not None]
            replaced = await sealed.replace_sealed(self._db, changes)
            missed += len(changes) - replaced
            self.resealed += replaced
            self._progress(self.resealed)
        self.already_newest = newest - before
        return shut, missed

    async def carry_out_webhooks(self) -> list[Shut]:
        """All of them; those that do not open."""
        shut, last = [], 0
        while found := await notice_settings.sealed_webhooks_after(self._db, last, limit=BATCH):
            for one in found:
                shut += await self._reseal_webhook(one)
            last = found[-1].settings_id
        return shut

    async def _reseal_webhook(self, one: SealedWebhook) -> list[Shut]:
        """What its user puts in its place meanwhile is sealed by a worker, with the newest key."""
        if self._vault.is_current(one.webhook):
            self.already_newest += 1
            return []
        try:
            anew = self._vault.reseal(one.webhook, mailbox_id=one.settings_id, purpose=PURPOSE)
        except SecretsError:
            why = "it does not open with any of secrets.keys (have its user enter it again)"
            return [Shut(address=one.address, purpose=PURPOSE, why=f"the webhook: {why}")]
        self.resealed += await notice_settings.replace_webhook(self._db, one, anew)
        self._progress(self.resealed)
        return []

    def _resealed(self, one: Sealed, shut: list[tuple[Sealed, SecretsError]]) -> Resealed | None:
        try:
            secret = self._vault.reseal(one.secret, mailbox_id=one.mailbox_id, purpose=one.purpose)
        except SecretsError as error:
            shut.append((one, error))
            return None
        return Resealed(was=one, secret=secret)


async def _demand_workers(db: Database, vault: Vault) -> None:
    """A worker that lacks the newest key could not open what is sealed with it; one that has another one first seals
    with that, and perhaps this machine is the one where the order was turned round.
    """
    if names := await sealed.workers_without(db, vault.key_ids[0]):
        raise UsageError(
            f"the first of secrets.keys here is not the first one of {', '.join(names)}",
            remedy="give all workers the same secrets.keys, the new one first, reload them with SIGHUP, then rotate",
        )
