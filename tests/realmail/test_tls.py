"""Real servers whose certificates are not to be trusted: no connection, and nobody's name or password is shown."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.mail.imap_fixtures import LOOPBACK
from tests.realmail.conftest import AccountOf, NewBox
from warmupd.core.outcome import OutcomeKind, Phase, Trouble, classify
from warmupd.mail import hosts
from warmupd.mail.account import Account
from warmupd.mail.imap import ImapInsecure, check_login
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.tls import client_context
from warmupd.sandbox.real.stack import RealStack

pytestmark = pytest.mark.realmail

ELSEWHERE = "elsewhere.test"


@pytest.fixture(autouse=True)
def names() -> Iterator[Callable[[str, str], None]]:
    """Says which address a name has."""
    known = dict(hosts._cache)
    yield lambda name, address: hosts._cache.update({name: (float("inf"), (ip_address(address),))})
    hosts._cache.clear()
    hosts._cache.update(known)


# What is wrong: the name that is called, the address that it has, whose certificates are trusted, and what is said.
WRONG = {
    "unknown authority": ("localhost", "127.0.0.1", "system", "unable to get|self-signed|self signed"),
    "another host": (ELSEWHERE, "127.0.0.1", "ours", ELSEWHERE),
    "expired": ("localhost", "127.0.0.2", "expired", "expired"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_dovecot_that_is_not_trusted_hears_no_name(
    stack: RealStack, new_box: NewBox, account_of: AccountOf, names: Callable[[str, str], None], wrong: str
) -> None:
    host, address, trusted, words = WRONG[wrong]
    names(host, address)
    box = new_box()
    account = at(account_of(box), host)
    with pytest.raises(ImapInsecure, match=words):
        await check_login(account, LOOPBACK, trusting(stack, trusted))
    assert box.address not in stack.dovecot.log_file.read_text()


@pytest.mark.parametrize("wrong", WRONG)
async def test_postfix_that_is_not_trusted_hears_no_name(
    stack: RealStack, new_box: NewBox, account_of: AccountOf, names: Callable[[str, str], None], wrong: str
) -> None:
    host, _, trusted, _ = WRONG[wrong]
    names(host, "127.0.0.1")
    box = new_box()
    temper = "expired" if wrong == "expired" else "submission"
    sender = SmtpSender(context=trusting(stack, trusted), policy=LOOPBACK)
    reply = await sender.check_login(at(account_of(box, port=stack.ports[temper]), host))
    assert (reply.phase, reply.code, reply.trouble) == (Phase.STARTTLS, None, Trouble.CERTIFICATE)
    assert classify(reply).kind is not OutcomeKind.SENT
    assert box.address not in stack.postfix.log_file.read_text() + stack.dovecot.log_file.read_text()


def at(account: Account, host: str) -> Account:
    return replace(account, smtp=replace(account.smtp, host=host), imap=replace(account.imap, host=host))


def trusting(stack: RealStack, whom: str) -> ssl.SSLContext:
    files = {"ours": stack.ca_file, "expired": stack.expired_ca_file}
    return client_context(str(files[whom]) if whom in files else None)
