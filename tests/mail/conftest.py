"""Servers, certificates and accounts for the mail tests."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest

from tests.mail import imap_fixtures
from tests.mail.certificates import Authority, make_authority
from tests.mail.fault_smtp import PASSWORD, FaultServer, Stage
from tests.mail.imap_fixtures import Open, recognise
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.hosts import HostPolicy
from warmupd.mail.smtp import SmtpSender, Timeouts
from warmupd.mail.tls import client_context
from warmupd.mail.visit import Visit, open_visit

LOOPBACK = HostPolicy(allow_hosts=("127.0.0.0/8",))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def trusting(authority: Authority) -> ssl.SSLContext:
    """A client context that trusts the test authority."""
    return client_context(str(authority.ca_file))


@pytest.fixture
async def start_smtp(authority: Authority) -> AsyncIterator[Callable[..., Any]]:
    """Starts fault servers; keywords are those of FaultServer."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> FaultServer:
            settings.setdefault("context", authority.server_context())
            settings.setdefault("users", {"ann@one.test": PASSWORD})
            return await stack.enter_async_context(FaultServer(**settings).running())

        yield start


@pytest.fixture
async def sender_with(trusting: ssl.SSLContext) -> AsyncIterator[Callable[..., SmtpSender]]:
    """Senders that differ from the usual one, and are closed; keywords are those of SmtpSender."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> SmtpSender:
            sender = SmtpSender(**{"context": trusting, "policy": LOOPBACK, **settings})
            stack.push_async_callback(sender.close)
            return sender

        yield make


@pytest.fixture
def sender(sender_with: Callable[..., SmtpSender]) -> SmtpSender:
    """With patience: a busy machine is no fault of the server's."""
    return sender_with()


@pytest.fixture
def hasty(sender_with: Callable[..., SmtpSender]) -> Callable[[Stage], SmtpSender]:
    """A sender with little patience at one stage, which is to be over for want of time, and at no other."""

    def make(stage: Stage) -> SmtpSender:
        phase = {"connect": "ehlo", "starttls": "tls", "dot": "body"}.get(stage, stage)
        return sender_with(timeouts=Timeouts(**{phase: 0.4}))

    return make


@pytest.fixture
def account_at() -> Callable[..., Account]:
    """An account whose SMTP server is the given fault server."""

    def make(server: FaultServer, *, password: str = PASSWORD, host: str = "localhost") -> Account:
        security = Security.TLS if server.implicit_tls else Security.STARTTLS
        endpoint = Endpoint(host=host, port=server.port, security=security, username="ann@one.test", password=password)
        return Account(mailbox_id=1, address="ann@one.test", display_name="Ann", smtp=endpoint, imap=endpoint)

    return make


@pytest.fixture
def visit(trusting: ssl.SSLContext) -> Open:
    """A visit to the server on a port; other keywords are those of the account."""

    def visit(server: Any, timeouts: Any = None, **account: Any) -> AbstractAsyncContextManager[Visit]:
        here = imap_fixtures.account_at(server.port, **account)
        return open_visit(here, policy=imap_fixtures.LOOPBACK, context=trusting, recognise=recognise, timeouts=timeouts)

    return visit
