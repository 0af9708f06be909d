"""The keyring: opens a mailbox's account for one conversation, whether it logs in by passwords or by tokens."""

from dataclasses import replace
from typing import Self

from warmupd.clock import Clock
from warmupd.config import Config
from warmupd.daemon.post import open_account
from warmupd.daemon.tokens import TokenKeeper
from warmupd.mail.account import Account
from warmupd.mail.oauth import Registration, TokenClient, host_of
from warmupd.mail.tls import client_context
from warmupd.mail.vault import Vault
from warmupd.store.accounts import SealedAccount
from warmupd.store.database import Database

SCOPES = {  # what a refresh asks for, as the providers document it; Google's grant says it by itself
    "GOOGLE": "",
    "MICROSOFT": "https://outlook.office.com/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
}


class Keyring:
    """Passwords come from the vault, access tokens from their keeper."""

    def __init__(self, vault: Vault, tokens: TokenKeeper) -> None:
        self.tokens = tokens
        self._vault = vault

    async def open(self, sealed: SealedAccount) -> Account:
        """The account with its credentials open. Raises SecretsError, or what `TokenKeeper.access_token` raises."""
        token = await self.tokens.access_token(sealed) if sealed.oauth_provider else ""
        return open_account(sealed, self._vault, token=token)

    def open_to_send(self, sealed: SealedAccount) -> Account | None:
        """The account as a send needs it, if passwords let it in: nothing is to be waited for, and the one for IMAP
        stays sealed. Raises SecretsError."""
        return None if sealed.oauth_provider else open_account(sealed, self._vault, to_send=True)

    async def close(self) -> None:
        """Nobody will be let in any more."""
        await self.tokens.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open_anew(self, sealed: SealedAccount, refused: Account) -> Account:
        """The account with another token than `refused` had, whose token a server did not take before its time."""
        token = await self.tokens.access_token(sealed, refused=refused.smtp.password)
        return with_token(refused, token)


def keyring_of(config: Config, db: Database, clock: Clock, vault: Vault | None = None) -> Keyring:
    """The keyring of this configuration; `vault` is that of `secrets.keys` unless given. Its owner closes it.

    Raises SecretsError when there is no key.
    """
    vault = vault or Vault([key.get_secret_value() for key in config.secrets.keys])
    context = client_context(str(config.security.ca_file) if config.security.ca_file else None)
    tokens = TokenKeeper(db, clock, vault=vault, client=TokenClient(context), registrations=registrations_of(config))
    return Keyring(vault, tokens)


def demand_client(config: Config, provider: str) -> None:
    """Raises ClientRefused when the configuration has no client of GOOGLE or MICROSOFT to get tokens by."""
    host_of(registrations_of(config)[provider])


def registrations_of(config: Config) -> dict[str, Registration]:
    """This installation as the providers know it, by the words of the Postgres ENUM `oauth_provider`."""
    clients = {"GOOGLE": config.oauth.google, "MICROSOFT": config.oauth.microsoft}
    return {
        provider: Registration(
            provider=provider,
            client_id=client.client_id,
            client_secret=client.client_secret.get_secret_value(),
            token_url=client.token_url,
            scope=SCOPES[provider],
            authorize_url=client.authorize_url,
        )
        for provider, client in clients.items()
    }


def with_token(account: Account, token: str) -> Account:
    """The account as it logs in with this access token."""
    return replace(
        account,
        smtp=replace(account.smtp, password=token, by_token=True),
        imap=replace(account.imap, password=token, by_token=True),
    )
