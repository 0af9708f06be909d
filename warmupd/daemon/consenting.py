"""Consenting: an owner is sent to the provider to let us in, and what comes back is exchanged for tokens, once."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.finding import Finding
from warmupd.daemon.admission import of_login
from warmupd.daemon.keyring import Keyring, registrations_of
from warmupd.daemon.login_check import LoginCheck, Refusal, refused
from warmupd.daemon.post import open_account
from warmupd.errors import NotFound, SecretsError
from warmupd.mail.consent import consent_url, new_request, origin_of
from warmupd.mail.oauth import Tokens
from warmupd.mail.vault import Vault
from warmupd.store.accounts import load_accounts
from warmupd.store.changes import change_mailboxes
from warmupd.store.consents import Consent, begin_consent, take_consent
from warmupd.store.database import Database
from warmupd.store.mended import end_rest
from warmupd.store.resuming import mend_login

LASTS = dt.timedelta(minutes=10)  # that an owner may take
OTHER_ACCOUNT = "on the provider's page choose the account {address}: another one's consent does not open this mailbox"


@dataclass(frozen=True, kw_only=True, slots=True)
class Consented:
    """A consent that was given, and what it is worth."""

    consent: Consent
    tokens: Tokens


class Consenting:
    """Consents of one installation; any of its workers can take what another has begun."""

    def __init__(self, config: Config, db: Database, clock: Clock, *, keyring: Keyring) -> None:
        self._config = config
        self._db = db
        self._clock = clock
        self._keyring = keyring
        self._vault = Vault([key.get_secret_value() for key in config.secrets.keys])

    async def begin(
        self,
        provider: str,
        *,
        user_id: UUID,
        address: str,
        mailbox_id: int | None,
        entries: Mapping[str, Any],
        session_hash: bytes,
        redirect_uri: str,
    ) -> str:
        """Where the browser of this session is to go. Raises ClientRefused when no client is registered."""
        request = new_request()
        url = consent_url(registrations_of(self._config)[provider], request, address=address, redirect_uri=redirect_uri)
        state_hash = _hashed(request.state)
        consent = Consent(
            provider=provider,
            user_id=user_id,
            address=address,
            mailbox_id=mailbox_id,
            verifier=self._vault.seal(request.verifier, mailbox_id=mailbox_id or 0, purpose=_purpose(state_hash)),
            redirect_uri=redirect_uri,
            entries=entries,
        )
        await begin_consent(self._db, consent, state_hash=state_hash, session_hash=session_hash, lasts=LASTS)
        return url

    async def take(self, provider: str, state: str, *, session_hash: bytes) -> Consent:
        """What this browser has begun. Raises NotFound: never, or with another browser, or too long ago, or ended."""
        state_hash = _hashed(state)
        consent = await take_consent(self._db, state_hash=state_hash, session_hash=session_hash, provider=provider)
        if consent is None:
            raise NotFound(
                "this connection was not begun here, or has ended already",
                remedy=f"begin again; there are {LASTS.total_seconds() / 60:g} minutes to consent, in the same browser",
            )
        return replace(consent, verifier=self._opened(consent, state_hash))

    async def exchange(self, consent: Consent, code: str) -> Tokens:
        """What its code is worth; `consent` comes from `take`. Raises OAuthError."""
        return await self._keyring.tokens.exchange(
            consent.provider, code, verifier=consent.verifier.decode(), redirect_uri=consent.redirect_uri
        )

    async def reconnect(self, consent: Consent, tokens: Tokens, *, actor: str) -> list[Finding]:
        """Have the mailbox log in by these tokens, if its servers take them; one that is AUTH_FAILED resumes.

        Raises NotFound when it is not there any more, or the error of `refused`: the mailbox stays as it was then.
        """
        mailbox_id = consent.mailbox_id or 0
        sealed = (await load_accounts(self._db, [mailbox_id])).get(mailbox_id)
        if sealed is None:
            raise NotFound("there is no such mailbox")
        account = open_account(sealed, self._vault, token=tokens.access)
        found: list[Finding] = []
        refusals = await LoginCheck(self._config).check(
            account, lambda protocol, refusal: found.append(of_login(account, protocol, refusal))
        )
        if refusals:
            raise refused(account.address, refusals, hint=wrong_account(consent.address, refusals))
        grant = self._keyring.tokens.sealed(mailbox_id, consent.provider, tokens)
        await change_mailboxes(self._db, [mailbox_id], {}, grant=grant)
        await mend_login(self._db, mailbox_id, actor=actor, at=self._clock.now())
        await end_rest(self._db, [mailbox_id])
        return found

    def _opened(self, consent: Consent, state_hash: bytes) -> bytes:
        try:
            return self._vault.unseal(
                consent.verifier, mailbox_id=consent.mailbox_id or 0, purpose=_purpose(state_hash)
            ).encode()
        except SecretsError:
            raise NotFound("the keys have changed since this connection was begun", remedy="begin again") from None


def consent_origins(config: Config) -> dict[str, str]:
    """Provider to the origin of its consent page, of those where a client is registered."""
    origins = {provider: origin_of(registration) for provider, registration in registrations_of(config).items()}
    return {provider: origin for provider, origin in origins.items() if origin}


def wrong_account(address: str, refusals: Sequence[Refusal]) -> str:
    """What is likeliest when a server does not take a token that was given a moment ago; "" when it did not say so."""
    denied = any(one.reached and not one.passing for one in refusals)
    return OTHER_ACCOUNT.format(address=address) if denied else ""


def _hashed(state: str) -> bytes:
    return hashlib.sha256(state.encode(errors="replace")).digest()


def _purpose(state_hash: bytes) -> str:
    return f"consent {state_hash.hex()}"
