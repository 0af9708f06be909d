"""Enrolling: from what an owner says of a mailbox to a row with sealed secrets that a worker finds, in one way for all.

`mailbox add`, `mailbox import`, the HTTP API and the dashboard do no more than read what was said and tell the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.core.application import Application, Secrets, servers_of
from warmupd.core.provider_match import match_word, provider_of
from warmupd.core.provider_rules import Advice, password_advice
from warmupd.daemon.host_check import check_hosts
from warmupd.daemon.keyring import Keyring, with_token
from warmupd.daemon.login_check import Refusal, refused
from warmupd.daemon.provider_search import ProviderSearch
from warmupd.daemon.settings_rules import check_owner, check_settings
from warmupd.errors import NotFound, UsageError
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.oauth import ClientRefused, GrantRevoked, OAuthError, Tokens, TokensUnavailable
from warmupd.mail.vault import Vault
from warmupd.store.accounts import NewMailbox
from warmupd.store.database import Database
from warmupd.store.enrolment import Beside, Sealed, Wish, enrol
from warmupd.store.users import User, shared_pool

CONSENT = "give the refresh token that its owner's consent to this client gave, or have its owner consent anew"
ASKS = 10  # questions to token endpoints at once
SILENCES = 3  # of a token endpoint in a row, after which nobody else waits for it
LONGEST_WAIT = 60.0  # real seconds that one grant's turn is waited for, when the endpoint asks for that
AHEAD = 2  # access tokens for each login that can be tried at a time: had long before its login, one would expire
LOOKS = 5  # host names that are resolved at once: each takes a thread

Login = Callable[[Account], Awaitable[Sequence[Refusal]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A mailbox that could be enrolled, with the secrets that are to be sealed for it."""

    new: NewMailbox
    secrets: Secrets
    pool: str | None = None  # a shared one's name
    tokens: Tokens | None = field(default=None, repr=False)  # what its refresh token was worth

    @property
    def advice(self) -> Advice | None:
        """What speaks against a password at its provider, if it has one: a refusal names it, else the owner is told."""
        return None if self.secrets.issuer else password_advice(provider_of(self.new.provider))


async def find_servers(application: Application, search: ProviderSearch) -> dict[str, Any]:
    """Its servers and provider: by the owner's word, the servers named, the domain, or its MX records.

    Raises UsageError when they are not known.
    """
    address, word = application.address, application.provider
    match = match_word(word, address) if word else await search.find(address, application.hosts)
    return servers_of(application, match)


class Enroller:
    """Enrols mailboxes of one user."""

    def __init__(
        self,
        config: Config,
        db: Database,
        clock: Clock,
        *,
        user: User,
        keyring: Keyring,
        login: Login | None,
        actor: str,
        create_pools: bool = False,
    ) -> None:
        """`login` tries to log in to both servers; None: nobody is asked, a token endpoint neither.

        `create_pools`: a shared pool that is named and not there is made when the first mailbox is saved in it.
        """
        self._config = config
        self._db = db
        self._clock = clock
        self._user = user
        self._keyring = keyring
        self._login = login
        self._actor = actor
        self._vault = Vault([key.get_secret_value() for key in config.secrets.keys])
        self._asks = asyncio.Semaphore(ASKS)
        self._silences: dict[str, tuple[int, OAuthError | None]] = {}  # of issuers: how often in a row, and the last
        self.turns = asyncio.Semaphore(AHEAD * config.sending.max_concurrent)  # of OAuth: from its token to its login
        self._looks = asyncio.Semaphore(LOOKS)
        self._create_pools = create_pools
        self._pools: dict[str, int | None] = {}  # None: still to be made

    @property
    def tries_logins(self) -> bool:
        return self._login is not None

    async def candidate(self, application: Application, servers: Mapping[str, Any], secrets: Secrets) -> Candidate:
        """What would be enrolled. Raises UsageError or NotFound when settings or pool cannot be."""
        check_settings(application.address, application.settings, self._config)
        await self._find_pool(application.pool)
        new = NewMailbox(
            user_id=self._user.id,
            address=application.address,
            display_name=application.display_name,
            labels=application.labels,
            settings=application.settings,
            pause_reason=application.pause_reason,
            **servers,
        )
        return Candidate(new=new, secrets=secrets, pool=application.pool)

    async def owners_candidate(
        self, application: Application, servers: Mapping[str, Any], secrets: Secrets
    ) -> Candidate:
        """The same for who is no admin. Raises NotAllowed, too."""
        candidate = await self.candidate(application, servers, secrets)
        new = candidate.new
        said = {"provider": new.provider, "provider_limit": new.settings.get("provider_limit")}
        check_owner(new.address, {**said, "smtp_host": new.smtp_host})
        return candidate

    async def with_tokens(self, candidate: Candidate) -> Candidate:
        """The candidate with what its refresh token is worth, if it has one and logins are tried.

        Raises what `TokenKeeper.first_tokens` raises; none shows a secret.
        """
        if self._login is None or not candidate.secrets.issuer:
            return candidate
        return replace(candidate, tokens=await self._first_tokens(candidate.secrets))

    async def admit(self, candidate: Candidate) -> None:
        """Look at its hosts, and log in to both servers.

        Raises ForbiddenHost, or the error of `refused`; neither shows a secret.
        """
        await self.admit_hosts(candidate)
        new, tokens = candidate.new, candidate.tokens
        if self._login is None:
            return
        account = _account(new, candidate.secrets)
        if refusals := await self._login(with_token(account, tokens.access) if tokens else account):
            denied = any(one.reached and not one.passing for one in refusals)  # by what it thinks of the login
            hint = provider_of(new.provider).hint if denied and not candidate.secrets.issuer else ""
            raise refused(new.address, refusals, hint=hint, advice=candidate.advice)

    async def admit_hosts(self, candidate: Candidate) -> None:
        """Look at its hosts alone. Raises ForbiddenHost."""
        new = candidate.new
        async with self._looks:
            await check_hosts(self._config, [(new.smtp_host, new.smtp_port), (new.imap_host, new.imap_port)])

    async def save(self, candidates: Sequence[Candidate], *, beside: Beside | None = None) -> list[int | UsageError]:
        """Enrol them in one transaction, with what is done `beside`; of each its id, or why it was not enrolled."""
        placed = [replace(one.new, pool_id=await self._pool_id(one.pool)) for one in candidates]
        wishes = [Wish(new=new, seal=partial(self._sealed, one)) for new, one in zip(placed, candidates, strict=True)]
        at = self._clock.now()
        return await enrol(self._db, self._user.id, wishes, actor=self._actor, at=at, beside=beside)

    async def _first_tokens(self, secrets: Secrets) -> Tokens:
        """What the refresh token is worth; an endpoint that is away several times in a row is asked no more.

        Where it puts off this one grant, it is asked once more, when it said.
        """
        async with self._asks:
            try:
                return await self._asked(secrets)
            except TokensUnavailable as busy:
                if busy.for_all or busy.retry_after is None or busy.retry_after > LONGEST_WAIT:
                    raise
                await self._clock.pause(busy.retry_after)
            return await self._asked(secrets)

    async def _asked(self, secrets: Secrets) -> Tokens:
        count, error = self._silences.get(secrets.issuer, (0, None))
        if error is not None and count >= SILENCES:
            raise error
        try:
            tokens = await self._keyring.tokens.first_tokens(secrets.issuer, secrets.refresh_token)
        except (TokensUnavailable, ClientRefused) as away:
            if isinstance(away, ClientRefused) or away.for_all:
                self._silences[secrets.issuer] = self._silences.get(secrets.issuer, (0, None))[0] + 1, away
            raise
        except GrantRevoked as void:
            self._silences.pop(secrets.issuer, None)
            raise GrantRevoked(Exception.__str__(void), remedy=CONSENT) from None
        self._silences.pop(secrets.issuer, None)
        return tokens

    async def _find_pool(self, name: str | None) -> None:
        """Raises NotFound when there is no such shared pool, and none is to be made."""
        if name is None or name in self._pools:
            return
        try:
            self._pools[name] = await shared_pool(self._db, name)
        except NotFound as error:
            if not (self._create_pools and name.strip()):
                raise NotFound(
                    f"there is no shared pool {name or repr(name)}", remedy="--create-pool makes it"
                ) from error
            self._pools[name] = None

    async def _pool_id(self, name: str | None) -> int | None:
        """None is the user's private one."""
        if name is not None and self._pools.get(name) is None:
            self._pools[name] = await shared_pool(self._db, name, create=True)
        return None if name is None else self._pools[name]

    def _sealed(self, candidate: Candidate, mailbox_id: int) -> Sealed:
        secrets = candidate.secrets
        if secrets.issuer:  # without a check nobody was asked: the first that needs a token asks
            tokens = candidate.tokens or Tokens(access="", refresh=secrets.refresh_token, seconds=0.0)
            return Sealed(grant=self._keyring.tokens.sealed(mailbox_id, secrets.issuer, tokens))
        return Sealed(
            smtp=self._vault.seal(secrets.smtp, mailbox_id=mailbox_id, purpose="smtp"),
            imap=self._vault.seal(secrets.imap, mailbox_id=mailbox_id, purpose="imap"),
        )


def _account(new: NewMailbox, secrets: Secrets) -> Account:
    smtp, imap = (
        Endpoint(
            host=getattr(new, f"{kind}_host"),
            port=getattr(new, f"{kind}_port"),
            security=Security(getattr(new, f"{kind}_security")),
            username=getattr(new, f"{kind}_username"),
            password=password,
        )
        for kind, password in (("smtp", secrets.smtp), ("imap", secrets.imap))
    )
    return Account(mailbox_id=0, address=new.address, display_name=new.display_name, smtp=smtp, imap=imap)
