"""How mailboxes are visited: by which rules, and how one is logged in to."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from warmupd.daemon.keyring import Keyring
from warmupd.mail.account import Account
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.imap import ImapRefusedLogin, ImapTimeouts
from warmupd.mail.visit import Recognise, Visit, open_visit
from warmupd.store.accounts import SealedAccount


@dataclass(frozen=True, kw_only=True, slots=True)
class Visiting:
    """How visits are made."""

    per_day: int
    concurrent: int
    per_host_concurrent: int
    hosts: HostPolicy
    context: ssl.SSLContext
    timeouts: ImapTimeouts | None = None
    source_address: str = ""
    warmup_folder: str = "Warmup"
    entrance: Callable[[Account, Recognise], AbstractAsyncContextManager[Visit]] | None = None  # a model, for IMAP


@asynccontextmanager
async def enter_mailbox(
    sealed: SealedAccount, keyring: Keyring, visiting: Visiting, recognise: Recognise
) -> AsyncIterator[Visit]:
    """Log in for one visit; where an access token is refused, once more with a new one.

    Raises what `Keyring.open` and `open_visit` raise.
    """

    def opened(account: Account) -> AbstractAsyncContextManager[Visit]:
        if visiting.entrance is not None:
            return visiting.entrance(account, recognise)
        return open_visit(
            replace(account, warmup_folder=sealed.warmup_folder or visiting.warmup_folder),
            policy=visiting.hosts,
            context=visiting.context,
            recognise=recognise,
            timeouts=visiting.timeouts,
            source_address=visiting.source_address,
        )

    account = await keyring.open(sealed)
    async with AsyncExitStack() as stack:
        try:
            visit = await stack.enter_async_context(opened(account))
        except ImapRefusedLogin:
            if not account.by_token:
                raise
            account = await keyring.open_anew(sealed, account)
            visit = await stack.enter_async_context(opened(account))
        yield visit
