"""Mailboxes that log in by OAuth: the pasted refresh token, tried, and stored in place of passwords."""

import getpass
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from warmupd.errors import UsageError

if TYPE_CHECKING:
    from warmupd.cli.session import Session
    from warmupd.daemon.keyring import Keyring
    from warmupd.mail.account import Account
    from warmupd.mail.oauth import Tokens
    from warmupd.store.grants import Grant
    from warmupd.store.mailbox_report import MailboxReport


def pasted_token(address: str, provider: str) -> str:
    """A refresh token from the terminal, unseen, or the first line of stdin where there is no terminal."""
    if sys.stdin.isatty():
        token = getpass.getpass(f"Refresh token of {address} from {provider.lower()}: ")
    else:
        token = sys.stdin.buffer.readline().decode(errors="surrogateescape")  # what is no UTF-8 is not printable then
    token = token.strip()
    if not token or not token.isprintable() or " " in token:
        raise UsageError(
            "that is no refresh token",
            remedy="paste the refresh token that the provider gave, at the prompt or as one line on standard input",
        )
    return token


async def first_tokens(keyring: "Keyring", provider: str, refresh_token: str, *, check: bool) -> "Tokens":
    """What the refresh token is worth; without a check nobody is asked. Raises OAuthError."""
    from warmupd.mail.oauth import Tokens

    if not check:
        return Tokens(access="", refresh=refresh_token, seconds=0.0)
    return await keyring.tokens.first_tokens(provider, refresh_token)


async def new_grant(keyring: "Keyring", mailbox: "MailboxReport", given: Mapping[str, Any]) -> "Grant":
    """A grant for a mailbox that is enrolled, by a refresh token that is pasted now."""
    token = pasted_token(mailbox.address, given["oauth"])
    tokens = await first_tokens(keyring, given["oauth"], token, check=given["check"])
    return keyring.tokens.sealed(mailbox.id, given["oauth"], tokens)


async def check_login(session: "Session", account: "Account", tokens: "Tokens", *, hint: str = "") -> None:
    """Log in with the new access token; raises when a server refuses it."""
    from warmupd.daemon.keyring import with_token
    from warmupd.daemon.login_check import LoginCheck, refused

    if refusals := await LoginCheck(session.config).check(with_token(account, tokens.access)):
        raise refused(account.address, refusals, hint=hint)
