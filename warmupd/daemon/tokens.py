"""Access tokens for mailboxes that log in by OAuth: had early, once for all who need one, and kept sealed."""

import asyncio
import datetime as dt
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from uuid import UUID, uuid4

from warmupd.clock import Clock
from warmupd.errors import DatabaseUnavailable, SecretsError
from warmupd.mail.consent import NEEDED
from warmupd.mail.oauth import GrantRevoked, Registration, TokenClient, Tokens, TokensUnavailable
from warmupd.mail.vault import Vault
from warmupd.store import grants
from warmupd.store.accounts import SealedAccount
from warmupd.store.database import Database
from warmupd.store.grants import Grant

EARLY = 600.0  # seconds before its end from which on a token is replaced, a quarter of its life at most
LAST = dt.timedelta(seconds=60)  # before its end in which it is not begun with: clocks differ, conversations last
CLAIM = 30.0  # real seconds that a renewal may take; longer than the endpoint's time-out
ASK_AGAIN = 0.2  # real seconds between looks at a renewal that somebody else has begun
REST = 30.0  # seconds in which an endpoint that was away is not asked again; when it was itself, for any mailbox
SHOWN = 3  # refresh tokens shown one after the other, while each is replaced by somebody in the meantime
WRITING = 20  # tries to write what was given: a refresh token that is not written may be lost for ever

_ACCESS, _REFRESH = "oauth access", "oauth refresh"  # purposes of the vault


class TokenKeeper:
    """Hands out access tokens. Of all that need one for a mailbox, in whichever process, one asks the provider."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        vault: Vault,
        client: TokenClient,
        registrations: Mapping[str, Registration],
    ) -> None:
        """`registrations` by provider: GOOGLE, MICROSOFT."""
        self._registrations = registrations
        self._db = db
        self._clock = clock
        self._vault = vault
        self._client = client
        self._under_way: dict[int, asyncio.Task[str]] = {}
        self._resting: dict[Hashable, float] = {}  # provider or mailbox -> boottime until which it is not asked for

    async def close(self) -> None:
        """Let the renewals under way end, which is soon: what they were given must be written."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._client.close()

    async def access_token(self, account: SealedAccount, *, refused: str = "") -> str:
        """A token to log in with; another one than `refused`, which a server did not take.

        One that is to be replaced soon serves at once, while its successor is asked for: nobody waits for a slow
        provider before the very end. Raises GrantRevoked, TokensUnavailable, ClientRefused (see mail/oauth.py),
        SecretsError, DatabaseUnavailable.
        """
        held = self._held(account)
        if held and held != refused and account.expires_at and self._clock.now() < account.expires_at - LAST:
            if not self._is_new(account):
                _ = self._renewal(account.mailbox_id, refused)
            return held
        return await self._renewed(account.mailbox_id, refused)

    async def first_tokens(self, provider: str, refresh_token: str) -> Tokens:
        """Tokens for a grant that is not stored yet. Raises as `access_token`."""
        asked_at = self._clock.now()
        tokens = await self._client.refresh(self._registrations[provider], refresh_token)
        return replace(tokens, asked_at=asked_at)

    async def exchange(self, provider: str, code: str, *, verifier: str, redirect_uri: str) -> Tokens:
        """The first tokens, for the code that an owner's consent gave. Raises as `access_token`."""
        asked_at, registration = self._clock.now(), self._registrations[provider]
        needed = NEEDED[provider]
        tokens = await self._client.exchange(
            registration, code, verifier=verifier, redirect_uri=redirect_uri, needed=needed
        )
        return replace(tokens, asked_at=asked_at)

    def sealed(self, mailbox_id: int, provider: str, tokens: Tokens) -> Grant:
        """The grant as it is stored. Tokens without an access token are all right: one is had when it is needed."""
        since, early = tokens.asked_at or self._clock.now(), min(EARLY, tokens.seconds / 4)
        access = tokens.access or None
        return Grant(
            mailbox_id=mailbox_id,
            provider=provider,
            refresh_secret=self._vault.seal(tokens.refresh, mailbox_id=mailbox_id, purpose=_REFRESH),
            access_secret=access and self._vault.seal(access, mailbox_id=mailbox_id, purpose=_ACCESS),
            renew_at=since + dt.timedelta(seconds=tokens.seconds - early) if access else None,
            expires_at=since + dt.timedelta(seconds=tokens.seconds) if access else None,
        )

    async def _renewed(self, mailbox_id: int, refused: str) -> str:
        """Shared by all who ask meanwhile; goes on when they stop waiting, since what it is given must be written.

        Who joins one that brings just the token that was refused to him begins another.
        """
        if (joined := self._under_way.get(mailbox_id)) is not None:
            token = await asyncio.shield(joined)
            if token != refused:
                return token
        return await asyncio.shield(self._renewal(mailbox_id, refused))

    def _renewal(self, mailbox_id: int, refused: str) -> asyncio.Task[str]:
        """The one that is under way, or is now."""
        task = self._under_way.get(mailbox_id)
        if task is None:
            task = asyncio.create_task(self._renew(mailbox_id, refused), name=f"token {mailbox_id}")
            self._under_way[mailbox_id] = task
            task.add_done_callback(lambda _: self._under_way.pop(mailbox_id))
            task.add_done_callback(_heard)
        return task

    async def _renew(self, mailbox_id: int, refused: str) -> str:
        claim = uuid4()
        grant = await self._claimed(mailbox_id, claim)
        try:
            held = self._held(grant)  # read after the claim: somebody else may have renewed it while we waited
            if held and held != refused and self._is_new(grant):
                return held
            grant, tokens = await self._asked(grant)
            await self._write(grant, tokens)
            return tokens.access
        finally:
            with suppress(DatabaseUnavailable):  # then it lapses by itself
                await grants.release_claim(self._db, mailbox_id, claim)

    async def _claimed(self, mailbox_id: int, claim: UUID) -> Grant:
        for _ in range(round(CLAIM / ASK_AGAIN) + 1):
            grant = await grants.claim_renewal(self._db, mailbox_id, claim, seconds=CLAIM)
            if grant is not None:
                return grant
            if await grants.load_grant(self._db, mailbox_id) is None:
                raise SecretsError(
                    f"mailbox {mailbox_id} is not connected by OAuth any more", remedy="`warmupd mailbox set --oauth`"
                )
            await self._clock.pause(ASK_AGAIN)
        raise TokensUnavailable("another worker has been renewing its token for long")

    async def _asked(self, grant: Grant) -> tuple[Grant, Tokens]:
        """What the provider gives, and for which grant: one that is void may have been replaced while we asked."""
        for _ in range(SHOWN - 1):
            try:
                return grant, await self._ask(grant)
            except GrantRevoked:
                latest = await grants.load_grant(self._db, grant.mailbox_id)
                if latest is None or self._refresh_token(latest) == self._refresh_token(grant):
                    raise
                grant = latest
        return grant, await self._ask(grant)

    async def _ask(self, grant: Grant) -> Tokens:
        now, provider = self._clock.boottime(), grant.provider
        left = max(self._resting.get(who, 0.0) for who in (provider, grant.mailbox_id)) - now
        if left > 0:
            raise TokensUnavailable(f"{provider.lower()} gave no tokens a moment ago", retry_after=left)
        try:
            return await self.first_tokens(provider, self._refresh_token(grant))
        except TokensUnavailable as away:
            who: Hashable = provider if away.for_all else grant.mailbox_id
            self._resting[who] = now + max(REST, away.retry_after or 0.0)
            raise

    async def _write(self, shown: Grant, tokens: Tokens) -> None:
        """Write what was given for `shown`, however late, and even if Postgres is away for a while.

        It is let go only when another refresh token is there by now: the owner's, or one that was had later.
        """
        was, new = shown, self.sealed(shown.mailbox_id, shown.provider, tokens)
        for tries_left in reversed(range(WRITING)):
            try:
                if await grants.store_renewal(self._db, new, was=was.refresh_secret):
                    return
                latest = await grants.load_grant(self._db, shown.mailbox_id)
                if latest is None or self._refresh_token(latest) != self._refresh_token(shown):
                    return
                was = latest  # the same token, sealed anew
            except DatabaseUnavailable:
                if not tries_left:
                    raise
                await self._clock.pause(1.0)

    def _refresh_token(self, grant: Grant) -> str:
        return self._vault.unseal(grant.refresh_secret, mailbox_id=grant.mailbox_id, purpose=_REFRESH)

    def _held(self, of: SealedAccount | Grant) -> str:
        sealed = of.access_secret
        return self._vault.unseal(sealed, mailbox_id=of.mailbox_id, purpose=_ACCESS) if sealed else ""

    def _is_new(self, of: SealedAccount | Grant) -> bool:
        return of.renew_at is not None and self._clock.now() < of.renew_at


def _heard(task: asyncio.Task[str]) -> None:
    """Whoever waited may have gone: its error is nobody's then, and not to be warned of."""
    if not task.cancelled():
        task.exception()
