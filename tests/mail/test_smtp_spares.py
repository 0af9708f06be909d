"""Servers that say more than they were asked: what they say is no verdict."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
from aiosmtplib import SMTPResponseException

from tests.mail.fault_smtp import Fault, FaultServer
from warmupd.core.outcome import OutcomeKind, Phase, Trouble, classify
from warmupd.mail.account import Account
from warmupd.mail.smtp import SmtpSender
from warmupd.mail.smtp_line import Line

StartSmtp = Callable[..., Awaitable[FaultServer]]
AccountAt = Callable[..., Account]


@dataclass(frozen=True, kw_only=True)
class Mail:
    sender: str = "ann@one.test"
    recipient: str = "bob@two.test"
    content: bytes = b"Subject: hello\r\n\r\nA line.\r\n"


def always() -> None:
    return None


class Answering(asyncio.Transport):
    """A wire that answers the next command with `said`, then closes."""

    def __init__(self, line: Line, said: bytes) -> None:
        super().__init__()
        self.line = line
        self.said = said

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        self.line.data_received(self.said)
        self.line.eof_received()


@pytest.mark.parametrize(
    ("said", "last"),
    [(b"221 bye\r\n", True), (b"421 enough\r\n", True), (b"", True), (b"250 queued\r\n", False), (b"25", False)],
)
async def test_reply_is_the_last_when_only_a_farewell_follows(said: bytes, last: bool) -> None:
    line = Line(asyncio.get_running_loop())
    line.connection_made(Answering(line, said))
    line.data_received(b"451 not now\r\n")
    assert (await line.hear()).code == 451
    with nullcontext() if last else pytest.raises(SMTPResponseException, match="more replies"):
        await line.prove_last()


@pytest.mark.parametrize("replies", ["250 queued\r\n550 no", "451 not now\r\n250 queued", "250 queued\r\n2"])
async def test_two_replies_to_the_body_are_no_verdict(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, replies: str
) -> None:
    server = await start_smtp(faults={"dot": Fault("reply", replies)})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code, reply.trouble) == (Phase.BODY, None, Trouble.GARBAGE)
    assert classify(reply).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("dot", [None, Fault("reply", "250 queued"), Fault("hang"), Fault("half")])
@pytest.mark.parametrize("early", ["550 5.7.1 no", "451 4.3.0 not now"])
async def test_refusal_amid_a_body_that_may_be_taken_is_no_verdict(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, early: str, dot: Fault | None
) -> None:
    faults = {"body": Fault("reply", early)} | ({"dot": dot} if dot else {})
    server = await start_smtp(faults=faults)
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code) == (Phase.BODY, None)
    assert classify(reply).kind is OutcomeKind.UNKNOWN
    assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("farewell", "code"),
    [
        (Fault("drop"), 451),
        (Fault("rst"), 451),
        (Fault("reply", "421 too many errors"), 451),
        (Fault("hang"), None),
        (Fault("garbage"), None),
    ],
)
async def test_refused_body_is_a_verdict_once_nothing_can_follow(
    start_smtp: StartSmtp, sender: SmtpSender, account_at: AccountAt, farewell: Fault, code: int | None
) -> None:
    server = await start_smtp(faults={"dot": Fault("reply", "451 4.3.0 not now"), "quit": farewell})
    reply = await sender.deliver(account_at(server), Mail(), may_proceed=always)
    assert (reply.phase, reply.code) == (Phase.BODY, code)
    await sender.close()
    await server.ended.wait()
    assert server.commands.count("QUIT") == 1
