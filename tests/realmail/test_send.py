"""Deliveries to a real Postfix, in every temper that it can be in, with real replies to judge."""

import socket
import time
from collections.abc import Callable

import pytest

from tests.mail.test_smtp import Mail, always
from tests.realmail.conftest import AccountOf, NewBox
from tests.realmail.owner import Owner
from warmupd.core.outcome import Action, OutcomeKind, Phase, Trouble, classify
from warmupd.mail.smtp import SmtpSender
from warmupd.sandbox.real.box import Box
from warmupd.sandbox.real.stack import RealStack

pytestmark = pytest.mark.realmail

OwnerOf = Callable[[Box], Owner]


def mail(sender: Box, recipient: str, *, extra: str = "", number: int = 1) -> Mail:
    head = f"From: <{sender.address}>\r\nTo: <{recipient}>\r\nMessage-ID: <warm-{number}@one.test>\r\n{extra}"
    content = f"{head}Date: Sun, 1 Mar 2026 09:00:00 +0000\r\nSubject: Lunch\r\n\r\nSee you.\r\n.A dot.\r\n".encode()
    return Mail(sender=sender.address, recipient=recipient, content=content)


def arrived(owner: Owner, folder: str = "INBOX") -> list[bytes]:
    """What has come, as soon as something has."""
    end = time.monotonic() + 20
    while not (found := owner.messages(folder)):
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)  # another program's work, and nothing tells of its end
    return [content for _, _, content in found]


@pytest.mark.parametrize("temper", ["submission", "smtps"])
async def test_message_arrives_as_it_was_written(
    stack: RealStack, sender: SmtpSender, account_of: AccountOf, new_box: NewBox, owner_of: OwnerOf, temper: str
) -> None:
    ann, bob = new_box(), new_box()
    written = mail(ann, bob.address)
    reply = await sender.deliver(account_of(ann, port=stack.ports[temper]), written, may_proceed=always)
    assert (reply.phase, reply.code, classify(reply).kind) == (Phase.BODY, 250, OutcomeKind.SENT)
    (content,) = arrived(owner_of(bob))
    assert content.endswith(written.content)


async def test_sieve_files_into_junk(
    sender: SmtpSender, account_of: AccountOf, new_box: NewBox, owner_of: OwnerOf
) -> None:
    ann, bob = new_box(), new_box()
    written = mail(ann, bob.address, extra="X-Place: junk\r\n")
    await sender.deliver(account_of(ann), written, may_proceed=always)
    owner = owner_of(bob)
    assert len(arrived(owner, "Junk")) == 1
    assert owner.messages("INBOX") == []


# A listener, how often it is asked, and how its last reply is to be read.
TEMPERS = [
    ("few_messages", 2, Phase.MAIL, 450, "rate", OutcomeKind.DEFERRED),
    ("few_connections", 2, Phase.CONNECT, 421, "host_busy", OutcomeKind.DEFERRED),
    ("few_logins", 2, Phase.AUTH, 450, "auth_rate", OutcomeKind.DEFERRED),
    ("few_recipients", 2, Phase.RCPT, 450, "rate", OutcomeKind.DEFERRED),
    ("small", 1, Phase.MAIL, 552, "refused", OutcomeKind.FAILED),
]


@pytest.mark.parametrize(("temper", "times", "phase", "code", "reason", "kind"), TEMPERS)
async def test_temper_is_read_rightly(
    stack: RealStack, sender: SmtpSender, account_of: AccountOf, new_box: NewBox,
    temper: str, times: int, phase: Phase, code: int, reason: str, kind: OutcomeKind,
) -> None:  # fmt: skip
    ann, bob = new_box(), new_box()
    written = mail(ann, bob.address, extra=f"X-Long: {'x' * 900}\r\nX-Longer: {'x' * 900}\r\n")
    for _ in range(times):
        reply = await sender.deliver(account_of(ann, port=stack.ports[temper]), written, may_proceed=always)
    outcome = classify(reply)
    assert (reply.phase, reply.code, outcome.reason, outcome.kind) == (phase, code, reason, kind), reply


async def test_one_connection_too_many_is_about_the_host(
    stack: RealStack, sender: SmtpSender, account_of: AccountOf, new_box: NewBox
) -> None:
    ann = new_box()
    account = account_of(ann, port=stack.ports["one_connection"])
    with socket.create_connection(("127.0.0.1", account.smtp.port)) as other:
        assert other.recv(4) == b"220 "
        reply = await sender.deliver(account, mail(ann, ann.address), may_proceed=always)
    assert (reply.phase, reply.code, classify(reply).reason) == (Phase.CONNECT, 421, "host_busy")


@pytest.mark.parametrize(
    ("temper", "phase", "trouble"),
    [
        ("no_tls", Phase.STARTTLS, Trouble.NO_STARTTLS),
        ("no_login", Phase.AUTH, Trouble.NO_AUTH),
        ("untrusted", Phase.STARTTLS, Trouble.CERTIFICATE),
        ("expired", Phase.STARTTLS, Trouble.CERTIFICATE),
    ],
)
async def test_listener_that_gets_no_password(
    stack: RealStack, sender: SmtpSender, account_of: AccountOf, new_box: NewBox,
    temper: str, phase: Phase, trouble: Trouble,
) -> None:  # fmt: skip
    ann = new_box()
    reply = await sender.deliver(account_of(ann, port=stack.ports[temper]), mail(ann, ann.address), may_proceed=always)
    assert (reply.phase, reply.code, reply.trouble) == (phase, None, trouble)


async def test_wrong_password_is_refused_credentials(
    sender: SmtpSender, account_of: AccountOf, new_box: NewBox
) -> None:
    reply = await sender.check_login(account_of(new_box(), password="wrong"))
    assert (reply.phase, reply.code, classify(reply).reason) == (Phase.AUTH, 535, "bad_credentials")


async def test_foreign_sender_is_not_owned(sender: SmtpSender, account_of: AccountOf, new_box: NewBox) -> None:
    ann, bob = new_box(), new_box()
    reply = await sender.deliver(account_of(ann), mail(bob, ann.address), may_proceed=always)
    assert (reply.phase, reply.code, classify(reply).reason) == (Phase.MAIL, 553, "sender_not_owned")


async def test_unlisted_recipient_is_unknown(
    stack: RealStack, sender: SmtpSender, account_of: AccountOf, new_box: NewBox
) -> None:
    ann = new_box()
    account = account_of(ann, port=stack.ports["knows_recipients"])
    reply = await sender.deliver(account, mail(ann, "noone@one.test"), may_proceed=always)
    outcome = classify(reply)
    assert (reply.phase, reply.code, reply.enhanced) == (Phase.RCPT, 550, "5.1.1")
    assert (outcome.reason, outcome.kind) == ("recipient_unknown", OutcomeKind.FAILED)


async def test_refused_content_is_content(sender: SmtpSender, account_of: AccountOf, new_box: NewBox) -> None:
    ann, bob = new_box(), new_box()
    reply = await sender.deliver(
        account_of(ann), mail(ann, bob.address, extra="X-Place: refuse\r\n"), may_proceed=always
    )
    assert (reply.phase, reply.code, classify(reply).reason) == (Phase.BODY, 550, "content")


# What a policy server says at RCPT or after the dot, and how it is to be read.
POLICIES = [
    ("RCPT", "450 4.2.0 Greylisted, see your postmaster", "greylisted", Action.NONE),
    ("RCPT", "451 4.7.1 Sending too fast, try again in 300 seconds", "rate", Action.BACK_OFF_MAILBOX),
    ("RCPT", "452 4.2.2 The email account that you tried to reach is over quota", "recipient_full", None),
    ("RCPT", "550 5.4.5 Daily sending quota exceeded", "daily_limit", None),
    ("END-OF-MESSAGE", "554 5.7.1 Message rejected as spam", "content", None),
    ("END-OF-MESSAGE", "421 4.7.0 Try again later", "rate", None),
]


@pytest.mark.parametrize(("state", "text", "reason", "action"), POLICIES)
async def test_policy_is_read_rightly(
    stack: RealStack, sender: SmtpSender, account_of: AccountOf, new_box: NewBox, owner_of: OwnerOf,
    state: str, text: str, reason: str, action: Action | None,
) -> None:  # fmt: skip
    ann, bob = new_box(), new_box()
    stack.policy.replies[state, bob.address] = text
    reply = await sender.deliver(account_of(ann), mail(ann, bob.address), may_proceed=always)
    outcome = classify(reply)
    assert (reply.code, outcome.reason, outcome.kind is OutcomeKind.SENT) == (int(text[:3]), reason, False), reply
    assert action is None or outcome.action is action
    assert owner_of(bob).messages("INBOX") == []


async def test_recipient_that_only_lmtp_knows_to_be_missing_brings_a_report(
    sender: SmtpSender, account_of: AccountOf, new_box: NewBox, owner_of: OwnerOf
) -> None:
    ann = new_box()
    reply = await sender.deliver(account_of(ann), mail(ann, "noone@one.test"), may_proceed=always)
    assert reply.code == 250
    (report,) = arrived(owner_of(ann))
    assert b"multipart/report; report-type=delivery-status" in report
    assert b"Status: 5.1.1" in report
