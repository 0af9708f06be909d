"""The real servers for all tests of a run, and accounts of a test's own on them."""

import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any

import pytest

from tests.mail.imap_fixtures import LOOPBACK, letter, recognise
from tests.realmail.owner import Owner
from warmupd.mail.account import Account, Endpoint, Security
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context
from warmupd.mail.visit import Visit, open_visit
from warmupd.sandbox.real.box import Box
from warmupd.sandbox.real.stack import RealStack, missing

AccountOf = Callable[..., Account]
NewBox = Callable[..., Box]
Open = Callable[..., AbstractAsyncContextManager[Visit]]

BOXES = 250
_numbers = count()


@pytest.fixture(scope="session", autouse=True)
def real_servers() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def stack(real_servers: None) -> Iterator[RealStack]:
    """One for the run, with more accounts than all tests use."""
    boxes = [Box(address=f"box{number}@one.test", password='a "very" \\ good one') for number in range(BOXES)]
    with RealStack(boxes) as stack:
        yield stack


@pytest.fixture
def new_box(stack: RealStack) -> NewBox:
    """Gives an account that only this test uses."""

    def make(look: Mapping[str, str] | None = None) -> Box:
        address = f"box{next(_numbers)}@one.test"
        if look:
            stack.change(address, look)
        return stack.boxes[address]

    return make


@pytest.fixture
def account_of(stack: RealStack) -> AccountOf:
    """The account as the daemon has it; `port` is that of a listener."""

    def make(box: Box, *, port: int = 0, password: str = "", **own: Any) -> Account:
        login: dict[str, Any] = {"host": "localhost", "username": box.address, "password": password or box.password}
        security = Security.TLS if port == stack.smtps_port else Security.STARTTLS
        return Account(
            mailbox_id=1,
            address=box.address,
            display_name="Box",
            smtp=Endpoint(port=port or stack.smtp_port, security=security, **login),
            imap=Endpoint(port=stack.imap_port, security=Security.TLS, **login),
            **own,
        )

    return make


@pytest.fixture
async def sender(stack: RealStack) -> Any:
    sender = SmtpSender(context=client_context(str(stack.ca_file)), policy=LOOPBACK)
    yield sender
    await sender.close()


@pytest.fixture
def visit(stack: RealStack, account_of: AccountOf) -> Open:
    """A visit to an account's mailbox."""

    def visit(box: Box, **own: Any) -> AbstractAsyncContextManager[Visit]:
        context = client_context(str(stack.ca_file))
        return open_visit(account_of(box, **own), policy=LOOPBACK, context=context, recognise=recognise)

    return visit


@pytest.fixture
def owner_of(stack: RealStack) -> Iterator[Callable[[Box], Owner]]:
    """Another mail program, with which the owner looks at the mailbox."""
    context = ssl.create_default_context(cafile=str(stack.ca_file))
    owners: list[Owner] = []

    def make(box: Box) -> Owner:
        owners.append(Owner(stack.imap_port, context, stack.boxes[box.address]))
        return owners[-1]

    yield make
    for owner in owners:
        owner.leave()


@pytest.fixture
def deliver(stack: RealStack) -> Callable[..., None]:
    """Hands messages of `letter` to Dovecot's LMTP, which has sorted and stored them when this returns."""

    def deliver(box: Box, *messages: int | None, place: str = "", content: bytes = b"") -> None:
        with smtplib.LMTP("127.0.0.1", stack.lmtp_port) as lmtp:
            for number in messages:
                extra = f"X-Place: {place}\r\n" if place else ""
                lmtp.sendmail("bob@two.test", [box.address], content or letter(number, extra=extra))

    return deliver
