"""Departures: warmup folders of removed mailboxes are cleared out, and users erased, if their owners asked for it."""

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import replace

from warmupd.daemon.erasures import Erasures
from warmupd.daemon.ground import Ground
from warmupd.daemon.keyring import Keyring
from warmupd.daemon.visiting import Visiting
from warmupd.errors import DatabaseUnavailable, WarmupdError
from warmupd.mail.account import Account
from warmupd.mail.clearing import Cleared, clear_out
from warmupd.mail.imap import ImapRefusedLogin
from warmupd.mail.message_id import MessageKey
from warmupd.mail.oauth import GrantRevoked
from warmupd.store import clearings
from warmupd.store.accounts import SealedAccount, load_accounts
from warmupd.store.clearings import Clearing

EVERY = 60.0  # seconds of the clock between looks
EVERY_LEAST = 0.5  # real seconds, however fast the clock runs
AT_ONCE = 4  # folders that one worker clears out at once: it is no hurry
LASTS = 900.0  # seconds for which a folder is one worker's; longer than an IMAP session may last
AGAIN = 1800.0  # seconds after a failure; doubled with each one in a row
AGAIN_MOST = 12 * 3600.0
REFUSED_AGAIN = 24 * 3600.0  # after a refused login: many in a row would have the account locked


class Departures:
    """Any worker may clear out any folder: who claims it first. It is safe to repeat."""

    def __init__(
        self, ground: Ground, *, keyring: Keyring, message_key: MessageKey, visiting: Callable[[], Visiting]
    ) -> None:
        self._ground = ground
        self._db = ground.db
        self._clock = ground.clock
        self._keyring = keyring
        self._message_key = message_key
        self._visiting = visiting
        self._erasures = Erasures(ground)

    async def run(self) -> None:
        """Look again and again, until cancelled. What is broken off is claimed anew later."""
        while True:
            try:
                while await self.round() or await self._erasures.round():
                    continue
            except DatabaseUnavailable as error:
                self._ground.events.database_unavailable("departures", str(error))
                await self._clock.pause(1.0)
            await self._clock.sleep(max(EVERY, EVERY_LEAST * self._clock.speed))

    async def round(self) -> bool:
        """Clear out some of the folders that are due; whether there were any."""
        lasts = LASTS * self._clock.speed
        due = await clearings.claim_clearings(self._db, limit=AT_ONCE, lasts=lasts, at=self._clock.now())
        answers = await asyncio.gather(
            *(self._clear(one) for one in due), return_exceptions=True
        )  # none is left behind
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return bool(due)

    async def _clear(self, one: Clearing) -> None:
        sealed = (await load_accounts(self._db, [one.mailbox_id], removed=True)).get(one.mailbox_id)
        if sealed is None:
            return  # brought back meanwhile
        try:
            cleared = await self._enter(sealed)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  one mailbox's oddity must not keep all others from leaving
            await self._put_off(one, error)
            return
        if cleared.left:
            await self._put_off(one, WarmupdError(f"{cleared.left} messages could not be taken out"), cleared.messages)
            return
        await clearings.end_clearing(self._db, one.mailbox_id, cleaned=cleared.messages)
        self._ground.events.cleared(mailbox=one.mailbox_id, messages=cleared.messages, folder_gone=cleared.folder_gone)

    async def _enter(self, sealed: SealedAccount) -> Cleared:
        """With another access token where the first one is refused."""
        account = await self._keyring.open(sealed)
        try:
            return await self._clear_out(account, sealed.warmup_folder)
        except ImapRefusedLogin:
            if not account.by_token:
                raise
            return await self._clear_out(await self._keyring.open_anew(sealed, account), sealed.warmup_folder)

    async def _clear_out(self, account: Account, folder: str | None) -> Cleared:
        visiting = self._visiting()
        return await clear_out(
            replace(account, warmup_folder=folder or visiting.warmup_folder),
            policy=visiting.hosts,
            context=visiting.context,
            recognise=self._message_key.recognise,
            wanted=lambda: clearings.is_to_be_cleared(self._db, account.mailbox_id),
            timeouts=visiting.timeouts,
            source_address=visiting.source_address,
        )

    async def _put_off(self, one: Clearing, error: Exception, cleaned: int = 0) -> None:
        wait = min(AGAIN_MOST, AGAIN * 2 ** min(one.tries - 1, 10))
        if isinstance(error, ImapRefusedLogin | GrantRevoked):
            wait = REFUSED_AGAIN
        wait = max(wait, getattr(error, "retry_after", None) or 0.0)
        why = str(error) if isinstance(error, WarmupdError) else type(error).__name__
        again_at = self._clock.now() + dt.timedelta(seconds=wait)
        await clearings.end_clearing(self._db, one.mailbox_id, cleaned=cleaned, again_at=again_at, error=why)
        self._ground.events.not_cleared(mailbox=one.mailbox_id, why=why, again_seconds=wait)
